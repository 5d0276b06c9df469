//! `properties.toml`: from TOML to properties. Every unknown key is an error, since a misspelt
//! condition would change what is checked.

use std::{fs, io, path::Path};

use serde::Deserialize;
use serde_json::Value as Json;

use super::condition::Condition;
use crate::{
    decision::Hook,
    policy::{CaseError, artifact::PROPERTIES_SECTION, cases, locate, manifest::GrantPatterns},
};

/// What must hold of a policy, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    file: String,
    text: String,
}

/// One property.
#[derive(Clone, Debug)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) kind: Kind,
    pub(super) hooks: Vec<Hook>,
    pub(super) when: Option<Condition>,
    pub(super) unless: Option<Condition>,
    /// The settings with which it must hold; none stands for all that occur.
    pub(super) settings: Option<Json>,
}

/// What must hold: a closed set.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Every input gets an answer; but for faults of these kinds.
    NeverFaults { except: Vec<String> },
    /// Nobody is admitted.
    NeverAdmits,
    /// Nobody is denied.
    NeverDenies,
    /// None of these groups is granted.
    NeverGrants(Vec<String>),
    /// None of these groups is taken from an account.
    NeverTakes(Vec<String>),
    /// Nobody is sent to these upstreams.
    NeverRoutesTo(Vec<String>),
    /// Who has a group more may do and has no less.
    AddingAGroupNeverRemovesAccess,
    /// Groups in another order lead to the same answer.
    OrderOfGroupsNeverMatters,
}

