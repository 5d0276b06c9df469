//! The queue between logins and the files: a login puts its decision there, and goes on.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use super::{Log, Noted, RecordingError};
use crate::{clock::Clock, config, keys::KeyRing};

/// So many decisions are written with one wait for the disk.
const BATCH_MAX: usize = 256;

/// Records decisions in the background.
pub struct Recorder {
    queue: SyncSender<Message>,
    /// Decisions that are missing and not yet recorded as such.
    dropped: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Noted(Box<Noted>),
    Close,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    /// Opens the recording, and starts the thread that writes it.
    ///
    /// # Errors
    ///
    /// As [`Log::open`], or where there is no thread to be had.
    pub fn open(config: &config::Recording, keys: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Result<Self, RecordingError> {
        let log = Log::open(config, keys, clock)?;
        let (queue, waiting) = sync_channel(config.queue_max);
        let dropped = Arc::new(AtomicU64::new(0));
        let missing = Arc::clone(&dropped);
        let thread = thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || write(log, &waiting, &missing))
            .map_err(RecordingError::Thread)?;
        Ok(Self { queue, dropped, thread: Mutex::new(Some(thread)) })
    }

    /// Puts a decision into the queue; where that is full, counts it as missing. Never waits, never fails.
    pub fn note(&self, noted: Noted) {
        match self.queue.try_send(Message::Noted(Box::new(noted))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Writes what waits, and ends. What is noted afterwards is lost.
    pub fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Fails where the thread has ended: then there is nothing to wait for.
            let _ = self.queue.send(Message::Close);
            let _ = thread.join();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.close();
    }
}

/// Writes until it is told to end, or nobody is left to tell.
fn write(mut log: Log, waiting: &Receiver<Message>, dropped: &AtomicU64) {
    let mut is_failing = false;
    while let Ok(first) = waiting.recv() {
        let mut batch = Vec::new();
        let mut next = Ok(first);
        let is_last = loop {
            match next {
                Ok(Message::Noted(noted)) => batch.push(*noted),
                Ok(Message::Close) | Err(TryRecvError::Disconnected) => break true,
                Err(TryRecvError::Empty) => break false,
            }
            if batch.len() >= BATCH_MAX {
                break false;
            }
            next = waiting.try_recv();
        };
        let missing = dropped.swap(0, Ordering::Relaxed);
        if !batch.is_empty() || missing > 0 {
            let written = log.append(&batch, missing);
            if let Err(error) = &written {
                let lost = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                dropped.fetch_add(missing.saturating_add(lost), Ordering::Relaxed);
                if !is_failing {
                    tracing::error!(%error, "decisions are not recorded");
                }
            } else if is_failing || missing > 0 {
                tracing::warn!(missing, "decisions are missing in the recording");
            }
            is_failing = written.is_err();
        }
        if is_last {
            return;
        }
    }
}
