//! The demo: a gateway, an identity provider and an application on loopback.
//!
//! The identity provider is a second gateway with local accounts, the application asks the
//! first one over HTTP like any other: nothing here knows a way around the front door.

mod application;
mod folder;

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    app::{App, AppError, Listener},
    clock::SystemClock,
    config::{self, Config, Diagnostics},
    keys::{self, KeyError},
};
use folder::{EMERGENCY, Folder, PEOPLE, POLICIES, Person, Ports};

/// Where the demo keeps its files, and where its policies come from.
#[derive(Clone, Debug)]
pub struct Options {
    /// The demo's folder; made where there is none.
    pub directory: PathBuf,
    /// The built components.
    pub components: PathBuf,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A gateway could not be made.
    #[error("failed to open the demo's gateways")]
    App(#[from] AppError),
    /// A configuration of ours is refused: the folder is from another version.
    #[error("failed to read the demo's configuration; remove the folder {folder} and start again\n{problems}")]
    Configuration {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        problems: String,
    },
    /// A file.
    #[error("failed to write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The keys.
    #[error("failed to make the demo's keys")]
    Keys(#[from] KeyError),
    /// No port is free.
    #[error("failed to listen on loopback")]
    Listen(#[source] io::Error),
    /// Another demo keeps its files there.
    #[error("a demo runs already in {0}; end it, or choose another folder with `--directory`")]
    Running(PathBuf),
    /// The policies are not built.
    #[error(
        "failed to find the policy {missing} in {path}; `make policies` builds it, `--components` says where else to look"
    )]
    NoComponents {
        /// Where they were looked for.
        path: PathBuf,
        /// The first one that is not there.
        missing: String,
    },
    /// The operating system has no randomness.
    #[error("{0}")]
    Randomness(String),
}

/// What there is to see, once the demo is ready.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    /// The application's page: open this.
    pub application: String,
    /// The gateway.
    pub gateway: String,
    /// The identity provider.
    pub identity_provider: String,
    /// Who can log in.
    pub people: Vec<Subject>,
    /// The emergency door, unless the configuration was changed to have none.
    pub emergency: Option<EmergencyDoor>,
    /// The settings of each policy.
    pub settings: BTreeMap<String, PathBuf>,
    /// The component of each policy.
    pub components: BTreeMap<String, PathBuf>,
    /// The audit log.
    pub audit: PathBuf,
    /// The gateway's configuration, which `vestibule replay` and `receipt` ask for.
    pub configuration: PathBuf,
    /// What the policies were asked, sealed: for `vestibule replay` and `receipt`.
    pub recording: PathBuf,
    /// What is not as one would expect.
    pub notes: Vec<String>,
}

/// The way in that is left when the rules let nobody in.
#[derive(Clone, Debug, Serialize)]
pub struct EmergencyDoor {
    /// Its address: a secret anywhere but here.
    pub address: String,
    /// Who comes in by it.
    pub person: Subject,
}

/// Somebody who can log in.
#[derive(Clone, Debug, Serialize)]
pub struct Subject {
    /// What they type.
    pub username: String,
    /// And then.
    pub password: String,
    /// Their address.
    pub email: String,
    /// What that comes to.
    pub outcome: String,
}

/// A demo that is ready to be served.
pub struct Demo {
    /// What there is to see.
    pub ready: Ready,
    application: TcpListener,
    gateway: (App, TcpListener),
    identity_provider: (App, TcpListener),
    /// Held as long as the folder is used.
    _lock: File,
}

/// The ports that the demo takes where they are free.
const PREFERRED: Ports = Ports { application: 8470, gateway: 8471, identity_provider: 8472 };

impl Demo {
    /// Makes the folder and the gateways. Loads the policies, so it takes seconds at the
    /// first time; `listeners` hear of the generations of the gateway and of the identity
    /// provider. Blocks.
    ///
    /// # Errors
    ///
    /// As [`DemoError`] says.
    pub fn open(options: &Options, listeners: (Listener, Listener)) -> Result<Self, DemoError> {
        // Policies' settings are shown to a person: with whole paths.
        let directory = absolute(&options.directory)?;
        folder::are_built(&options.components)?;
        let lock = lock(&directory)?;
        let application = listen(PREFERRED.application)?;
        let gateway = listen(PREFERRED.gateway)?;
        let identity_provider = listen(PREFERRED.identity_provider)?;
        let ports = Ports {
            application: port(&application)?,
            gateway: port(&gateway)?,
            identity_provider: port(&identity_provider)?,
        };
        let folder = folder::prepare(&directory, &options.components, ports)?;
        let mut ready = ready(&folder, ports);
        let identity_provider = (open(&folder.identity_provider, listeners.1)?, identity_provider);
        let gateway = (open(&folder.gateway, listeners.0)?, gateway);
        if gateway.0.config().emergency.is_some() {
            ready.emergency = emergency_door(&folder, ports);
        }
        for (application, _) in gateway.0.unavailable() {
            ready
                .notes
                .push(format!("the application `{application}` denies everybody until what is wrong above is mended"));
        }
        Ok(Self { ready, application, gateway, identity_provider, _lock: lock })
    }

