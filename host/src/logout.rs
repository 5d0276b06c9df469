//! Tells relying parties that their session is over (OIDC Back-Channel Logout 1.0): in the
//! background, so that no logout waits for anybody.
//!
//! Each is tried a few times, with a new token each time, since one whose answer got lost would be
//! refused as a replay. What came of it is in the audit. Nothing here ends a session: it ended before.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc, watch};

use crate::{
    audit::{Audit, Event, Kind},
    config::Config,
    downstream::oidc::Provider,
    session::Participant,
    upstream::{Untold, Upstreams},
};

/// Relying parties that are being told at one time, those that wait for another try included; one
/// past that is not told.
const WAITING_MAX: usize = 10_000;

/// Exchanges at one time; others wait.
const EXCHANGES_MAX: usize = 64;

/// How long to wait before each further try: some two minutes, with the exchanges.
const DELAYS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20), Duration::from_secs(60)];

/// How long an exchange under way may take once the gateway is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// The configuration in force.
pub type Current = Arc<dyn Fn() -> Arc<Config> + Send + Sync>;

/// What telling takes.
pub struct Parts {
    /// The configuration in force.
    pub config: Current,
    /// Makes the tokens.
    pub provider: Arc<Provider>,
    /// Brings them.
    pub upstreams: Arc<Upstreams>,
    /// The record.
    pub audit: Arc<Audit>,
}

/// Tells relying parties of logouts.
pub struct Farewells {
    shared: Arc<Shared>,
    waiting: Arc<Semaphore>,
    stop: watch::Sender<bool>,
    /// Gone once the gateway stops: each task has a clone, so that the last one's end is seen.
    alive: Mutex<Option<mpsc::Sender<()>>>,
    ended: Mutex<Option<mpsc::Receiver<()>>>,
}

struct Shared {
    parts: Parts,
    exchanges: Semaphore,
}

/// Why a participant was not told.
#[derive(Clone, Copy)]
struct Failure {
    code: &'static str,
    may_pass: bool,
}

/// The gateway stops before it could be told.
const STOPPED: Failure = Failure { code: "gateway-stopped", may_pass: false };

impl Farewells {
    /// Nobody is to be told anything yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let (alive, ended) = mpsc::channel(1);
        Self {
            shared: Arc::new(Shared { parts, exchanges: Semaphore::new(EXCHANGES_MAX) }),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            stop: watch::Sender::new(false),
            alive: Mutex::new(Some(alive)),
            ended: Mutex::new(Some(ended)),
        }
    }

    /// Tells `gone` that their sessions are over, which `request` ended. Returns at once.
    pub fn tell(&self, request: &str, gone: Vec<Participant>) {
        for participant in gone {
            let shared = Arc::clone(&self.shared);
            let request = request.to_owned();
            let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let place = Arc::clone(&self.waiting).try_acquire_owned();
            let stop = self.stop.subscribe();
            tokio::spawn(async move {
                let code = match (&alive, &place) {
                    (Some(_), Ok(_)) => return shared.deliver(&request, &participant, stop).await,
                    (Some(_), Err(_)) => "too-many-logouts",
                    (None, _) => STOPPED.code,
                };
                let failure = Failure { code, may_pass: false };
                shared.record(Kind::LogoutGivenUp, &request, &participant, 0, Some(failure)).await;
            });
        }
    }

    /// Lets what is under way end, for a few seconds; the rest is recorded as given up.
    pub async fn close(&self) {
        self.stop.send_replace(true);
        drop(self.alive.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut ended) = ended
            && tokio::time::timeout(2 * GRACE, ended.recv()).await.is_err()
        {
            tracing::error!("some relying parties were not told of a logout, and that could not be recorded");
        }
    }
}

impl Shared {
    /// Tries until it is taken, refused for good, or tried often enough.
    async fn deliver(&self, request: &str, participant: &Participant, stop: watch::Receiver<bool>) {
        for (attempt, delay) in (1..).zip(DELAYS.map(Some).into_iter().chain([None])) {
            let outcome = tokio::select! {
                outcome = self.attempt(participant) => outcome,
                () = stopping(stop.clone(), GRACE) => Err(STOPPED),
            };
            let failure = match outcome {
                Ok(false) => return,
                Ok(true) => return self.record(Kind::LogoutSent, request, participant, attempt, None).await,
                Err(failure) => failure,
            };
            let (true, Some(delay)) = (failure.may_pass, delay) else {
                return self.record(Kind::LogoutGivenUp, request, participant, attempt, Some(failure)).await;
            };
            self.record(Kind::LogoutFailed, request, participant, attempt, Some(failure)).await;
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stopping(stop.clone(), Duration::ZERO) => {
                    return self.record(Kind::LogoutGivenUp, request, participant, attempt, Some(STOPPED)).await;
                }
            }
        }
    }

    /// Tells it once; false where it does not want to be told.
    async fn attempt(&self, participant: &Participant) -> Result<bool, Failure> {
        let _turn = self.exchanges.acquire().await;
        let config = (self.parts.config)();
        let told = self.parts.provider.logout_token(&config, participant).map_err(|error| {
            tracing::error!(client = participant.name(), %error, "no logout token");
            Failure { code: "logout-token-not-made", may_pass: true }
        })?;
        let Some((to, token)) = told else { return Ok(false) };
        self.parts.upstreams.tell(&to, &token).await.map(|()| true).map_err(|Untold { error, may_pass }| {
            tracing::warn!(client = participant.name(), %error, "a relying party did not take a logout");
            Failure { code: error.code, may_pass }
        })
    }

    async fn record(
        &self,
        kind: Kind,
        request: &str,
        participant: &Participant,
        attempt: u32,
        failure: Option<Failure>,
    ) {
        let event = Event {
            kind,
            granted: failure.is_none(),
            request: Some(request.to_owned()),
            tenant: Some(participant.tenant.clone()),
            application: Some(participant.application.clone()),
            upstream: Some(participant.origin.upstream.clone()),
            session: Some(participant.origin.sid.clone()),
            input: Some(serde_json::json!({
                "client": participant.name(), "method": "back-channel-logout", "attempt": attempt,
            })),
            outcome: failure.map(|failure| serde_json::json!({ "failed": failure.code })),
            ..Event::default()
        };
        if matches!(kind, Kind::LogoutGivenUp) {
            let code = failure.map_or("", |failure| failure.code);
            tracing::error!(client = participant.name(), code, "a relying party was not told of a logout");
        }
        let audit = Arc::clone(&self.parts.audit);
        match tokio::task::spawn_blocking(move || audit.record(&event)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "an event could not be recorded"),
            Err(error) => tracing::error!(%error, "the record's task failed"),
        }
    }
}

/// Comes true `after` the gateway was told to stop.
async fn stopping(mut stop: watch::Receiver<bool>, after: Duration) {
    // Whoever could say so is gone: as good as a stop.
    let _ = stop.wait_for(|stop| *stop).await;
    tokio::time::sleep(after).await;
}
