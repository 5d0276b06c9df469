//! Case files: from TOML to typed questions, with the defaults that `docs/cases.md`
//! names. Every unknown key is an error, since a misspelt expectation would hold always.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::{
    super::{
        locate::{self, Format, message_of},
        settings_file::WrittenSettings,
    },
    words,
};
use crate::{
    decision::{
        AccessRequest, Account, Attempt, Claim, Context, Grant, Hook, MatchKey, Plan, Profile, Reason, Rules,
        SessionTerms, Value,
    },
    identity::{Email, GroupClaim, Identity, Protocol},
};

/// One case, ready to run.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Case {
    /// The file it came from.
    pub(in crate::policy) file: String,
    /// The line of its `[[case]]`.
    pub(in crate::policy) line: usize,
    /// What it shows.
    pub(in crate::policy) name: String,
    /// What is asked.
    pub(in crate::policy) question: Question,
    /// The settings; none takes the manifest's defaults.
    pub(in crate::policy) settings: Option<Json>,
    /// Where they are written.
    pub(in crate::policy) written: WrittenSettings,
    /// What must be in the answer.
    pub(in crate::policy) expect: Map<String, Json>,
}

/// What a case asks.
#[derive(Clone, Debug)]
pub(in crate::policy) enum Question {
    /// Load the settings, nothing more.
    Configure,
    /// Ask a hook.
    Hook(Hook, Box<Input>),
}

/// Everything that a hook may be asked about.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Input {
    pub(in crate::policy) context: Context,
    pub(in crate::policy) identity: Identity,
    pub(in crate::policy) account: Option<Account>,
    pub(in crate::policy) attempt: Attempt,
    pub(in crate::policy) profile: Profile,
    pub(in crate::policy) profile_so_far: Profile,
    pub(in crate::policy) plan: Plan,
    pub(in crate::policy) plan_so_far: Plan,
    pub(in crate::policy) terms_so_far: SessionTerms,
    pub(in crate::policy) rules: Rules,
    pub(in crate::policy) groups: Vec<String>,
    pub(in crate::policy) request: AccessRequest,
    pub(in crate::policy) requested: Option<String>,
}

/// A case file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}{}: {message}", line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct CaseError {
    /// The file.
    pub file: String,
    /// The line, where it is known.
    pub line: Option<usize>,
    /// What is wrong, and what was expected.
    pub message: String,
}

/// Reads the cases of one file.
pub(in crate::policy) fn parse(file: &str, text: &str) -> Result<Vec<Case>, CaseError> {
    let refuse = |line, message| CaseError { file: file.to_owned(), line, message };
    let form: FileForm = toml::from_str(text).map_err(|error| {
        let malformed = locate::malformed_toml(text, &error);
        refuse(malformed.position.map(|position| position.line), malformed.message)
    })?;
    if form.cases.is_empty() {
        return Err(refuse(None, "the file has no `[[case]]`, and so would test nothing".to_owned()));
    }
    let shared = form.settings.map(|settings| locate::json_of(&toml::Value::Table(settings)));
    let whole: Arc<str> = Arc::from(text);
    let mut cases = Vec::with_capacity(form.cases.len());
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (index, case) in form.cases.into_iter().enumerate() {
        let start = text.get(..case.span().start).unwrap_or_default();
        // The span of an array's table begins at its header.
        let line = start.matches('\n').count() + 1;
        let line_of = |at: &str| {
            let place = Format::Toml.locate(text, &format!("/case/{index}{at}"));
            Some(place.map_or(line, |position| position.line))
        };
        let written = WrittenSettings::of_case(file, &whole, index);
        let case = build(file, line, (shared.as_ref(), written), case.into_inner())
            .map_err(|Wrong { at, message }| refuse(line_of(&at), message))?;
        if let Some(first) = names.insert(case.name.clone(), line) {
            let message = format!("the case of line {first} is called `{}`, too: which of them failed?", case.name);
            return Err(refuse(line_of("/name"), message));
        }
        cases.push(case);
    }
    Ok(cases)
}

