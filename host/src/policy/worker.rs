//! Threads for work on untrusted bytes: few, with a time limit and a stack of their own.
//! A thread cannot be killed; one that ran into its limit keeps its place until it ends.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

/// Cranelift and the validators recurse on their input.
const STACK_BYTES: usize = 16 << 20;

/// A bounded number of threads.
#[derive(Clone)]
pub(crate) struct Workers(Arc<Places>);

struct Places {
    free: Mutex<usize>,
    freed: Condvar,
}

/// Why a job gave no result.
#[derive(Debug)]
pub(crate) enum WorkerError {
    /// Every thread is held by jobs that ran into their limit.
    Busy,
    /// The job ran into its limit, and still runs.
    TimedOut,
    /// The job panicked, or its thread did not start.
    Failed(String),
}

impl Workers {
    pub(crate) fn new(threads: usize) -> Self {
        Self(Arc::new(Places { free: Mutex::new(threads.max(1)), freed: Condvar::new() }))
    }

    /// Runs `job` in a thread of its own, once there is a place, for at most `limit`.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkerError> {
        let place = Place::take(&self.0, limit).ok_or(WorkerError::Busy)?;
        let (done, result) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("policy-compile".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let outcome = catch_unwind(AssertUnwindSafe(job));
                drop(place);
                // Nobody waits any more where the job took too long.
                drop(done.send(outcome));
            })
            .map_err(|error| WorkerError::Failed(error.to_string()))?;
        match result.recv_timeout(limit) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => Err(WorkerError::Failed(message(panic.as_ref()))),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(WorkerError::TimedOut),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(WorkerError::Failed("the thread ended".to_owned())),
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}

/// A place, given back when dropped.
struct Place(Arc<Places>);

impl Place {
    fn take(places: &Arc<Places>, limit: Duration) -> Option<Self> {
        let free = places.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut free, _) =
            places.freed.wait_timeout_while(free, limit, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Self(Arc::clone(places)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// What a panic says, where it says a text.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_hangs_is_given_up_and_holds_its_place_until_it_ends() {
        let workers = Workers::new(1);
        let (end, ended) = mpsc::channel::<()>();
        let hung = workers.run(Duration::from_millis(20), move || ended.recv().is_ok());
        assert!(matches!(hung, Err(WorkerError::TimedOut)));
        assert!(matches!(workers.run(Duration::from_millis(20), || 1), Err(WorkerError::Busy)));
        end.send(()).unwrap();
        assert_eq!(workers.run(Duration::from_secs(10), || 1).unwrap(), 1);
    }

    #[test]
    fn a_job_that_panics_is_an_error_and_gives_its_place_back() {
        let workers = Workers::new(1);
        let panicked = workers.run(Duration::from_secs(10), || -> u8 { panic!("no such section") });
        assert!(matches!(panicked, Err(WorkerError::Failed(message)) if message == "no such section"));
        assert_eq!(workers.run(Duration::from_secs(10), || 1).unwrap(), 1);
    }
}
