//! Where WebAssembly becomes native code: in a process of its own.
//!
//! Compiling is the one step in which a component costs what its author wants. A thread cannot be
//! stopped; a process can. So the gateway's own program is started once more, as `compile-worker`,
//! with limits that the kernel holds it to: processor time, memory, no files, a place in the
//! queue behind whoever decides a login. What takes too long is killed.
//!
//! What comes back is as trusted as what this process would have compiled itself: it came through a
//! pipe from this very program. It is held to the same compatibility hash before it is used.

use std::{
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    engine::{self, Purpose},
    error::LoadError,
    rlimits,
};
use crate::config::Limits;

/// The hidden command that the program is started with.
pub const COMMAND: &str = "compile-worker";

/// The line that says what to compile for.
const RECIPE_BYTES_MAX: u64 = 4096;

/// No native code is so large; what says so is no compiler.
const CODE_BYTES_MAX: u64 = 1 << 30;

/// Of what a worker says of its failure, so much is kept.
const WORDS_BYTES_MAX: u64 = 2048;

/// Cranelift recurses on its input.
const STACK_BYTES: usize = 16 << 20;

/// Of the compatibility hash.
const HASH_BYTES: usize = 32;

/// Who compiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// This process. For tests and benches, whose program is another one.
    Here,
    /// A process of this program.
    Program(PathBuf),
}

impl Compiler {
    /// The program that runs now, whatever was put in its file's place since it was started.
    #[must_use]
    pub fn this_program() -> Self {
        Self::Program(PathBuf::from("/proc/self/exe"))
    }
}

/// What native code depends on, beside the WebAssembly.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Recipe {
    pub(super) purpose: Purpose,
    pub(super) stack_bytes_max: usize,
    pub(super) memory_bytes_max: usize,
    pub(super) table_elements_max: usize,
    /// What the worker may use up.
    seconds_max: u64,
    memory_max: u64,
}

impl Recipe {
    pub(super) fn new(purpose: Purpose, limits: &Limits) -> Self {
        Self {
            purpose,
            stack_bytes_max: limits.stack_bytes_max,
            memory_bytes_max: limits.memory_bytes_max,
            table_elements_max: limits.table_elements_max,
            // The time that counts is kept by whoever waits; this is for a worker that nobody waits for.
            seconds_max: limits.compile_timeout.as_secs().saturating_add(2),
            memory_max: limits.compile_memory_bytes_max as u64,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            stack_bytes_max: self.stack_bytes_max,
            memory_bytes_max: self.memory_bytes_max,
            table_elements_max: self.table_elements_max,
            ..Limits::default()
        }
    }
}

/// Native code of `wasm` from a process of `program`, for an engine with the compatibility hash
/// `expected`.
///
/// # Errors
///
/// What the compiler says, or that it took too long or too much.
pub(super) fn compile(
    program: &PathBuf,
    recipe: &Recipe,
    wasm: &[u8],
    expected: &[u8; HASH_BYTES],
    limits: &Limits,
) -> Result<Vec<u8>, LoadError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| LoadError::CompilerPanicked(format!("{what}: {error}"));
    let mut input = serde_json::to_vec(recipe).map_err(|error| failed("its task", &error))?;
    input.push(b'\n');
    input.extend_from_slice(wasm);
    let (answer, words, status) =
        run(program, input, limits.compile_timeout).map_err(|error| failed("its process", &error))?;
    let Some(status) = status else { return Err(LoadError::CompileTimeout(limits.compile_timeout)) };
    if !status.success() {
        return Err(failure(status, &words, limits));
    }
    match answer.split_at_checked(HASH_BYTES) {
        Some((hash, code)) if hash == expected => Ok(code.to_owned()),
        Some(_) => Err(LoadError::CompilerPanicked("its program is of another version than the gateway".to_owned())),
        None => Err(LoadError::CompilerPanicked("it answered nothing".to_owned())),
    }
}

/// Runs the worker: what it answered, what it said of a failure, and how it ended; no end where it was
/// killed for taking too long.
fn run(program: &PathBuf, input: Vec<u8>, limit: Duration) -> io::Result<(Vec<u8>, String, Option<ExitStatus>)> {
    let mut command = Command::new(program);
    command.arg(COMMAND).env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut worker = Worker(command.spawn()?);
    let missing = || io::Error::other("no pipe");
    let mut to = worker.0.stdin.take().ok_or_else(missing)?;
    let from = worker.0.stdout.take().ok_or_else(missing)?;
    let errors = worker.0.stderr.take().ok_or_else(missing)?;
    thread::scope(|scope| {
        // A worker that does not listen is one that fails; its end says why.
        scope.spawn(move || drop(to.write_all(&input)));
        let words = scope.spawn(move || {
            let mut words = Vec::new();
            let _ = errors.take(WORDS_BYTES_MAX).read_to_end(&mut words);
            String::from_utf8_lossy(&words).trim().to_owned()
        });
        let (done, answered) = mpsc::sync_channel(1);
        scope.spawn(move || {
            let mut answer = Vec::new();
            let read = from.take(CODE_BYTES_MAX).read_to_end(&mut answer).map(|_| answer);
            // Nobody waits any more where it took too long.
            let _ = done.send(read);
        });
        let answer = answered.recv_timeout(limit);
        // Killed in any case: one that has closed its output has nothing more to say. Its end closes the pipes,
        // and so ends the threads.
        let status = if answer.is_ok() { worker.0.wait().map(Some) } else { worker.kill().map(|()| None) }?;
        let words = words.join().unwrap_or_default();
        match answer {
            Ok(answer) => Ok((answer?, words, status)),
            Err(_) => Ok((Vec::new(), words, None)),
        }
    })
}

