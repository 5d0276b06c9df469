//! The log: one line for each thing that an operator should know.
//!
//! Never in it: tokens, codes, cookies, passwords, query strings, email addresses, names.
//! Control characters that come in with a value are escaped, so that no value can forge a
//! line.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("failed to read the log's filter `{filter}`")]
    Filter {
        /// As configured.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// There is one already.
    #[error("failed to open the log")]
    Second(#[from] tracing_subscriber::util::TryInitError),
}

/// Opens the log on standard error, for the whole process, once.
///
/// # Errors
///
/// Where `filter` is malformed, or where there is a log already.
pub fn init(format: Format, filter: &str) -> Result<(), TelemetryError> {
    let filter =
        EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        Format::Human => registry.with(fmt::layer().with_writer(std::io::stderr).with_target(false)).try_init()?,
        Format::Json => {
            registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()?;
        }
    }
    Ok(())
}
