//! `[policies]`: where components and settings are, and what a guest may use up.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use super::{
    check::{Check, Text, join},
    interpreter::{InterpreterLimits, RawInterpreter},
    pack::{PackFile, RawPack},
    rollback::{RawRollback, Rollback},
    signing::{RawTrust, Trust},
};

/// `[policies]`
#[derive(Clone, Debug)]
pub struct Policies {
    /// `[policies.limits]`
    pub limits: Limits,
    /// `cache`: folder of compiled components; none compiles at each start.
    pub cache: Option<PathBuf>,
    /// `poll-ms`: how often the files' contents are compared, behind the directory watch;
    /// default 2000.
    pub poll: Duration,
    /// `trusted-keys`, `signatures-required`, `revoked-keys`: who must have signed a component.
    pub trust: Trust,
    /// `versions-file`: where it is remembered which versions were in force, so that none comes back
    /// that is lower; none remembers nothing.
    pub versions_file: Option<PathBuf>,
    /// `[policies.rollback]`: when a new generation has failed too often; none never goes back by itself.
    pub rollback: Option<Rollback>,
    /// `[policies.pack]`: where the policies come from that have no source here.
    pub pack: Option<PackFile>,
    /// `[policies.NAME]`, by name; none where there is a pack.
    pub sources: BTreeMap<String, PolicySource>,
}

impl Policies {
    /// Who vouches for what comes into force: for the pack, or for each component.
    #[must_use]
    pub fn vouching(&self) -> &Trust {
        self.pack.as_ref().map_or(&self.trust, |pack| &pack.trust)
    }
}

/// `[policies.NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySource {
    /// `component`: the `.wasm` file.
    pub component: PathBuf,
    /// `settings`: a TOML or JSON file; none takes the manifest's defaults.
    pub settings: Option<PathBuf>,
    /// `digest`: sha-256 that the component must have, in lower-case hex.
    pub digest: Option<String>,
    /// `signed-as`: the name that the component's statement must have; default: the policy's.
    pub signed_as: Option<String>,
}

/// `[policies.limits]`: what one policy may use up in one decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `fuel`: instructions, for all hooks of one login; default 20000000. A manifest may
    /// ask for less.
    pub fuel: u64,
    /// `deadline-ms`: wall time of one hook; default 50.
    pub deadline: Duration,
    /// `memory-bytes-max`: default 4194304 (4 MiB).
    pub memory_bytes_max: usize,
    /// `table-elements-max`: default 10000.
    pub table_elements_max: usize,
    /// `stack-bytes-max`: default 524288 (512 KiB).
    pub stack_bytes_max: usize,
    /// `output-bytes-max`: what one hook may hand out; default 262144 (256 KiB).
    pub output_bytes_max: usize,
    /// `log-lines-max`: lines in one login; default 64.
    pub log_lines_max: usize,
    /// `log-line-bytes-max`: a longer line is cut; default 1024.
    pub log_line_bytes_max: usize,
    /// `component-bytes-max`: default 16777216 (16 MiB).
    pub component_bytes_max: usize,
    /// `settings-bytes-max`: default 1048576 (1 MiB).
    pub settings_bytes_max: usize,
    /// `pack-bytes-max`: default 268435456 (256 MiB).
    pub pack_bytes_max: usize,
    /// `compile-memory-bytes-max`: memory of the process that compiles one component,
    /// and four times that for an interpreter's; default 1073741824 (1 GiB).
    pub compile_memory_bytes_max: usize,
    /// `compile-timeout-ms`: for one component; default 60000.
    pub compile_timeout: Duration,
    /// `decisions-max`: instances alive at one time; default 256.
    pub decisions_max: u32,
    /// `[policies.limits.interpreter]`
    pub interpreter: InterpreterLimits,
    /// Further ones, for a chain in shadow: [`SHADOW_CHAIN_MAX`] in a configuration, none otherwise.
    pub beside: u32,
}

