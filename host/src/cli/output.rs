//! Where the command line prints: results on standard output, everything else on standard
//! error.

use std::{
    error::Error,
    fmt,
    io::{self, IsTerminal as _, Write as _},
};

use serde_json::{Value, json};

use crate::config::Diagnostics;

/// How a command ends. `vestibule --help` documents the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Done = 0,
    /// A check, a test or a verification failed.
    Failed = 1,
    /// The command line is wrong.
    CommandLine = 2,
    /// Something would change, and was to be told by this.
    Changed = 3,
    /// The configuration is refused.
    Configuration = 64,
    /// Something that is needed is not there.
    Unavailable = 69,
    /// A fault of Vestibule itself.
    Internal = 70,
    /// A file cannot be read or written.
    File = 74,
}

/// Why a command could not do what it was asked for.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    message: String,
    /// What is wrong with the configuration, where it is that.
    configuration: Option<Diagnostics>,
    /// What is wrong, each with its place, for a program.
    problems: Value,
    /// The same for a person, where there is more to see than the message.
    shown: Option<Diagnostics>,
}

impl Failure {
    /// A failure with its causes, the outermost first.
    pub(super) fn new(exit: Exit, error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Transparent errors repeat what they wrap.
            if !message.ends_with(&cause_text) {
                message.push_str(": ");
                message.push_str(&cause_text);
            }
            source = cause.source();
        }
        Self { exit, message, configuration: None, problems: Value::Null, shown: None }
    }

    /// The configuration is refused.
    pub(super) fn of_configuration(problems: Diagnostics) -> Self {
        Self {
            exit: Exit::Configuration,
            message: String::new(),
            configuration: Some(problems),
            problems: Value::Null,
            shown: None,
        }
    }

    /// A failure in words.
    pub(super) fn text(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), configuration: None, problems: Value::Null, shown: None }
    }

    /// What is wrong, each with its place: a line or more for a person, a list for a program.
    pub(super) fn of_problems(exit: Exit, problems: &[impl fmt::Display + serde::Serialize]) -> Self {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Self { problems: json!(problems), ..Self::text(exit, lines.join("\n")) }
    }

    /// What is wrong with a file that is no configuration: annotated source for a person, a list for a program.
    pub(super) fn of_text(exit: Exit, problems: &Diagnostics) -> Self {
        let shown = Some(problems.clone());
        Self { problems: json!(problems.problems()), shown, ..Self::text(exit, problems.in_lines()) }
    }
}

/// Text for a person, or JSON for a program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// The command's result: `text`, or one line of JSON.
    pub(super) fn result(&self, text: impl fmt::Display, json: &Value) {
        let line = if self.json { json.to_string() } else { text.to_string() };
        // Who closes the pipe wants no more of it.
        let _ = writeln!(io::stdout(), "{line}");
    }

    /// What is being done, while it takes its time. For a person only.
    pub(super) fn progress(&self, message: &str) {
        if !self.json {
            let _ = writeln!(io::stderr(), "{message} …");
        }
    }

    /// What happened while something runs: on standard error, a line or a line of JSON.
    pub(super) fn event(&self, whose: &str, event: &(impl fmt::Display + serde::Serialize)) {
        if self.json {
            let _ = writeln!(io::stderr(), "{}", json!({ "of": whose, "event": event }));
        } else {
            let _ = writeln!(io::stderr(), "  {whose}: {event}");
        }
    }

    /// Why the command failed.
    pub(super) fn failure(&self, failure: &Failure) {
        let _ = match (&failure.configuration, self.json) {
            (Some(problems), true) => writeln!(io::stdout(), "{}", json!({ "ok": false, "configuration": problems })),
            (Some(problems), false) => writeln!(io::stderr(), "{}", problems.render(io::stderr().is_terminal())),
            (None, true) if failure.problems.is_null() => {
                writeln!(io::stdout(), "{}", json!({ "ok": false, "error": failure.message }))
            }
            (None, true) => {
                let json = json!({ "ok": false, "error": failure.message, "problems": failure.problems });
                writeln!(io::stdout(), "{json}")
            }
            (None, false) => match &failure.shown {
                Some(shown) => writeln!(io::stderr(), "{}", shown.render(io::stderr().is_terminal())),
                None => writeln!(io::stderr(), "error: {}", failure.message),
            },
        };
    }

    /// Does a person look at standard output, in colour?
    pub(super) fn colours(&self) -> bool {
        !self.json && io::stdout().is_terminal()
    }
}

/// Columns, each as wide as its widest cell. The last one is not padded.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_a_table() {
        let rows = [vec!["a".to_owned(), "bb".to_owned()], vec!["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(table(&rows), "a    bb\nccc  d");
    }

    #[test]
    fn tells_every_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("failed to read {path}")]
        struct Outer {
            path: &'static str,
            source: io::Error,
        }
        let error = Outer { path: "a.toml", source: io::Error::other("no such thing") };
        assert_eq!(Failure::new(Exit::File, &error).message, "failed to read a.toml: no such thing");
    }
}
