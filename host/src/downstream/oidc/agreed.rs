//! What people agreed to share, and the file that remembers it: a line for each answer, of which the last one
//! counts. Whoever reads it first leaves out the others. A person is in it as the relying party knows them, by `sub`.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{file, registration::hex, sha256};

/// Answers of different people to different relying parties; whoever comes past that is asked each time.
const ANSWERS_MAX: usize = 1_000_000;

/// Who agreed, toward whom.
#[derive(Clone, Debug)]
pub(super) struct Whose<'a> {
    pub(super) organization: &'a str,
    pub(super) client_id: &'a str,
    /// Which registration: another one of the same id was never agreed to.
    pub(super) mark: Option<[u8; 32]>,
    /// `sub`
    pub(super) subject: &'a str,
}

/// One answer, as a line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    organization: String,
    client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registration: Option<String>,
    subject: String,
    /// What may be shared from now on; nothing, where the answer was no.
    scopes: Vec<String>,
    /// In seconds since 1970-01-01 UTC.
    at: u64,
}

impl Line {
    fn key(&self) -> [u8; 32] {
        let registration = self.registration.as_deref().unwrap_or_default();
        let parts = [self.organization.as_str(), self.client_id.as_str(), registration, self.subject.as_str()];
        let hashes = parts.map(|part| sha256(&[part.as_bytes()]));
        sha256(&hashes.each_ref().map(<[u8; 32]>::as_slice))
    }
}

/// The file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum AgreedError {
    /// Not as this version writes it; never what stands there.
    #[error("{path}, line {line}, is not an answer of somebody", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// Could not be read or written.
    #[error("failed to use {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

type Answers = HashMap<[u8; 32], Vec<String>>;

/// Of every file that was used, what it holds.
#[derive(Debug, Default)]
pub(super) struct Agreed(Mutex<BTreeMap<PathBuf, Answers>>);

impl Agreed {
    /// Reads the file, and writes it anew where it holds more than what counts. Once; the first question does it, too.
    pub(super) fn open(&self, path: &Path) -> Result<(), AgreedError> {
        of(&mut self.lock(), path).map(drop)
    }

    /// Did this person agree to share all of `scopes`?
    pub(super) fn covers(&self, path: &Path, whose: &Whose<'_>, scopes: &[String]) -> Result<bool, AgreedError> {
        let key = line(whose, Vec::new(), 0).key();
        let mut files = self.lock();
        let known = of(&mut files, path)?.get(&key);
        Ok(known.is_some_and(|known| scopes.iter().all(|scope| known.contains(scope))))
    }

    /// Remembers that this person agreed to share `scopes`, too; or that they agree to nothing any more. Blocks.
    pub(super) fn answer(
        &self,
        path: &Path,
        whose: &Whose<'_>,
        scopes: Option<&[String]>,
        at: u64,
    ) -> Result<(), AgreedError> {
        let mut files = self.lock();
        let answers = of(&mut files, path)?;
        let mut line = line(whose, Vec::new(), at);
        let key = line.key();
        if let Some(scopes) = scopes {
            line.scopes = answers.get(&key).cloned().unwrap_or_default();
            for scope in scopes {
                if !line.scopes.contains(scope) {
                    line.scopes.push(scope.clone());
                }
            }
        }
        if answers.len() >= ANSWERS_MAX && !answers.contains_key(&key) {
            tracing::warn!("so many people agreed to share something that no more are remembered");
            return Ok(());
        }
        append(path, &line)?;
        answers.insert(key, line.scopes);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Answers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(whose: &Whose<'_>, scopes: Vec<String>, at: u64) -> Line {
    Line {
        organization: whose.organization.to_owned(),
        client_id: whose.client_id.to_owned(),
        registration: whose.mark.map(|mark| hex(&mark)),
        subject: whose.subject.to_owned(),
        scopes,
        at,
    }
}

fn of<'a>(files: &'a mut BTreeMap<PathBuf, Answers>, path: &Path) -> Result<&'a mut Answers, AgreedError> {
    let entry = match files.entry(path.to_owned()) {
        std::collections::btree_map::Entry::Occupied(known) => return Ok(known.into_mut()),
        std::collections::btree_map::Entry::Vacant(entry) => entry,
    };
    let lines = read(path)?;
    let counting = counting(&lines);
    if counting.len() < lines.len() {
        write(path, &counting)?;
    }
    Ok(entry.insert(counting.into_iter().map(|line| (line.key(), line.scopes.clone())).collect()))
}

/// The last answer of each, in the order of the file. A no is as good as no answer.
fn counting(lines: &[Line]) -> Vec<&Line> {
    let last: HashMap<[u8; 32], usize> = lines.iter().enumerate().map(|(index, line)| (line.key(), index)).collect();
    let counts = |(index, line): &(usize, &Line)| !line.scopes.is_empty() && last.get(&line.key()) == Some(index);
    lines.iter().enumerate().filter(counts).map(|(_, line)| line).collect()
}