/// An interpreter's component is so much larger.
const COMPILE_MEMORY_TIMES: usize = 4;

impl Limits {
    /// The limits of interpreters: these, with `interpreter` in their places.
    #[must_use]
    pub fn for_interpreters(&self) -> Self {
        let InterpreterLimits {
            fuel,
            deadline,
            memory_bytes_max,
            table_elements_max,
            stack_bytes_max,
            component_bytes_max,
            compile_timeout,
            decisions_max,
        } = self.interpreter.clone();
        Self {
            fuel,
            deadline,
            memory_bytes_max,
            table_elements_max,
            stack_bytes_max,
            component_bytes_max,
            compile_timeout,
            decisions_max,
            compile_memory_bytes_max: self.compile_memory_bytes_max.saturating_mul(COMPILE_MEMORY_TIMES),
            ..self.clone()
        }
    }
}

/// How many policies a chain in shadow may have: there is room for so many beside the logins.
pub const SHADOW_CHAIN_MAX: usize = 32;

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 20_000_000,
            deadline: Duration::from_millis(50),
            memory_bytes_max: 4 << 20,
            table_elements_max: 10_000,
            stack_bytes_max: 512 << 10,
            output_bytes_max: 256 << 10,
            log_lines_max: 64,
            log_line_bytes_max: 1024,
            component_bytes_max: 16 << 20,
            settings_bytes_max: 1 << 20,
            pack_bytes_max: 256 << 20,
            compile_memory_bytes_max: 1 << 30,
            compile_timeout: Duration::from_secs(60),
            decisions_max: 256,
            interpreter: InterpreterLimits::default(),
            beside: 0,
        }
    }
}

/// Where the policies are, and what a guest may use up.
#[derive(JsonSchema)]
#[schemars(default, rename_all = "kebab-case")]
pub(super) struct RawPolicies {
    /// Folder of compiled components; without one, each start compiles them.
    cache: Option<String>,
    /// How often the files' contents are compared, behind the directory watch.
    #[schemars(range(min = 10))]
    poll_ms: u32,
    /// Who may sign components, by name: minisign public keys.
    trusted_keys: BTreeMap<String, Text>,
    /// How many of the trusted keys must have signed a component; 1 where there are trusted keys.
    signatures_required: Option<u32>,
    /// Keys that count no more: public keys, or their ids.
    revoked_keys: Vec<String>,
    /// Where it is remembered which versions were in force. A lower one is refused. Needed where signatures are.
    versions_file: Option<String>,
    limits: RawLimits,
    pack: Option<RawPack>,
    rollback: Option<RawRollback>,
    #[schemars(flatten)]
    sources: BTreeMap<String, RawPolicy>,
}

impl Default for RawPolicies {
    fn default() -> Self {
        Self {
            cache: None,
            poll_ms: 2000,
            trusted_keys: BTreeMap::new(),
            signatures_required: None,
            revoked_keys: Vec::new(),
            versions_file: None,
            limits: RawLimits::default(),
            pack: None,
            rollback: None,
            sources: BTreeMap::new(),
        }
    }
}

impl<'de> Deserialize<'de> for RawPolicies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PoliciesVisitor)
    }
}

/// The table has keys of its own and names of policies: serde's `flatten` would do, at the
/// price of its errors.
struct PoliciesVisitor;

impl<'de> Visitor<'de> for PoliciesVisitor {
    type Value = RawPolicies;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the table [policies]")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawPolicies, A::Error> {
        let mut policies = RawPolicies::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "cache" => policies.cache = Some(map.next_value()?),
                "limits" => policies.limits = map.next_value()?,
                "pack" => policies.pack = Some(map.next_value()?),
                "poll-ms" => policies.poll_ms = map.next_value()?,
                "revoked-keys" => policies.revoked_keys = map.next_value()?,
                "rollback" => policies.rollback = Some(map.next_value()?),
                "signatures-required" => policies.signatures_required = Some(map.next_value()?),
                "trusted-keys" => policies.trusted_keys = map.next_value()?,
                "versions-file" => policies.versions_file = Some(map.next_value()?),
                _ => {
                    policies.sources.insert(key, map.next_value()?);
                }
            }
        }
        Ok(policies)
    }
}

