//! The traits a policy implements: [`Policy`], and one for each hook that it decides.
//!
//! Each method is a pure function of its arguments and of what [`Policy::configure`] made:
//! no clock but [`Context::at`], no randomness, no state that outlives the call. The host
//! makes a fresh instance for each login from the memory that `configure` left.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{
    access, admit, logout, provision, route, session,
    types::{Account, Context, Fault, Identity, Plan, Problem, Profile},
};

/// A rule with its settings.
pub trait Policy: Sized + Send + Sync + 'static {
    /// What the operator writes. Derive `Deserialize` and `JsonSchema`, with
    /// `#[serde(rename_all = "kebab-case", deny_unknown_fields)]`.
    type Settings: DeserializeOwned + JsonSchema;

    /// Turns settings into what decisions need: parse lists, compile patterns, sort.
    ///
    /// Called once, when the policy is loaded. The host takes a snapshot of the memory
    /// afterwards, so what happens here costs a login nothing.
    ///
    /// # Errors
    ///
    /// All problems at once, each with the JSON pointer of its setting;
    /// [`Problems`](crate::settings::Problems) collects them.
    fn configure(settings: Self::Settings) -> Result<Self, Vec<Problem>>;
}

/// The hook `route`: which upstream authenticates the subject.
pub trait Route: Policy {
    /// Called before any upstream is contacted, and again with what the person typed. The
    /// first policy of a chain that does not say `Pass` wins.
    ///
    /// # Errors
    ///
    /// A [`Fault`] fails the hook closed.
    fn choose(&self, attempt: &route::Attempt) -> Result<route::Direction, Fault>;
}

/// The hook `admit`: may this verified identity log in?
pub trait Admit: Policy {
    /// Called once in each login, after the identity is verified. In a chain any `Deny`
    /// wins, and at least one `Allow` is needed. `account` is the linked one.
    ///
    /// # Errors
    ///
    /// A [`Fault`] fails the hook closed.
    fn decide(
        &self,
        context: &Context,
        identity: &Identity,
        account: Option<&Account>,
    ) -> Result<admit::Verdict, Fault>;
}

/// The hook `profile`: who the subject is to the application.
pub trait FillProfile: Policy {
    /// Called once in each login. Returns `so_far` whole, with what this policy adds.
    ///
    /// # Errors
    ///
    /// A [`Fault`] fails the hook closed.
    fn fill(
        &self,
        context: &Context,
        identity: &Identity,
        account: Option<&Account>,
        so_far: Profile,
    ) -> Result<Profile, Fault>;
}

/// The hook `groups`: which groups the subject has in the application.
pub trait AssignGroups: Policy {
    /// Called once in each login. Returns `so_far` whole, with what this policy adds.
    /// `account` is the one that the profile's match key found.
    ///
    /// # Errors
    ///
    /// A [`Fault`] fails the hook closed.
    fn assign(
        &self,
        context: &Context,
        identity: &Identity,
        account: Option<&Account>,
        profile: &Profile,
        so_far: Plan,
    ) -> Result<Plan, Fault>;
}

/// The hook `provision`: may an account be created, updated, reactivated?
pub trait Provision: Policy {
    /// Called once in each login, when the groups are known. The most restrictive answer
    /// of a chain wins.
    ///
    /// # Errors
    ///
    /// A [`Fault`] fails the hook closed.
    fn permit(
        &self,
        context: &Context,
        identity: &Identity,
        account: Option<&Account>,
        profile: &Profile,
        granted: &[provision::Granted],
    ) -> Result<provision::Terms, Fault>;
}

/// The hook `session`: for how long, and on what terms.
pub trait LimitSession: Policy {
    /// Called once in each login. `so_far` can be shortened, never lengthened.
    ///
    /// # Errors
    ///
    /// A [`Fault`] fails the hook closed.
    fn limit(
        &self,
        context: &Context,
        identity: &Identity,
        groups: &[String],
        so_far: session::Terms,
    ) -> Result<session::Terms, Fault>;
}

/// The hook `access`: may this request of a live session pass?
pub trait Access: Policy {
    /// Called for each request to a path that the manifest's `access-paths` names.
    ///
    /// # Errors
    ///
    /// A [`Fault`] fails the hook closed.
    fn check(
        &self,
        context: &Context,
        identity: &Identity,
        groups: &[String],
        request: &access::Request,
    ) -> Result<access::Verdict, Fault>;
}

/// The hook `logout`: where a logout ends.
pub trait Logout: Policy {
    /// Called once in each logout. The first answer of a chain that is not none wins.
    ///
    /// # Errors
    ///
    /// A [`Fault`] fails the hook closed.
    fn end(
        &self,
        context: &Context,
        identity: &Identity,
        requested: Option<&str>,
    ) -> Result<Option<logout::Ending>, Fault>;
}
