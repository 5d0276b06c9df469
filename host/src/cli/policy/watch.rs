//! `vestibule policy build --watch`: builds and tests again whenever a source changes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use serde_json::json;

use super::{
    BuildArguments, SearchArguments, build,
    test::{Report, Testing},
};
use crate::{
    cli::output::{Exit, Failure, Output},
    policy::Engine,
};

/// How often the sources are looked at. An editor saves several files within such a time.
const INTERVAL: Duration = Duration::from_millis(300);

/// Folders that hold no source.
const NO_SOURCES: [&str; 5] = ["target", ".git", "node_modules", ".venv", "__pycache__"];

/// The sources as they were last seen: when each file was changed, and its length.
type Seen = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// Never ends on its own: a build that fails is told, and tried again after the next change.
pub(super) fn run(
    engine: &Engine,
    directories: &[PathBuf],
    arguments: &BuildArguments,
    output: &Output,
) -> Result<Exit, Failure> {
    loop {
        // Looked at before the build: what is changed meanwhile is built next.
        let seen = look(directories);
        round(engine, directories, arguments, output);
        output.progress("waiting for a change");
        loop {
            thread::park_timeout(INTERVAL);
            let now = look(directories);
            // One that is empty is about to be written, or the disk is gone.
            if now != seen && !now.is_empty() {
                break;
            }
        }
    }
}

fn round(engine: &Engine, directories: &[PathBuf], arguments: &BuildArguments, output: &Output) {
    let search = SearchArguments::default();
    let testing = Testing::new(&search);
    let tested = build(engine, directories, arguments, output).and_then(|built| {
        let mut report = Report::default();
        for built in &built {
            report.test(engine, &built.component, &testing, output)?;
        }
        output.result(report.in_words(), &json!({ "ok": report.ok(), "policies": built, "test": report.json() }));
        Ok(())
    });
    if let Err(failure) = tested {
        output.failure(&failure);
    }
}

fn look(directories: &[PathBuf]) -> Seen {
    let mut seen = Seen::new();
    directories.iter().for_each(|directory| walk(directory, &mut seen));
    seen
}

/// What cannot be read is not there: the build says so.
fn walk(folder: &Path, seen: &mut Seen) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            if !NO_SOURCES.iter().any(|skipped| name == *skipped) {
                walk(&path, seen);
            }
        } else {
            seen.insert(path, (metadata.modified().ok(), metadata.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_what_is_written_made_and_removed_but_not_what_was_built() {
        let folder = tempfile::tempdir().unwrap();
        let directories = [folder.path().to_owned()];
        fs::create_dir_all(folder.path().join("src")).unwrap();
        fs::create_dir_all(folder.path().join("target")).unwrap();
        fs::write(folder.path().join("src/lib.rs"), "1").unwrap();
        let before = look(&directories);
        assert_eq!(before.len(), 1);
        fs::write(folder.path().join("target/a.wasm"), "1").unwrap();
        assert_eq!(look(&directories), before);
        fs::write(folder.path().join("src/lib.rs"), "12").unwrap();
        let changed = look(&directories);
        assert_ne!(changed, before);
        fs::write(folder.path().join("src/more.rs"), "").unwrap();
        assert_eq!(look(&directories).len(), 2);
        fs::remove_file(folder.path().join("src/lib.rs")).unwrap();
        assert_eq!(look(&directories).len(), 1);
    }
}
