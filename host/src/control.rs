//! An operator's commands to the gateway that runs: a Unix socket for its owner alone, one line of JSON each way.
//!
//! No door to anybody else: nothing listens unless the configuration says where, the socket's mode is 0600, and the
//! kernel says who is at the other end. Whoever is neither the gateway's own user nor root is not answered.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::{UnixListener as Bound, UnixStream as Caller},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};

use crate::policy::{Generations, Outcome};

const MODE: u32 = 0o600;

/// Root may do anything anyway.
const ROOT: u32 = 0;

/// A command is shorter.
const COMMAND_BYTES_MAX: u64 = 4096;

/// An answer is shorter: a few generations, each with its policies.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Commands that are answered at one time; others wait.
const CALLERS_MAX: usize = 4;

/// How long a caller may take to say what it wants, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a caller waits. A promotion may compile every policy.
const ANSWER_MAX: Duration = Duration::from_secs(600);

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "command")]
pub enum Command {
    /// Which generations there are.
    List {},
    /// What the files say is to be in force, also where it was rolled back.
    Promote {},
    /// An older generation is to be in force; without a number, the one before.
    Rollback {
        /// Its number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        generation: Option<u64>,
    },
}

/// What came of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Was it done?
    pub ok: bool,
    /// What came of it, or why it was not done, for people.
    pub text: String,
    /// The same for programs.
    pub result: Value,
}

