//! The settings: which claim fills which field.

use vestibule_policy::{names, prelude::*};

/// Which claim fills which field. An empty claim name leaves a field alone. `sub` and
/// `email` may be named like any other claim.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Fill the profile. `false` (the directory is read-only) fills only what finds the
    /// account.
    pub enabled: bool,
    /// The claim with the username.
    pub username_claim: String,
    /// The claim with the email address.
    pub email_claim: String,
    /// The claim with the given (first) name.
    pub given_name_claim: String,
    /// The claim with the family (last) name.
    pub family_name_claim: String,
    /// The claim with the full name.
    pub display_name_claim: String,
    /// Custom attributes, one for each row.
    pub attributes: Vec<Row>,
    /// By what an existing account is found that is not linked to this subject yet.
    pub match_by: MatchBy,
    /// The claim with the username or address to find it by. Empty: the same that fills the
    /// field.
    pub match_claim: String,
    /// What an email address is good for that the upstream did not verify.
    pub unverified_email: UnverifiedEmail,
    /// Fields that must not stay empty: the login is denied with `missing-claim`.
    pub required: Vec<Field>,
    /// Turn the username to lower case.
    pub lower_case_username: bool,
    /// Turn the email address to lower case.
    pub lower_case_email: bool,
    /// Cut blanks off both ends of every text.
    pub trim: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            username_claim: "preferred_username".into(),
            email_claim: "email".into(),
            given_name_claim: "given_name".into(),
            family_name_claim: "family_name".into(),
            display_name_claim: "name".into(),
            attributes: Vec::new(),
            match_by: MatchBy::Username,
            match_claim: String::new(),
            unverified_email: UnverifiedEmail::Ignore,
            required: Vec::new(),
            lower_case_username: false,
            lower_case_email: false,
            trim: true,
        }
    }
}

/// A custom attribute.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Row {
    /// The application's name of the attribute, such as `department`.
    pub name: String,
    /// The claim.
    pub claim: String,
    /// Turn texts to lower case.
    #[serde(default)]
    pub lower_case: bool,
    /// Deny the login where the claim is missing.
    #[serde(default)]
    pub required: bool,
}

/// By what an account is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MatchBy {
    /// By the username.
    Username,
    /// By the email address.
    Email,
    /// By neither: this policy sets no key.
    None,
}

/// What an unverified email address is good for; each goes further than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnverifiedEmail {
    /// For nothing: it fills no field.
    Ignore,
    /// It is handed to the application, and finds no account.
    HandOver,
    /// It finds an account. Whoever can write an address into their profile at the upstream
    /// becomes its owner here.
    DangerMatch,
}

/// A field of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// The username.
    Username,
    /// The email address.
    Email,
    /// The given name.
    GivenName,
    /// The family name.
    FamilyName,
    /// The full name.
    DisplayName,
}

impl Field {
    /// What the profile has there.
    #[must_use]
    pub fn of(self, profile: &Profile) -> Option<&str> {
        match self {
            Self::Username => profile.username.as_deref(),
            Self::Email => profile.email.as_deref(),
            Self::GivenName => profile.given_name.as_deref(),
            Self::FamilyName => profile.family_name.as_deref(),
            Self::DisplayName => profile.display_name.as_deref(),
        }
    }
}

impl Settings {
    /// The claim that fills `field`.
    #[must_use]
    pub fn claim_of(&self, field: Field) -> &str {
        match field {
            Field::Username => &self.username_claim,
            Field::Email => &self.email_claim,
            Field::GivenName => &self.given_name_claim,
            Field::FamilyName => &self.family_name_claim,
            Field::DisplayName => &self.display_name_claim,
        }
    }

    /// What the JSON Schema does not say.
    #[must_use]
    pub fn check(&self) -> Problems {
        let mut problems = Problems::new();
        let key = match self.match_by {
            MatchBy::Username => Some(("username", &self.username_claim)),
            MatchBy::Email => Some(("email", &self.email_claim)),
            MatchBy::None => None,
        };
        if let Some((field, claim)) = key
            && claim.is_empty()
            && self.match_claim.is_empty()
        {
            problems.add("/match-claim", format!("matching by {field} needs it, as `{field}-claim` is empty"));
        }
        for (index, field) in self.required.iter().enumerate() {
            if self.required.iter().take(index).any(|earlier| earlier == field) {
                problems.add(format!("/required/{index}"), "is there twice");
            }
        }
        for (index, row) in self.attributes.iter().enumerate() {
            let at = format!("/attributes/{index}");
            if !names::is_attribute(&row.name) {
                problems.add(format!("{at}/name"), "an attribute's name is made of letters, digits and `-_.:/#~`");
            } else if names::is_reserved(&row.name) {
                problems.add(format!("{at}/name"), format!("`{}` is the gateway's own", row.name));
            } else if self.attributes.iter().take(index).any(|earlier| earlier.name == row.name) {
                problems.add(format!("{at}/name"), format!("`{}` has two rows", row.name));
            }
            if row.claim.is_empty() {
                problems.add(format!("{at}/claim"), "name the claim that fills the attribute");
            }
        }
        problems
    }
}
