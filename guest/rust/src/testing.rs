//! Native unit tests without WebAssembly: a case builder, the log, the settings' schema.
//!
//! ```
//! # use vestibule_policy::{prelude::*, admit::Verdict, testing::Case};
//! # #[derive(serde::Deserialize, schemars::JsonSchema)] struct Settings { domain: String }
//! # struct Only(String);
//! # impl Policy for Only {
//! #     type Settings = Settings;
//! #     fn configure(settings: Settings) -> Result<Self, Vec<Problem>> { Ok(Self(settings.domain)) }
//! # }
//! # impl Admit for Only {
//! #     fn decide(&self, _: &Context, identity: &Identity, _: Option<&Account>) -> Result<Verdict, Fault> {
//! #         let email = identity.email.as_ref().ok_or(Fault::MissingClaim("email".into()))?;
//! #         Ok(match vestibule_policy::email::domain(email) {
//! #             Ok(domain) if domain == self.0 => Verdict::Allow(Reason::new("domain-allowed", "")),
//! #             Ok(_) => Verdict::Pass,
//! #             Err(reason) => Verdict::Deny(reason),
//! #         })
//! #     }
//! # }
//! let verdict = Case::<Only>::new(r#"{"domain": "a.com"}"#).email("u@A.com").groups(["dev"]).decide();
//! assert_eq!(verdict, Ok(Verdict::Allow(Reason::new("domain-allowed", ""))));
//! ```

use std::{cell::RefCell, fmt::Display, fs, marker::PhantomData, path::Path};

use schemars::JsonSchema;

use crate::{
    access, admit,
    hooks::{Access, Admit, AssignGroups, FillProfile, LimitSession, Logout, Policy, Provision, Route},
    log::Level,
    logout, provision, route, session, settings,
    types::{Account, Claim, Context, Email, Fault, GroupClaim, Identity, Plan, Problem, Profile, Reason, Value},
};

thread_local! {
    static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn keep(level: Level, message: &str) {
    LINES.with_borrow_mut(|lines| lines.push((level, message.to_owned())));
}

/// What this thread's policies logged since the last call.
#[must_use]
pub fn logged() -> Vec<(Level, String)> {
    LINES.take()
}

/// Configures a policy from settings as JSON text, as the gateway does, but for the check
/// against the JSON Schema.
///
/// # Errors
///
/// The policy's problems with the settings.
pub fn configure<P: Policy>(settings: impl Display) -> Result<P, Vec<Problem>> {
    P::configure(settings::parse(&settings.to_string())?)
}

/// One question to one policy. What is not said has the defaults of `docs/cases.md`.
#[derive(Debug)]
pub struct Case<P> {
    settings: String,
    /// The context.
    pub context: Context,
    /// The identity.
    pub identity: Identity,
    /// The account, if there is one.
    pub account: Option<Account>,
    /// The profile so far.
    pub profile: Profile,
    /// The plan so far.
    pub plan: Plan,
    /// The session terms so far.
    pub terms: session::Terms,
    /// The attempt; its context is [`Case::context`].
    pub attempt: route::Attempt,
    /// The groups that `session` and `access` get.
    pub current: Vec<String>,
    /// The request that `access` gets.
    pub request: access::Request,
    /// The target that the person asked for at the logout.
    pub requested: Option<String>,
    policy: PhantomData<fn() -> P>,
}

// Not derived, since that would ask the policy to be `Clone`.
impl<P> Clone for Case<P> {
    fn clone(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            context: self.context.clone(),
            identity: self.identity.clone(),
            account: self.account.clone(),
            profile: self.profile.clone(),
            plan: self.plan.clone(),
            terms: self.terms,
            attempt: self.attempt.clone(),
            current: self.current.clone(),
            request: self.request.clone(),
            requested: self.requested.clone(),
            policy: PhantomData,
        }
    }
}

impl<P: Policy> Case<P> {
    /// A case with settings: JSON text or a `serde_json::Value`.
    pub fn new(settings: impl Display) -> Self {
        Self {
            settings: settings.to_string(),
            context: Context::default(),
            identity: Identity::default(),
            account: None,
            profile: Profile::default(),
            plan: Plan::default(),
            terms: session::Terms::default(),
            attempt: route::Attempt::default(),
            current: Vec::new(),
            request: access::Request { method: "GET".into(), host: "app.example".into(), path: "/".into() },
            requested: None,
            policy: PhantomData,
        }
    }

    /// A verified email address.
    #[must_use]
    pub fn email(mut self, address: impl Into<String>) -> Self {
        self.identity.email = Some(Email { address: address.into(), verified: true });
        self
    }

