//! The same rules without a sandbox: the policies' own source, compiled natively and called
//! as a library. What the sandbox costs is the difference.

use std::hint::black_box;

use serde_json::Value;
use vestibule_policy::{
    prelude::{
        self as sdk, Admit as _, AssignGroups as _, FillProfile as _, LimitSession as _, Policy, Provision as _,
    },
    provision::Granted,
    session::Terms,
    testing,
};

use crate::login;

macro_rules! rule {
    ($module:ident, $path:literal) => {
        #[path = $path]
        #[allow(
            missing_docs,
            unreachable_pub,
            unused_imports,
            reason = "another workspace's source, held to its own lints"
        )]
        mod $module;
    };
}
rule!(account_rules, "../../policies/account-rules/src/lib.rs");
rule!(attribute_mapping, "../../policies/attribute-mapping/src/lib.rs");
rule!(domain_restriction, "../../policies/domain-restriction/src/lib.rs");
rule!(group_mapping, "../../policies/group-mapping/src/lib.rs");
rule!(session_terms, "../../policies/session-terms/src/lib.rs");

/// The chain of five, and a login for it.
#[derive(Debug)]
pub struct Native {
    admit: domain_restriction::DomainRestriction,
    profile: attribute_mapping::AttributeMapping,
    groups: group_mapping::GroupMapping,
    provision: account_rules::AccountRules,
    session: session_terms::SessionTerms,
    context: sdk::Context,
    identity: sdk::Identity,
    account: sdk::Account,
}

impl Native {
    /// With the settings of [`login::chain_of_five`] and the identity of [`login::identity`].
    ///
    /// # Panics
    ///
    /// Where the settings do not fit.
    #[must_use]
    pub fn new() -> Self {
        let [admit, profile, groups, provision, session] = login::chain_of_five().map(|(_, settings)| settings);
        let context = login::context();
        let identity = login::identity();
        Self {
            admit: configure(&admit),
            profile: configure(&profile),
            groups: configure(&groups),
            provision: configure(&provision),
            session: configure(&session),
            context: sdk::Context {
                login: context.login,
                at: context.at,
                tenant: context.tenant,
                application: context.application,
                ..sdk::Context::default()
            },
            identity: sdk::Identity {
                upstream: identity.upstream,
                issuer: identity.issuer,
                subject: identity.subject,
                email: identity.email.map(|email| sdk::Email { address: email.address, verified: email.verified }),
                groups: sdk::GroupClaim::Listed(login::groups()),
                auth_time: identity.auth_time,
                acr: identity.acr,
                amr: identity.amr,
                claims: login::claims().into_iter().filter_map(|(name, value)| claim(name, &value)).collect(),
                ..sdk::Identity::default()
            },
            account: sdk::Account { groups: vec!["app-1".into()], ..sdk::Account::default() },
        }
    }

    /// One decision.
    ///
    /// # Panics
    ///
    /// Where the rule faults.
    pub fn admit(&self) {
        black_box(self.admit.decide(&self.context, black_box(&self.identity), None)).expect("the rule decides");
    }

    /// One login through all five.
    ///
    /// # Panics
    ///
    /// Where a rule faults.
    pub fn login(&self) {
        let (context, identity, account) = (&self.context, black_box(&self.identity), Some(&self.account));
        black_box(self.admit.decide(context, identity, account)).expect("the rule decides");
        let profile = self.profile.fill(context, identity, account, sdk_default()).expect("there is a profile");
        let plan = self.groups.assign(context, identity, account, &profile, sdk_default()).expect("there is a plan");
        let granted: Vec<_> = plan.grants.into_iter().map(Into::into).collect();
        black_box(self.provision.permit(context, identity, account, &profile, &granted)).expect("there are terms");
        let groups: Vec<String> = granted.into_iter().map(|granted: Granted| granted.group).collect();
        let maximum = Terms { lifetime: 28_800, idle: 3_600, remember: false };
        black_box(self.session.limit(context, identity, &groups, maximum)).expect("there is a session");
    }
}

impl Default for Native {
    fn default() -> Self {
        Self::new()
    }
}

fn sdk_default<T: Default>() -> T {
    T::default()
}

fn configure<P: Policy>(settings: &Value) -> P {
    testing::configure(settings).expect("the settings fit")
}

fn claim(name: String, value: &Value) -> Option<sdk::Claim> {
    let value = match value {
        Value::String(text) => sdk::Value::Text(text.clone()),
        Value::Bool(truth) => sdk::Value::Boolean(*truth),
        Value::Number(number) => sdk::Value::Integer(number.as_i64()?),
        Value::Array(texts) => {
            sdk::Value::Texts(texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect())
        }
        other => sdk::Value::Json(other.to_string()),
    };
    Some(sdk::Claim { name, value })
}
