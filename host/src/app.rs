//! The composition root: makes the parts of a gateway out of its configuration and puts
//! them together. Nothing is decided here.

use std::{collections::BTreeMap, future::Future, net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, signal::unix::SignalKind};

use crate::{
    audit::{Audit, AuditError, Event, Kind},
    clock::{Clock, SystemClock},
    config::{self, Config},
    control::{ControlError, Socket},
    downstream::{
        Passports,
        oidc::{AgreedError, Provider},
        saml::IdentityProvider,
    },
    factor::{FactorError, Factors},
    http,
    keys::{KeyError, KeyRing},
    login::{Door, DoorError, Login, Parts},
    logout::{self, Farewells},
    policy::{Cache, CacheError, Engine, EngineError, GenerationEvent, Generations, Outcome, Watch, WatchError},
    recording::{Recorder, RecordingError},
    server,
    session::{Memories, State, StateError},
    upstream::{UpstreamError, Upstreams},
};

/// A gateway that is ready to serve.
pub struct App {
    config: Arc<Config>,
    generations: Arc<Generations>,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    login: Arc<Login>,
    provider: Arc<Provider>,
    farewells: Arc<Farewells>,
    recorder: Option<Arc<Recorder>>,
    state: Arc<State>,
    control: Option<Arc<Socket>>,
    /// Ends with the gateway.
    _watch: Watch,
}

