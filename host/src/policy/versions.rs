//! Which versions of the policies were in force: a lower one does not come back by itself.
//!
//! A signature is good for ever. Whoever can write a file could bring back a version with a
//! known hole, signed by the right people; so the highest version of each policy is
//! remembered across restarts, and a lower one needs an operator's word.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use semver::Version;
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
const FILE_MODE: u32 = 0o600;

/// A mark for each policy takes some hundred bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What was in force, by the policies' configured names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions(BTreeMap<String, Mark>);

/// What is remembered of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Mark {
    /// The component's own name. One of another name is another policy, which begins anew.
    policy: String,
    highest: String,
    /// A lower version that may come into force, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allowed: Option<String>,
}

/// Why a version is refused, or not remembered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VersionsError {
    /// A higher one was in force.
    #[error(
        "version {version} is lower than {highest}, which was in force: `vestibule policy allow-downgrade {name} --to {version}` lets it come back"
    )]
    Downgrade {
        /// The policy's configured name.
        name: String,
        /// What it would be now.
        version: String,
        /// What it was.
        highest: String,
    },
    /// The version cannot be compared.
    #[error("version `{version}` is no semantic version, so that nobody can tell whether it is lower: {problem}")]
    NoVersion {
        /// The version.
        version: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is nothing to go down from.
    #[error("nothing is remembered of a policy `{name}`")]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// It is no downgrade.
    #[error("version {version} is not lower than {highest}, the highest that was in force: it needs no word")]
    NotLower {
        /// What was asked for.
        version: String,
        /// What is remembered.
        highest: String,
    },
    /// The file cannot be read or written.
    #[error("failed to use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not what this program wrote.
    #[error("failed to read {path}: {detail}; what was in force is not known, so that nothing may come into force")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

/// The file as it is written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    policies: BTreeMap<String, Mark>,
}

impl Versions {
    /// Reads the file. Without one, nothing was in force.
    ///
    /// # Errors
    ///
    /// [`VersionsError::File`], [`VersionsError::Malformed`].
    pub fn read(path: &Path) -> Result<Self, VersionsError> {
        let failed = |source| VersionsError::File { path: path.to_owned(), source };
        let malformed = |detail: String| VersionsError::Malformed { path: path.to_owned(), detail };
        let text = match fs::metadata(path) {
            // Where the folder is missing, too, nothing could be remembered.
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder(path).is_dir() => {
                return Ok(Self::default());
            }
            Err(error) => return Err(failed(error)),
            Ok(known) if known.len() > FILE_BYTES_MAX => {
                return Err(malformed(format!("it has more than {FILE_BYTES_MAX} bytes")));
            }
            Ok(_) => fs::read_to_string(path).map_err(failed)?,
        };
        let document: Document = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if document.format != FORMAT {
            return Err(malformed(format!("its format is {}, this program knows {FORMAT}", document.format)));
        }
        for (name, mark) in &document.policies {
            for version in std::iter::once(&mark.highest).chain(&mark.allowed) {
                parse(version).map_err(|error| malformed(format!("{name}: {error}")))?;
            }
        }
        Ok(Self(document.policies))
    }

    /// May `version` of the policy with the configured `name`, which calls itself `policy`, be in force?
    ///
    /// # Errors
    ///
    /// [`VersionsError::Downgrade`], [`VersionsError::NoVersion`].
    pub fn check(&self, name: &str, policy: &str, version: &str) -> Result<(), VersionsError> {
        let new = parse(version)?;
        let Some(mark) = self.0.get(name).filter(|mark| mark.policy == policy) else { return Ok(()) };
        let is_allowed = mark.allowed.as_deref() == Some(version);
        if is_allowed || !parse(&mark.highest)?.cmp_precedence(&new).is_gt() {
            return Ok(());
        }
        Err(VersionsError::Downgrade {
            name: name.to_owned(),
            version: version.to_owned(),
            highest: mark.highest.clone(),
        })
    }

    /// Remembers that these came into force: configured name, own name, version. True where that is news.
    ///
    /// # Errors
    ///
    /// As [`Versions::check`]: what may not be in force is not remembered as such.
    fn note<'a>(&mut self, in_force: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> Result<bool, VersionsError> {
        let mut is_news = false;
        for (name, policy, version) in in_force {
            self.check(name, policy, version)?;
            let mark = Mark { policy: policy.to_owned(), highest: version.to_owned(), allowed: None };
            let keeps = self.0.get(name).is_some_and(|known| {
                // An allowance stays until it is used, whatever else comes into force meanwhile.
                known.policy == policy && known.highest == version
            });
            if !keeps {
                self.0.insert(name.to_owned(), mark);
                is_news = true;
            }
        }
        Ok(is_news)
    }

    /// The highest version that was in force under the configured `name`.
    #[must_use]
    pub fn highest(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|mark| &*mark.highest)
    }
}

/// Remembers in the file at `path` what came into force: configured name, own name, version.
///
/// # Errors
///
/// Where it cannot be remembered: then it must not come into force.
pub(super) fn remember<'a>(
    path: &Path,
    in_force: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
) -> Result<(), VersionsError> {
    let _lock = lock(path)?;
    let mut versions = Versions::read(path)?;
    if versions.note(in_force)? { write(path, &versions) } else { Ok(()) }
}

