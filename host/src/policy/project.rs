//! A new policy project: manifest, settings, a rule for each hook, cases, properties. It
//! builds and tests as it is.

mod javascript;
mod parts;
mod python;
mod rust;
mod setting;

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::manifest::Language;
use crate::decision::Hook;

impl Language {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rust, Self::Js, Self::Python];

    /// Its name on the command line and in the manifest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Js => "js",
            Self::Python => "python",
            Self::Rust => "rust",
        }
    }

    /// The files of a project, by their paths in it.
    fn files(self, name: &str, hooks: &BTreeSet<Hook>) -> Result<Vec<(String, String)>, ProjectError> {
        let mut files = match self {
            Self::Js => javascript::files(name, hooks),
            Self::Python => python::files(name, hooks),
            Self::Rust => rust::files(name, hooks),
        }?;
        files.extend(parts::files(name, self, hooks)?);
        files.sort();
        Ok(files)
    }

    /// What speaks against `name` in this language.
    fn problem(self, name: &str) -> Option<String> {
        match self {
            // What is published under that name is no matter: nobody depends on a policy.
            Self::Js | Self::Python => None,
            Self::Rust => rust::problem(name),
        }
    }

    /// Where in the project the SDK must be seen besides `sdk/`: link, and what it leads to.
    const fn link(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Js => Some(javascript::LINK),
            Self::Python | Self::Rust => None,
        }
    }
}

/// Why there is no new project.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// The last part of the folder is no name for a policy.
    #[error("`{name}` is no name for a policy: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A policy decides something.
    #[error("a policy decides at least one hook: route, admit, profile, groups, provision, session, access, logout")]
    NoHooks,
    /// The folder is there already.
    #[error("{path} is there already, and a new project overwrites nothing")]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("failed to write {path}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A part of a template is missing: a fault of this program.
    #[error("the template has no {part}")]
    Template {
        /// The part.
        part: String,
    },
}

/// Writes a new project into `directory`, whose last part is the policy's name. Returns the
/// files' paths in it.
///
/// # Errors
///
/// Where the name does not do, the folder is there already, or a file cannot be written.
pub fn new_project(directory: &Path, language: Language, hooks: &BTreeSet<Hook>) -> Result<Vec<String>, ProjectError> {
    let name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(problem) = problem(&name).or_else(|| language.problem(&name)) {
        return Err(ProjectError::Name { name, problem });
    }
    if hooks.is_empty() {
        return Err(ProjectError::NoHooks);
    }
    let files = language.files(&name, hooks)?;
    if directory.exists() {
        return Err(ProjectError::Exists { path: directory.to_owned() });
    }
    for (path, text) in &files {
        let path = directory.join(path);
        let write = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&path, text)
        };
        write().map_err(|source| ProjectError::Write { path: path.clone(), source })?;
    }
    if let Some((link, target)) = language.link() {
        let path = directory.join(link);
        let write = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            symlink(target, &path)
        };
        write().map_err(|source| ProjectError::Write { path: path.clone(), source })?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// The manifest's own rule, and that a name begins with a letter.
fn problem(name: &str) -> Option<String> {
    let is_kebab = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let fits = is_kebab && name.starts_with(|first: char| first.is_ascii_lowercase()) && !name.ends_with('-');
    (!fits || name.len() > 64)
        .then(|| "expected kebab-case that begins with a letter, at most 64 characters".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Source;

    fn all() -> BTreeSet<Hook> {
        Hook::ALL.into_iter().collect()
    }

    #[test]
    fn every_choice_of_hooks_is_a_policy_with_cases_for_each() {
        let folder = tempfile::tempdir().unwrap();
        let one = || Hook::ALL.into_iter().map(|hook| (format!("only-{hook}"), BTreeSet::from([hook])));
        for (language, rule) in
            [(Language::Rust, "src/HOOK.rs"), (Language::Js, "rules/HOOK.js"), (Language::Python, "rules/HOOK.py")]
        {
            for (name, hooks) in one().chain([("all-of-them".to_owned(), all())]) {
                let project = folder.path().join(language.name()).join(&name);
                new_project(&project, language, &hooks).unwrap();
                let source = Source::read(&project).unwrap();
                assert_eq!((&source.manifest.name, &source.manifest.hooks), (&name, &hooks));
                assert!(source.manifest.language.is_none_or(|said| said == language), "{name}");
                assert!(source.cases.count().unwrap() >= 2 * hooks.len(), "{name}");
                for hook in Hook::ALL {
                    let rule = project.join(rule.replace("HOOK", hook.name()));
                    assert_eq!(rule.exists(), hooks.contains(&hook), "{name}: {hook}");
                }
            }
        }
        // As `npm install` would make it.
        assert!(folder.path().join("js/all-of-them/node_modules/@vestibule/policy/build.js").exists());
    }

    #[test]
    fn nothing_of_a_template_is_left_to_fill_in() {
        for language in Language::ALL {
            let files = language.files("mine", &all()).unwrap();
            for (path, text) in files.iter().filter(|(path, _)| !path.starts_with("sdk/")) {
                assert!(!text.contains("{{"), "{} {path}", language.name());
            }
        }
    }

    #[test]
    fn refuses_names_that_no_policy_or_no_package_can_have() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["My-Policy", "1st", "a_b", "ends-", "serde", "vestibule-policy", "fn", "test", "ö", &"a".repeat(65)]
        {
            let error = new_project(&folder.path().join(name), Language::Rust, &all()).unwrap_err();
            assert!(matches!(error, ProjectError::Name { .. }), "{name}: {error}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(matches!(new_project(Path::new("/"), Language::Rust, &all()), Err(ProjectError::Name { .. })));
    }

    #[test]
    fn overwrites_nothing_and_wants_a_hook() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("mine");
        assert!(matches!(new_project(&project, Language::Rust, &BTreeSet::new()), Err(ProjectError::NoHooks)));
        fs::create_dir(&project).unwrap();
        assert!(matches!(new_project(&project, Language::Rust, &all()), Err(ProjectError::Exists { .. })));
        assert_eq!(fs::read_dir(&project).unwrap().count(), 0);
    }
}