/// Why a gateway cannot be made. Each is found before a socket is bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// The audit log.
    #[error("failed to open the audit log")]
    Audit(#[from] AuditError),
    /// The folder of compiled components.
    #[error("failed to open the cache of compiled components")]
    Cache(#[from] CacheError),
    /// What people agreed to share.
    #[error("failed to open what people agreed to")]
    Consents(#[from] AgreedError),
    /// The socket for commands.
    #[error("failed to listen for commands")]
    Control(#[from] ControlError),
    /// The sandbox.
    #[error("failed to make the sandbox")]
    Engine(#[from] EngineError),
    /// The emergency door would not open when it is needed.
    #[error("failed to open the emergency door")]
    Door(#[from] DoorError),
    /// The second factors.
    #[error("failed to open the second factors")]
    Factors(#[from] FactorError),
    /// The key ring.
    #[error("failed to open the key ring")]
    Keys(#[from] KeyError),
    /// The address is taken, or not ours.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The recording.
    #[error("failed to open the recording")]
    Recording(#[from] RecordingError),
    /// What outlives a restart of sessions.
    #[error("failed to open the sessions' state")]
    Sessions(#[from] StateError),
    /// A signal could not be listened for.
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
    /// The connections to the upstreams.
    #[error("failed to prepare the connections to the upstreams")]
    Upstreams(#[from] UpstreamError),
    /// The watch over the policies.
    #[error("failed to watch the policies")]
    Watch(#[from] WatchError),
}

/// Hears of every generation, beside the audit and the log.
pub type Listener = Box<dyn Fn(&GenerationEvent) + Send + Sync>;

impl App {
    /// Makes a gateway of `config`. Loads every policy: this takes seconds where nothing is
    /// in the cache, and blocks.
    ///
    /// # Errors
    ///
    /// As [`AppError`] says. A policy that cannot be loaded is no error: its applications
    /// deny everybody, and `listener` hears why.
    pub fn open(config: Config, listener: Listener) -> Result<Self, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let keys = Arc::new(KeyRing::open(&config.keys, Arc::clone(&clock))?);
        keys.suits(&config)?;
        let open_factors = |configured: &config::SecondFactor| {
            let factors = Factors::open(&configured.file, Arc::clone(&keys))?;
            factors.ready()?;
            Ok::<_, FactorError>(Arc::new(factors))
        };
        let factors = config.second_factor.as_ref().map(open_factors).transpose()?;
        let memories = match &config.session.state_file {
            Some(path) => Memories::open(path, Arc::clone(&keys), clock.now())?,
            None => {
                tracing::warn!("no session.state-file: a restart forgets who was logged out");
                Memories::default()
            }
        };
        let state = Arc::clone(&memories.state);
        let provider = Arc::new(Provider::open(Arc::clone(&keys), Arc::clone(&clock), &state)?);
        provider.open_consents(&config)?;
        let pseudonym = {
            let keys = Arc::clone(&keys);
            Arc::new(move |value: &str| keys.pseudonym(value))
        };
        let audit = Arc::new(Audit::open(&config.audit, Arc::clone(&clock), pseudonym)?);
        let open_recorder =
            |it: &config::Recording| Recorder::open(it, Arc::clone(&keys), Arc::clone(&clock)).map(Arc::new);
        let recorder = config.recording.as_ref().map(open_recorder).transpose()?;
        let upstreams = Arc::new(Upstreams::new(&config.fetch, Arc::clone(&clock))?);
        let cache = config.policies.cache.as_deref().map(|path| Cache::open(path, &keys.cache_key())).transpose()?;
        // First: what keeps the gateway from starting is told before the policies take their time.
        let door = open_door(&config, cache.clone())?.map(Arc::new);
        let engine = Engine::of_gateway(&config.policies.limits, cache)?;
        let listener = {
            let audit = Arc::clone(&audit);
            Box::new(move |event: &GenerationEvent| {
                record(&audit, event);
                listener(event);
            })
        };
        let generations = Arc::new(Generations::open(config, engine, Arc::clone(&clock), listener));
        let watch = Watch::start(Arc::clone(&generations))?;
        let farewells = Arc::new(Farewells::new(logout::Parts {
            config: {
                let generations = Arc::clone(&generations);
                Arc::new(move || Arc::clone(generations.current().config()))
            },
            provider: Arc::clone(&provider),
            upstreams: Arc::clone(&upstreams),
            audit: Arc::clone(&audit),
        }));
        let login = Arc::new(Login::new(Parts {
            generations: Arc::clone(&generations),
            upstreams,
            keys: Arc::clone(&keys),
            door,
            factors,
            audit,
            memories,
            recorder: recorder.clone(),
            clock: Arc::clone(&clock),
            farewell: {
                let farewells = Arc::clone(&farewells);
                Arc::new(move |request: &str, gone| farewells.tell(request, gone))
            },
            ends_at: {
                let provider = Arc::clone(&provider);
                Arc::new(move |config: &Config, application: &config::Application, url: &url::Url| {
                    provider.may_end_at(config, application, url)
                })
            },
        }));
        let config = Arc::clone(generations.current().config());
        let make = |control: &config::Control| Socket::make(&control.socket).map(Arc::new);
        let control = config.control.as_ref().map(make).transpose()?;
        Ok(Self {
            config,
            generations,
            keys,
            clock,
            login,
            provider,
            farewells,
            recorder,
            state,
            control,
            _watch: watch,
        })
    }

    /// The configuration that the gateway began with.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Applications that deny everybody, since a policy of theirs could not be loaded, and why.
    #[must_use]
    pub fn unavailable(&self) -> BTreeMap<String, String> {
        self.generations.current().unavailable()
    }

    /// Binds the configured address.
    ///
    /// # Errors
    ///
    /// [`AppError::Listen`].
    pub async fn listen(&self) -> Result<TcpListener, AppError> {
        let address = self.config.server.listen;
        TcpListener::bind(address).await.map_err(|source| AppError::Listen { address, source })
    }

    /// Serves on `listener` until `stop` comes true. SIGHUP reads everything anew.
    ///
    /// # Errors
    ///
    /// [`AppError::Signals`].
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), AppError> {
        let mut hangups = tokio::signal::unix::signal(SignalKind::hangup()).map_err(AppError::Signals)?;
        let reloads = {
            let generations = Arc::clone(&self.generations);
            tokio::spawn(async move {
                while hangups.recv().await.is_some() {
                    let generations = Arc::clone(&generations);
                    // One at a time; what it came to is told to the listener.
                    let _ = tokio::task::spawn_blocking(move || generations.reload()).await;
                }
            })
        };
        let commands = self.control.clone().map(|socket| {
            let generations = Arc::clone(&self.generations);
            tokio::spawn(async move {
                if let Err(error) = socket.serve(generations).await {
                    tracing::error!(%error, "commands are not answered");
                }
            })
        });
        let router = Arc::new(http::Router::new(http::Parts {
            login: Arc::clone(&self.login),
            passports: Passports::new(Arc::clone(&self.keys), Arc::clone(&self.clock)),
            provider: Arc::clone(&self.provider),
            identity_provider: IdentityProvider::new(Arc::clone(&self.keys), Arc::clone(&self.clock)),
        }));
        let answer = move |peer, request| {
            let router = Arc::clone(&router);
            async move { router.answer(Some(peer), request).await }
        };
        server::serve(&self.config.server, listener, answer, stop).await;
        self.farewells.close().await;
        reloads.abort();
        commands.iter().for_each(tokio::task::JoinHandle::abort);
        // What waits is written: nobody is logging in any more.
        let (login, recorder, state) = (Arc::clone(&self.login), self.recorder.clone(), Arc::clone(&self.state));
        let _ = tokio::task::spawn_blocking(move || {
            login.close_shadow();
            recorder.iter().for_each(|recorder| recorder.close());
            state.close();
        })
        .await;
        // The watch waits for its thread, which may be building a generation.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
        Ok(())
    }
}

/// The emergency door of `config`, with a sandbox of its own; none where there is none. Blocks, for up to the compile
/// timeout.
///
/// # Errors
///
/// [`AppError::Door`] and [`AppError::Engine`]: where it would let nobody in.
pub fn open_door(config: &Config, cache: Option<Cache>) -> Result<Option<Door>, AppError> {
    let Some(emergency) = &config.emergency else { return Ok(None) };
    let engine = Engine::of_gateway(&emergency.limits, cache)?;
    Ok(Door::open(config, &engine)?)
}

/// A generation is in the log and in the audit.
fn record(audit: &Audit, event: &GenerationEvent) {
    let kind = match event.outcome {
        Outcome::InForce => Kind::GenerationSwapped,
        Outcome::CanaryEnded => Kind::CanaryEnded,
        Outcome::Refused => Kind::GenerationRefused,
        Outcome::RolledBack => Kind::GenerationRolledBack,
        Outcome::Unchanged => return,
    };
    if event.outcome == Outcome::InForce && event.problems.is_empty() && event.unavailable.is_empty() {
        tracing::info!(generation = event.generation, "{event}");
    } else {
        tracing::warn!(generation = event.generation, "{event}");
    }
    let recorded = audit.record(&Event {
        kind,
        granted: !matches!(event.outcome, Outcome::CanaryEnded | Outcome::Refused),
        outcome: serde_json::to_value(event).ok(),
        micros: u64::try_from(event.took.as_micros()).unwrap_or(u64::MAX),
        ..Event::default()
    });
    if let Err(error) = recorded {
        tracing::error!(%error, "a generation could not be recorded");
    }
}

/// Comes true at the first SIGINT or SIGTERM.
///
/// # Errors
///
/// [`AppError::Signals`].
pub fn stop_signal() -> Result<impl Future<Output = ()>, AppError> {
    let mut interrupt = tokio::signal::unix::signal(SignalKind::interrupt()).map_err(AppError::Signals)?;
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate()).map_err(AppError::Signals)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
