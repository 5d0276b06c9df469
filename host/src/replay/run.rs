//! The run: one thread follows the recording, as many as there are open its lines and ask the candidate.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    report::{Parts, Report},
    tally::Tally,
};
use crate::{
    keys::KeyRing,
    login::Candidate,
    policy::Generation,
    recording::{Batch, Damage, Entry, Fault, Line, Range, Reader, RecordingError, Summary},
};

/// How often it is said how far it is.
const PROGRESS: Duration = Duration::from_secs(1);

/// What is to be run.
pub struct Options<'a> {
    /// The folder of the recording.
    pub recording: &'a Path,
    /// From when to when.
    pub range: Range,
    /// How many ask the candidate.
    pub threads: NonZeroUsize,
    /// Leave out, and count, what is cut or forged; otherwise nothing is reported.
    pub skip_damaged: bool,
    /// At most so many people of each row are named.
    pub names_max: usize,
    /// Groups that the present configuration protects, by application.
    pub protected: BTreeMap<String, BTreeSet<String>>,
    /// Hears once a second how far it is.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("recording", &self.recording).finish_non_exhaustive()
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Decisions so far.
    pub decisions: u64,
    /// Since it began.
    pub elapsed: Duration,
    /// Is it over?
    pub is_over: bool,
}

impl Progress {
    /// Decisions in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53, and for a person")]
        let decisions = self.decisions as f64;
        decisions / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Nothing can be reported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The recording is not as it was written.
    #[error(
        "the recording is not as it was written: {first}{}; `--skip-damaged` leaves out and counts what is not",
        if *.places > 1 { format!(" (and {} more places)", .places - 1) } else { String::new() }
    )]
    Damaged {
        /// The first place.
        first: Damage,
        /// How many there are.
        places: usize,
    },
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// A thread ended before its time.
    #[error("a thread that asked the candidate ended before its time")]
    Thread,
}

/// What the threads share.
struct Shared<'a> {
    keys: &'a KeyRing,
    candidate: Candidate,
    range: Range,
    skip_damaged: bool,
    /// Something is damaged, and nothing will be reported: what follows is only looked at.
    is_spoilt: AtomicBool,
    done: AtomicU64,
}

/// Asks `generation` what was asked in the recorded logins. The report does not depend on time, machine or
/// number of threads.
///
/// # Errors
///
/// Where the recording cannot be read; where it was cut or forged, unless that is to be left out.
pub fn run(keys: &KeyRing, generation: &Arc<Generation>, options: &Options<'_>) -> Result<Report, ReplayError> {
    let threads = options.threads.get();
    let began = Instant::now();
    let mut reader = Reader::open(options.recording, keys, options.range)?;
    let (sender, receiver) = sync_channel(threads.saturating_mul(4));
    let receiver = Arc::new(Mutex::new(receiver));
    let shared = Shared {
        keys,
        candidate: Candidate::new(Arc::clone(generation)),
        range: options.range,
        skip_damaged: options.skip_damaged,
        is_spoilt: AtomicBool::new(false),
        done: AtomicU64::new(0),
    };
    let progress = |is_over| {
        let decisions = shared.done.load(Ordering::Relaxed);
        (options.progress)(Progress { decisions, elapsed: began.elapsed(), is_over });
    };
    let (tally, mut damage) = thread::scope(|scope| {
        let worker = |_| {
            let (receiver, shared) = (Arc::clone(&receiver), &shared);
            scope.spawn(move || work(shared, &receiver))
        };
        let workers: Vec<_> = (0..threads).map(worker).collect();
        // Theirs alone: where all of them have ended, nobody waits for them to take more.
        drop(receiver);
        let mut told = Instant::now();
        let mut read = || -> Result<(), RecordingError> {
            while let Some(batch) = reader.next_batch()? {
                if !options.skip_damaged && !reader.summary().damage.is_empty() {
                    shared.is_spoilt.store(true, Ordering::Relaxed);
                }
                if sender.send(batch).is_err() {
                    break;
                }
                if told.elapsed() >= PROGRESS {
                    told = Instant::now();
                    progress(false);
                }
            }
            Ok(())
        };
        let read = read();
        // Nothing more comes: the workers end.
        drop(sender);
        let mut tally = Tally::default();
        let mut damage = Vec::new();
        for worker in workers {
            let (own, places) = worker.join().map_err(|_| ReplayError::Thread)?;
            tally.add(own);
            damage.extend(places);
        }
        read?;
        Ok::<_, ReplayError>((tally, damage))
    })?;
    progress(true);
    let mut summary: Summary = reader.summary().clone();
    damage.append(&mut summary.damage);
    damage.sort();
    damage.dedup();
    if let Some(first) = damage.first().filter(|_| !options.skip_damaged) {
        return Err(ReplayError::Damaged { first: first.clone(), places: damage.len() });
    }
    summary.damage = damage;
    let mut protected = options.protected.clone();
    for (id, application) in &generation.config().applications {
        protected.entry(id.clone()).or_default().extend(application.protected_groups.iter().cloned());
    }
    Ok(Report::new(Parts { tally, summary, protected, generation, names_max: options.names_max, range: options.range }))
}

/// Takes batches until there are no more.
fn work(shared: &Shared<'_>, batches: &Mutex<Receiver<Batch>>) -> (Tally, Vec<Damage>) {
    let mut tally = Tally::default();
    let mut damage = Vec::new();
    loop {
        let batch = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = batch else { return (tally, damage) };
        for line in &batch.lines {
            match shared.ask(line, &batch, &mut tally) {
                Ok(asked) => {
                    shared.done.fetch_add(u64::from(asked), Ordering::Relaxed);
                }
                Err(place) => {
                    damage.push(place);
                    if !shared.skip_damaged {
                        shared.is_spoilt.store(true, Ordering::Relaxed);
                    }
                }
            }
        }
    }
}

impl Shared<'_> {
    /// Asks the candidate what a line holds; false where it holds nothing that was wanted.
    fn ask(&self, line: &Line, batch: &Batch, tally: &mut Tally) -> Result<bool, Damage> {
        let entry = line.open(self.keys)?;
        if self.is_spoilt.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match entry {
            Entry::Login(decided) if self.range.has(decided.asked.context.at) => {
                let known = match &decided.found.known {
                    None => None,
                    // The line that had them is missing.
                    Some(digest) => Some(batch.known.get(digest).ok_or_else(|| line.damage(Fault::LinesMissing))?),
                };
                let again = self.candidate.decide(&decided.asked, &decided.found, known.map(|known| &**known));
                tally.login(&decided, &again);
                Ok(true)
            }
            Entry::Way(chosen) if self.range.has(chosen.context.at) => {
                tally.way(&chosen, &self.candidate.route(&chosen.context, &chosen.attempt));
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
