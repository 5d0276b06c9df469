//! Why a component could not be pushed or pulled.

/// Why a component could not be pushed or pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The text names no place in a registry.
    #[error("`{text}` is no reference: {problem}; expected HOST[:PORT]/NAME[:TAG][@sha256:DIGEST]")]
    Reference {
        /// The text.
        text: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The client could not be set up.
    #[error("failed to set up TLS: {0}")]
    Tls(String),
    /// The exchange failed.
    #[error("failed to reach {host}: {problem}")]
    Unreachable {
        /// Where.
        host: String,
        /// What happened.
        problem: String,
    },
    /// Nothing came for too long.
    #[error("{host} was silent for {seconds} s")]
    Silent {
        /// Where.
        host: String,
        /// How long.
        seconds: u64,
    },
    /// The registry wants somebody else, or somebody at all.
    #[error("{host} refuses: {problem}")]
    Unauthorized {
        /// Where.
        host: String,
        /// What it wants.
        problem: String,
    },
    /// There is no such thing.
    #[error("{what} is not there")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// Another answer than the distribution specification has.
    #[error("{what}: the registry answered {status}{problem}")]
    Status {
        /// What was asked for.
        what: String,
        /// The status.
        status: u16,
        /// The registry's own words, shortened.
        problem: String,
    },
    /// Led somewhere where nothing is fetched from.
    #[error("{what}: {problem}")]
    Redirect {
        /// What was asked for.
        what: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// More bytes than allowed, or than announced.
    #[error("{what} has more than {max} bytes")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// What it may have.
        max: u64,
    },
    /// Other bytes than those that were asked for.
    #[error("{what} is not what was asked for: expected {expected}, found {found}")]
    Digest {
        /// What was asked for.
        what: String,
        /// The digest that was asked for.
        expected: String,
        /// What came.
        found: String,
    },
    /// Not a component in the layout that is spoken here.
    #[error("{what} is no WebAssembly component: {problem}")]
    Layout {
        /// What was asked for.
        what: String,
        /// What is wrong.
        problem: String,
    },
}
