//! What the kernel holds a compiling process to. The only file that speaks to it of that.

use std::io;

/// Open files: the three that it was given, and what the standard library may want.
const FILES_MAX: u64 = 16;

/// Behind whoever decides a login, by a factor of three (sched(7)), and still not starved on a busy machine.
const NICE: libc::c_int = 5;

/// Gives away, for good, what compiling needs no more than that of.
///
/// # Errors
///
/// Where the kernel does not take a limit.
pub(super) fn confine(cpu_seconds_max: u64, memory_bytes_max: u64) -> io::Result<()> {
    dies_with_its_parent()?;
    set(libc::RLIMIT_CPU, cpu_seconds_max)?;
    // What is written to, not what is reserved: a pool reserves a great deal and touches none of it.
    set(libc::RLIMIT_DATA, memory_bytes_max)?;
    set(libc::RLIMIT_NOFILE, FILES_MAX)?;
    set(libc::RLIMIT_FSIZE, 0)?;
    set(libc::RLIMIT_CORE, 0)?;
    gives_way()
}

#[expect(unsafe_code, reason = "the standard library has no setrlimit")]
fn set(resource: libc::__rlimit_resource_t, most: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the struct lives until the call returns, and is only read (setrlimit(2)).
    outcome(unsafe { libc::setrlimit(resource, &raw const limit) })
}

/// Nobody would wait for it.
#[expect(unsafe_code, reason = "the standard library has no prctl")]
fn dies_with_its_parent() -> io::Result<()> {
    let signal = libc::c_ulong::from(libc::SIGKILL.unsigned_abs());
    // SAFETY: takes numbers only, and changes this process alone (prctl(2)).
    outcome(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) })?;
    // SAFETY: as above; the unused arguments must be 0.
    outcome(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

#[expect(unsafe_code, reason = "the standard library has no setpriority")]
fn gives_way() -> io::Result<()> {
    // SAFETY: takes numbers only; 0 is the calling process (setpriority(2)).
    outcome(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) })
}

fn outcome(code: libc::c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
