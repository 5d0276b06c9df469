//! `vestibule factors`: beside a running gateway, too.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::output::{Exit, Failure, Output, table};
use crate::{
    clock::{Clock as _, SystemClock},
    config,
    factor::{Enrolled, FactorError, Factors, Removed, Whose},
    keys::KeyRing,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Who has a second factor.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Take a second factor away, so that its subject sets up a new one at the next demand. Make sure who asks for it.
    Reset {
        #[command(flatten)]
        place: Place,
        /// The subject, as `list` shows it.
        subject: String,
        /// The subject's issuer; needed only where two issuers have such a subject.
        #[arg(long, value_name = "URL")]
        issuer: Option<String>,
    },
    /// Take one passkey away. With a subject's last means of proof, the whole second factor goes.
    RemovePasskey {
        #[command(flatten)]
        place: Place,
        /// The subject, as `list` shows it.
        subject: String,
        /// The passkey's name, as `list` shows it, or its ID.
        passkey: String,
        /// The subject's issuer; needed only where two issuers have such a subject.
        #[arg(long, value_name = "URL")]
        issuer: Option<String>,
    },
}

#[derive(Args, Debug)]
pub(super) struct Place {
    /// The configuration that names the file and the key ring.
    #[arg(long, value_name = "FILE", default_value = "vestibule.toml")]
    config: PathBuf,
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::List { place } => list(&open(place)?, output),
        Command::Reset { place, subject, issuer } => reset(&open(place)?, subject, issuer.as_deref(), output),
        Command::RemovePasskey { place, subject, passkey, issuer } => {
            remove_passkey(&open(place)?, subject, issuer.as_deref(), passkey, output)
        }
    }
}

fn open(place: &Place) -> Result<Factors, Failure> {
    let config = config::load(&place.config).map_err(Failure::of_configuration)?;
    let Some(second_factor) = &config.second_factor else {
        return Err(Failure::text(Exit::Configuration, "the configuration has no `[second-factor]`"));
    };
    let keys = KeyRing::open(&config.keys, Arc::new(SystemClock)).map_err(|error| Failure::new(Exit::File, &error))?;
    Factors::open(&second_factor.file, Arc::new(keys)).map_err(|error| failed(&error))
}

fn list(factors: &Factors, output: &Output) -> Result<Exit, Failure> {
    let enrolled = factors.list().map_err(|error| failed(&error))?;
    let now = SystemClock.now();
    let heading = ["SUBJECT", "ISSUER", "SET UP", "LAST PASSED", "APP", "PASSKEYS", "RECOVERY CODES", "LOCKED"]
        .map(str::to_owned);
    let rows: Vec<Vec<String>> =
        std::iter::once(heading.to_vec()).chain(enrolled.iter().map(|it| row(it, now))).collect();
    output.result(table(&rows), &json!({ "ok": true, "factors": enrolled }));
    Ok(Exit::Done)
}

fn row(known: &Enrolled, now: u64) -> Vec<String> {
    let locked = if now < known.locked_until { time(known.locked_until) } else { "no".to_owned() };
    let app = if known.totp { "yes" } else { "no" };
    let names: Vec<&str> = known.passkeys.iter().map(|passkey| passkey.name.as_str()).collect();
    let passkeys = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let (subject, issuer) = (known.subject.clone(), known.issuer.clone());
    let (enrolled, passed) = (time(known.enrolled), time(known.passed));
    vec![subject, issuer, enrolled, passed, app.to_owned(), passkeys, known.recovery_codes.to_string(), locked]
}

/// RFC 3339, in UTC.
fn time(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| seconds.to_string())
}

/// The one factor of a subject.
fn find(factors: &Factors, subject: &str, issuer: Option<&str>) -> Result<Enrolled, Failure> {
    let enrolled = factors.list().map_err(|error| failed(&error))?;
    let fits = |it: &Enrolled| it.subject == subject && issuer.is_none_or(|issuer| it.issuer == issuer);
    let mut found: Vec<Enrolled> = enrolled.into_iter().filter(fits).collect();
    match (found.pop(), found.len()) {
        (Some(found), 0) => Ok(found),
        (None, _) => Err(Failure::text(Exit::Failed, "no such subject has a second factor")),
        (Some(_), others) => {
            let many = others + 1;
            Err(Failure::text(Exit::Failed, format!("{many} issuers have such a subject: name one with `--issuer`")))
        }
    }
}

fn reset(factors: &Factors, subject: &str, issuer: Option<&str>, output: &Output) -> Result<Exit, Failure> {
    let found = find(factors, subject, issuer)?;
    let whose = Whose { issuer: &found.issuer, subject: &found.subject };
    if !factors.reset(whose, SystemClock.now()).map_err(|error| failed(&error))? {
        return Err(Failure::text(Exit::Failed, "no such subject has a second factor"));
    }
    output.result(
        format!("{} of {} has no second factor any more", found.subject, found.issuer),
        &json!({ "ok": true, "subject": found.subject, "issuer": found.issuer }),
    );
    Ok(Exit::Done)
}

fn remove_passkey(
    factors: &Factors,
    subject: &str,
    issuer: Option<&str>,
    called: &str,
    output: &Output,
) -> Result<Exit, Failure> {
    let found = find(factors, subject, issuer)?;
    let missing = || Failure::text(Exit::Failed, "the subject has no such passkey");
    let name = found.passkey(called).ok_or_else(missing)?.name.clone();
    let whose = Whose { issuer: &found.issuer, subject: &found.subject };
    let removed = factors.remove_passkey(whose, called, true, SystemClock.now()).map_err(|error| failed(&error))?;
    let is_last = match removed {
        Removed::Nothing => return Err(missing()),
        Removed::Passkey => false,
        Removed::Factor => true,
    };
    let further = if is_last { ", and so no second factor any more" } else { "" };
    output.result(
        format!("{} of {} has no passkey {name:?} any more{further}", found.subject, found.issuer),
        &json!({
            "ok": true, "subject": found.subject, "issuer": found.issuer, "passkey": name, "factor-removed": is_last,
        }),
    );
    Ok(Exit::Done)
}

fn failed(error: &FactorError) -> Failure {
    Failure::new(Exit::File, error)
}
