//! Each engine, loaded once with the rules, then asked about one login after the other. What it takes to hand over the
//! login is part of each question, and so is whatever the engine makes anew for it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
    sync::Arc,
};

use serde_json::Value;
use vestibule::{
    config::Limits,
    decision::{Context, Plan, Profile, Rules},
    identity::Identity,
    policy::{Chain, Component, Engine, LoadedPolicy, Run},
};
use vestibule_policy::prelude::{self as sdk, Admit as _, AssignGroups as _};

use crate::{
    login::{DEFAULT, DOMAINS, Decision, groups, rows, settings},
    native::Compared,
};

fn rule(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rules").join(name)).expect("the rules")
}

/// Answers about logins.
pub trait Decide {
    /// One decision.
    fn decide(&mut self, identity: &Identity) -> Decision;
}

/// A component, as the gateway runs it: a fresh sandbox, contracts, trace.
pub struct Sandboxed(Chain);

impl Sandboxed {
    /// Loads the component at `path`, where there is one.
    #[must_use]
    pub fn load(path: &Path) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        let engine = Engine::new(&Limits::default(), None).expect("the sandbox can be set up");
        let component = Component::check(&engine, &bytes).expect("the component is a policy");
        let policy = LoadedPolicy::load(&engine, "compared", &component, &settings()).expect("the settings fit");
        Some(Self(Chain::new(vec![policy])))
    }
}

impl Decide for Sandboxed {
    fn decide(&mut self, identity: &Identity) -> Decision {
        let context = Context {
            login: "0123456789abcdef".into(),
            at: 1_700_000_000,
            tenant: "default".into(),
            application: "wiki".into(),
            ..Context::default()
        };
        let mut run = Run::new(&self.0, context, 1, Arc::from("digest")).expect("the chain is not empty");
        run.admit_case(identity, None).ok()?;
        let plan = run
            .groups_case(identity, None, &Profile::default(), Plan::default(), &Rules::default())
            .expect("there is a plan");
        Some(plan.grants.into_iter().map(|grant| grant.group).collect())
    }
}

/// The guest's source, called as a library.
pub struct Native(Compared);

impl Native {
    /// With the settings.
    #[must_use]
    pub fn new() -> Self {
        Self(vestibule_policy::testing::configure(&settings()).expect("the settings fit"))
    }
}

impl Default for Native {
    fn default() -> Self {
        Self::new()
    }
}

impl Decide for Native {
    fn decide(&mut self, identity: &Identity) -> Decision {
        let context = sdk::Context::default();
        let identity = sdk::Identity {
            email: identity
                .email
                .as_ref()
                .map(|email| sdk::Email { address: email.address.clone(), verified: email.verified }),
            groups: sdk::GroupClaim::Listed(groups(identity).to_vec()),
            ..sdk::Identity::default()
        };
        let verdict = self.0.decide(&context, &identity, None).expect("it decides");
        if !matches!(verdict, vestibule_policy::admit::Verdict::Allow(_)) {
            return None;
        }
        let plan = self
            .0
            .assign(&context, &identity, None, &sdk::Profile::default(), sdk::Plan::default())
            .expect("there is a plan");
        Some(plan.grants.into_iter().map(|grant| grant.group).collect())
    }
}

/// Rego by regorus: its virtual machine, kept between the questions, with the rows indexed by hand.
pub struct Rego(regorus::rvm::RegoVM);

impl Rego {
    /// With the rules and the data.
    #[must_use]
    pub fn new() -> Self {
        let mut index: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (from, group) in rows() {
            index.entry(from).or_default().push(group);
        }
        let data = serde_json::json!({ "domains": DOMAINS, "rows": index, "default": DEFAULT });
        let data = regorus::Value::from_json_str(&data.to_string()).expect("data");
        let mut engine = regorus::Engine::new();
        engine.add_policy("rules.rego".to_owned(), rule("rules.rego")).expect("rules");
        engine.add_data(data.clone()).expect("data");
        let entry = "data.login.decision";
        let compiled = engine.compile_with_entrypoint(&entry.into()).expect("it compiles");
        let program = regorus::languages::rego::compiler::Compiler::compile_from_policy(&compiled, &[entry])
            .expect("it compiles");
        let mut machine = regorus::rvm::RegoVM::new();
        machine.load_program(program);
        machine.set_data(data).expect("data");
        Self(machine)
    }
}