/// What is wrong with a case, and with which of its keys: a JSON pointer within it; empty for all of it.
struct Wrong {
    at: String,
    message: String,
}

fn build(
    file: &str,
    line: usize,
    (shared, written): (Option<&Json>, WrittenSettings),
    form: CaseForm,
) -> Result<Case, Wrong> {
    let wrong = |at: &str, message: String| Wrong { at: at.to_owned(), message };
    let own = form.settings.map(|settings| locate::json_of(&toml::Value::Table(settings)));
    let Json::Object(expect) = locate::json_of(&toml::Value::Table(form.expect)) else {
        return Err(wrong("/expect", "`expect` is not a table".to_owned()));
    };
    let question = match form.hook.as_str() {
        "configure" if form.input.is_some() => {
            return Err(wrong("/input", "`configure` takes no `input`, only `settings`".to_owned()));
        }
        "configure" => Question::Configure,
        name => {
            let hook = Hook::ALL.into_iter().find(|hook| hook.name() == name);
            let hook = hook.ok_or_else(|| wrong("/hook", words::unknown_hook(name)))?;
            let input = form.input.unwrap_or_default().build(hook).map_err(|message| wrong("/input", message))?;
            Question::Hook(hook, Box::new(input))
        }
    };
    words::check(&question, &expect).map_err(|(key, message)| match key {
        Some(key) => wrong(&format!("/expect/{key}"), message),
        None => wrong("/expect", message),
    })?;
    let settings = overlay(shared, own);
    Ok(Case { file: file.to_owned(), line, name: form.name, question, settings, written, expect })
}

