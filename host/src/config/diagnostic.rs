//! What is wrong with a configuration: where, what was found, what was expected. For a
//! person as annotated source, for a program as JSON. Never shows a secret.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is taken, and this is worth a look.
    Warning,
}

/// One problem of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The configuration file.
    pub file: PathBuf,
    /// The line, from 1; none where the problem has no place in the file.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// The key's path, such as `upstreams.main.issuer`; empty where it is no key's.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What the file says there; none where it says nothing, or says a secret.
    pub found: Option<String>,
    /// What would be right.
    pub expected: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    #[serde(skip)]
    pub(super) span: Option<Range<usize>>,
}

/// A problem of a text that is no configuration.
#[derive(Clone, Debug, Default)]
pub struct TextProblem {
    /// The key's path; empty where it is no key's.
    pub key: String,
    /// Where in the text, in bytes.
    pub span: Option<Range<usize>>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub expected: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    fn in_line(&self) -> String {
        let mut text = self.file.display().to_string();
        for number in [self.line, self.column].into_iter().flatten() {
            text.push_str(&format!(":{number}"));
        }
        text.push_str(": ");
        if !self.key.is_empty() {
            text.push_str(&format!("{}: ", self.key));
        }
        text.push_str(&self.message);
        for (what, more) in [("expected ", &self.expected), ("", &self.hint)] {
            if let Some(more) = more {
                text.push_str(&format!("; {what}{more}"));
            }
        }
        text
    }
}

/// The first line of what stands at a place, if it is short enough to be shown.
fn excerpt(text: &str) -> Option<String> {
    const CHARACTERS_MAX: usize = 80;
    let line = text.lines().next().unwrap_or_default().trim_end();
    (!line.is_empty() && line.chars().count() <= CHARACTERS_MAX).then(|| line.to_owned())
}

/// Every problem of a configuration, in the order of the file.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Diagnostics {
    problems: Vec<Diagnostic>,
    /// What has them, where it is no configuration.
    #[serde(skip)]
    of: &'static str,
    /// The file's text with the secrets blacked out.
    #[serde(skip)]
    source: Arc<str>,
}

impl Diagnostics {
    pub(super) fn new(mut problems: Vec<Diagnostic>, source: Arc<str>) -> Self {
        problems.sort_by_key(|problem| {
            (problem.severity == Severity::Warning, problem.span.as_ref().map_or(0, |span| span.start))
        });
        Self { problems, of: "", source }
    }

    /// One problem that has no place in the file.
    pub(super) fn of_file(file: &Path, message: String, hint: &str) -> Self {
        let problem = Diagnostic {
            severity: Severity::Error,
            file: file.to_owned(),
            line: None,
            column: None,
            key: String::new(),
            message,
            found: None,
            expected: None,
            hint: Some(hint.to_owned()),
            span: None,
        };
        Self { problems: vec![problem], of: "", source: Arc::from("") }
    }

    /// Problems of a file that is no configuration, called `of`, and has no secrets. Their places, and what was found
    /// there, are read from `source`, the file's text.
    #[must_use]
    pub fn of_text(of: &'static str, file: &Path, source: &str, problems: Vec<TextProblem>) -> Self {
        let diagnostic = |problem: TextProblem| {
            let place = problem.span.as_ref().map(|span| position(source, span.start));
            let found = problem.span.clone().and_then(|span| source.get(span)).and_then(excerpt);
            Diagnostic {
                severity: Severity::Error,
                file: file.to_owned(),
                line: place.map(|(line, _)| line),
                column: place.map(|(_, column)| column),
                key: problem.key,
                message: problem.message,
                found,
                expected: problem.expected,
                hint: problem.hint,
                span: problem.span,
            }
        };
        let problems = problems.into_iter().map(diagnostic).collect();
        Self { of, ..Self::new(problems, Arc::from(source)) }
    }

    /// How many errors there are.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// The problems, a line each: `FILE:LINE:COLUMN: KEY: what is wrong; expected …`.
    #[must_use]
    pub fn in_lines(&self) -> String {
        let lines: Vec<String> = self.problems.iter().map(Diagnostic::in_line).collect();
        lines.join("\n")
    }

    /// The problems, errors before warnings.
    #[must_use]
    pub fn problems(&self) -> &[Diagnostic] {
        &self.problems
    }

    /// Is there nothing to say?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The problems as annotated source, for a person; with colours for a terminal.
    #[must_use]
    pub fn render(&self, colours: bool) -> String {
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for problem in &self.problems {
            text.push_str(&renderer.render(&[self.group(problem)]));
            text.push_str("\n\n");
        }
        let errors = self.errors();
        if errors > 0 {
            let plural = if errors == 1 { "" } else { "s" };
            let of = if self.of.is_empty() { "the configuration" } else { self.of };
            text.push_str(&format!("{of} has {errors} error{plural}"));
        }
        text.trim_end().to_owned()
    }

    fn group<'a>(&'a self, problem: &'a Diagnostic) -> Group<'a> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = if problem.key.is_empty() {
            problem.message.clone()
        } else {
            format!("{}: {}", problem.key, problem.message)
        };
        let mut group = Group::with_title(level.primary_title(title));
        if let Some(span) = problem.span.clone() {
            let label = problem.expected.as_ref().map(|expected| format!("expected {expected}"));
            group = group.element(
                Snippet::source(&*self.source)
                    .path(problem.file.display().to_string())
                    .annotation(AnnotationKind::Primary.span(span).label(label)),
            );
        } else if let Some(expected) = &problem.expected {
            group = group.element(Level::NOTE.message(format!("expected {expected}")));
        }
        if let Some(hint) = &problem.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        group
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// Line and column (in characters) of a byte offset, both from 1.
pub(super) fn position(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1;
    (line, column)
}

/// `source` with every byte of `spans` blacked out; lengths stay, so that spans still fit.
pub(super) fn black_out(source: &str, spans: &[Range<usize>]) -> String {
    let mut bytes = source.as_bytes().to_vec();
    for span in spans {
        for byte in bytes.get_mut(span.clone()).unwrap_or_default() {
            if *byte != b'\n' && *byte != b'\r' {
                *byte = b'*';
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
