//! Paths that want a fresh authentication, paths for some groups, paths for nobody.
//!
//! The host asks for the paths that the settings name, as widely as this policy reads them.

mod path;

use vestibule_policy::{
    access::{Request, Verdict},
    prelude::*,
    types::Problem,
};

use path::Paths;

/// The `acr` of whoever passed the gateway's own second factor, and of whoever did so by a passkey: who
/// has the second has the first (`wit/README.md`).
const SECOND_FACTOR: &str = "urn:vestibule:second-factor";
const PHISHING_RESISTANT: &str = "urn:vestibule:second-factor:phishing-resistant";

/// Which paths, and what they want.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Paths that want a fresh authentication. `*` stands for any text, slashes too;
    /// `/admin/*` covers `/admin` itself and everything below.
    pub admin_paths: Vec<String>,
    /// How fresh: at most so many seconds ago.
    pub max_age_s: u32,
    /// How strong: one of these `acr` values, such as the one that stands for a second factor
    /// at your identity provider. Empty asks for none.
    pub acr_values: Vec<String>,
    /// Paths that nobody gets.
    pub hidden_paths: Vec<String>,
    /// Paths for the members of some groups. Where several rows cover a path, each must let
    /// the person in.
    pub restricted: Vec<Restricted>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            admin_paths: Vec::new(),
            max_age_s: 600,
            acr_values: Vec::new(),
            hidden_paths: Vec::new(),
            restricted: Vec::new(),
        }
    }
}

/// Paths for the members of some groups.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Restricted {
    /// The paths.
    pub paths: Vec<String>,
    /// The application's groups, of which a person needs one.
    pub groups: Vec<String>,
}

/// The policy.
#[derive(Debug)]
pub struct AdminReauth {
    admin: Paths,
    max_age: u32,
    acr_values: Vec<String>,
    hidden: Paths,
    restricted: Vec<(Paths, Vec<String>)>,
}

impl Policy for AdminReauth {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new();
        let admin = Paths::compile(&settings.admin_paths, "/admin-paths", &mut problems);
        if settings.max_age_s == 0 {
            problems.add("/max-age-s", "nobody can authenticate within 0 s");
        }
        for (index, acr) in settings.acr_values.iter().enumerate() {
            problems.check_acr(format!("/acr-values/{index}"), acr);
        }
        let hidden = Paths::compile(&settings.hidden_paths, "/hidden-paths", &mut problems);
        let mut restricted = Vec::new();
        for (index, row) in settings.restricted.into_iter().enumerate() {
            let at = format!("/restricted/{index}");
            if row.paths.is_empty() {
                problems.add(format!("{at}/paths"), "name at least one path");
            }
            if row.groups.is_empty() {
                problems.add(format!("{at}/groups"), "name at least one group; for nobody there is `hidden-paths`");
            }
            for (number, group) in row.groups.iter().enumerate() {
                problems.check_name(format!("{at}/groups/{number}"), "a group", group);
            }
            restricted.push((Paths::compile(&row.paths, &format!("{at}/paths"), &mut problems), row.groups));
        }
        let (max_age, acr_values) = (settings.max_age_s, settings.acr_values);
        problems.into_result(Self { admin, max_age, acr_values, hidden, restricted })
    }
}

impl Access for AdminReauth {
    fn check(
        &self,
        context: &Context,
        identity: &Identity,
        groups: &[String],
        request: &Request,
    ) -> Result<Verdict, Fault> {
        let readings = path::readings(&request.path);
        if self.hidden.cover(&readings) {
            return Ok(Verdict::Deny(Reason::new("path-hidden", "")));
        }
        for (paths, members) in &self.restricted {
            if paths.cover(&readings) && !members.iter().any(|group| groups.contains(group)) {
                return Ok(Verdict::Deny(Reason::new("group-required", members.join(" or "))));
            }
        }
        if self.admin.cover(&readings) {
            let code = if !self.is_strong(identity) {
                "authentication-not-strong"
            } else if !self.is_fresh(context, identity) {
                "authentication-not-recent"
            } else {
                return Ok(Verdict::Pass);
            };
            return Ok(Verdict::Reauthenticate(StepUp {
                acr_values: self.acr_values.clone(),
                max_age: Some(self.max_age),
                reason: Reason::new(code, ""),
            }));
        }
        Ok(Verdict::Pass)
    }
}

impl AdminReauth {
    fn is_strong(&self, identity: &Identity) -> bool {
        let wants = |name: &str| self.acr_values.iter().any(|acr| acr == name);
        let acr = identity.acr.as_deref();
        self.acr_values.is_empty()
            || acr.is_some_and(wants)
            || (acr == Some(PHISHING_RESISTANT) && wants(SECOND_FACTOR))
    }

    /// A time that is missing or lies in the future proves nothing.
    fn is_fresh(&self, context: &Context, identity: &Identity) -> bool {
        let age = identity.auth_time.and_then(|at| context.at.checked_sub(at));
        age.is_some_and(|age| age <= u64::from(self.max_age))
    }
}

vestibule_policy::export!(AdminReauth: access);

#[cfg(test)]
mod tests {
    use super::*;

    vestibule_policy::settings_tests!(Settings);
}