impl Kind {
    /// The hooks that it is about.
    const fn hooks(&self) -> &'static [Hook] {
        match self {
            Self::NeverFaults { .. } => &Hook::ALL,
            Self::NeverAdmits => &[Hook::Admit],
            Self::NeverDenies => &[Hook::Route, Hook::Admit, Hook::Provision, Hook::Access],
            Self::NeverGrants(_) | Self::NeverTakes(_) => &[Hook::Groups],
            Self::NeverRoutesTo(_) => &[Hook::Route],
            Self::AddingAGroupNeverRemovesAccess => &[Hook::Admit, Hook::Groups, Hook::Access],
            Self::OrderOfGroupsNeverMatters => {
                &[Hook::Admit, Hook::Profile, Hook::Groups, Hook::Provision, Hook::Session, Hook::Access]
            }
        }
    }

    /// The texts that it names.
    pub(super) fn words(&self) -> &[String] {
        match self {
            Self::NeverGrants(words) | Self::NeverTakes(words) | Self::NeverRoutesTo(words) => words,
            _ => &[],
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileForm {
    settings: Option<toml::Table>,
    #[serde(default, rename = "property")]
    properties: Vec<toml::Spanned<PropertyForm>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PropertyForm {
    name: String,
    settings: Option<toml::Table>,
    hooks: Option<Vec<Hook>>,
    when: Option<Condition>,
    unless: Option<Condition>,
    except_faults: Option<Vec<String>>,
    never_faults: Option<bool>,
    never_admits: Option<bool>,
    never_denies: Option<bool>,
    never_grants: Option<Vec<String>>,
    never_takes: Option<Vec<String>>,
    never_routes_to: Option<Vec<String>>,
    adding_a_group_never_removes_access: Option<bool>,
    order_of_groups_never_matters: Option<bool>,
}

impl Properties {
    /// The properties in `text`, the content of `file`.
    ///
    /// # Errors
    ///
    /// The first one that is malformed.
    pub fn new(file: impl Into<String>, text: impl Into<String>) -> Result<Self, CaseError> {
        let properties = Self { file: file.into(), text: text.into() };
        properties.parse().map(|_| properties)
    }

    /// Those of `properties.toml` in a policy's folder; none where there is no such file.
    ///
    /// # Errors
    ///
    /// Where it cannot be read or is malformed.
    pub fn folder(folder: &Path) -> Result<Self, CaseError> {
        let path = folder.join("properties.toml");
        let file = path.display().to_string();
        match fs::read_to_string(&path) {
            Ok(text) => Self::new(file, text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(CaseError { file, line: None, message: error.to_string() }),
        }
    }

    /// Those that are embedded in a component; none where it has no such section.
    ///
    /// # Errors
    ///
    /// Where the section is not what `policy build` writes.
    pub fn embedded(component: &[u8]) -> Result<Self, CaseError> {
        let Some(section) = cases::custom_section(component, PROPERTIES_SECTION) else {
            return Ok(Self::default());
        };
        let text = std::str::from_utf8(section).map_err(|error| CaseError {
            file: PROPERTIES_SECTION.to_owned(),
            line: None,
            message: error.to_string(),
        })?;
        Self::new("properties.toml", text)
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What goes into the custom section.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file that they are from.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.parse().map(|properties| properties.len()).unwrap_or_default()
    }

    /// The properties themselves.
    pub(super) fn parse(&self) -> Result<Vec<Property>, CaseError> {
        let refuse = |line, message| CaseError { file: self.file.clone(), line, message };
        let form: FileForm = toml::from_str(&self.text).map_err(|error| {
            let malformed = locate::malformed_toml(&self.text, &error);
            refuse(malformed.position.map(|position| position.line), malformed.message)
        })?;
        if form.properties.is_empty() && !self.file.is_empty() {
            return Err(refuse(None, "the file has no `[[property]]`, and so would state nothing".to_owned()));
        }
        let json = |settings| locate::json_of(&toml::Value::Table(settings));
        let shared = form.settings.map(json);
        let mut properties: Vec<Property> = Vec::with_capacity(form.properties.len());
        for form in form.properties {
            let line = self.text.get(..form.span().start).unwrap_or_default().matches('\n').count() + 1;
            let mut form = form.into_inner();
            let settings = cases::overlay(shared.as_ref(), form.settings.take().map(json));
            let property = property(line, form, settings).map_err(|message| refuse(Some(line), message))?;
            if let Some(first) = properties.iter().find(|known| known.name == property.name) {
                let message = format!("the property of line {} is called `{}`, too", first.line, first.name);
                return Err(refuse(Some(line), message));
            }
            properties.push(property);
        }
        Ok(properties)
    }
}

fn property(line: usize, form: PropertyForm, settings: Option<Json>) -> Result<Property, String> {
    let named = |message: String| format!("property `{}`: {message}", form.name);
    let kind = kind(&form).map_err(&named)?;
    for (key, condition) in [("when", &form.when), ("unless", &form.unless)] {
        if let Some(problem) = condition.as_ref().and_then(Condition::problem) {
            return Err(named(format!("`{key}`: {problem}")));
        }
    }
    let hooks = match &form.hooks {
        None => kind.hooks().to_vec(),
        Some(hooks) => {
            if let Some(other) = hooks.iter().find(|hook| !kind.hooks().contains(hook)) {
                let about: Vec<&str> = kind.hooks().iter().map(|hook| hook.name()).collect();
                return Err(named(format!("it is not about the hook `{other}`, but about {}", about.join(", "))));
            }
            hooks.clone()
        }
    };
    Ok(Property { line, kind, hooks, when: form.when, unless: form.unless, name: form.name, settings })
}

fn kind(form: &PropertyForm) -> Result<Kind, String> {
    const KINDS: &str = "never-faults, never-admits, never-denies, never-grants, never-takes, never-routes-to, \
                         adding-a-group-never-removes-access, order-of-groups-never-matters";
    let flags = [
        (
            "never-faults",
            form.never_faults,
            Kind::NeverFaults { except: form.except_faults.clone().unwrap_or_default() },
        ),
        ("never-admits", form.never_admits, Kind::NeverAdmits),
        ("never-denies", form.never_denies, Kind::NeverDenies),
        (
            "adding-a-group-never-removes-access",
            form.adding_a_group_never_removes_access,
            Kind::AddingAGroupNeverRemovesAccess,
        ),
        ("order-of-groups-never-matters", form.order_of_groups_never_matters, Kind::OrderOfGroupsNeverMatters),
    ];
    let mut kinds = Vec::new();
    for (key, flag, kind) in flags {
        match flag {
            Some(true) => kinds.push(kind),
            Some(false) => return Err(format!("`{key} = false` states nothing")),
            None => {}
        }
    }
    let lists = [
        ("never-grants", form.never_grants.clone().map(Kind::NeverGrants)),
        ("never-takes", form.never_takes.clone().map(Kind::NeverTakes)),
        ("never-routes-to", form.never_routes_to.clone().map(Kind::NeverRoutesTo)),
    ];
    for (key, kind) in lists {
        let Some(kind) = kind else { continue };
        if kind.words().is_empty() {
            return Err(format!("`{key}` names nothing"));
        }
        GrantPatterns::new(kind.words()).map_err(|error| format!("`{key}`: {error}"))?;
        kinds.push(kind);
    }
    let mut kinds = kinds.into_iter();
    match (kinds.next(), kinds.next()) {
        (None, _) => Err(format!("it states nothing, expected one of {KINDS}")),
        (Some(_), Some(_)) => Err(format!("it states more than one thing, expected one of {KINDS}")),
        (Some(Kind::NeverFaults { except }), None) => {
            match except.iter().find_map(|failure| cases::unknown_failure(failure)) {
                Some(message) => Err(format!("`except-faults`: {message}")),
                None => Ok(Kind::NeverFaults { except }),
            }
        }
        (Some(_), None) if form.except_faults.is_some() => {
            Err("`except-faults` belongs to `never-faults` alone".to_owned())
        }
        (Some(kind), None) => Ok(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_properties_are_properties() {
        let text = include_str!("../../../../docs/examples/properties.toml");
        let properties = Properties::new("properties.toml", text).unwrap().parse().unwrap();
        let kinds: std::collections::BTreeSet<String> =
            properties.iter().map(|property| format!("{:?}", std::mem::discriminant(&property.kind))).collect();
        assert_eq!(kinds.len(), 8, "one of each kind");
    }

    #[test]
    fn refuses_what_states_nothing_or_something_else_and_says_where() {
        for (text, line, part) in [
            ("\n[[property]]\nname = \"n\"\n", 2, "states nothing, expected one of never-faults"),
            ("[[property]]\nname = \"n\"\nnever-faults = false\n", 1, "states nothing"),
            ("[[property]]\nname = \"n\"\nnever-faults = true\nnever-admits = true\n", 1, "more than one thing"),
            ("[[property]]\nname = \"n\"\nnever-grants = []\n", 1, "names nothing"),
            ("[[property]]\nname = \"n\"\nnever-grants = [\"[\"]\n", 1, "never-grants"),
            ("[[property]]\nname = \"n\"\nnever-admits = true\nhooks = [\"groups\"]\n", 1, "the hook `groups`"),
            ("[[property]]\nname = \"n\"\nnever-admits = true\nexcept-faults = [\"bad-claim\"]\n", 1, "except-faults"),
            ("[[property]]\nname = \"n\"\nnever-admits = true\nunless = {}\n", 1, "`unless`: it names nothing"),
            ("[[property]]\nname = \"n\"\nnever-admit = true\n", 3, "did you mean `never-admits`?"),
            ("[[property]]\nname = \"n\"\nnever-faults = true\nexcept-faults = [\"bad-clam\"]\n", 1, "`bad-claim`?"),
            ("[[property]]\nname = \"n\"\nnever-admits = true\nhooks = [\"admitt\"]\n", 4, "did you mean `admit`?"),
            (
                "[[property]]\nname = \"n\"\nnever-admits = true\n\n[[property]]\nname = \"n\"\nnever-denies = true\n",
                5,
                "the property of line 1 is called `n`, too",
            ),
            ("[[property]]\nname = \"n\"\nnever-admits = true\nwhen.email-domian = [\"a\"]\n", 4, "email-domian"),
        ] {
            let error = Properties::new("p.toml", text).unwrap_err();
            assert_eq!(error.line, Some(line), "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn refuses_a_file_that_states_nothing() {
        for text in ["", "# nothing yet\n", "[settings]\na = 1\n"] {
            let error = Properties::new("p.toml", text).unwrap_err().to_string();
            assert!(error.starts_with("p.toml: the file has no `[[property]]`"), "{error}");
        }
        assert_eq!(Properties::default().count(), 0);
    }
}
