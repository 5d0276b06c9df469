//! The configuration: one TOML file to typed sections, all problems reported at once.
//!
//! This module imports nothing that it configures, reads only the configuration file and
//! the files and environment variables that it names, and opens no socket.

mod application;
mod canary;
mod check;
mod client;
mod consent;
mod diagnostic;
mod interpreter;
mod organization;
mod policies;
mod presets;
mod proxy;
mod recording;
mod reference;
mod relying_party;
mod rollback;
mod second_factor;
mod server;
mod service_provider;
mod signing;
mod structure;
#[cfg(test)]
mod tests;
mod upstream;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::Deserialize;
use toml::{Spanned, de::DeTable};

use check::Check;
pub(crate) use check::is_private;

pub use application::{Application, ForwardAuth, HandOver, IdentityHeaders, OAUTH2_PROXY_HEADERS, ReverseProxy};
pub use canary::Canary;
pub use check::{Environment, NamedFiles, NetworkError};
pub use consent::Consent;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use interpreter::InterpreterLimits;
pub use organization::Organization;
pub use policies::{Limits, Policies, PolicySource, SHADOW_CHAIN_MAX};
pub use recording::Recording;
pub use reference::reference;
pub use relying_party::{ClientMethod, OidcClient, hold_to_origins, is_post_logout};
pub use rollback::{Control, Rollback};
pub use second_factor::SecondFactor;
pub use server::{Accounts, Audit, Fetch, Keys, Log, LogFormat, LoginLimits, Network, Server, Session};
pub use service_provider::{AttributeNames, LogoutBinding, NameIdKind, ServiceProvider};
pub use signing::{PublicKey, Revoked, Trust, key_id};
pub use upstream::{ClientAuthn, Endpoints, Keying, OAuth2, Oidc, Upstream, UpstreamKind};

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from.
    pub path: PathBuf,
    /// sha-256 of the file's bytes, in lower-case hex.
    pub digest: String,
    /// `[server]`
    pub server: Server,
    /// `[log]`
    pub log: Log,
    /// `[keys]`
    pub keys: Keys,
    /// `[session]`
    pub session: Session,
    /// `[audit]`
    pub audit: Audit,
    /// `[fetch]`
    pub fetch: Fetch,
    /// `[login]`
    pub login: LoginLimits,
    /// `[accounts]`: the local accounts, if there are any.
    pub accounts: Option<Accounts>,
    /// `[consent]`: where it is remembered what people agreed to, if anywhere.
    pub consent: Option<Consent>,
    /// `[control]`: where an operator's commands reach the gateway, if anywhere.
    pub control: Option<Control>,
    /// `[recording]`: what the policies were asked, if that is kept.
    pub recording: Option<Recording>,
    /// `[second-factor]`: the gateway's own, if there is one.
    pub second_factor: Option<SecondFactor>,
    /// `[policies]` and `[policies.NAME]`
    pub policies: Policies,
    /// `[upstreams.ID]`, by id.
    pub upstreams: BTreeMap<String, Upstream>,
    /// `[applications.ID]`, by id.
    pub applications: BTreeMap<String, Application>,
    /// `[organizations.ID]`, by id.
    pub organizations: BTreeMap<String, Organization>,
    /// The files that `{ file = … }` named, as they were read.
    pub secret_files: NamedFiles,
    /// What is worth a look although the configuration is taken.
    pub warnings: Diagnostics,
}

/// Reads and checks the configuration file at `path`, with this process's environment.
///
/// # Errors
///
/// Everything that is wrong with it, at once.
pub fn load(path: &Path) -> Result<Config, Diagnostics> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("failed to read the configuration {}: {error}", path.display());
        Diagnostics::of_file(path, message, "`--config FILE` names another one")
    })?;
    #[expect(
        clippy::disallowed_methods,
        reason = "secrets may come from the environment; this is the one place that reads them"
    )]
    parse(&text, path, &|name| std::env::var(name).ok())
}

/// Checks `text`, the contents of `path`; `environment` answers `{ env = "NAME" }`.
///
/// # Errors
///
/// Everything that is wrong with it, at once.
pub fn parse(text: &str, path: &Path, environment: Environment<'_>) -> Result<Config, Diagnostics> {
    let mut check = Check::new(path, text, environment);
    let (mut tree, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What follows from a tree that was guessed would only mislead.
        check.hidden = secrets_by_sight(text);
        for error in errors {
            check.push(Severity::Error, "", error.span(), format!("not TOML: {}", error.message()), None, "", "");
        }
        return Err(check.finish().1);
    }
    structure::check(&mut check, &schema(), tree.get_mut());
    let Some(raw) = read(&mut check, tree) else {
        return Err(check.finish().1);
    };
    let config = raw.check(&mut check, path, text);
    match (config, check.finish()) {
        (Some(config), (false, warnings)) => Ok(Config { warnings, ..config }),
        (_, (_, problems)) => Err(problems),
    }
}