/// One policy: a component and its settings. The keys of `[policies]` are no names.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawPolicy {
    /// The `.wasm` file.
    #[schemars(extend("x-required" = true))]
    component: Option<String>,
    /// A TOML or JSON file; without one the manifest's defaults hold.
    settings: Option<String>,
    /// sha-256 that the component must have, as 64 hex digits.
    digest: Option<String>,
    /// The name that the component's statement must have, where signatures are required; the policy's, unless said
    /// otherwise.
    signed_as: Option<String>,
}

/// What one policy may use up in one decision. Whoever wants more is denied.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawLimits {
    /// Instructions, for all hooks of one login. A manifest may ask for less.
    #[schemars(range(min = 1000))]
    fuel: u64,
    /// Wall time of one hook.
    #[schemars(range(min = 1, max = 60_000))]
    deadline_ms: u32,
    /// Linear memory.
    #[schemars(range(min = 65_536))]
    memory_bytes_max: u32,
    /// Elements of tables.
    #[schemars(range(min = 1))]
    table_elements_max: u32,
    /// Stack of the host's calls.
    #[schemars(range(min = 65_536, max = 4_194_304))]
    stack_bytes_max: u32,
    /// What one hook may hand out.
    #[schemars(range(min = 1024))]
    output_bytes_max: u32,
    /// Log lines in one login.
    log_lines_max: u32,
    /// A longer log line is cut.
    log_line_bytes_max: u32,
    /// Largest component.
    #[schemars(range(min = 1024))]
    component_bytes_max: u32,
    /// Largest settings.
    #[schemars(range(min = 2))]
    settings_bytes_max: u32,
    /// Largest pack.
    #[schemars(range(min = 1024))]
    pack_bytes_max: u32,
    /// Memory of a process that compiles a component; an interpreter's may take four times that. There are as many at
    /// a time as processors, four at most.
    #[schemars(range(min = 16_777_216))]
    compile_memory_bytes_max: u32,
    /// For one component.
    #[schemars(range(min = 100))]
    compile_timeout_ms: u32,
    /// Instances alive at one time.
    #[schemars(range(min = 1))]
    decisions_max: u32,
    /// What differs for policies in JavaScript and Python.
    interpreter: RawInterpreter,
}

impl Default for RawLimits {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            fuel: limits.fuel,
            deadline_ms: narrow(limits.deadline.as_millis()),
            memory_bytes_max: narrow(limits.memory_bytes_max),
            table_elements_max: narrow(limits.table_elements_max),
            stack_bytes_max: narrow(limits.stack_bytes_max),
            output_bytes_max: narrow(limits.output_bytes_max),
            log_lines_max: narrow(limits.log_lines_max),
            log_line_bytes_max: narrow(limits.log_line_bytes_max),
            component_bytes_max: narrow(limits.component_bytes_max),
            settings_bytes_max: narrow(limits.settings_bytes_max),
            pack_bytes_max: narrow(limits.pack_bytes_max),
            compile_memory_bytes_max: narrow(limits.compile_memory_bytes_max),
            compile_timeout_ms: narrow(limits.compile_timeout.as_millis()),
            decisions_max: limits.decisions_max,
            interpreter: RawInterpreter::default(),
        }
    }
}