impl Default for Rego {
    fn default() -> Self {
        Self::new()
    }
}

fn rego_of(value: &Value) -> regorus::Value {
    match value {
        Value::Null => regorus::Value::Null,
        Value::Bool(truth) => regorus::Value::from(*truth),
        Value::Number(number) => regorus::Value::from(number.as_i64().unwrap_or_default()),
        Value::String(text) => regorus::Value::from(text.as_str()),
        Value::Array(items) => regorus::Value::from(items.iter().map(rego_of).collect::<Vec<_>>()),
        Value::Object(fields) => regorus::Value::from(
            fields
                .iter()
                .map(|(name, value)| (regorus::Value::from(name.as_str()), rego_of(value)))
                .collect::<BTreeMap<_, _>>(),
        ),
    }
}

impl Decide for Rego {
    fn decide(&mut self, identity: &Identity) -> Decision {
        let text = |text: &str| regorus::Value::from(text);
        let mut input: BTreeMap<regorus::Value, regorus::Value> = BTreeMap::new();
        input.insert(text("subject"), text(&identity.subject));
        input.insert(text("groups"), groups(identity).iter().map(|group| text(group)).collect::<Vec<_>>().into());
        if let Some(email) = &identity.email {
            let fields =
                BTreeMap::from([(text("address"), text(&email.address)), (text("verified"), email.verified.into())]);
            input.insert(text("email"), fields.into());
        }
        let claims = identity.claims.iter().map(|(name, value)| (text(name), rego_of(value)));
        input.insert(text("claims"), claims.collect::<BTreeMap<_, _>>().into());
        self.0.set_input(input.into());
        let decision = self.0.execute().expect("it decides");
        if decision["allow"] != regorus::Value::from(true) {
            return None;
        }
        let granted = decision["groups"].as_set().expect("a set");
        Some(granted.iter().map(|group| group.as_string().expect("a name").to_string()).collect())
    }
}

/// rhai, compiled once; a scope for each question.
pub struct Rhai {
    engine: rhai::Engine,
    rules: rhai::AST,
    domains: rhai::Array,
    rows: rhai::Map,
}

impl Rhai {
    /// With the rules and the data.
    #[must_use]
    pub fn new() -> Self {
        let engine = rhai::Engine::new();
        let rules = engine.compile(rule("rules.rhai")).expect("it compiles");
        let mut index = rhai::Map::new();
        for (from, group) in rows() {
            let groups = index.entry(from.into()).or_insert_with(|| rhai::Array::new().into());
            groups.write_lock::<rhai::Array>().expect("a list").push(group.into());
        }
        Self { engine, rules, domains: DOMAINS.iter().map(|domain| (*domain).into()).collect(), rows: index }
    }
}

impl Default for Rhai {
    fn default() -> Self {
        Self::new()
    }
}

impl Decide for Rhai {
    fn decide(&mut self, identity: &Identity) -> Decision {
        let mut scope = rhai::Scope::new();
        let email = identity.email.as_ref()?;
        let allowed: bool = self
            .engine
            .call_fn(&mut scope, &self.rules, "allow", (email.address.clone(), email.verified, self.domains.clone()))
            .expect("it decides");
        if !allowed {
            return None;
        }
        let names: rhai::Array = groups(identity).iter().map(|group| group.clone().into()).collect();
        let granted: rhai::Array = self
            .engine
            .call_fn(&mut scope, &self.rules, "groups", (names, self.rows.clone(), DEFAULT.to_owned()))
            .expect("it decides");
        Some(granted.into_iter().map(|group| group.into_string().expect("a name")).collect())
    }
}

/// CEL: two expressions, compiled once; a context for each question.
pub struct Cel {
    allow: cel::Program,
    groups: cel::Program,
    domains: cel::Value,
    rows: cel::Value,
}

impl Cel {
    /// With the rules and the data.
    #[must_use]
    pub fn new() -> Self {
        let index: HashMap<String, String> = rows().into_iter().collect();
        Self {
            allow: cel::Program::compile(rule("allow.cel").trim()).expect("it compiles"),
            groups: cel::Program::compile(rule("groups.cel").trim()).expect("it compiles"),
            domains: DOMAINS.iter().map(|domain| (*domain).to_owned()).collect::<Vec<String>>().into(),
            rows: index.into(),
        }
    }
}