/// The `[policies]` of a configuration that is refused, as far as they can be read: what is wrong
/// with them can be told along with the rest.
#[must_use]
pub fn policies_of(path: &Path) -> Option<Policies> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut check = Check::new(path, &text, &|_| None);
    let (mut tree, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        return None;
    }
    structure::check(&mut check, &schema(), tree.get_mut());
    read(&mut check, tree).map(|raw| raw.policies.check(&mut check))
}

/// The `[control]` of a configuration, whatever is wrong with the rest: whoever goes back from a slip must not
/// have to mend it first, nor to know the secrets that the gateway has from its environment.
#[must_use]
pub fn control_of(path: &Path) -> Option<Control> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut check = Check::new(path, &text, &|_| None);
    let (mut tree, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        return None;
    }
    structure::check(&mut check, &schema(), tree.get_mut());
    read(&mut check, tree)?.control?.check(&mut check)
}

/// The configuration's JSON Schema, made from the raw structs.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Raw).to_value()
}

/// The file as it is written.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    server: server::RawServer,
    log: server::RawLog,
    keys: server::RawKeys,
    session: server::RawSession,
    audit: server::RawAudit,
    fetch: server::RawFetch,
    login: server::RawLogin,
    accounts: Option<server::RawAccounts>,
    consent: Option<consent::RawConsent>,
    control: Option<rollback::RawControl>,
    recording: Option<recording::RawRecording>,
    second_factor: Option<second_factor::RawSecondFactor>,
    policies: policies::RawPolicies,
    upstreams: BTreeMap<String, upstream::RawUpstream>,
    applications: BTreeMap<String, application::RawApplication>,
    organizations: BTreeMap<String, organization::RawOrganization>,
}

fn read(check: &mut Check<'_>, tree: Spanned<DeTable<'_>>) -> Option<Raw> {
    Raw::deserialize(toml::Deserializer::from(tree))
        .map_err(|error| check.push(Severity::Error, "", error.span(), error.message().to_owned(), None, "", ""))
        .ok()
}

impl Raw {
    fn check(self, check: &mut Check<'_>, path: &Path, text: &str) -> Option<Config> {
        if !check.spans.contains_key("server") {
            check.missing("", "server", "a table", "`[server]` with at least `public-url`");
        }
        // Ids count as known even where something else about them is wrong: one mistake,
        // one message.
        let upstream_ids: BTreeSet<String> = self.upstreams.keys().cloned().collect();
        let policy_names: BTreeSet<String> =
            check.given("policies").into_iter().filter(|name| !signing::OWN_KEYS.contains(&name.as_str())).collect();
        let server = self.server.check(check);
        let log = self.log.check(check);
        let keys = self.keys.check(check);
        let session = self.session.check(check);
        let audit = self.audit.check(check);
        let fetch = self.fetch.check(check);
        let login = self.login.check();
        let accounts = self.accounts.and_then(|accounts| accounts.check(check));
        let consent = self.consent.and_then(|consent| consent.check(check));
        let control = self.control.and_then(|control| control.check(check));
        let recording = self.recording.and_then(|recording| recording.check(check));
        let second_factor = self.second_factor.and_then(|second_factor| second_factor.check(check));
        let policies = self.policies.check(check);
        let mut upstreams = BTreeMap::new();
        for (id, raw) in self.upstreams {
            if let Some(upstream) = raw.check(check, &id) {
                upstreams.insert(id, upstream);
            }
        }
        let mut applications = BTreeMap::new();
        for (id, raw) in self.applications {
            references(check, &id, "upstreams", raw.upstreams.as_deref(), &upstream_ids);
            references(check, &id, "chain", raw.chain.as_deref(), &policy_names);
            references(check, &id, "canary-chain", Some(raw.canary_chain.as_slice()), &policy_names);
            references(check, &id, "shadow-chain", Some(raw.shadow_chain.as_slice()), &policy_names);
            if raw.chain.as_ref().is_some_and(Vec::is_empty) {
                let hint = "name at least one policy that says `allow`, such as `domain-restriction`";
                check.warn(&format!("applications.{id}.chain"), "an empty chain lets nobody in", hint);
            }
            if let Some(application) = raw.check(check, &id) {
                applications.insert(id, application);
            }
        }
        let mut organizations = BTreeMap::new();
        for (id, raw) in self.organizations {
            client_application(check, &id, raw.client_application.as_deref(), &applications);
            if let Some(organization) = raw.check(check, &id) {
                organizations.insert(id, organization);
            }
        }
        one_list_each(check, &organizations);
        if accounts.is_none() && !check.spans.contains_key("accounts") {
            for upstream in upstreams.values().filter(|upstream| matches!(upstream.kind, UpstreamKind::Local)) {
                let key = format!("upstreams.{}", upstream.id);
                check.error(&key, "there are no local accounts", "", "add `[accounts]` with `file`");
            }
        }
        warn_of_closed_addresses(check, &fetch, &upstreams);
        one_callback_each(check, &upstreams);
        let server = server?;
        warn_of_unheard_proxies(check, &server, &applications);
        one_client_each(check, &applications);
        if consent.is_none() && !check.spans.contains_key("consent") {
            consent_is_remembered(check, &applications);
        }
        one_application_each(check, &server, &applications);
        Some(Config {
            path: path.to_owned(),
            digest: digest(text),
            server,
            log,
            keys,
            session,
            audit,
            fetch,
            login,
            accounts,
            consent,
            control,
            recording,
            second_factor,
            policies,
            upstreams,
            applications,
            organizations,
            secret_files: std::mem::take(&mut check.named_files),
            warnings: Diagnostics::default(),
        })
    }
}

