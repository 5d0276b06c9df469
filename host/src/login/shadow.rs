//! Chains in shadow: asked what the chain in force was asked, beside the logins and never in their way. What they
//! would have decided otherwise is an event in the audit; nothing else comes of it.
//!
//! A login puts its question into a queue and goes on; one thread takes from it. What a full queue does not take
//! is counted. The sandboxes of that thread are none of those that logins count on (`config::Limits::beside`).

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use serde_json::{Value, json};

use super::again::{Again, Candidate};
use crate::{
    audit::{Audit, Event, Kind},
    decision::{Conclusion, Decided, Denial, DenyCode, Granted, Reason},
    policy::Generation,
};

/// So many questions may wait; one that comes on top is not asked.
const QUEUE_MAX: usize = 1024;

/// What was asked, and what came of it.
pub(super) struct Seen {
    pub(super) generation: Arc<Generation>,
    pub(super) decided: Decided,
    /// The groups that the application knows.
    pub(super) known: Option<BTreeSet<String>>,
}

/// Asks chains in shadow.
pub(super) struct Shadow {
    queue: SyncSender<Message>,
    missed: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Seen(Box<Seen>),
    Close,
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow").finish_non_exhaustive()
    }
}

impl Shadow {
    /// Starts the thread; none where there is none to be had, which costs the shadows and no login.
    pub(super) fn start(audit: Arc<Audit>) -> Option<Self> {
        let (queue, waiting) = sync_channel(QUEUE_MAX);
        let missed = Arc::new(AtomicU64::new(0));
        let own = Arc::clone(&missed);
        let spawned = thread::Builder::new().name("shadow".to_owned()).spawn(move || work(&waiting, &own, &audit));
        match spawned {
            Ok(thread) => Some(Self { queue, missed, thread: Mutex::new(Some(thread)) }),
            Err(error) => {
                tracing::error!(%error, "no chain runs in shadow: its thread could not be started");
                None
            }
        }
    }

    /// Has what was decided asked of the shadow. Never waits, never fails.
    pub(super) fn ask(&self, seen: Seen) {
        if self.queue.try_send(Message::Seen(Box::new(seen))).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Asks what waits, and ends.
    pub(super) fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Fails where the thread has ended: then there is nothing to wait for.
            let _ = self.queue.send(Message::Close);
            let _ = thread.join();
        }
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        self.close();
    }
}

fn work(waiting: &Receiver<Message>, missed: &AtomicU64, audit: &Audit) {
    loop {
        let next = match waiting.try_recv() {
            Ok(next) => next,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                tell_missed(missed, audit);
                match waiting.recv() {
                    Ok(next) => next,
                    Err(_) => return,
                }
            }
        };
        match next {
            Message::Close => return tell_missed(missed, audit),
            Message::Seen(seen) => ask(&seen, missed, audit),
        }
    }
}

/// Whoever comes too often is counted, once there is time.
fn tell_missed(missed: &AtomicU64, audit: &Audit) {
    let count = missed.swap(0, Ordering::Relaxed);
    if count > 0 {
        record(audit, &Event { kind: Kind::ShadowMissed, input: Some(json!({ "missed": count })), ..Event::default() });
    }
}

fn ask(seen: &Seen, missed: &AtomicU64, audit: &Audit) {
    let decided = &seen.decided;
    let candidate = Candidate::beside(Arc::clone(&seen.generation));
    let again = candidate.decide(&decided.asked, &decided.found, seen.known.as_ref());
    // The machine had no room: that says nothing of the chain.
    if matches!(&again.conclusion, Conclusion::Denied(denial) if denial.code == DenyCode::Overloaded) {
        missed.fetch_add(1, Ordering::Relaxed);
        return;
    }
    if let Some(outcome) = difference(&decided.conclusion, &again) {
        let context = &decided.asked.context;
        let denial = match again.conclusion {
            Conclusion::Denied(denial) => Some(denial),
            _ => None,
        };
        record(
            audit,
            &Event {
                kind: Kind::ShadowDiffers,
                granted: denial.is_none(),
                request: Some(decided.request.clone()),
                login: Some(context.login.clone()),
                tenant: Some(context.tenant.clone()),
                application: Some(context.application.clone()),
                upstream: Some(decided.asked.identity.upstream.clone()),
                address: context.address.clone(),
                identity: Some(decided.asked.identity.clone()),
                outcome: Some(outcome),
                denial,
                ..Event::default()
            },
        );
    }
}

fn record(audit: &Audit, event: &Event) {
    if let Err(error) = audit.record(event) {
        tracing::warn!(%error, "what a chain in shadow decided could not be recorded");
    }
}

/// What is different; none where nothing is.
fn difference(before: &Conclusion, again: &Again) -> Option<Value> {
    let after = &again.conclusion;
    let (was, is) = (in_a_word(before), in_a_word(after));
    let (groups_before, groups_after) = (groups(before), groups(after));
    let added: Vec<&String> = groups_after.iter().filter(|group| !groups_before.contains(group)).collect();
    let removed: Vec<&String> = groups_before.iter().filter(|group| !groups_after.contains(group)).collect();
    let (mut profile, mut terms) = (false, false);
    if let (Conclusion::Admitted(before), Conclusion::Admitted(after)) = (before, after) {
        profile = before.profile != after.profile;
        terms = before.terms != after.terms;
    }
    if was == is && added.is_empty() && removed.is_empty() && !profile && !terms {
        return None;
    }
    Some(json!({
        "decided": was,
        "shadow": is,
        "groups": { "added": added, "removed": removed },
        "other-profile": profile,
        "other-terms": terms,
    }))
}

fn groups(conclusion: &Conclusion) -> &[String] {
    match conclusion {
        Conclusion::Admitted(granted) => {
            let Granted { groups, .. } = &**granted;
            &groups.groups
        }
        _ => &[],
    }
}

/// A code, which tells nothing of a person.
fn in_a_word(conclusion: &Conclusion) -> Reason {
    let code = match conclusion {
        Conclusion::Admitted(_) => "admitted".to_owned(),
        Conclusion::Denied(Denial { reason, .. }) => reason.code.clone(),
        Conclusion::Stale => "stale".to_owned(),
        Conclusion::StepUp(_) => "step-up".to_owned(),
    };
    Reason::new(code, "")
}
