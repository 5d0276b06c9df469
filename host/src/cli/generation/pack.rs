//! `vestibule generation pack|sign`: policies for gateways without a compiler.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use time::OffsetDateTime;

use super::{
    super::{
        output::{Exit, Failure, Output},
        policy::{
            COMPILE_TIMEOUT,
            signing::{Signer, add, replace},
        },
    },
    verify::{in_words, read},
};
use crate::{
    clock::{Clock as _, SystemClock},
    config,
    policy::{self, Draft, Engine, PackStatement, PackingError},
};

/// The policies are held to signatures, versions and cases as a gateway does that loads their components.
#[derive(Args, Debug)]
pub(in crate::cli) struct Pack {
    /// The configuration whose `[policies]` are packed; nothing else of it is looked at.
    #[arg(long, value_name = "FILE", default_value = "vestibule.toml")]
    config: PathBuf,
    /// Where the pack goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The pack's version, a semantic one. A gateway refuses a lower one than was in force
    /// [default: the time, as YEAR.MONTHDAY.TIME].
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    #[command(flatten)]
    signer: Signer,
}

/// Whoever signs a pack vouches for native code that runs with the gateway's rights.
#[derive(Args, Debug)]
pub(in crate::cli) struct Sign {
    /// The pack.
    #[arg(value_name = "FILE")]
    pack: PathBuf,
    #[command(flatten)]
    signer: Signer,
}

pub(super) fn pack(arguments: &Pack, output: &Output) -> Result<Exit, Failure> {
    let mut policies = config::load_policies(&arguments.config).map_err(Failure::of_configuration)?;
    // A gateway that does not get to compile must go on serving; here somebody waits for it. It is no part of the code.
    let limits = &mut policies.limits;
    for timeout in [&mut limits.compile_timeout, &mut limits.interpreter.compile_timeout] {
        *timeout = COMPILE_TIMEOUT.max(*timeout);
    }
    let version = arguments.version.clone().map_or_else(|| version_at(SystemClock.now()), Ok)?;
    output.progress("loading and testing the policies");
    let engine =
        Engine::of_gateway(&policies.limits, None).map_err(|error| Failure::new(Exit::Configuration, &error))?;
    let draft = Draft::of(&engine, &policies, &version).map_err(|error| {
        let exit = match &error {
            PackingError::Nothing => Exit::Configuration,
            PackingError::NoVersion { .. } => Exit::CommandLine,
            _ => Exit::Failed,
        };
        Failure::new(exit, &error)
    })?;
    let statement = draft.statement();
    let mut signatures = String::new();
    add(&mut signatures, &arguments.signer.sign(&statement.to_bytes(), &comment(statement), REMARK)?);
    let bytes = draft.signed(signatures.as_bytes()).map_err(|error| Failure::new(Exit::Failed, &error))?;
    replace(&arguments.out, &bytes)?;
    output.result(
        format!("{}\n{} bytes in {}", in_words(statement), bytes.len(), arguments.out.display()),
        &json!({ "ok": true, "pack": arguments.out, "bytes": bytes.len(), "statement": statement }),
    );
    Ok(Exit::Done)
}

pub(super) fn sign(arguments: &Sign, output: &Output) -> Result<Exit, Failure> {
    let file = &arguments.pack;
    let refused = |message: String| Failure::text(Exit::Failed, format!("{}: {message}", file.display()));
    let bytes = read(file, None)?;
    let (said, before) = policy::statement_and_signatures(&bytes).map_err(|error| refused(error.to_string()))?;
    let statement = PackStatement::parse(said).map_err(|error| refused(error.to_string()))?;
    let mut signatures =
        String::from_utf8(before.to_owned()).map_err(|_| refused("its signatures are no text".to_owned()))?;
    add(&mut signatures, &arguments.signer.sign(said, &comment(&statement), REMARK)?);
    let signed = policy::with_signatures(&bytes, signatures.as_bytes()).map_err(|error| refused(error.to_string()))?;
    replace(file, &signed)?;
    let count = signatures.lines().count() / 4;
    output.result(
        format!("{}\n{count} signatures in {}", in_words(&statement), file.display()),
        &json!({ "ok": true, "pack": file, "signatures": count, "statement": statement }),
    );
    Ok(Exit::Done)
}

/// What anybody may change in a signature.
const REMARK: &str = "signature from vestibule generation pack";

/// What nobody may.
fn comment(statement: &PackStatement) -> String {
    format!("pack {} {}", statement.version, statement.contents)
}

/// Of two packs the later one has the higher version. `now` is in seconds since 1970-01-01 UTC.
fn version_at(now: u64) -> Result<String, Failure> {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let now = OffsetDateTime::from_unix_timestamp(now).map_err(|error| Failure::new(Exit::Internal, &error))?;
    let (year, month, day) = now.to_calendar_date();
    let (hour, minute, second) = now.to_hms();
    let day = u32::from(u8::from(month)) * 100 + u32::from(day);
    let time = (u32::from(hour) * 100 + u32::from(minute)) * 100 + u32::from(second);
    Ok(format!("{year}.{day}.{time}"))
}

#[cfg(test)]
mod tests {
    use semver::Version;

    use super::*;

    #[test]
    fn a_later_pack_has_a_higher_version() {
        // The last and the first second of a day, a month, a year; and both sides of nine and ten.
        let moments =
            [1_706_745_599, 1_706_745_600, 1_711_929_599, 1_711_929_600, 1_728_035_999, 1_735_689_599, 1_735_689_600];
        let versions: Vec<Version> =
            moments.iter().map(|at| Version::parse(&version_at(*at).unwrap()).unwrap()).collect();
        assert!(versions.is_sorted(), "{versions:?}");
        assert_eq!(versions.first().unwrap().to_string(), "2024.131.235959");
        assert_eq!(versions.last().unwrap().to_string(), "2025.101.0");
    }
}
