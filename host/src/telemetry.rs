//! The log: what the gateway says about itself while it runs, on standard error. It is for
//! the operator; decisions are on record in the audit, not here.
//!
//! A line is one line: whatever a value holds, control characters are escaped, so that
//! nobody forges a line or speaks to the operator's terminal. What belongs to a request
//! carries its id, by the span `request` in which it happened. Secrets, tokens, codes,
//! cookies and personal data are not written in the first place; nothing here can take them
//! out again.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::ParseError,
    fmt::{MakeWriter, layer},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For a person.
    #[default]
    Human,
    /// One JSON object.
    Json,
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("failed to read the log filter: {0}")]
    Filter(#[from] ParseError),
    /// Something else in this process has set up a log.
    #[error("failed to set up the log: there is one already")]
    Installed,
}

/// Sends the log of this process to standard error.
///
/// # Errors
///
/// Where `filter` is not one (as in `RUST_LOG`), or where there is a log already.
pub fn init(format: Format, filter: &str) -> Result<(), TelemetryError> {
    subscriber(format, filter, io::stderr)?.try_init().map_err(|_| TelemetryError::Installed)
}

/// A log that goes to `writer`.
///
/// # Errors
///
/// Where `filter` is not one.
pub fn subscriber<W>(format: Format, filter: &str, writer: W) -> Result<impl Subscriber + Send + Sync, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // The watch's library tells of folders that went away, which is nobody's concern; that of passkeys
    // tells what an authenticator sent, and why it is refused is on record.
    let quiet = ["notify", "webauthn_rs", "webauthn_rs_core"].iter().filter(|name| !filter.contains(**name));
    let quiet: String = quiet.map(|name| format!(",{name}=off")).collect();
    let filter = EnvFilter::builder().parse(format!("{filter}{quiet}"))?;
    // Colours would be control characters among those that we escape.
    let lines = layer().with_ansi(false).with_writer(OneLine(writer));
    let lines = match format {
        Format::Human => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(true).boxed(),
    };
    Ok(tracing_subscriber::registry().with(filter).with(lines))
}

/// Makes writers that keep a line one line.
struct OneLine<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for OneLine<W> {
    type Writer = OneLineWriter<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        OneLineWriter(self.0.make_writer())
    }
}

struct OneLineWriter<W>(W);

impl<W: Write> Write for OneLineWriter<W> {
    /// `line` is a whole line with its end: that is how the formatters write.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(escape(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// `line` with every control character but its own end as `\n` or `\u0000`: escapes that
/// JSON reads, too.
fn escape(line: &str) -> String {
    let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
    let mut escaped = String::with_capacity(line.len() + end.len());
    for character in line.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            _ if character.is_control() || is_invisible(character) => {
                let _infallible = write!(escaped, "\\u{:04x}", u32::from(character));
            }
            _ => escaped.push(character),
        }
    }
    escaped.push_str(end);
    escaped
}

/// Line and paragraph separators, and what turns the direction of writing: a terminal or a
/// viewer would show another line than was written.
const fn is_invisible(character: char) -> bool {
    matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn captured(format: Format, filter: &str, run: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = subscriber(format, filter, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, run);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const HOSTILE: &str = "a\nb\r\x1b[31mred\x1b]0;title\x07\u{9b}1m\u{7f}\u{2028}\u{202e}\0\tü";

    #[test]
    fn a_value_forges_no_line_and_does_not_speak_to_the_terminal() {
        for format in [Format::Human, Format::Json] {
            let text = captured(format, "info", || {
                let span = tracing::info_span!("request", id = HOSTILE, debug = ?HOSTILE);
                let _entered = span.enter();
                tracing::info!(display = %HOSTILE, plain = HOSTILE, error = %io::Error::other(HOSTILE), "{HOSTILE}");
            });
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            let line = text.strip_suffix('\n').unwrap();
            assert!(line.chars().all(|c| !c.is_control() && !is_invisible(c)), "{line:?}");
            assert!(line.contains('ü'), "what is no control character stays");
        }
    }

    #[test]
    fn a_json_line_is_one_object_with_the_request_that_it_belongs_to() {
        let text = captured(Format::Json, "info", || {
            let span = tracing::info_span!("request", id = "r-1", method = "GET");
            let _entered = span.enter();
            tracing::warn!(upstream = "main", "hostile {HOSTILE}");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["upstream"], "main");
        assert_eq!(line["spans"][0]["id"], "r-1");
        assert!(line["message"].as_str().unwrap().starts_with("hostile a\nb"), "{line}");
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn a_human_line_names_the_request() {
        let text = captured(Format::Human, "info", || {
            let span = tracing::info_span!("request", id = "r-1");
            let _entered = span.enter();
            tracing::info!("hello");
        });
        assert!(text.contains("request{id=\"r-1\"}") && text.contains("hello"), "{text}");
    }

    #[test]
    fn the_filter_decides_what_is_written() {
        let run = || {
            tracing::info!(target: "vestibule::login", "one");
            tracing::debug!(target: "vestibule::login", "two");
            tracing::debug!(target: "vestibule::http", "three");
        };
        let text = captured(Format::Human, "info,vestibule::login=debug", run);
        assert!(text.contains("one") && text.contains("two") && !text.contains("three"), "{text}");
        assert_eq!(captured(Format::Human, "off", run), "");
        assert!(matches!(subscriber(Format::Human, "a=b=c", io::stderr), Err(TelemetryError::Filter(_))));
    }
}