/// The file's settings with the case's keys on top.
pub(in crate::policy) fn overlay(shared: Option<&Json>, own: Option<Json>) -> Option<Json> {
    match (shared, own) {
        (Some(Json::Object(shared)), Some(Json::Object(own))) => {
            let mut merged = shared.clone();
            merged.extend(own);
            Some(Json::Object(merged))
        }
        (shared, own) => own.or_else(|| shared.cloned()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileForm {
    settings: Option<toml::Table>,
    #[serde(default, rename = "case")]
    cases: Vec<toml::Spanned<CaseForm>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CaseForm {
    name: String,
    hook: String,
    settings: Option<toml::Table>,
    input: Option<InputForm>,
    expect: toml::Table,
}

/// A question's input, as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::policy) struct InputForm {
    #[serde(default)]
    context: ContextForm,
    #[serde(default)]
    identity: IdentityForm,
    account: Option<AccountForm>,
    attempt: Option<AttemptForm>,
    profile: Option<ProfileForm>,
    plan: Option<PlanForm>,
    so_far: Option<toml::Table>,
    rules: Option<RulesForm>,
    groups: Option<Vec<String>>,
    request: Option<RequestForm>,
    requested: Option<String>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct ContextForm {
    application: String,
    tenant: String,
    at: u64,
    login: String,
    address: Option<String>,
    facts: toml::Table,
}

impl Default for ContextForm {
    fn default() -> Self {
        Self {
            application: "app".to_owned(),
            tenant: "default".to_owned(),
            at: 1_700_000_000,
            login: "case".to_owned(),
            address: None,
            facts: toml::Table::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct IdentityForm {
    upstream: String,
    protocol: Protocol,
    issuer: String,
    subject: String,
    email: Option<EmailForm>,
    groups: Option<toml::Value>,
    auth_time: Option<u64>,
    acr: Option<String>,
    amr: Vec<String>,
    claims: toml::Table,
}

impl Default for IdentityForm {
    fn default() -> Self {
        Self {
            upstream: "idp".to_owned(),
            protocol: Protocol::Oidc,
            issuer: "https://idp.example".to_owned(),
            subject: "s-1".to_owned(),
            email: None,
            groups: None,
            auth_time: None,
            acr: None,
            amr: Vec::new(),
            claims: toml::Table::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct EmailForm {
    address: String,
    #[serde(default)]
    verified: bool,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct AccountForm {
    active: bool,
    groups: Vec<String>,
    attributes: toml::Table,
}

impl Default for AccountForm {
    fn default() -> Self {
        Self { active: true, groups: Vec::new(), attributes: toml::Table::new() }
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct AttemptForm {
    identifier: Option<String>,
    upstreams: Vec<String>,
    previous: Option<String>,
    failed: Vec<String>,
}

impl Default for AttemptForm {
    fn default() -> Self {
        Self { identifier: None, upstreams: vec!["idp".to_owned()], previous: None, failed: Vec::new() }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct ProfileForm {
    match_key: Option<MatchKey>,
    username: Option<String>,
    email: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    display_name: Option<String>,
    attributes: toml::Table,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct PlanForm {
    grants: Vec<toml::Value>,
    replace: bool,
    create_missing: bool,
    exclude: Vec<String>,
    leave: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct GrantForm {
    group: String,
    because: Option<String>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct TermsForm {
    lifetime: u32,
    idle: u32,
    remember: bool,
}

impl Default for TermsForm {
    fn default() -> Self {
        Self { lifetime: 28_800, idle: 3_600, remember: true }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RulesForm {
    protected: Vec<String>,
    known: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RequestForm {
    method: String,
    host: String,
    path: String,
}

impl Default for RequestForm {
    fn default() -> Self {
        Self { method: "GET".to_owned(), host: "app.example".to_owned(), path: "/".to_owned() }
    }
}

impl Input {
    /// What `hook` is asked where a case says nothing.
    pub(super) fn default_of(hook: Hook) -> Result<Self, String> {
        InputForm::default().build(hook)
    }
}

impl InputForm {
    /// What a hook is asked.
    pub(in crate::policy) fn build(self, hook: Hook) -> Result<Input, String> {
        self.refuse_what_the_hook_does_not_get(hook)?;
        let so_far = self.so_far.unwrap_or_default();
        let (profile_so_far, plan_so_far, terms_so_far) = match hook {
            Hook::Profile => (read::<ProfileForm>(so_far)?, PlanForm::default(), TermsForm::default()),
            Hook::Groups => (ProfileForm::default(), read(so_far)?, TermsForm::default()),
            _ => (ProfileForm::default(), PlanForm::default(), read(so_far)?),
        };
        let attempt = self.attempt.unwrap_or_default();
        let rules = self.rules.unwrap_or_default();
        let request = self.request.unwrap_or_default();
        Ok(Input {
            context: self.context.build(),
            identity: self.identity.build()?,
            account: self.account.map(AccountForm::build),
            attempt: Attempt {
                identifier: attempt.identifier,
                upstreams: attempt.upstreams,
                previous: attempt.previous,
                failed: attempt.failed,
            },
            profile: self.profile.unwrap_or_default().build(),
            profile_so_far: profile_so_far.build(),
            plan: self.plan.unwrap_or_default().build()?,
            plan_so_far: plan_so_far.build()?,
            terms_so_far: SessionTerms {
                lifetime: terms_so_far.lifetime,
                idle: terms_so_far.idle,
                remember: terms_so_far.remember,
            },
            rules: Rules {
                protected: rules.protected.into_iter().collect(),
                known: rules.known.map(|known| known.into_iter().collect()),
            },
            groups: self.groups.unwrap_or_default(),
            request: AccessRequest { method: request.method, host: request.host, path: request.path },
            requested: self.requested,
        })
    }

    /// Input that the hook never gets would be a test of nothing.
    fn refuse_what_the_hook_does_not_get(&self, hook: Hook) -> Result<(), String> {
        use Hook::{Access, Admit, Groups, Logout, Profile, Provision, Route, Session};
        let given: [(&str, bool, &[Hook]); 8] = [
            ("account", self.account.is_some(), &[Admit, Profile, Groups, Provision]),
            ("attempt", self.attempt.is_some(), &[Route]),
            ("profile", self.profile.is_some(), &[Groups, Provision]),
            ("plan", self.plan.is_some(), &[Provision]),
            ("so-far", self.so_far.is_some(), &[Profile, Groups, Session]),
            ("rules", self.rules.is_some(), &[Groups]),
            ("groups", self.groups.is_some(), &[Session, Access]),
            ("request", self.request.is_some(), &[Access]),
        ];
        for (name, is_given, hooks) in given {
            if is_given && !hooks.contains(&hook) {
                return Err(format!("`input.{name}` is not part of the question of `{hook}`"));
            }
        }
        if self.requested.is_some() && hook != Logout {
            return Err(format!("`input.requested` is not part of the question of `{hook}`"));
        }
        Ok(())
    }
}

impl ContextForm {
    fn build(self) -> Context {
        Context {
            login: self.login,
            at: self.at,
            tenant: self.tenant,
            application: self.application,
            address: self.address,
            facts: claims(self.facts),
        }
    }
}

impl IdentityForm {
    fn build(self) -> Result<Identity, String> {
        let groups = match self.groups {
            None => GroupClaim::Absent,
            Some(toml::Value::String(text)) if text == "absent" => GroupClaim::Absent,
            Some(toml::Value::String(text)) if text == "overage" => GroupClaim::Overage,
            Some(list @ toml::Value::Array(_)) => GroupClaim::Listed(
                list.try_into().map_err(|error| format!("`input.identity.groups`: {}", message_of(&error)))?,
            ),
            Some(other) => {
                return Err(format!("`input.identity.groups` is {other}, expected a list, \"absent\" or \"overage\""));
            }
        };
        Ok(Identity {
            upstream: self.upstream,
            protocol: self.protocol,
            issuer: self.issuer,
            subject: self.subject,
            email: self.email.map(|email| Email { address: email.address, verified: email.verified }),
            groups,
            auth_time: self.auth_time,
            acr: self.acr,
            amr: self.amr,
            claims: self
                .claims
                .iter()
                .map(|(name, value)| (name.clone(), locate::json_of(value)))
                .collect::<BTreeMap<_, _>>(),
        })
    }
}

impl AccountForm {
    fn build(self) -> Account {
        Account { active: self.active, groups: self.groups, attributes: claims(self.attributes) }
    }
}

impl ProfileForm {
    fn build(self) -> Profile {
        Profile {
            match_key: self.match_key,
            username: self.username,
            email: self.email,
            given_name: self.given_name,
            family_name: self.family_name,
            display_name: self.display_name,
            attributes: claims(self.attributes),
        }
    }
}

impl PlanForm {
    fn build(self) -> Result<Plan, String> {
        let grants = self
            .grants
            .into_iter()
            .map(|grant| match grant {
                toml::Value::String(group) => Ok(Grant { group, because: Reason::new("mapped", "") }),
                other => {
                    let form: GrantForm = other.try_into().map_err(|error| message_of(&error))?;
                    let because = form.because.unwrap_or_else(|| "mapped".to_owned());
                    Ok(Grant { group: form.group, because: Reason::new(because, "") })
                }
            })
            .collect::<Result<_, String>>()?;
        Ok(Plan {
            grants,
            replace: self.replace,
            create_missing: self.create_missing,
            exclude: self.exclude,
            leave: self.leave,
        })
    }
}

fn read<T: serde::de::DeserializeOwned>(table: toml::Table) -> Result<T, String> {
    toml::Value::Table(table).try_into().map_err(|error| format!("`input.so-far`: {}", message_of(&error)))
}

/// A table as claims, in the table's order.
fn claims(table: toml::Table) -> Vec<Claim> {
    table.iter().map(|(name, value)| Claim { name: name.clone(), value: claim_value(locate::json_of(value)) }).collect()
}

fn claim_value(json: Json) -> Value {
    match json {
        Json::String(text) => Value::Text(text),
        Json::Bool(truth) => Value::Boolean(truth),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(float)) => Value::Number(float),
            (None, None) => Value::Json(number.to_string()),
        },
        Json::Array(items) if items.iter().all(Json::is_string) => {
            Value::Texts(items.iter().filter_map(Json::as_str).map(str::to_owned).collect())
        }
        other => Value::Json(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
