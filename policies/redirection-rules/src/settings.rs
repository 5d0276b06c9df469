//! The settings as the operator writes them.

use vestibule_policy::{pattern::Pattern, prelude::*};

/// Which way a login goes.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// `false` has no opinion on any login.
    pub enabled: bool,
    /// The rules, in order. The first that matches decides.
    pub rules: Vec<Rule>,
    /// Where a login goes that no rule matches.
    pub default: Target,
    /// Ask for a username or an email address before anything else.
    pub ask_identifier: Ask,
    /// What may be typed where an identifier is asked for.
    pub identifier: Identifiers,
    /// Leave for an upstream without a click. `false` shows a page with a button first,
    /// unless the person typed an identifier.
    pub auto_redirect: bool,
    /// Seconds for which the page is shown before leaving. 0 leaves at once.
    pub delay_s: u32,
    /// Tell the upstream what was typed (`login_hint`), so that nobody types it twice.
    pub forward_login_hint: bool,
    /// Where `to = "auto"` finds several upstreams: take the one used last in this browser.
    pub prefer_previous: bool,
    /// Parts of an application by path, with single sign-on on or off. The first that
    /// matches counts; a path in none of them has single sign-on.
    pub areas: Vec<Area>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            rules: Vec::new(),
            default: Target::default(),
            ask_identifier: Ask::WhenNeeded,
            identifier: Identifiers::Email,
            auto_redirect: true,
            delay_s: 0,
            forward_login_hint: true,
            prefer_previous: false,
            areas: Vec::new(),
        }
    }
}

/// One rule. Each condition that is there must hold; a condition holds where one of its
/// patterns does.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// The rule's name, as the audit has it.
    pub name: String,
    /// The domain of the typed email address. `suffix = "a.com"` means the domain and its
    /// subdomains, `suffix = ".a.com"` the subdomains only.
    #[serde(default)]
    pub email_domain: Vec<Pattern>,
    /// The whole of what was typed, without case.
    #[serde(default)]
    pub identifier: Vec<Pattern>,
    /// The id of the application.
    #[serde(default)]
    pub application: Vec<Pattern>,
    /// Where the login goes.
    pub target: Target,
}

/// One part of an application.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Area {
    /// The area's name.
    pub name: String,
    /// The path that the person wanted, without its query.
    pub path: Vec<Pattern>,
    /// The id of the application. Left out: every application.
    #[serde(default)]
    pub application: Vec<Pattern>,
    /// `false` leaves the login to the application.
    pub sso: bool,
}

/// Where a login goes.
#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Target {
    /// What kind of place.
    pub to: To,
    /// `upstream`: its id.
    pub upstream: Option<String>,
    /// `choose`: the ids to choose from, in this order. None: every open upstream.
    pub upstreams: Vec<String>,
    /// `upstream`: in place of the settings' `delay-s`.
    pub delay_s: Option<u32>,
    /// `upstream`: authentication contexts to ask for (`acr_values`).
    pub acr_values: Vec<String>,
    /// `upstream`: ask to authenticate anew if the last time was longer ago, in seconds.
    pub max_age_s: Option<u32>,
    /// `refuse`: the reason's code, in kebab-case; `login-refused` if left out.
    pub reason: Option<String>,
}

/// What kind of place a login goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum To {
    /// The only open upstream, or a choice among several.
    #[default]
    Auto,
    /// The upstream that is named.
    Upstream,
    /// A page with upstreams to choose from.
    Choose,
    /// The gateway's own login form.
    LocalForm,
    /// The application's own login form: the request passes, without any identity.
    ApplicationForm,
    /// Nowhere.
    Refuse,
}

/// When to ask for an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Where a rule that could match needs one.
    WhenNeeded,
    /// On every login.
    Always,
    /// Never: rules that need one do not match.
    Never,
}

/// What may be typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Identifiers {
    /// An email address; anything else is asked for again.
    Email,
    /// A username, too. What has an `@` must still be a well-formed address.
    Any,
}
