//! `vestibule policy test`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{BuildArguments, SearchArguments, about, components, open, read_text, recorded};
use crate::{
    cli::{
        output::{Exit, Failure, Output},
        replay::When,
    },
    policy::{self, CaseResult, Cases, Corpus, Engine, Properties, PropertyResult},
    recording::Range,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// Components (.wasm) with embedded cases or a folder NAME.cases beside them, or
    /// folders of policies, which are built first.
    #[arg(required = true, value_name = "DIR|FILE")]
    policies: Vec<PathBuf>,
    /// Show only what fails.
    #[arg(long)]
    quiet: bool,
    /// Check these properties, too, beside those that are embedded.
    #[arg(long, value_name = "FILE")]
    properties: Option<PathBuf>,
    /// Ask about what was recorded in real logins, too: the configuration file with `[recording]` (docs/replay.md).
    #[arg(long, value_name = "FILE")]
    recorded: Option<PathBuf>,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    search: SearchArguments,
    #[command(flatten)]
    build: BuildArguments,
}

/// How a component is tested.
pub(super) struct Testing<'a> {
    quiet: bool,
    more: Properties,
    corpus: Corpus,
    search: &'a SearchArguments,
}

impl<'a> Testing<'a> {
    /// All is shown, and only what is embedded is checked.
    pub(super) fn new(search: &'a SearchArguments) -> Self {
        Self { quiet: false, more: Properties::default(), corpus: Corpus::default(), search }
    }
}

/// What came of all policies.
#[derive(Default)]
pub(super) struct Report {
    passed: usize,
    failed: usize,
    texts: Vec<String>,
    policies: Vec<Value>,
    properties: usize,
    seed: u64,
}

pub(super) fn run(engine: &Engine, arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    let mut testing = Testing { quiet: arguments.quiet, ..Testing::new(&arguments.search) };
    if let Some(file) = &arguments.properties {
        testing.more = Properties::new(file.display().to_string(), read_text(file)?)
            .map_err(|error| Failure::new(Exit::Failed, &error))?;
    }
    let range = arguments.when.range();
    match &arguments.recorded {
        Some(config) => testing.corpus = recorded::read(config, range, output)?,
        None if range != Range::default() => {
            let message = "`--from` and `--to` are about what was recorded: `--recorded FILE` says where";
            return Err(Failure::text(Exit::CommandLine, message));
        }
        None => {}
    }
    let files = components(engine, &arguments.policies, &arguments.build, output)?;
    let mut report = Report::default();
    for file in files {
        report.test(engine, &file, &testing, output)?;
    }
    output.result(report.in_words(), &report.json());
    Ok(if report.ok() { Exit::Done } else { Exit::Failed })
}

impl Report {
    /// Tests one component.
    pub(super) fn test(
        &mut self,
        engine: &Engine,
        file: &Path,
        testing: &Testing<'_>,
        output: &Output,
    ) -> Result<(), Failure> {
        output.progress(&format!("testing {}", file.display()));
        let (component, bytes) = open(engine, file)?;
        let cases = Cases::of(&bytes, file).map_err(|error| about(file, &error))?;
        let results = policy::test(engine, &component, &cases).map_err(|error| about(file, &error))?;
        let embedded = Properties::embedded(&bytes).map_err(|error| about(file, &error))?;
        let mut checked = Vec::new();
        for properties in [&embedded, &testing.more] {
            let progress = |step: &str| output.progress(step);
            let search = testing.search.search();
            self.seed = search.seed;
            checked.extend(
                policy::check(engine, &component, &cases, properties, &testing.corpus, search, &progress)
                    .map_err(|error| about(file, &error))?,
            );
        }
        let passed = results.iter().map(CaseResult::passed).chain(checked.iter().map(PropertyResult::passed));
        let failed = passed.filter(|passed| !passed).count();
        self.passed += results.iter().filter(|result| result.passed()).count();
        self.properties += checked.iter().filter(|result| result.passed()).count();
        self.failed += failed;
        self.texts.push(tested_in_words(file, &results, testing.quiet) + &checked_in_words(&checked, testing.quiet));
        self.policies.push(json!({ "component": file, "ok": failed == 0, "cases": results, "properties": checked }));
        Ok(())
    }

    /// A policy without a single case has shown nothing.
    pub(super) const fn ok(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    pub(super) fn in_words(&self) -> String {
        let properties = match self.properties {
            0 => String::new(),
            many => format!(", {many} properties hold"),
        };
        let nothing = if self.passed + self.failed == 0 { ": without a case, a policy has shown nothing" } else { "" };
        let (texts, passed, failed) = (self.texts.join("\n\n"), self.passed, self.failed);
        format!("{texts}\n\n{passed} cases passed{properties}, {failed} failed{nothing}")
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "ok": self.ok(),
            "passed": self.passed,
            "failed": self.failed,
            "properties-passed": self.properties,
            "seed": self.seed,
            "policies": self.policies,
        })
    }
}

fn checked_in_words(results: &[PropertyResult], quiet: bool) -> String {
    let mut text = String::new();
    for result in results.iter().filter(|result| !(quiet && result.passed())) {
        let mark = if result.passed() { "ok    " } else { "FAILED" };
        text.push_str(&format!("\n  {mark}  {:9}  {}", "property", result.name));
        match (&result.problem, &result.counterexample) {
            (None, None) => {
                let recorded =
                    if result.recorded > 0 { format!(", {} of them recorded", result.recorded) } else { String::new() };
                text.push_str(&format!("  ({} of {} inputs{recorded})", result.applied, result.inputs));
            }
            (Some(problem), _) => {
                text.push_str(&format!("  ({}:{})\n            {problem}", result.file, result.line));
            }
            (None, Some(found)) => {
                let (file, line) = (&result.file, result.line);
                text.push_str(&format!("  ({file}:{line})\n            at {}: {}", found.hook, found.what));
                text.push_str(&format!("\n            the answer was {}", found.answer));
                text.push_str("\n            the smallest input that was found, as a case:\n\n");
                text.push_str(found.case.trim_end());
                text.push('\n');
            }
        }
    }
    text
}

fn tested_in_words(file: &Path, results: &[CaseResult], quiet: bool) -> String {
    let mut text = file.display().to_string();
    if results.is_empty() {
        text.push_str("\n  no cases");
    }
    for result in results.iter().filter(|result| !(quiet && result.passed())) {
        let mark = if result.passed() { "ok    " } else { "FAILED" };
        text.push_str(&format!("\n  {mark}  {:9}  {}", result.hook, result.name));
        if !result.passed() {
            text.push_str(&format!("  ({}:{})", result.file, result.line));
            for difference in &result.differences {
                text.push_str(&format!("\n            {difference}"));
            }
            if !result.answer.is_null() {
                text.push_str(&format!("\n            the answer was {}", result.answer));
            }
        }
    }
    text
}