    /// An email address that the upstream does not vouch for.
    #[must_use]
    pub fn unverified_email(mut self, address: impl Into<String>) -> Self {
        self.identity.email = Some(Email { address: address.into(), verified: false });
        self
    }

    /// The groups that the upstream lists; and those that `session` and `access` get.
    #[must_use]
    pub fn groups<G: Into<String>>(mut self, names: impl IntoIterator<Item = G>) -> Self {
        self.current = names.into_iter().map(Into::into).collect();
        self.identity.groups = GroupClaim::Listed(self.current.clone());
        self
    }

    /// The upstream sent a reference in place of a list of groups.
    #[must_use]
    pub fn overage(mut self) -> Self {
        self.identity.groups = GroupClaim::Overage;
        self
    }

    /// A claim. A real login has it only where the manifest's `reads` names it.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.identity.claims.push(Claim::new(name, value));
        self
    }

    /// A fact. A real login has it only where the manifest's `facts` names it.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.context.facts.push(Claim::new(name, value));
        self
    }

    /// The upstream's configured id.
    #[must_use]
    pub fn upstream(mut self, id: &str) -> Self {
        id.clone_into(&mut self.identity.upstream);
        self
    }

    /// How the identity was proved.
    #[must_use]
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.identity.protocol = protocol.into();
        self
    }

    /// When the subject last authenticated, in seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn auth_time(mut self, at: u64) -> Self {
        self.identity.auth_time = Some(at);
        self
    }

    /// The time of the decision, in seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn at(mut self, at: u64) -> Self {
        self.context.at = at;
        self
    }

    /// The application.
    #[must_use]
    pub fn application(mut self, name: &str) -> Self {
        name.clone_into(&mut self.context.application);
        self
    }

    /// An active account with these groups.
    #[must_use]
    pub fn account<G: Into<String>>(mut self, groups: impl IntoIterator<Item = G>) -> Self {
        self.account = Some(Account { groups: groups.into_iter().map(Into::into).collect(), ..Account::default() });
        self
    }

    /// An account that may not be used.
    #[must_use]
    pub fn inactive_account(mut self) -> Self {
        self.account = Some(Account { active: false, ..Account::default() });
        self
    }

    /// The profile so far.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// An earlier policy's grant.
    #[must_use]
    pub fn granted(mut self, group: &str, code: &str) -> Self {
        self.plan.grant(group, Reason::new(code, ""));
        self
    }

    /// The plan so far.
    #[must_use]
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// The session terms so far.
    #[must_use]
    pub fn so_far(mut self, terms: session::Terms) -> Self {
        self.terms = terms;
        self
    }

    /// What the person typed on the identifier page.
    #[must_use]
    pub fn identifier(mut self, text: &str) -> Self {
        self.attempt.identifier = Some(text.to_owned());
        self
    }

    /// The upstreams that are open to the application.
    #[must_use]
    pub fn upstreams<U: Into<String>>(mut self, ids: impl IntoIterator<Item = U>) -> Self {
        self.attempt.upstreams = ids.into_iter().map(Into::into).collect();
        self
    }

    /// The request's method and path.
    #[must_use]
    pub fn request(mut self, method: &str, path: &str) -> Self {
        method.clone_into(&mut self.request.method);
        path.clone_into(&mut self.request.path);
        self
    }

    /// The target that the person asked for at the logout.
    #[must_use]
    pub fn requested(mut self, target: &str) -> Self {
        self.requested = Some(target.to_owned());
        self
    }

    /// The policy with the case's settings.
    ///
    /// # Errors
    ///
    /// The policy's problems with the settings.
    pub fn configure(&self) -> Result<P, Vec<Problem>> {
        configure(&self.settings)
    }

    /// The policy; settings that do not fit are the test's fault.
    #[expect(clippy::panic, reason = "ends a test that asks a policy with unfit settings")]
    fn policy(&self) -> P {
        self.configure().unwrap_or_else(|problems| panic!("the case's settings do not fit: {problems:#?}"))
    }
}

/// Asks at `route`.
impl<P: Route> Case<P> {
    /// Asks which upstream.
    ///
    /// # Errors
    ///
    /// The policy's fault.
    pub fn choose(self) -> Result<route::Direction, Fault> {
        let policy = self.policy();
        policy.choose(&route::Attempt { context: self.context, ..self.attempt })
    }
}

/// Asks at `admit`.
impl<P: Admit> Case<P> {
    /// Asks whether the identity may log in.
    ///
    /// # Errors
    ///
    /// The policy's fault.
    pub fn decide(self) -> Result<admit::Verdict, Fault> {
        self.policy().decide(&self.context, &self.identity, self.account.as_ref())
    }
}