fn read(path: &Path) -> Result<Vec<Line>, AgreedError> {
    let failed = |source| AgreedError::File { path: path.to_owned(), source };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    // What a crash left of a line was nobody's answer yet.
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if whole < text.len() {
        let file = fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        file.set_len(u64::try_from(whole).unwrap_or(u64::MAX)).map_err(failed)?;
    }
    let lines = text.get(..whole).unwrap_or_default().lines().enumerate();
    let read = lines.map(|(index, text)| {
        serde_json::from_str(text).map_err(|_| AgreedError::Malformed { path: path.to_owned(), line: index + 1 })
    });
    read.collect()
}

fn write(path: &Path, lines: &[&Line]) -> Result<(), AgreedError> {
    let failed = |source| AgreedError::File { path: path.to_owned(), source };
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
    }
    file::replace(path, &text).map_err(failed)
}

fn append(path: &Path, line: &Line) -> Result<(), AgreedError> {
    let failed = |source| AgreedError::File { path: path.to_owned(), source };
    let mut text = serde_json::to_vec(line).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    let mut options = fs::OpenOptions::new();
    let mut file = options.append(true).create(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(&text).and_then(|()| file.sync_data()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ANN: Whose<'static> = Whose { organization: "default", client_id: "web", mark: None, subject: "ann" };

    fn scopes(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_was_agreed_to_is_remembered_for_that_person_and_that_relying_party_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consents");
        let agreed = Agreed::default();
        assert!(!agreed.covers(&path, &ANN, &scopes("openid")).unwrap());
        agreed.answer(&path, &ANN, Some(&scopes("openid email")), 1).unwrap();
        agreed.answer(&path, &ANN, Some(&scopes("openid groups")), 2).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // And after a restart.
        for agreed in [agreed, Agreed::default()] {
            for asked in ["openid", "openid email groups", "groups"] {
                assert!(agreed.covers(&path, &ANN, &scopes(asked)).unwrap(), "{asked}");
            }
            assert!(!agreed.covers(&path, &ANN, &scopes("openid profile")).unwrap(), "more than that");
            for other in [
                Whose { organization: "acme", ..ANN },
                Whose { client_id: "spa", ..ANN },
                Whose { mark: Some([1; 32]), ..ANN },
                Whose { subject: "bob", ..ANN },
                Whose { client_id: "", subject: "webann", ..ANN },
            ] {
                assert!(!agreed.covers(&path, &other, &scopes("openid")).unwrap(), "{other:?}");
            }
        }
    }

    #[test]
    fn a_no_takes_back_what_was_agreed_to_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consents");
        let agreed = Agreed::default();
        agreed.answer(&path, &ANN, Some(&scopes("openid email")), 1).unwrap();
        agreed.answer(&path, &ANN, None, 2).unwrap();
        for agreed in [agreed, Agreed::default()] {
            assert!(!agreed.covers(&path, &ANN, &scopes("openid")).unwrap());
        }
    }

    #[test]
    fn what_counts_no_more_is_left_out_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consents");
        let (bob, eve) = (Whose { subject: "bob", ..ANN }, Whose { subject: "eve", ..ANN });
        let agreed = Agreed::default();
        agreed.open(&path).unwrap();
        assert!(!path.exists(), "nobody answered yet");
        agreed.answer(&path, &ANN, Some(&scopes("openid")), 1).unwrap();
        agreed.answer(&path, &bob, Some(&scopes("openid")), 2).unwrap();
        agreed.answer(&path, &ANN, Some(&scopes("email")), 3).unwrap();
        agreed.answer(&path, &eve, Some(&scopes("openid")), 4).unwrap();
        agreed.answer(&path, &eve, None, 5).unwrap();
        let lines = || fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines().len(), 5, "while it runs, a line for each answer");
        let again = Agreed::default();
        again.open(&path).unwrap();
        let kept = lines();
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert!(kept[0].contains("bob") && kept[1].contains("\"ann\"") && kept[1].contains("\"at\":3"), "{kept:?}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for (whose, asked, expected) in [(&ANN, "openid email", true), (&bob, "openid", true), (&eve, "openid", false)]
        {
            assert_eq!(again.covers(&path, whose, &scopes(asked)).unwrap(), expected, "{whose:?}");
        }
        // Nothing to leave out: the file stays the one that it is.
        let before = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
        Agreed::default().open(&path).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap()), before);
    }

    #[test]
    fn what_a_crash_left_of_a_line_is_no_answer_and_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consents");
        Agreed::default().answer(&path, &ANN, Some(&scopes("openid")), 1).unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str(r#"{"organization":"default","client_id":"web","sub"#);
        fs::write(&path, &text).unwrap();
        let agreed = Agreed::default();
        agreed.answer(&path, &Whose { subject: "bob", ..ANN }, Some(&scopes("openid")), 2).unwrap();
        let again = Agreed::default();
        assert!(again.covers(&path, &ANN, &scopes("openid")).unwrap());
        assert!(again.covers(&path, &Whose { subject: "bob", ..ANN }, &scopes("openid")).unwrap());
        fs::write(&path, "nonsense\n").unwrap();
        let broken = Agreed::default();
        assert!(matches!(broken.covers(&path, &ANN, &[]), Err(AgreedError::Malformed { line: 1, .. })));
        assert!(broken.answer(&path, &ANN, None, 3).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "nonsense\n", "nobody's file is written over");
    }
}
