//! `[emergency]`: the door for when nobody gets in any other way.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use schemars::JsonSchema;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::{
    Application, Config, HandOver, Upstream,
    application::TAKEN_PATHS,
    check::{Check, Text},
    policies::{Limits, PolicySource, RawLimits, RawPolicy},
    upstream::callback_paths,
};
use crate::identity::EMERGENCY_DOOR;

/// The secret part of the path has so many characters, and so many different ones.
const SECRET_CHARS: (usize, usize) = (20, 8);

/// A path that is longer helps nobody.
const PATH_BYTES_MAX: usize = 256;

/// The name of the pinned policy in the audit.
const POLICY: &str = "emergency";

/// The name that its statement has unless said otherwise: that of the ready-made policy.
const SIGNED_AS: &str = "emergency-access";

/// `[emergency]`: the door, and who decides about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emergency {
    /// `path`: where it is.
    pub path: DoorPath,
    /// `component`, `settings`, `component-digest`, `signed-as`: the pinned policy.
    pub policy: PolicySource,
    /// `applications`: those that it opens; none opens all.
    pub applications: Option<BTreeSet<String>>,
    /// `lifetime-s`: of its sessions; default 1800.
    pub lifetime: u32,
    /// `passwords-per-minute`: passwords tried from one address; default 5.
    pub passwords_per_minute: u32,
    /// `lockout-after`: so many tries without a yes lock an address out; default 10.
    pub lockout_after: u32,
    /// `lockout-s`: for so long; default 900.
    pub lockout: u32,
    /// `[emergency.limits]`: what the pinned policy may use up.
    pub limits: Limits,
}

impl Emergency {
    /// Does the door open this application, as far as the configuration goes?
    #[must_use]
    pub fn opens(&self, application: &str) -> bool {
        self.applications.as_ref().is_none_or(|opened| opened.contains(application))
    }
}

/// Where the door is: known when it is seen, and told to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct DoorPath([u8; 32]);

impl DoorPath {
    fn new(path: &str) -> Self {
        Self(sha256(path))
    }

    /// Is it there? Takes a time that tells nothing of the right path.
    #[must_use]
    pub fn is(&self, path: &str) -> bool {
        sha256(path).ct_eq(&self.0).into()
    }
}

impl fmt::Debug for DoorPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DoorPath")
    }
}

fn sha256(text: &str) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// A door for an emergency: local accounts come in by it when the policies, an upstream or the way to one fail. Its
/// policy is read once, at the start, and is not part of what is swapped; a fault here keeps the gateway from starting.
/// Off where this section is missing.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawEmergency {
    /// Where the door is on the gateway's own host: a path that nobody can guess, such as `/door-` and what `openssl
    /// rand -hex 16` prints. Never logged and never linked to.
    #[schemars(extend("x-required" = true, "x-secret" = true))]
    path: Option<Text>,
    /// The `.wasm` file of the policy that decides who may come in, such as `emergency-access`.
    #[schemars(extend("x-required" = true))]
    component: Option<String>,
    /// sha-256 that the component must have, as 64 hex digits.
    component_digest: Option<String>,
    /// Its settings, a TOML or JSON file; without one the manifest's defaults hold.
    settings: Option<String>,
    /// The name that the component's statement must have, where signatures are required.
    signed_as: String,
    /// The applications that the door opens; default all.
    applications: Option<Vec<String>>,
    /// How long a session lives that began at the door. Nothing lengthens it.
    #[schemars(range(min = 60, max = 14_400))]
    lifetime_s: u32,
    /// Passwords tried from one address.
    #[schemars(range(min = 1, max = 600))]
    passwords_per_minute: u32,
    /// So many tries from one address without a yes lock it out.
    #[schemars(range(min = 1, max = 1000))]
    lockout_after: u32,
    /// For so long, from the last try on.
    #[schemars(range(min = 1, max = 86_400))]
    lockout_s: u32,
    limits: RawLimits,
}

impl Default for RawEmergency {
    fn default() -> Self {
        Self {
            path: None,
            component: None,
            component_digest: None,
            settings: None,
            signed_as: SIGNED_AS.to_owned(),
            applications: None,
            lifetime_s: 1800,
            passwords_per_minute: 5,
            lockout_after: 10,
            lockout_s: 900,
            limits: RawLimits::default(),
        }
    }
}

impl RawEmergency {
    /// None where something needed is missing or wrong, which was reported.
    pub(super) fn check(
        self,
        check: &mut Check<'_>,
        upstreams: &BTreeMap<String, Upstream>,
        applications: &BTreeMap<String, Application>,
    ) -> Option<Emergency> {
        if !check.spans.contains_key("accounts") {
            check.error("emergency", "there are no local accounts", "", "add `[accounts]` with `file`");
        }
        let opened = self.applications.map(|ids| opened(check, &ids, applications));
        let path = self.path.and_then(|text| check.text("emergency.path", &text));
        let path = path.and_then(|path| door_path(check, &path, upstreams, applications));
        let policy = RawPolicy::new(self.component, self.settings, self.component_digest, self.signed_as);
        Some(Emergency {
            policy: policy.check_as(check, "emergency", "component-digest")?,
            path: path?,
            applications: opened,
            lifetime: self.lifetime_s,
            passwords_per_minute: self.passwords_per_minute,
            lockout_after: self.lockout_after,
            lockout: self.lockout_s,
            limits: self.limits.check(),
        })
    }
}