/// A worker that does not outlive whoever waits for it.
struct Worker(Child);

impl Worker {
    fn kill(&mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Where it has ended, there is nothing to kill.
        let _ = self.kill();
    }
}

/// Why a worker ended as it did.
fn failure(status: ExitStatus, words: &str, limits: &Limits) -> LoadError {
    // The standard library aborts; the compiler's own collections panic, which ends like a refusal.
    let is_out_of_memory = ["memory allocation", "out-of-memory"].iter().any(|word| words.contains(word));
    match status.signal() {
        Some(libc::SIGXCPU | libc::SIGKILL) => LoadError::CompileTimeout(limits.compile_timeout),
        Some(libc::SIGABRT) | None if is_out_of_memory => {
            LoadError::CompileMemory { max: limits.compile_memory_bytes_max }
        }
        Some(signal) => LoadError::CompilerPanicked(format!("signal {signal} ({words})")),
        None if status.code() == Some(REFUSED) => LoadError::Compile(words.to_owned()),
        None => LoadError::CompilerPanicked(format!("{status} ({words})")),
    }
}

/// How a worker ends that does not compile what it was given.
const REFUSED: i32 = 1;

/// Does one compilation: reads what to compile from `input`, and writes native code to `output`. Gives away
/// rights first.
///
/// # Errors
///
/// What the compiler says, for standard error; the caller ends with exit code 1 then.
pub fn compile_worker(input: impl Read, output: &mut impl Write) -> Result<(), String> {
    let mut input = io::BufReader::new(input);
    let mut line = Vec::new();
    io::BufRead::read_until(&mut (&mut input).take(RECIPE_BYTES_MAX), b'\n', &mut line)
        .map_err(|error| format!("failed to read the task: {error}"))?;
    let recipe: Recipe = serde_json::from_slice(&line).map_err(|error| format!("failed to read the task: {error}"))?;
    rlimits::confine(recipe.seconds_max, recipe.memory_max)
        .map_err(|error| format!("failed to confine the compiler: {error}"))?;
    let mut wasm = Vec::new();
    input.read_to_end(&mut wasm).map_err(|error| format!("failed to read the component: {error}"))?;
    let work = move || engine::compile_alone(&recipe, &wasm);
    let compiled = thread::Builder::new().stack_size(STACK_BYTES).spawn(work).map(thread::JoinHandle::join);
    let (hash, code) = match compiled {
        Ok(Ok(compiled)) => compiled.map_err(|error| format!("{error:#}"))?,
        // It has said so itself.
        Ok(Err(_)) => return Err("the compiler panicked".to_owned()),
        Err(error) => return Err(format!("failed to start a thread: {error}")),
    };
    output
        .write_all(&hash)
        .and_then(|()| output.write_all(&code))
        .and_then(|()| output.flush())
        .map_err(|error| format!("failed to answer: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { compile_timeout: Duration::from_secs(20), ..Limits::default() }
    }

    fn with(program: &str, limits: &Limits) -> LoadError {
        let recipe = Recipe::new(Purpose::Decide, limits);
        compile(&program.into(), &recipe, b"(component)", &[7; HASH_BYTES], limits).unwrap_err()
    }

    #[test]
    fn what_another_program_answers_is_not_used() {
        for program in ["/bin/true", "/bin/cat", "/bin/false", "/no/such/program"] {
            let error = with(program, &limits());
            // `cat` refuses its argument, and ends with 1 as the compiler does where it refuses.
            let is_failure = matches!(error, LoadError::CompilerPanicked(_) | LoadError::Compile(_));
            assert!(is_failure, "{program}: {error}");
        }
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("sleeps");
        std::fs::write(&script, "#!/bin/sh\necho $$ > \"${0}.pid\"\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let limits = Limits { compile_timeout: Duration::from_millis(500), ..limits() };
        let error = with(script.to_str().unwrap(), &limits);
        assert!(matches!(error, LoadError::CompileTimeout(_)), "{error}");
        let id = std::fs::read_to_string(folder.path().join("sleeps.pid")).unwrap();
        assert!(!std::path::Path::new("/proc").join(id.trim()).exists(), "it still runs");
    }
}
