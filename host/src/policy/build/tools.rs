//! The tools of JavaScript and Python: those of the project, those of the machine, or those that
//! `scripts/setup test` installed for a clone of the gateway's repository.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use super::BuildError;

/// Where a clone has what is installed from PyPI.
const CLONE_PROGRAMS: &str = "tests/peers/.venv/bin";

/// What stands at `path` in a clone of the gateway's repository: one around `directory`, or the
/// one that this program was built in.
pub(super) fn in_clone(directory: &Path, path: &str) -> Option<PathBuf> {
    let program = env::current_exe().unwrap_or_default();
    let around = directory.ancestors().chain(program.ancestors());
    around.map(|folder| folder.join(path)).find(|found| found.exists())
}

/// Where the program `name` may be, for a policy in `directory`: its own virtual environment, the
/// machine's path, a clone's.
pub(super) fn programs(directory: &Path, name: &str) -> Vec<PathBuf> {
    let own = Some(directory.join(".venv/bin").join(name)).filter(|own| own.is_file());
    let clone = in_clone(directory, &format!("{CLONE_PROGRAMS}/{name}"));
    own.into_iter().chain([PathBuf::from(name)]).chain(clone).collect()
}

/// Runs the first of `programs` that is there, prepared by `prepare`.
pub(super) fn run(
    programs: &[PathBuf],
    prepare: impl Fn(&mut Command),
    missing: impl FnOnce() -> BuildError,
) -> Result<Output, BuildError> {
    for program in programs {
        let mut command = Command::new(program);
        prepare(&mut command);
        match command.stdin(Stdio::null()).output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(BuildError::File { path: program.clone(), source }),
            Ok(output) => return Ok(output),
        }
    }
    Err(missing())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_clones_tools_are_found_from_any_folder_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let clone = folder.path();
        fs::create_dir_all(clone.join(CLONE_PROGRAMS)).unwrap();
        fs::create_dir_all(clone.join("a/b")).unwrap();
        fs::write(clone.join(CLONE_PROGRAMS).join("componentize-none"), "").unwrap();
        let found = programs(&clone.join("a/b"), "componentize-none");
        assert_eq!(found, [PathBuf::from("componentize-none"), clone.join(CLONE_PROGRAMS).join("componentize-none")]);
        assert_eq!(in_clone(&clone.join("a/b"), "no/such/file"), None);
    }

    #[test]
    fn the_projects_own_environment_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(".venv/bin/componentize-none");
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::write(&own, "").unwrap();
        assert_eq!(programs(folder.path(), "componentize-none")[0], own);
    }

    #[test]
    fn a_program_that_is_nowhere_is_missing() {
        let missing = || BuildError::Missing { what: "it", directory: PathBuf::from("x"), install: "so".to_owned() };
        let error = run(&[PathBuf::from("/no/such/program")], |_| {}, missing).unwrap_err();
        assert_eq!(error.to_string(), "it is not there for x: so");
    }
}
