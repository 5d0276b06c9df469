//! Where a browser asks to be sent, and what it asks for.

use url::Url;
use vestibule::{
    config::{Application, Config},
    downstream::CanonicalPath,
    login::read_target,
};

use super::{Target, config};

/// `rd`, `return_to` and the like, as an application's login takes them.
pub struct RedirectTargets {
    config: Config,
    base: Url,
}

impl RedirectTargets {
    /// An application with two hosts of its own and a domain to which it may lead.
    #[expect(clippy::new_without_default, reason = "it reads files")]
    #[must_use]
    pub fn new() -> Self {
        Self { config: config(), base: Url::parse("https://app.example.com/").expect("an origin") }
    }

    fn application(&self) -> &Application {
        &self.config.applications["jira"]
    }
}

impl Target for RedirectTargets {
    fn name(&self) -> &'static str {
        "redirect_targets"
    }

    fn take(&self, data: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(data) else { return false };
        let Some(url) = read_target(self.application(), &self.base, text) else { return false };
        let sent = url.as_str();
        assert!(sent.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'), "{sent:?} from {text:?}");
        // A second reader with another parser, as a proxy or an older client has, must see the same host.
        let second: http::Uri = sent.parse().unwrap_or_else(|error| panic!("{error}: {sent:?} from {text:?}"));
        let authority = second.authority().unwrap_or_else(|| panic!("no authority in {sent:?} from {text:?}"));
        let host = authority.host();
        assert_eq!(Some(host), url.host_str(), "two readings of {sent:?} from {text:?}");
        assert!(!authority.as_str().contains('@'), "{sent:?} from {text:?}");
        let own = ["app.example.com", "wiki.example.com"].contains(&host) && authority.port().is_none();
        assert!(own || host.ends_with(".partner.example"), "{host} is not allowed: {sent:?} from {text:?}");
        assert_eq!(second.scheme_str(), Some("https"), "{sent:?} from {text:?}");
        // What came out is taken again, as itself.
        let again = read_target(self.application(), &self.base, sent);
        assert_eq!(again.as_ref().map(Url::as_str), Some(sent), "from {text:?}");
        true
    }
}

/// Request targets, as access is decided about them.
pub struct Paths;

impl Target for Paths {
    fn name(&self) -> &'static str {
        "paths"
    }

    fn take(&self, data: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(data) else { return false };
        let Ok(path) = CanonicalPath::of(text) else { return false };
        let canonical = path.as_str();
        assert!(canonical.starts_with('/'), "{canonical:?} from {text:?}");
        assert!(!canonical.contains("//"), "{canonical:?} from {text:?}");
        let mut segments = canonical.split('/');
        assert!(segments.all(|segment| !matches!(segment, "." | "..")), "{canonical:?} from {text:?}");
        assert!(!canonical.bytes().any(|byte| matches!(byte, b'?' | b'#' | b'\\' | 0..=31 | 127)), "{canonical:?}");
        // A browser's reading, decoded, is the same, where it has one: it keeps empty segments.
        let browser =
            Url::parse("https://app.example.com/").and_then(|base| base.join(&format!(".{}", path.received())));
        if let Ok(browser) = browser
            && !path.received().contains("//")
            && !path.received().split('/').any(is_drive)
        {
            let decoded = decode(browser.path());
            assert_eq!(decoded, decode(canonical), "two readings of {text:?}");
        }
        true
    }
}

/// The `url` crate takes `a:` for the drive of a file system, from which no `..` leads away, whatever the scheme; browsers
/// do so for `file:` alone (WHATWG URL, *shorten a URL's path*).
fn is_drive(segment: &str) -> bool {
    matches!(segment.as_bytes(), [letter, b':' | b'|'] if letter.is_ascii_alphabetic())
}

fn decode(path: &str) -> Option<String> {
    percent_encoding::percent_decode_str(path).decode_utf8().ok().map(Into::into)
}