impl RawPolicies {
    pub(super) fn check(self, check: &mut Check<'_>) -> Policies {
        let mut sources = BTreeMap::new();
        for (name, raw) in self.sources {
            let section = join("policies", &name);
            check.id(&section, &name);
            if let Some(source) = raw.check(check, &section) {
                sources.insert(name, source);
            }
        }
        let versions_file = self.versions_file.map(|file| check.path("policies.versions-file", &file));
        let remembers = versions_file.is_some();
        let trust =
            RawTrust { keys: self.trusted_keys, required: self.signatures_required, revoked: self.revoked_keys };
        let (trust, pack) = match self.pack {
            Some(pack) => {
                alone(check, sources.keys().map(String::as_str), &trust);
                (Trust::default(), pack.check(check, remembers))
            }
            None => (trust.check(check, "policies", remembers), None),
        };
        Policies {
            limits: self.limits.check(),
            trust,
            pack,
            versions_file,
            cache: self.cache.map(|cache| check.path("policies.cache", &cache)),
            poll: Duration::from_millis(self.poll_ms.into()),
            rollback: self.rollback.map(RawRollback::check),
            sources,
        }
    }
}

/// Beside a pack there is nothing that says where policies come from, or who vouches for their components: nobody would
/// look at it.
fn alone<'a>(check: &mut Check<'_>, sources: impl Iterator<Item = &'a str>, trust: &RawTrust) {
    for name in sources {
        let hint = "name it where the pack is made";
        check.error(&join("policies", name), "there is a pack, which has all policies", "no policy beside it", hint);
    }
    for (key, is_given) in [
        ("trusted-keys", !trust.keys.is_empty()),
        ("revoked-keys", !trust.revoked.is_empty()),
        ("signatures-required", trust.required.is_some_and(|required| required > 0)),
    ] {
        if is_given {
            let hint = "components are held to their signatures where they are packed";
            let expected = "the same key below `[policies.pack]`";
            check.error(&join("policies", key), "it is about components, and there is a pack", expected, hint);
        }
    }
}

impl RawPolicy {
    pub(super) fn new(
        component: Option<String>,
        settings: Option<String>,
        digest: Option<String>,
        signed_as: String,
    ) -> Self {
        Self { component, settings, digest, signed_as: Some(signed_as) }
    }

    fn check(self, check: &mut Check<'_>, section: &str) -> Option<PolicySource> {
        self.check_as(check, section, "digest")
    }

    /// `digest_key` is what the key of the digest is called there.
    pub(super) fn check_as(self, check: &mut Check<'_>, section: &str, digest_key: &str) -> Option<PolicySource> {
        let is_digest = |digest: &String| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if self.digest.as_ref().is_some_and(|digest| !is_digest(digest)) {
            let hint = "`sha256sum` of the component prints it";
            check.error(&join(section, digest_key), "not a digest", "64 hex digits", hint);
        }
        Some(PolicySource {
            component: check.path(&join(section, "component"), &self.component?),
            settings: self.settings.map(|settings| check.path(&join(section, "settings"), &settings)),
            digest: self.digest.map(|digest| digest.to_ascii_lowercase()),
            signed_as: self.signed_as,
        })
    }
}

impl RawLimits {
    pub(super) fn check(self) -> Limits {
        Limits {
            fuel: self.fuel,
            deadline: Duration::from_millis(self.deadline_ms.into()),
            memory_bytes_max: wide(self.memory_bytes_max),
            table_elements_max: wide(self.table_elements_max),
            stack_bytes_max: wide(self.stack_bytes_max),
            output_bytes_max: wide(self.output_bytes_max),
            log_lines_max: wide(self.log_lines_max),
            log_line_bytes_max: wide(self.log_line_bytes_max),
            component_bytes_max: wide(self.component_bytes_max),
            settings_bytes_max: wide(self.settings_bytes_max),
            pack_bytes_max: wide(self.pack_bytes_max),
            compile_memory_bytes_max: wide(self.compile_memory_bytes_max),
            compile_timeout: Duration::from_millis(self.compile_timeout_ms.into()),
            decisions_max: self.decisions_max,
            interpreter: self.interpreter.check(),
            beside: narrow(SHADOW_CHAIN_MAX),
        }
    }
}

pub(super) fn narrow(number: impl TryInto<u32>) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}

pub(super) fn wide(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