/// Every name in an application's list must exist, once.
fn references(check: &mut Check<'_>, id: &str, key: &str, names: Option<&[String]>, known: &BTreeSet<String>) {
    let what = if key == "upstreams" { "upstreams" } else { "policies" };
    let mut seen = BTreeSet::new();
    for (index, name) in names.unwrap_or_default().iter().enumerate() {
        let key = format!("applications.{id}.{key}[{index}]");
        if !known.contains(name) {
            let expected = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let expected = if expected.is_empty() { String::new() } else { format!("one of {expected}") };
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let hint = structure::nearest(name, &known).map(structure::did_you_mean).unwrap_or_default();
            check.error(&key, format!("there is no `[{what}.{name}]`"), &expected, &hint);
        } else if !seen.insert(name) {
            check.error(&key, format!("`{name}` is named twice"), "each once", "");
        }
    }
}

/// A list of clients is one organization's: whoever is in it would be a client of the other, too. The
/// files beside it, by which it is replaced, must differ as well.
fn one_list_each(check: &mut Check<'_>, organizations: &BTreeMap<String, Organization>) {
    let mut seen = BTreeMap::new();
    for (id, organization) in organizations {
        if let Some(first) = seen.insert(check::plain_path(&organization.clients_file), id) {
            let key = format!("organizations.{id}.clients-file");
            check.error(&key, format!("the organization `{first}` has the same file"), "a file of its own", "");
        }
    }
}

/// Whoever registers is decided on by an application of the same organization.
fn client_application(
    check: &mut Check<'_>,
    organization: &str,
    id: Option<&str>,
    applications: &BTreeMap<String, Application>,
) {
    let Some(id) = id else { return };
    let key = format!("organizations.{organization}.client-application");
    match applications.get(id) {
        None => check.error(&key, format!("there is no `[applications.{id}]`"), "an application's id", ""),
        Some(application) if application.tenant != organization => {
            let hint = format!("`tenant = \"{organization}\"` in `[applications.{id}]`");
            check.error(&key, format!("it is of the organization `{}`", application.tenant), "one of its own", &hint);
        }
        Some(application) if !matches!(application.hand_over, HandOver::Oidc(_)) => {
            let hint = format!("`[applications.{id}.oidc]`");
            check.error(&key, "it is no relying party of the OIDC provider", "one that is", &hint);
        }
        Some(_) => {}
    }
}

/// Behind a proxy that nobody trusts, every request seems to come from the proxy.
fn warn_of_unheard_proxies(check: &mut Check<'_>, server: &Server, applications: &BTreeMap<String, Application>) {
    if !server.trusted_proxies.is_empty() {
        return;
    }
    let forward_auth = |application: &&Application| {
        // The built-in reverse proxy needs nobody's word.
        matches!(&application.hand_over, HandOver::ForwardAuth(forward_auth) if forward_auth.proxy.is_none())
    };
    if let Some(application) = applications.values().find(forward_auth) {
        let key = format!("applications.{}.forward-auth", application.id);
        let message = "forward-auth is used, and `server.trusted-proxies` is empty: no proxy's headers are believed";
        check.warn(&key, message, "name the proxy's address, such as `trusted-proxies = [\"127.0.0.1\"]`");
    }
}

/// Addresses within the house are not fetched unless that is allowed: each login would fail.
fn warn_of_closed_addresses(check: &mut Check<'_>, fetch: &Fetch, upstreams: &BTreeMap<String, Upstream>) {
    for upstream in upstreams.values() {
        let closed = upstream.fetched().into_iter().find_map(|(key, url)| {
            let address = check::literal_address(&url)?;
            let is_open = !is_private(address) || fetch.allow_private.iter().any(|open| open.contains(address));
            (!is_open).then_some((key, address))
        });
        if let Some((key, address)) = closed {
            let message = format!("{address} is a private address, and those are not fetched unless that is allowed");
            let hint = format!("`[fetch]` with `allow-private-addresses = [\"{address}\"]`");
            check.warn(&format!("upstreams.{}.{key}", upstream.id), message, &hint);
        }
    }
}

