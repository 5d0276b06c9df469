//! Files beside one another, replaced as a whole, of mode 0600; and the lock that keeps a second process out.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::StateError;

const FILE_MODE: u32 = 0o600;

/// `FILE.end`
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}

pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> StateError {
    move |source| StateError::File { path: path.to_owned(), source }
}

/// Keeps every other gateway out for as long as it is held. A file of its own: the other one is replaced.
pub(super) fn lock(path: &Path) -> Result<File, StateError> {
    let name = beside(path, "lock");
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(failed(folder))?;
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(FILE_MODE).open(&name).map_err(failed(&name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(&name)(source)),
    }
}

/// Opens the file for reading; none where there is none.
pub(super) fn open(path: &Path) -> Result<Option<File>, StateError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(path)(source)),
    };
    let mode = file.metadata().map_err(failed(path))?.mode() & 0o777;
    if mode & 0o077 == 0 { Ok(Some(file)) } else { Err(StateError::Permissions { path: path.to_owned(), mode }) }
}

/// Beside the file, then in its place: whoever reads finds the old one or the new one. Gives the new one, open.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), StateError>,
) -> Result<File, StateError> {
    let new = beside(path, "new");
    // One that a crash left, with whatever mode it had, or a link that somebody put there.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&new)(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(FILE_MODE).open(&new).map_err(failed(&new))?;
    let mut buffered = io::BufWriter::new(file);
    write(&mut buffered)?;
    let file = buffered.into_inner().map_err(|error| failed(&new)(error.into_error()))?;
    file.sync_all().map_err(failed(&new))?;
    fs::rename(&new, path).map_err(failed(path))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))?;
    Ok(file)
}
