//! Notices changed files: the operating system's notices where there are any, and a
//! comparison of contents behind them, since notices get lost (network file systems,
//! overflowing queues, links that are swapped further up).
//!
//! Loads nothing itself: it calls the generations, on a thread of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::{
    Generations, assemble,
    cache::sha256,
    case_files,
    event::Cause,
    signed::{signatures_path, statement_path},
};
use crate::config::Config;

/// A change is acted on when nothing further happened for so long: files are seldom
/// written in one piece.
const QUIET: Duration = Duration::from_millis(50);

/// And at the latest after so long.
const PATIENCE: Duration = Duration::from_millis(500);

/// A file larger than this is compared by its size and time alone.
const HASHED_BYTES_MAX: usize = 64 << 20;

/// What the files held when they were last read: path to digest; none where a file is
/// missing or is no file.
pub(super) type Fingerprint = BTreeMap<PathBuf, Option<String>>;

/// Watching, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    sender: Sender<Notice>,
    thread: Option<JoinHandle<()>>,
}

/// The watching thread did not start.
#[derive(Debug, thiserror::Error)]
#[error("failed to start the thread that watches the policies")]
pub struct WatchError(#[from] std::io::Error);

enum Notice {
    Event(notify::Result<notify::Event>),
    Stop,
}

impl Watch {
    /// Watches the files of `generations`, and renews it when one of them changed.
    ///
    /// # Errors
    ///
    /// Where the thread does not start. Where the operating system gives no notices, a
    /// warning is logged, and the contents are compared alone.
    pub fn start(generations: Arc<Generations>) -> Result<Self, WatchError> {
        Self::start_with(generations, true)
    }

    /// Compares contents and hears no notices.
    #[cfg(test)]
    pub(super) fn poll_alone(generations: Arc<Generations>) -> Result<Self, WatchError> {
        Self::start_with(generations, false)
    }

    fn start_with(generations: Arc<Generations>, notices: bool) -> Result<Self, WatchError> {
        let (sender, receiver) = mpsc::channel();
        let watcher = if notices { watcher(sender.clone()) } else { None };
        let thread = thread::Builder::new()
            .name("policy-watch".to_owned())
            .spawn(move || run(&generations, &receiver, Directories::new(watcher)))?;
        Ok(Self { sender, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Where the thread is gone already, there is nothing to stop.
        let _ = self.sender.send(Notice::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(generations: &Generations, receiver: &Receiver<Notice>, mut directories: Directories) {
    loop {
        let watched = generations.watched();
        directories.watch(&watched);
        // Looked at after the directories are watched, so that nothing falls in between.
        if fingerprint(watched.keys()) != watched {
            generations.renew(Cause::Change, Instant::now());
            continue;
        }
        let Some(noticed) = next_change(generations, receiver, &directories) else { return };
        if generations.is_due() {
            generations.renew(Cause::CoolDown, noticed);
            continue;
        }
        let watched = generations.watched();
        if fingerprint(watched.keys()) != watched {
            generations.renew(Cause::Change, noticed);
        }
    }
}

/// Waits for a notice about a watched file and then for quiet, or for the poll's turn.
/// None ends the watch.
fn next_change(generations: &Generations, receiver: &Receiver<Notice>, directories: &Directories) -> Option<Instant> {
    let poll_at = Instant::now() + generations.current().config().policies.poll;
    let noticed = loop {
        match receiver.recv_timeout(poll_at.saturating_duration_since(Instant::now())) {
            Ok(Notice::Event(event)) if directories.concerns(&event) => break Instant::now(),
            Ok(Notice::Event(_)) => {}
            Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => return Some(Instant::now()),
        }
    };
    let mut quiet_at = noticed + QUIET;
    loop {
        let until = quiet_at.min(noticed + PATIENCE);
        match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Notice::Event(event)) if directories.concerns(&event) => quiet_at = Instant::now() + QUIET,
            Ok(Notice::Event(_)) => {}
            Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => return Some(noticed),
        }
        if Instant::now() >= noticed + PATIENCE {
            return Some(noticed);
        }
    }
}

/// Every file and folder that `config` is made of, but for those that need a restart.
pub(super) fn files(config: &Config) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::from([absolute(&config.path)]);
    files.extend(config.secret_files.paths().map(absolute));
    files.extend(config.policies.versions_file.as_deref().map(absolute));
    files.extend(config.policies.pack.as_ref().map(|pack| absolute(&pack.file)));
    for source in config.policies.sources.values() {
        files.insert(absolute(&source.component));
        if config.policies.trust.required > 0 {
            files.insert(absolute(&statement_path(&source.component)));
            files.insert(absolute(&signatures_path(&source.component)));
        }
        files.extend(source.settings.as_deref().map(absolute));
        files.extend(case_files::folders_to_watch(&source.component).iter().map(|folder| absolute(folder)));
    }
    files
}

/// What the files hold now.
pub(super) fn fingerprint<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Fingerprint {
    paths.map(|path| (path.clone(), print_of(path))).collect()
}

/// What one file or folder of cases holds now.
pub(super) fn print_of(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    if metadata.is_dir() {
        let files = case_files::files(path).ok()?;
        let prints: Vec<_> = files.iter().map(|file| (file, assemble::read(file, HASHED_BYTES_MAX, "").ok())).collect();
        let text: Vec<String> = prints
            .into_iter()
            .map(|(file, bytes)| {
                format!("{} {}", file.display(), bytes.map(|bytes| sha256(&bytes)).unwrap_or_default())
            })
            .collect();
        return Some(sha256(text.join("\n").as_bytes()));
    }
    match assemble::read(path, HASHED_BYTES_MAX, "") {
        Ok(bytes) => Some(sha256(&bytes)),
        Err(_) => Some(format!("{} {:?}", metadata.len(), metadata.modified().ok())),
    }
}

/// The path as the watch knows it.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn watcher(sender: Sender<Notice>) -> Option<RecommendedWatcher> {
    let tell = move |event| {
        // Nobody listens any more once the watch has stopped.
        let _ = sender.send(Notice::Event(event));
    };
    notify::recommended_watcher(tell)
        .map_err(|error| tracing::warn!(%error, "no notices of changed files: their contents are compared alone"))
        .ok()
}

/// The directories that are watched, and the names in them that matter.
struct Directories {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    names: BTreeSet<PathBuf>,
}

impl Directories {
    const fn new(watcher: Option<RecommendedWatcher>) -> Self {
        Self { watcher, watched: BTreeSet::new(), names: BTreeSet::new() }
    }

    /// Watches what the files need: their directories, since a file that is replaced by a
    /// rename is another file, and the directories of the links on the way, since a link
    /// can be swapped.
    fn watch(&mut self, files: &Fingerprint) {
        let Some(watcher) = &mut self.watcher else { return };
        self.names = files.keys().flat_map(|file| names_of(file)).collect();
        let wanted: BTreeSet<PathBuf> = self
            .names
            .iter()
            .filter_map(|name| name.parent().map(Path::to_owned))
            .chain(files.keys().filter(|file| file.is_dir()).cloned())
            .collect();
        // A directory that was replaced keeps its name: all are watched anew.
        for directory in std::mem::take(&mut self.watched) {
            // It may be gone, and then it is not watched either.
            let _ = watcher.unwatch(&directory);
        }
        for directory in wanted {
            match watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(directory);
                }
                Err(error) => tracing::debug!(%error, directory = %directory.display(), "not watched, only compared"),
            }
        }
    }

    /// Is the notice about a watched file? A failure of the notices may hide one that is.
    fn concerns(&self, event: &notify::Result<notify::Event>) -> bool {
        let Ok(event) = event else { return true };
        if matches!(event.kind, EventKind::Access(kind) if !matches!(kind, notify::event::AccessKind::Close(notify::event::AccessMode::Write)))
        {
            return false;
        }
        event.need_rescan()
            || event.paths.iter().any(|path| {
                self.names.contains(path) || path.parent().is_some_and(|folder| self.names.contains(folder))
            })
    }
}

/// Links on the way to a file that are followed; more are a loop.
const LINKS_MAX: usize = 40;

/// The names whose change can change what `file` is: itself, each link on the way to it,
/// and what it is in the end.
fn names_of(file: &Path) -> Vec<PathBuf> {
    let mut names = vec![file.to_owned()];
    let mut path = file.to_owned();
    for _ in 0..LINKS_MAX {
        let Some((link, behind)) = first_link(&path) else { break };
        names.push(link);
        path = behind;
    }
    names.push(path);
    names
}

/// The first link in `path`, and where `path` leads when it is followed.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut real = PathBuf::new();
    let mut rest = path.components();
    while let Some(component) = rest.next() {
        match component {
            // What is before it holds no link any more, so that the parent is what it says.
            Component::ParentDir => {
                real.pop();
            }
            other => real.push(other),
        }
        if let Ok(target) = fs::read_link(&real) {
            let behind = real.parent().unwrap_or(Path::new("/")).join(target).join(rest.as_path());
            return Some((real, behind));
        }
    }
    None
}
