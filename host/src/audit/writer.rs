//! Group commit: whoever comes first writes for all who came meanwhile, and one wait for
//! the disk serves them all. A caller returns when its own line is durable.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::{AuditError, chain::End};

/// Where lines go. Called by one thread at a time.
pub(super) trait Store: Send {
    /// Appends `lines` and makes them durable; `end` is the last of them.
    fn append(&mut self, lines: &[u8], end: &End) -> io::Result<()>;

    /// Takes back what a failed append may have left.
    fn undo(&mut self) -> io::Result<()>;
}

/// Appends lines from many threads.
pub(super) struct Writer {
    state: Mutex<State>,
    written: Condvar,
}

struct State {
    /// None while a thread is writing.
    store: Option<Box<dyn Store>>,
    /// Lines that wait for the thread that is writing.
    waiting: Vec<u8>,
    /// What becomes of them.
    outcome: Outcome,
    /// The last line that was handed out.
    end: End,
    /// The last line that is durable.
    durable: End,
    /// A failed append could not be undone: nothing more can be appended.
    closed: bool,
}

/// What became of a batch of lines; each caller holds that of its own.
type Outcome = Arc<OnceLock<Result<(), Arc<io::Error>>>>;

impl Writer {
    pub(super) fn new(store: Box<dyn Store>, end: End) -> Self {
        let state = State {
            store: Some(store),
            waiting: Vec::new(),
            outcome: Outcome::default(),
            durable: end.clone(),
            end,
            closed: false,
        };
        Self { state: Mutex::new(state), written: Condvar::new() }
    }

    /// Appends one line; returns when it is durable.
    pub(super) fn append(&self, at_ms: u64, members: &str) -> Result<(), AuditError> {
        let mut state = self.lock();
        if state.closed {
            let error = io::Error::other("an earlier line failed and could not be taken back");
            return Err(AuditError::Write(Arc::new(error)));
        }
        let State { end, waiting, .. } = &mut *state;
        end.line(at_ms, members, waiting);
        let outcome = Arc::clone(&state.outcome);
        loop {
            if let Some(result) = outcome.get() {
                return result.clone().map_err(AuditError::Write);
            }
            state = match state.store.take() {
                Some(store) => self.write(state, store),
                None => self.written.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Writes all that waits, without holding the lock.
    fn write<'a>(&'a self, mut state: MutexGuard<'a, State>, mut store: Box<dyn Store>) -> MutexGuard<'a, State> {
        let lines = std::mem::take(&mut state.waiting);
        let outcome = std::mem::take(&mut state.outcome);
        let end = state.end.clone();
        drop(state);
        let result = store.append(&lines, &end).map_err(Arc::new);
        let undone = if result.is_err() { store.undo() } else { Ok(()) };
        let mut state = self.lock();
        match &result {
            Ok(()) => state.durable = end,
            Err(error) => {
                // Lines that came meanwhile follow lines that do not exist: they fail, too.
                let followers = std::mem::take(&mut state.outcome);
                let _unset = followers.set(Err(Arc::clone(error)));
                state.waiting.clear();
                state.end = state.durable.clone();
                state.closed = undone.is_err();
            }
        }
        let _unset = outcome.set(result);
        state.store = Some(store);
        self.written.notify_all();
        state
    }

    /// A thread that panicked holding the lock left whole values behind: every change of
    /// the state is a plain assignment.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
