//! Where an operator's cases for a component may be.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where such a folder may be, or appear.
pub(super) fn folders_to_watch(component: &Path) -> Vec<PathBuf> {
    let shared = component.parent().map(|folder| folder.join("cases"));
    std::iter::once(component.with_extension("cases")).chain(shared).collect()
}

/// The case files of a folder, sorted; none where the folder is missing.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}
