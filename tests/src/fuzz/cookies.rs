//! `Cookie` headers.

use std::sync::Arc;

use url::Url;
use vestibule::{
    config::Session,
    keys::KeyRing,
    session::{Jar, Slot},
};

use super::{Target, config, keys};

/// A session's cookie, in two pieces. In an input the bytes 1 and 2 stand for the pieces as they were set: their
/// values differ from process to process, and no corpus could have them.
pub struct Cookies {
    keys: Arc<KeyRing>,
    session: Session,
    slot: Slot,
    value: String,
    pieces: Vec<String>,
}

impl Cookies {
    /// A cookie of new keys.
    #[expect(clippy::new_without_default, reason = "it makes keys")]
    #[must_use]
    pub fn new() -> Self {
        let (keys, session) = (keys(), config().session);
        let origin = Url::parse("https://app.example.com/").expect("an origin");
        let slot = Slot::session(&session, &origin, "jira");
        let value = "long enough for two cookies. ".repeat(150);
        let set = slot.seal(&keys, &Jar::default(), &value, None).expect("it can be sealed");
        let pieces: Vec<String> =
            set.iter().map(|cookie| cookie.as_str().split(';').next().unwrap_or_default().to_owned()).collect();
        assert_eq!(pieces.len(), 2, "{pieces:?}");
        Self { keys, session, slot, value, pieces }
    }

    fn header(&self, data: &[u8]) -> Vec<u8> {
        let mut header = Vec::with_capacity(data.len());
        for byte in data {
            match byte {
                1 => header.extend_from_slice(self.pieces[0].as_bytes()),
                2 => header.extend_from_slice(self.pieces[1].as_bytes()),
                other => header.push(*other),
            }
        }
        header
    }
}

impl Target for Cookies {
    fn name(&self) -> &'static str {
        "cookies"
    }

    fn take(&self, data: &[u8]) -> bool {
        let header = self.header(data);
        let Ok(jar) = Jar::parse([header.as_slice()]) else { return false };
        // The cookie of another application, or of another host, is none here.
        for (origin, application) in [("https://app.example.com/", "wiki"), ("https://evil.example/", "jira")] {
            let other = Slot::session(&self.session, &Url::parse(origin).expect("an origin"), application);
            assert!(!matches!(other.open::<String>(&self.keys, &jar), Ok(Some(_))), "a cookie opened elsewhere");
        }
        match self.slot.open::<String>(&self.keys, &jar) {
            Ok(Some(value)) => {
                assert_eq!(value, self.value, "a value that nobody sealed");
                true
            }
            Ok(None) | Err(_) => false,
        }
    }
}