/// Asks at `profile`.
impl<P: FillProfile> Case<P> {
    /// Asks who the subject is.
    ///
    /// # Errors
    ///
    /// The policy's fault.
    pub fn fill(self) -> Result<Profile, Fault> {
        self.policy().fill(&self.context, &self.identity, self.account.as_ref(), self.profile)
    }
}

/// Asks at `groups`.
impl<P: AssignGroups> Case<P> {
    /// Asks for the groups.
    ///
    /// # Errors
    ///
    /// The policy's fault.
    pub fn assign(self) -> Result<Plan, Fault> {
        self.policy().assign(&self.context, &self.identity, self.account.as_ref(), &self.profile, self.plan)
    }
}

/// Asks at `provision`.
impl<P: Provision> Case<P> {
    /// Asks what may be done with the account.
    ///
    /// # Errors
    ///
    /// The policy's fault.
    pub fn permit(self) -> Result<provision::Terms, Fault> {
        let policy = self.policy();
        let granted: Vec<_> = self.plan.grants.into_iter().map(Into::into).collect();
        policy.permit(&self.context, &self.identity, self.account.as_ref(), &self.profile, &granted)
    }
}

/// Asks at `session`.
impl<P: LimitSession> Case<P> {
    /// Asks for how long.
    ///
    /// # Errors
    ///
    /// The policy's fault.
    pub fn limit(self) -> Result<session::Terms, Fault> {
        self.policy().limit(&self.context, &self.identity, &self.current, self.terms)
    }
}

/// Asks at `access`.
impl<P: Access> Case<P> {
    /// Asks whether the request may pass.
    ///
    /// # Errors
    ///
    /// The policy's fault.
    pub fn check(self) -> Result<access::Verdict, Fault> {
        self.policy().check(&self.context, &self.identity, &self.current, &self.request)
    }
}

/// Asks at `logout`.
impl<P: Logout> Case<P> {
    /// Asks where the logout ends.
    ///
    /// # Errors
    ///
    /// The policy's fault.
    pub fn end(self) -> Result<Option<logout::Ending>, Fault> {
        self.policy().end(&self.context, &self.identity, self.requested.as_deref())
    }
}

/// Holds the checked-in schema of a policy's settings to the one that the type derives.
/// `UPDATE_SCHEMA=1` in the environment writes it instead.
///
/// ```ignore
/// #[test]
/// fn schema_is_up_to_date() {
///     vestibule_policy::testing::settings_schema::<Settings>("settings.schema.json");
/// }
/// ```
///
/// # Panics
///
/// Where the file is missing, unreadable or differs.
#[expect(clippy::panic, reason = "an assertion for tests")]
#[track_caller]
pub fn settings_schema<S: JsonSchema>(file: impl AsRef<Path>) {
    let file = file.as_ref();
    let derived = schemars::schema_for!(S).to_value();
    if std::env::var_os("UPDATE_SCHEMA").is_some_and(|value| value == "1") {
        let text = format!("{derived:#}\n");
        if let Err(error) = fs::write(file, text) {
            panic!("failed to write {}: {error}", file.display());
        }
        return;
    }
    let current = fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("failed to read {} (UPDATE_SCHEMA=1 writes it): {error}", file.display()));
    let current: serde_json::Value = serde_json::from_str(&current)
        .unwrap_or_else(|error| panic!("{} is not JSON (UPDATE_SCHEMA=1 writes it): {error}", file.display()));
    assert!(
        current == derived,
        "{} is not what the settings derive; UPDATE_SCHEMA=1 cargo test writes it.\nderived: {derived:#}",
        file.display()
    );
}

/// The two native tests that a policy's settings want, in its module of tests: `settings.schema.json`
/// is the schema that the type derives, and what `settings.toml` documents and the manifest's
/// `settings-default` are its defaults. The type has `Default`, `PartialEq` and `Debug`; the crate
/// has `toml` among its dev-dependencies.
///
/// ```ignore
/// vestibule_policy::settings_tests!(Settings);
/// ```
#[macro_export]
macro_rules! settings_tests {
    ($settings:ty) => {
        #[test]
        fn the_schema_is_the_one_that_the_settings_derive() {
            $crate::testing::settings_schema::<$settings>("settings.schema.json");
        }

        #[test]
        fn the_documented_settings_are_the_defaults_and_the_manifest_has_the_same() {
            let documented: $settings =
                ::toml::from_str(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/settings.toml"))).unwrap();
            assert_eq!(documented, <$settings>::default());
            let manifest: ::toml::Table =
                ::toml::from_str(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/policy.toml"))).unwrap();
            let default: $settings = manifest["settings-default"].clone().try_into().unwrap();
            assert_eq!(default, <$settings>::default());
        }
    };
}
