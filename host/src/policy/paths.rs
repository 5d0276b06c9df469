//! For which paths a policy is asked at `access`.
//!
//! A filter before the policy, not a decision: it may ask once too often, never too seldom.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use percent_encoding::percent_decode_str;

use super::{
    error::ManifestError,
    manifest::{Manifest, path_patterns},
};

/// The paths of a manifest and of the settings that it points to.
#[derive(Debug)]
pub(crate) struct AccessPaths {
    /// `access-paths`, written by the policy's author.
    written: GlobSet,
    /// `access-paths-from-settings`, written by an operator. In lower case.
    named: GlobSet,
}

impl AccessPaths {
    /// Compiles `manifest.access_paths` and the `named` patterns of the settings.
    ///
    /// In the latter `*` stands for any text, a slash too, and `/x/*` means `/x` as well.
    /// Both are compared without case, without `;parameters` and without a slash at the end: an
    /// application may read a path so, and then the policy must have been asked. What a URL has to
    /// escape may stand in a pattern as itself. Every other difference in spelling is gone from a
    /// path before anybody is asked about it ([`crate::decision::AccessRequest::path`]).
    pub(crate) fn new(manifest: &Manifest, named: &[String]) -> Result<Self, ManifestError> {
        let mut globs = GlobSetBuilder::new();
        for pattern in named {
            let folder = pattern.strip_suffix("/**").or_else(|| pattern.strip_suffix("/*"));
            for text in [Some(pattern.as_str()), folder].into_iter().flatten().filter(|text| !text.is_empty()) {
                let text = text.to_lowercase();
                let literal: Vec<_> = text.split('*').map(globset::escape).collect();
                let glob = GlobBuilder::new(&literal.join("*")).build();
                globs.add(glob.map_err(|error| refuse(&error))?);
            }
        }
        // As they stand, too: `[!A-Z]` in lower case is less.
        let lower = manifest.access_paths.iter().map(|pattern| pattern.to_lowercase());
        let written: Vec<_> = manifest.access_paths.iter().cloned().chain(lower).collect();
        Ok(Self { written: path_patterns(&written)?, named: globs.build().map_err(|error| refuse(&error))? })
    }

    /// Is the policy to be asked about `path`?
    pub(crate) fn cover(&self, path: &str) -> bool {
        if self.written.is_empty() && self.named.is_empty() {
            return false;
        }
        let is_match = |path: &str| self.written.is_match(path) || self.named.is_match(path);
        let covers = |path: &str| {
            let bare = path.trim_end_matches('/');
            is_match(path) || bare.len() < path.len() && is_match(bare)
        };
        // A path is asked about once for each way to read it, and most have one only.
        let covers = |path: &str| covers(path) || path.contains(';') && covers(&without_parameters(path));
        let in_any_case = |path: &str| covers(path) || is_not_lower(path) && covers(&path.to_lowercase());
        in_any_case(path) || path.contains('%') && in_any_case(&percent_decode_str(path).decode_utf8_lossy())
    }
}

/// Might it be another in lower case? Most are not.
fn is_not_lower(path: &str) -> bool {
    path.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
}

/// `path` without `;…` in each segment.
fn without_parameters(path: &str) -> String {
    let segments: Vec<_> = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
    segments.join("/")
}

fn refuse(error: &globset::Error) -> ManifestError {
    ManifestError::Value { key: "access-paths-from-settings", message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(written: &[&str], settings: serde_json::Value) -> AccessPaths {
        let manifest = json!({
            "name": "a", "version": "0.1.0", "hooks": ["access"],
            "access-paths": written, "access-paths-from-settings": ["/paths/*", "/rows/*/paths/*"],
        });
        let manifest = Manifest::from_json(manifest.to_string().as_bytes()).unwrap();
        AccessPaths::new(&manifest, &manifest.access_paths_with(&settings)).unwrap()
    }

    #[test]
    fn asks_for_the_paths_that_the_settings_name_and_for_no_others() {
        let paths = paths(&[], json!({ "paths": ["/admin/*", "/a[b]{c}?"], "rows": [{ "paths": ["/reports*"] }] }));
        for path in ["/admin", "/admin/", "/admin/x", "/admin/x/y", "/reports", "/reports/1/2", "/a[b]{c}?"] {
            assert!(paths.cover(path), "{path}");
        }
        for path in ["/", "/x", "/administrator", "/x/admin/y", "/report", "/ab", ""] {
            assert!(!paths.cover(path), "{path}");
        }
    }

    #[test]
    fn a17_asks_for_spellings_that_an_application_may_read_alike() {
        let named = paths(&[], json!({ "paths": ["/secure/admin/*"] }));
        let written = paths(&["/secure/admin/**", "/secure/admin"], json!({}));
        for path in [
            "/Secure/ADMIN/x",
            "/secure;a=b/admin;c/x",
            "/secure/admin;jsessionid=1",
            "/SECURE;x/Admin/",
            "/secure/admin;x/",
        ] {
            assert!(named.cover(path), "{path}");
            assert!(written.cover(path), "{path}");
        }
    }

    #[test]
    fn a17_asks_for_what_a_url_escapes() {
        let named = paths(&[], json!({ "paths": ["/my files/*", "/gr\u{f6}\u{df}e"] }));
        let written = paths(&["/my files/**", "/gr\u{f6}\u{df}e"], json!({}));
        for path in ["/my%20files/x", "/My%20files;a/x", "/gr%C3%B6%C3%9Fe", "/GR%C3%96%C3%9Fe;x/"] {
            assert!(named.cover(path) && written.cover(path), "{path}");
        }
        for path in ["/my%2520files/x", "/my+files/x"] {
            assert!(!named.cover(path) && !written.cover(path), "{path}");
        }
    }

    #[test]
    fn what_the_author_wrote_counts_beside_it() {
        let paths = paths(&["/fixed/*"], json!({ "paths": ["/admin"] }));
        assert!(paths.cover("/fixed/x") && paths.cover("/admin"));
        let capitals = self::paths(&["/[A-Z]*", "/x/[!A-Z]*"], json!({}));
        assert!(capitals.cover("/Ab") && capitals.cover("/ab") && capitals.cover("/x/a"));
        assert!(!paths.cover("/fixed/x/y"), "a star of the manifest stops at a slash");
    }

    #[test]
    fn asks_for_nothing_where_the_settings_name_nothing() {
        assert!(!paths(&[], json!({ "paths": [], "rows": [{ "paths": [""] }, {}] })).cover("/"));
    }
}