impl Default for Cel {
    fn default() -> Self {
        Self::new()
    }
}

impl Decide for Cel {
    fn decide(&mut self, identity: &Identity) -> Decision {
        let mut context = cel::Context::default();
        let email = identity.email.as_ref()?;
        let fields: HashMap<String, cel::Value> = HashMap::from([
            ("address".to_owned(), email.address.as_str().into()),
            ("verified".to_owned(), email.verified.into()),
        ]);
        context.add_variable_from_value("email", fields);
        context.add_variable_from_value("domains", self.domains.clone());
        if self.allow.execute(&context).expect("it decides") != cel::Value::Bool(true) {
            return None;
        }
        context.add_variable_from_value("groups", groups(identity).to_vec());
        context.add_variable_from_value("rows", self.rows.clone());
        let cel::Value::List(granted) = self.groups.execute(&context).expect("it decides") else { panic!("no list") };
        let mut granted: BTreeSet<String> = granted
            .iter()
            .map(|group| match group {
                cel::Value::String(name) => name.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        // The language has no way to say it within one expression without mapping twice.
        if granted.is_empty() {
            granted.insert(DEFAULT.to_owned());
        }
        Some(granted)
    }
}

/// Cedar: one policy for each row, and what is granted are the policies that permit.
pub struct Cedar {
    authorizer: cedar_policy::Authorizer,
    policies: cedar_policy::PolicySet,
    groups: HashMap<String, String>,
}

impl Cedar {
    /// With the rules and the data.
    #[must_use]
    pub fn new() -> Self {
        let domains: Vec<String> = DOMAINS
            .iter()
            .map(|domain| format!("context.address like \"*@{domain}\" || context.address like \"*.{domain}\""))
            .collect();
        let mut text = format!(
            "@id(\"domains\") forbid (principal, action, resource) unless {{ context.verified && ({}) }};\n\
             @id(\"anybody\") permit (principal, action, resource);\n",
            domains.join(" || ")
        );
        for (from, group) in rows() {
            text.push_str(&format!(
                "@id(\"{group}\") permit (principal, action, resource) when {{ context.groups.contains(\"{from}\") }};\n"
            ));
        }
        let policies: cedar_policy::PolicySet = text.parse().expect("it compiles");
        let groups = policies
            .policies()
            .map(|policy| (policy.id().to_string(), policy.annotation("id").expect("a name").to_owned()))
            .collect();
        Self { authorizer: cedar_policy::Authorizer::new(), policies, groups }
    }
}

impl Default for Cedar {
    fn default() -> Self {
        Self::new()
    }
}

impl Decide for Cedar {
    fn decide(&mut self, identity: &Identity) -> Decision {
        use cedar_policy::RestrictedExpression as Expression;
        let email = identity.email.as_ref()?;
        let uid = |kind: &str, id: &str| {
            cedar_policy::EntityUid::from_type_name_and_id(
                kind.parse().expect("a type"),
                cedar_policy::EntityId::new(id),
            )
        };
        let context = cedar_policy::Context::from_pairs([
            ("address".to_owned(), Expression::new_string(email.address.clone())),
            ("verified".to_owned(), Expression::new_bool(email.verified)),
            (
                "groups".to_owned(),
                Expression::new_set(groups(identity).iter().map(|group| Expression::new_string(group.clone()))),
            ),
        ])
        .expect("a context");
        let request = cedar_policy::Request::new(
            uid("User", &identity.subject),
            uid("Action", "login"),
            uid("Application", "wiki"),
            context,
            None,
        )
        .expect("a request");
        let entities = cedar_policy::Entities::empty();
        let response = self.authorizer.is_authorized(&request, &self.policies, &entities);
        if response.decision() != cedar_policy::Decision::Allow {
            return None;
        }
        let mut granted: BTreeSet<String> = response
            .diagnostics()
            .reason()
            .filter_map(|policy| self.groups.get(&policy.to_string()))
            .filter(|name| *name != "anybody")
            .cloned()
            .collect();
        if granted.is_empty() {
            granted.insert(DEFAULT.to_owned());
        }
        Some(granted)
    }
}