/// Every application of the list must exist, once.
fn opened(check: &mut Check<'_>, ids: &[String], applications: &BTreeMap<String, Application>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    if ids.is_empty() {
        let hint = "leave it out to open all";
        check.error("emergency.applications", "the door opens nothing", "at least one application", hint);
    }
    for (index, id) in ids.iter().enumerate() {
        let key = format!("emergency.applications[{index}]");
        // One that is there and wrong has its own message.
        if !applications.contains_key(id) && !check.spans.contains_key(&format!("applications.{id}")) {
            check.error(&key, format!("there is no `[applications.{id}]`"), "an application's id", "");
        } else if !seen.insert(id.clone()) {
            check.error(&key, format!("`{id}` is named twice"), "each once", "");
        }
    }
    seen
}

/// A plain path that nobody guesses, and where nothing of ours is. What it is stands in no message.
fn door_path(
    check: &mut Check<'_>,
    path: &str,
    upstreams: &BTreeMap<String, Upstream>,
    applications: &BTreeMap<String, Application>,
) -> Option<DoorPath> {
    const KEY: &str = "emergency.path";
    let plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or_default().split('/').collect();
    if path.len() > PATH_BYTES_MAX || !segments.iter().copied().all(plain) {
        check.error(KEY, "not a plain path", "`/` and letters, digits, `-`, `.`, `_`, `~`; at most 256", "");
        return None;
    }
    let (chars, different) = SECRET_CHARS;
    let is_secret =
        |segment: &&str| segment.len() >= chars && segment.bytes().collect::<BTreeSet<u8>>().len() >= different;
    if !segments.iter().any(is_secret) {
        let expected = format!("a part of at least {chars} characters, {different} of them different");
        check.error(KEY, "it could be guessed", &expected, "`openssl rand -hex 16` prints one");
        return None;
    }
    let first = segments.first().copied().unwrap_or_default();
    let is_tenant = applications
        .values()
        .any(|application| application.tenant == first && matches!(application.hand_over, HandOver::Oidc(_)));
    if TAKEN_PATHS.contains(&first) || matches!(first, ".well-known" | "second-factor") || is_tenant {
        check.error(KEY, "the gateway's own pages are there", "another path", "");
        return None;
    }
    if callback_paths(upstreams).any(|callback| callback == path) {
        check.error(KEY, "an upstream's `callback-path` is there", "another path", "");
        return None;
    }
    Some(DoorPath::new(path))
}

impl Config {
    /// May who proved an identity at `upstream` be in `application`? At the emergency door, that is where the door opens
    /// it.
    #[must_use]
    pub fn may_come_from(&self, application: &Application, upstream: &str) -> bool {
        match upstream {
            EMERGENCY_DOOR => self.emergency.as_ref().is_some_and(|emergency| emergency.opens(&application.id)),
            upstream => application.upstreams.iter().any(|open| open == upstream),
        }
    }

    /// The configuration of the generation that decides at the emergency door, and of nothing else: the applications
    /// that the door opens, each with the pinned policy alone. None where there is no door.
    #[must_use]
    pub fn at_the_emergency_door(&self) -> Option<Self> {
        let emergency = self.emergency.as_ref()?;
        let mut config = self.clone();
        config.applications.retain(|id, _| emergency.opens(id));
        for application in config.applications.values_mut() {
            application.chain = vec![POLICY.to_owned()];
            application.canary = None;
            application.shadow_chain = Vec::new();
        }
        config.policies.sources = BTreeMap::from([(POLICY.to_owned(), emergency.policy.clone())]);
        config.policies.limits = emergency.limits.clone();
        // What was in force before says nothing about what is pinned by hand.
        config.policies.versions_file = None;
        Some(config)
    }
}

/// No upstream may be taken for the door.
pub(super) fn no_upstream_is_the_door(check: &mut Check<'_>, upstreams: &BTreeMap<String, Upstream>) {
    if upstreams.contains_key(EMERGENCY_DOOR) {
        let key = format!("upstreams.{EMERGENCY_DOOR}");
        check.error(&key, "the emergency door is called so", "another id", "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_known_by_all_of_its_path() {
        let door = DoorPath::new("/door-0123456789abcdef");
        assert!(door.is("/door-0123456789abcdef"));
        for other in ["", "/", "/door-0123456789abcde", "/door-0123456789abcdef/", "/Door-0123456789abcdef", "door"] {
            assert!(!door.is(other), "{other}");
        }
        assert_eq!(format!("{door:?}"), "DoorPath");
    }
}