/// Why the socket cannot be made, or nobody answers at it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Something else has the name.
    #[error("failed to make the socket {path}: a file that is no socket is there")]
    Taken {
        /// The path.
        path: PathBuf,
    },
    /// Another gateway is there.
    #[error("another process answers at {path}")]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The socket could not be made.
    #[error("failed to make the socket {path}")]
    Make {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody answers.
    #[error("no gateway answers at {path}: {source}")]
    NoAnswer {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else has made the socket.
    #[error("the process at {path} belongs to the user id {found}, which is neither this user's ({own}) nor root's")]
    Stranger {
        /// The path.
        path: PathBuf,
        /// Whose it is.
        found: u32,
        /// Who asks.
        own: u32,
    },
    /// The answer is none.
    #[error("the process at {path} answers what is no answer of a gateway: {source}")]
    Malformed {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// A socket that is there; the file goes with it.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    bound: Bound,
}

impl Socket {
    /// Makes the socket at `path`. One that a gateway left when it was killed is replaced.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub fn make(path: &Path) -> Result<Self, ControlError> {
        let failed = |source| ControlError::Make { path: path.to_owned(), source };
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(known) if !known.file_type().is_socket() => return Err(ControlError::Taken { path: path.to_owned() }),
            Ok(_) if Caller::connect(path).is_ok() => return Err(ControlError::InUse { path: path.to_owned() }),
            Ok(_) => fs::remove_file(path).map_err(failed)?,
        }
        let bound = Bound::bind(path).map_err(failed)?;
        let socket = Self { path: path.to_owned(), bound };
        // Whoever comes before that is told by the kernel, and sent away.
        fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(failed)?;
        socket.bound.set_nonblocking(true).map_err(failed)?;
        Ok(socket)
    }

    /// Answers, for as long as it is polled. Needs the runtime.
    ///
    /// # Errors
    ///
    /// Where the socket cannot be used.
    pub async fn serve(&self, generations: Arc<Generations>) -> io::Result<()> {
        let listener = UnixListener::from_std(self.bound.try_clone()?)?;
        let own = own_user()?;
        let places = Arc::new(Semaphore::new(CALLERS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a command could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let generations = Arc::clone(&generations);
            tokio::spawn(async move {
                if let Err(error) = answer(stream, own, generations).await {
                    tracing::warn!(%error, "a command was not answered");
                }
                drop(place);
            });
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Where it is gone already, there is nothing to do; what is left is replaced at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Has the gateway at `path` do `command`.
///
/// # Errors
///
/// Where no gateway answers, or it is not ours.
pub async fn ask(path: &Path, command: Command) -> Result<Answer, ControlError> {
    let no_answer = |source| ControlError::NoAnswer { path: path.to_owned(), source };
    let mut stream = UnixStream::connect(path).await.map_err(no_answer)?;
    let own = own_user().map_err(no_answer)?;
    let found = stream.peer_cred().map_err(no_answer)?.uid();
    if found != own && found != ROOT && own != ROOT {
        return Err(ControlError::Stranger { path: path.to_owned(), found, own });
    }
    let mut line = serde_json::to_vec(&command).map_err(|error| no_answer(error.into()))?;
    line.push(b'\n');
    let asked = async {
        stream.write_all(&line).await?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let answer = tokio::time::timeout(ANSWER_MAX, asked).await.unwrap_or_else(|late| Err(late.into()));
    let answer = answer.map_err(no_answer)?;
    if answer.is_empty() {
        let hung_up = io::Error::new(io::ErrorKind::PermissionDenied, "it hung up: it answers its own user and root");
        return Err(no_answer(hung_up));
    }
    serde_json::from_str(&answer).map_err(|source| ControlError::Malformed { path: path.to_owned(), source })
}

/// The user of this process, as the kernel tells it to the other end.
fn own_user() -> io::Result<u32> {
    Ok(UnixStream::pair()?.0.peer_cred()?.uid())
}

async fn answer(mut stream: UnixStream, own: u32, generations: Arc<Generations>) -> io::Result<()> {
    let user = stream.peer_cred()?.uid();
    if user != own && user != ROOT {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("it came from the user id {user}")));
    }
    let mut line = Vec::new();
    {
        let mut reader = BufReader::new((&mut stream).take(COMMAND_BYTES_MAX));
        tokio::time::timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await??;
    }
    let answer = match serde_json::from_slice::<Command>(&line) {
        Ok(command) => tokio::task::spawn_blocking(move || carry_out(command, &generations, user))
            .await
            .unwrap_or_else(|error| refused(format!("the command failed: {error}"))),
        Err(error) => refused(format!("expected a command as one line of JSON: {error}")),
    };
    let mut answer = serde_json::to_vec(&answer).map_err(io::Error::from)?;
    answer.push(b'\n');
    tokio::time::timeout(PATIENCE, stream.write_all(&answer)).await??;
    stream.shutdown().await
}

fn carry_out(command: Command, generations: &Generations, user: u32) -> Answer {
    let by = format!("the user id {user}");
    let told = |event: crate::policy::GenerationEvent| Answer {
        ok: event.outcome != Outcome::Refused,
        text: event.to_string(),
        result: serde_json::to_value(&event).unwrap_or_default(),
    };
    match command {
        Command::List {} => {
            let listing = generations.list();
            let result = serde_json::to_value(&listing).unwrap_or_default();
            Answer { ok: true, text: listing.to_string(), result }
        }
        Command::Promote {} => told(generations.promote(&by)),
        Command::Rollback { generation } => match generations.roll_back(generation, &by) {
            Ok(event) => told(event),
            Err(error) => refused(error.to_string()),
        },
    }
}

fn refused(why: String) -> Answer {
    Answer { ok: false, result: json!({ "error": why }), text: why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::SystemClock,
        config,
        policy::{Engine, GenerationEvent},
    };

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn socket(&self) -> PathBuf {
            self.0.path().join("control.sock")
        }

        fn generations(&self) -> Arc<Generations> {
            let path = self.0.path().join("vestibule.toml");
            fs::write(&path, "[server]\npublic-url = \"https://login.example.com\"\n").unwrap();
            let config = config::load(&path).unwrap();
            let engine = Engine::new(&config.policies.limits, None).unwrap();
            let listener = Box::new(|_: &GenerationEvent| {});
            Arc::new(Generations::open(config, engine, Arc::new(SystemClock), listener))
        }
    }

    async fn raw(path: &Path, line: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(line).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        // A caller that says too much is cut off.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn answers_its_owner_and_nothing_but_commands() {
        let place = Place::new();
        let socket = Socket::make(&place.socket()).unwrap();
        assert_eq!(fs::metadata(place.socket()).unwrap().permissions().mode() & 0o777, MODE);
        let generations = place.generations();
        let path = place.socket();
        let served = tokio::spawn(async move { socket.serve(generations).await });

        let answer = ask(&path, Command::List {}).await.unwrap();
        assert_eq!((answer.ok, &answer.result["in-force"]), (true, &json!(1)));
        let answer = ask(&path, Command::Rollback { generation: None }).await.unwrap();
        assert_eq!((answer.ok, &*answer.text), (false, "there is no generation before generation 1"));
        let answer = ask(&path, Command::Rollback { generation: Some(9) }).await.unwrap();
        assert_eq!(answer.result["error"], "there is no generation 9 to go back to: kept are 1");
        let answer = ask(&path, Command::Promote {}).await.unwrap();
        assert_eq!((answer.ok, &answer.result["outcome"]), (true, &json!("unchanged")));

        let long = vec![b' '; 100_000];
        for bad in [
            &b""[..],
            b"list\n",
            b"{}\n",
            b"{\"command\":\"exec\"}\n",
            b"{\"command\":\"list\",\"as\":\"root\"}\n",
            b"{\"command\":\"rollback\",\"generation\":-1}\n",
            b"\xff\xfe\n",
            &long,
        ] {
            let answer = raw(&path, bad).await;
            assert!(answer.is_empty() || answer.contains("\"ok\":false"), "{answer}");
        }
        assert!(ask(&path, Command::List {}).await.unwrap().ok, "it answers no more");
        served.abort();
    }

    #[test]
    fn the_socket_goes_with_the_gateway_and_one_that_was_left_is_replaced() {
        let place = Place::new();
        drop(Socket::make(&place.socket()).unwrap());
        assert!(!place.socket().exists());
        // What a gateway leaves that is killed.
        drop(Bound::bind(place.socket()).unwrap());
        assert!(place.socket().exists());
        let _socket = Socket::make(&place.socket()).unwrap();
        assert!(matches!(Socket::make(&place.socket()), Err(ControlError::InUse { .. })));
        assert!(place.socket().exists(), "the one in use is gone");
    }

    #[test]
    fn no_other_file_is_replaced() {
        let place = Place::new();
        fs::write(place.socket(), "mine").unwrap();
        assert!(matches!(Socket::make(&place.socket()), Err(ControlError::Taken { .. })));
        assert_eq!(fs::read_to_string(place.socket()).unwrap(), "mine");
        let nowhere = place.0.path().join("no-such-folder/control.sock");
        assert!(matches!(Socket::make(&nowhere), Err(ControlError::Make { .. })));
    }

    #[tokio::test]
    async fn says_where_no_gateway_answers() {
        let place = Place::new();
        let error = ask(&place.socket(), Command::List {}).await.unwrap_err().to_string();
        assert!(error.starts_with("no gateway answers at ") && error.contains("No such file"), "{error}");
    }
}
