//! `vestibule replay`

mod html;

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    thread,
};

use clap::Args;

use super::output::{Exit, Failure, Output};
use crate::{
    clock::SystemClock,
    config::{self, Config, Recording},
    keys::KeyRing,
    recording::{Range, RecordingError},
    replay::{self, CandidateError, Options, Progress, ReplayError},
};

/// Exits with 0 where the candidate could be asked, whatever it would change (3 with `--fail-on-change`, where it
/// would decide anything otherwise); with 1 where the recording was cut or forged, nothing was recorded, or the
/// candidate's policies cannot be loaded.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The configuration file with `[recording]`.
    #[arg(long, default_value = "vestibule.toml", value_name = "FILE")]
    config: PathBuf,
    /// A configuration file (or a folder with a vestibule.toml); or a folder with NAME.wasm, NAME.toml or NAME.json
    /// in the place of the components and settings of the configuration's policies.
    #[arg(long, value_name = "DIR|FILE")]
    candidate: PathBuf,
    #[command(flatten)]
    when: When,
    /// Also write the report as a page of its own.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How many cores ask the candidate [default: all].
    #[arg(long, value_name = "NUMBER")]
    threads: Option<NonZeroUsize>,
    /// Leave out what was cut or forged, and count it.
    #[arg(long)]
    skip_damaged: bool,
    /// At most so many people of each row are named; 0 names nobody.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    names: usize,
    /// Exit with 3 where the candidate would decide anything otherwise, or a policy of it would fail.
    #[arg(long)]
    fail_on_change: bool,
}

/// From when to when.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct When {
    /// The first day (2026-11-29) or moment (2026-11-29T08:00:00Z) [default: all that is there].
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// The last day or moment, which belongs to it.
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
}

impl When {
    pub(super) fn range(self) -> Range {
        Range { from: self.from.map(|from| from.begin), to: self.to.map(|to| to.end) }
    }
}

/// A day or a moment: its first second, and the second after its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    begin: u64,
    end: u64,
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (moment, length) =
            if text.contains('T') { (text.to_owned(), 1) } else { (format!("{text}T00:00:00Z"), 86_400) };
        let parsed = time::OffsetDateTime::parse(&moment, &time::format_description::well_known::Rfc3339);
        let begin = parsed.ok().and_then(|at| u64::try_from(at.unix_timestamp()).ok());
        let begin = begin.ok_or("expected a day (2026-11-29) or a moment (2026-11-29T08:00:00Z)")?;
        Ok(Self { begin, end: begin.saturating_add(length) })
    }
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    let (config, recording, keys) = open(&arguments.config)?;
    let range = arguments.when.range();
    if range.from.zip(range.to).is_some_and(|(from, to)| from >= to) {
        return Err(Failure::text(Exit::CommandLine, "`--from` is later than `--to`"));
    }
    output.progress("loading the candidate");
    let candidate = replay::read(&arguments.config, &arguments.candidate).map_err(refused)?;
    let threads = arguments.threads.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let generation = replay::load(candidate, threads.get()).map_err(refused)?;
    let options = Options {
        recording: &recording.directory,
        range,
        threads,
        skip_damaged: arguments.skip_damaged,
        names_max: arguments.names,
        protected: protected(&config),
        progress: &|progress| output.progress(&told(progress)),
    };
    let report = replay::run(&keys, &generation, &options).map_err(|error| failure(&error))?;
    if report.counts.decisions == 0 {
        // A report of nothing would read as if nothing changed for anybody.
        let message = format!(
            "nothing was asked: the recording in {} has no decision of this period (the audit log has every login)",
            recording.directory.display()
        );
        return Err(Failure::text(Exit::Failed, message));
    }
    if let Some(path) = &arguments.html {
        fs::write(path, html::page(&report))
            .map_err(|error| Failure::text(Exit::File, format!("failed to write {}: {error}", path.display())))?;
    }
    let exit = if arguments.fail_on_change && !report.same { Exit::Changed } else { Exit::Done };
    let mut json = serde_json::to_value(&report).unwrap_or_default();
    if let Some(members) = json.as_object_mut() {
        members.shift_insert(0, "ok".to_owned(), (exit == Exit::Done).into());
    }
    output.result(&report, &json);
    Ok(exit)
}

/// The configuration, where its recording is, and what opens that.
pub(super) fn open(path: &Path) -> Result<(Config, Recording, KeyRing), Failure> {
    let config = config::load(path).map_err(Failure::of_configuration)?;
    let Some(recording) = config.recording.clone() else {
        let message = format!("{} has no [recording]: nothing was recorded", path.display());
        return Err(Failure::text(Exit::Configuration, message));
    };
    let keys = KeyRing::open(&config.keys, Arc::new(SystemClock)).map_err(|error| Failure::new(Exit::File, &error))?;
    Ok((config, recording, keys))
}

fn protected(config: &Config) -> BTreeMap<String, std::collections::BTreeSet<String>> {
    config.applications.iter().map(|(id, application)| (id.clone(), application.protected_groups.clone())).collect()
}

fn told(Progress { decisions, elapsed, is_over }: Progress) -> String {
    let rate = Progress { decisions, elapsed, is_over }.rate();
    let seconds = elapsed.as_secs_f64();
    let what = if is_over { "asked anew" } else { "asked so far" };
    format!("{decisions} decisions {what} in {seconds:.1} s, {rate:.0} a second")
}

fn refused(error: CandidateError) -> Failure {
    match error {
        CandidateError::Configuration(problems) => Failure::of_configuration(problems),
        CandidateError::File { .. } => Failure::new(Exit::File, &error),
        _ => Failure::new(Exit::Failed, &error),
    }
}

fn failure(error: &ReplayError) -> Failure {
    let exit = match error {
        ReplayError::Damaged { .. } => Exit::Failed,
        ReplayError::Recording(RecordingError::File { .. }) => Exit::File,
        _ => Exit::Internal,
    };
    Failure::new(exit, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_all_of_it_and_a_moment_a_second() {
        let day: Moment = "2026-11-29".parse().unwrap();
        assert_eq!((day.begin, day.end), (1_795_910_400, 1_795_996_800));
        let moment: Moment = "2026-11-29T00:00:01Z".parse().unwrap();
        assert_eq!((moment.begin, moment.end), (1_795_910_401, 1_795_910_402));
        let elsewhere: Moment = "2026-11-29T01:00:01+01:00".parse().unwrap();
        assert_eq!(elsewhere, moment);
        for wrong in ["", "yesterday", "2026-13-01", "2026-11-29T25:00:00Z", "2026-11-29T00:00:00", "1969-12-31"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn says_how_far_it_is() {
        let progress = Progress { decisions: 500, elapsed: std::time::Duration::from_secs(2), is_over: false };
        assert_eq!(told(progress), "500 decisions asked so far in 2.0 s, 250 a second");
    }
}