/// Whoever asks people remembers what they said.
fn consent_is_remembered(check: &mut Check<'_>, applications: &BTreeMap<String, Application>) {
    for application in applications.values() {
        if matches!(&application.hand_over, HandOver::Oidc(client) if client.consent) {
            let key = format!("applications.{}.oidc.consent", application.id);
            check.error(&key, "nobody remembers what people agree to", "", "add `[consent]` with `file`");
        }
    }
}

/// A client's id leads to one application, in each organization.
fn one_client_each(check: &mut Check<'_>, applications: &BTreeMap<String, Application>) {
    let mut seen = BTreeMap::new();
    for application in applications.values() {
        let HandOver::Oidc(client) = &application.hand_over else { continue };
        let id = (application.tenant.clone(), client.client_id.clone());
        if let Some(first) = seen.insert(id, application.id.clone()) {
            let key = format!("applications.{}.oidc.client-id", application.id);
            check.error(&key, format!("the application `{first}` has the same `client-id`"), "an id of its own", "");
        }
    }
}

/// An answer must be known by the address that it comes to (RFC 9700 §4.4.2.2): no two upstreams share one.
fn one_callback_each(check: &mut Check<'_>, upstreams: &BTreeMap<String, Upstream>) {
    let mut seen = BTreeMap::new();
    for upstream in upstreams.values() {
        let Some(path) = &upstream.callback_path else { continue };
        if let Some(first) = seen.insert(path, &upstream.id) {
            let key = format!("upstreams.{}.callback-path", upstream.id);
            check.error(&key, format!("the upstream `{first}` has the same"), "a path of its own", "");
        }
    }
}

/// Where the host alone says which application is meant (behind the built-in reverse proxy, and for endpoints whose
/// paths name none), a host leads to one application, and the gateway's own to none.
fn one_application_each(check: &mut Check<'_>, server: &Server, applications: &BTreeMap<String, Application>) {
    let mut seen = BTreeMap::from([(server.public_url.origin().ascii_serialization(), None)]);
    for application in applications.values() {
        let HandOver::ForwardAuth(forward_auth) = &application.hand_over else { continue };
        if !forward_auth.is_found_by_host() {
            continue;
        }
        let section = format!("applications.{}", application.id);
        let url = (format!("{section}.url"), application.url.origin().ascii_serialization());
        let hosts = application.hosts.iter().enumerate();
        let hosts =
            hosts.map(|(index, host)| (format!("{section}.hosts[{index}]"), host.trim_end_matches('/').to_owned()));
        // Its own address among its hosts says the same twice.
        let own: BTreeMap<String, String> = std::iter::once(url).chain(hosts).map(|(key, host)| (host, key)).collect();
        for (host, key) in own {
            match seen.insert(host, Some(application.id.clone())) {
                None => {}
                Some(None) => {
                    let hint = "it would take the gateway's own pages";
                    check.error(&key, "it is the gateway's own address (`server.public-url`)", "another host", hint);
                }
                Some(Some(first)) => {
                    check.error(
                        &key,
                        format!("the application `{first}` is found by this host, too"),
                        "a host of its own",
                        "",
                    );
                }
            }
        }
    }
}

/// Where secrets probably are in a text that is no TOML: behind a key that sounds like
/// one, and in every text of several lines.
fn secrets_by_sight(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut start = 0;
    let mut in_block = false;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let quotes = line.matches("\"\"\"").count() + line.matches("'''").count();
        let key = line.split('=').next().unwrap_or_default().to_lowercase();
        let sounds =
            ["secret", "private-key", "private_key", "password", "token"].iter().any(|word| key.contains(word));
        if in_block {
            spans.push(start..end);
        } else if sounds || quotes > 0 {
            spans.push(start + line.find(['=', '"', '\'']).unwrap_or(0)..end);
        }
        in_block ^= quotes % 2 == 1;
        start = end;
    }
    spans
}

/// Checks a redirect URI that came in at run time, as strictly as one of the configuration.
///
/// # Errors
///
/// What is wrong with it.
pub fn redirect_uri(text: &str) -> Result<url::Url, String> {
    let mut check = Check::new(Path::new(""), "", &|_| None);
    let url = check.url("redirect_uri", text, check::UrlUse::Redirect);
    url.ok_or_else(|| check.finish().1.problems().first().map(|problem| problem.message.clone()).unwrap_or_default())
}

/// sha-256 of `text`, in lower-case hex.
pub(crate) fn digest(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