/// Lets `version`, which is lower than what was in force, come into force once. Returns the highest
/// that was in force.
///
/// # Errors
///
/// [`VersionsError`]: among them that it is not lower, or that the policy was never in force.
pub fn allow_downgrade(path: &Path, name: &str, version: &str) -> Result<String, VersionsError> {
    let new = parse(version)?;
    let _lock = lock(path)?;
    let mut versions = Versions::read(path)?;
    let mark = versions.0.get_mut(name).ok_or_else(|| VersionsError::Unknown { name: name.to_owned() })?;
    let highest = mark.highest.clone();
    if !parse(&highest)?.cmp_precedence(&new).is_gt() {
        return Err(VersionsError::NotLower { version: version.to_owned(), highest });
    }
    mark.allowed = Some(version.to_owned());
    write(path, &versions)?;
    Ok(highest)
}

fn parse(version: &str) -> Result<Version, VersionsError> {
    Version::parse(version)
        .map_err(|error| VersionsError::NoVersion { version: version.to_owned(), problem: error.to_string() })
}

/// Beside the file, then in its place: whoever reads finds the old one or the new one.
fn write(path: &Path, versions: &Versions) -> Result<(), VersionsError> {
    let failed = |source| VersionsError::File { path: path.to_owned(), source };
    let document = Document { format: FORMAT, policies: versions.0.clone() };
    let mut text = serde_json::to_vec_pretty(&document).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    let beside = with_end(path, ".new");
    // One that a crash left.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&beside).map_err(failed)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    fs::File::open(folder(path)).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// The gateway and the command line change the file both.
fn lock(path: &Path) -> Result<fs::File, VersionsError> {
    let path = with_end(path, ".lock");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(FILE_MODE);
    let locked = options.open(&path).and_then(|file| file.lock().map(|()| file));
    locked.map_err(|source| VersionsError::File { path, source })
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("versions.json");
        (folder, path)
    }

    fn in_force(path: &Path, version: &str) -> Result<(), VersionsError> {
        remember(path, [("a", "a", version)].into_iter())
    }

    #[test]
    fn a_lower_version_is_refused_after_a_restart_too_and_comes_back_by_an_operators_word_alone() {
        let (_folder, path) = file();
        in_force(&path, "1.2.0").unwrap();
        in_force(&path, "1.10.0").unwrap();
        let refused = in_force(&path, "1.9.9").unwrap_err();
        assert!(matches!(&refused, VersionsError::Downgrade { highest, .. } if highest == "1.10.0"), "{refused}");
        assert!(in_force(&path, "1.10.0-rc.1").is_err(), "a release candidate comes before the release");

        assert_eq!(allow_downgrade(&path, "a", "1.2.0").unwrap(), "1.10.0");
        // Something else changes while the higher one is still in force: the word is kept.
        in_force(&path, "1.10.0").unwrap();
        assert!(in_force(&path, "1.9.9").is_err(), "the word was for another version");
        in_force(&path, "1.2.0").unwrap();
        assert_eq!(Versions::read(&path).unwrap().highest("a"), Some("1.2.0"));
        // It was good once.
        in_force(&path, "1.10.0").unwrap();
        assert!(in_force(&path, "1.2.0").is_err());
    }

    #[test]
    fn another_policy_under_the_same_name_begins_anew() {
        let (_folder, path) = file();
        in_force(&path, "2.0.0").unwrap();
        let versions = Versions::read(&path).unwrap();
        assert!(versions.check("a", "b", "0.1.0").is_ok());
        assert!(versions.check("b", "a", "0.1.0").is_ok());
        assert!(versions.check("a", "a", "0.1.0").is_err());
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let (_folder, path) = file();
        for version in ["", "1", "1.0", "v1.0.0", "latest", "1.0.0.0"] {
            assert!(matches!(in_force(&path, version), Err(VersionsError::NoVersion { .. })), "{version}");
        }
    }

    #[test]
    fn a_file_that_is_not_ours_lets_nothing_into_force() {
        let (_folder, path) = file();
        for text in [
            "",
            "{}",
            "{\"format\":2,\"policies\":{}}",
            "{\"format\":1,\"policies\":{\"a\":{\"policy\":\"a\",\"highest\":\"x\"}}}",
            "{\"format\":1,\"policies\":{\"a\":{\"policy\":\"a\",\"highest\":\"1.0.0\",\"more\":1}}}",
        ] {
            fs::write(&path, text).unwrap();
            assert!(matches!(in_force(&path, "1.0.0"), Err(VersionsError::Malformed { .. })), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn where_nothing_can_be_remembered_nothing_comes_into_force() {
        let (folder, _) = file();
        let path = folder.path().join("no-such-folder/versions.json");
        assert!(matches!(Versions::read(&path), Err(VersionsError::File { .. })));
        assert!(matches!(in_force(&path, "1.0.0"), Err(VersionsError::File { .. })));
    }

    #[test]
    fn a_word_for_what_needs_none_is_refused() {
        let (_folder, path) = file();
        assert!(matches!(allow_downgrade(&path, "a", "1.0.0"), Err(VersionsError::Unknown { .. })));
        in_force(&path, "1.0.0").unwrap();
        for version in ["1.0.0", "1.0.1"] {
            assert!(matches!(allow_downgrade(&path, "a", version), Err(VersionsError::NotLower { .. })), "{version}");
        }
    }
}