    /// Serves until `stop` comes true.
    ///
    /// # Errors
    ///
    /// As [`DemoError`] says.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), DemoError> {
        let address = self.gateway.1.local_addr().map_err(DemoError::Listen)?;
        let application = tokio::spawn(application::serve(asynchronous(self.application)?, address));
        let (stopped, mut waits) = tokio::sync::watch::channel(false);
        let mut also_waits = waits.clone();
        let stopper = tokio::spawn(async move {
            stop.await;
            // Nobody waits any more: then there is nobody to tell.
            let _ = stopped.send(true);
        });
        let gateway = self.gateway.0.serve(asynchronous(self.gateway.1)?, async move {
            let _ = waits.wait_for(|stopped| *stopped).await;
        });
        let identity_provider = self.identity_provider.0.serve(asynchronous(self.identity_provider.1)?, async move {
            let _ = also_waits.wait_for(|stopped| *stopped).await;
        });
        let ended = tokio::try_join!(gateway, identity_provider);
        stopper.abort();
        application.abort();
        ended?;
        Ok(())
    }
}

/// Two demos in one folder would each write the other's configuration anew.
fn lock(directory: &Path) -> Result<File, DemoError> {
    let path = directory.join("lock");
    let failed = |source| DemoError::File { path: path.clone(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    let file = File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DemoError::Running(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn open(folder: &Path, listener: Listener) -> Result<App, DemoError> {
    if !folder.join("keys").exists() {
        keys::generate(&folder.join("keys"), &SystemClock)?;
    }
    let config = read(&folder.join("vestibule.toml"))
        .map_err(|problems| DemoError::Configuration { folder: folder.to_owned(), problems: problems.render(false) })?;
    Ok(App::open(config, listener)?)
}

fn read(path: &Path) -> Result<Config, Diagnostics> {
    config::load(path)
}

fn ready(folder: &Folder, ports: Ports) -> Ready {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let named = |place: &str, ending: &str| {
        POLICIES
            .iter()
            .map(|name| ((*name).to_owned(), folder.gateway.join(place).join(format!("{name}.{ending}"))))
            .filter(|(_, path)| path.exists())
            .collect()
    };
    Ready {
        application: format!("{}/", url(ports.application)),
        gateway: url(ports.gateway),
        identity_provider: url(ports.identity_provider),
        people: PEOPLE.iter().map(subject).collect(),
        emergency: None,
        settings: named("settings", "toml"),
        components: named("policies", "wasm"),
        audit: folder.gateway.join("audit.jsonl"),
        configuration: folder.gateway.join("vestibule.toml"),
        recording: folder.gateway.join("recording"),
        notes: notes(folder, ports),
    }
}

fn emergency_door(folder: &Folder, ports: Ports) -> Option<EmergencyDoor> {
    let path = fs::read_to_string(&folder.emergency_path).ok()?;
    let address = format!("http://127.0.0.1:{}{}", ports.gateway, path.trim_end());
    Some(EmergencyDoor { address, person: subject(EMERGENCY) })
}

fn subject(person: &Person) -> Subject {
    Subject {
        username: person.username.to_owned(),
        password: person.password.to_owned(),
        email: person.email.to_owned(),
        outcome: person.outcome.to_owned(),
    }
}

fn notes(folder: &Folder, ports: Ports) -> Vec<String> {
    let kept = folder.kept.iter().map(|path| format!("{} was changed by hand, and is kept", path.display()));
    let taken = [
        (PREFERRED.application, ports.application),
        (PREFERRED.gateway, ports.gateway),
        (PREFERRED.identity_provider, ports.identity_provider),
    ];
    let taken = taken.into_iter().filter(|(preferred, port)| preferred != port);
    kept.chain(taken.map(|(preferred, port)| format!("port {preferred} is taken; {port} is used in its place")))
        .collect()
}

/// The preferred port, or any other.
fn listen(preferred: u16) -> Result<TcpListener, DemoError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, preferred))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .map_err(DemoError::Listen)
}

fn port(listener: &TcpListener) -> Result<u16, DemoError> {
    listener
        .local_addr()
        .as_ref()
        .map(SocketAddr::port)
        .map_err(|error| DemoError::Listen(io::Error::from(error.kind())))
}

fn asynchronous(listener: TcpListener) -> Result<tokio::net::TcpListener, DemoError> {
    listener.set_nonblocking(true).map_err(DemoError::Listen)?;
    tokio::net::TcpListener::from_std(listener).map_err(DemoError::Listen)
}

fn absolute(path: &Path) -> Result<PathBuf, DemoError> {
    std::path::absolute(path).map_err(|source| DemoError::File { path: path.to_owned(), source })
}
