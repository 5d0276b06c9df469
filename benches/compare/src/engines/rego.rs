//! Rego by regorus.

use std::{collections::BTreeMap, num::NonZeroU32};

use regorus::{Value, languages::rego::compiler::Compiler, rvm::RegoVM, utils::limits::ExecutionTimerConfig};
use vestibule::identity::Identity;

use super::{DEADLINE, Decide, rule};
use crate::login::{DEFAULT, DOMAINS, Decision, groups, rows};

/// What a question needs is some hundreds; the engine's own default.
const INSTRUCTIONS_MAX: usize = 25_000;

/// So many instructions between two looks at the clock.
const CHECK_INTERVAL: NonZeroU32 = NonZeroU32::new(512).expect("not zero");

/// Its virtual machine, kept between the questions, with the rows indexed by hand.
pub struct Rego(RegoVM);

impl Rego {
    /// With the rules and the data.
    #[must_use]
    pub fn new() -> Self {
        let mut index: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (from, group) in rows() {
            index.entry(from).or_default().push(group);
        }
        let data = serde_json::json!({ "domains": DOMAINS, "rows": index, "default": DEFAULT });
        let data = Value::from_json_str(&data.to_string()).expect("data");
        let mut engine = regorus::Engine::new();
        engine.add_policy("rules.rego".to_owned(), rule("rules.rego")).expect("rules");
        engine.add_data(data.clone()).expect("data");
        let entry = "data.login.decision";
        let compiled = engine.compile_with_entrypoint(&entry.into()).expect("it compiles");
        let program = Compiler::compile_from_policy(&compiled, &[entry]).expect("it compiles");
        let mut machine = RegoVM::new();
        machine.set_max_instructions(INSTRUCTIONS_MAX);
        machine
            .set_execution_timer_config(Some(ExecutionTimerConfig { limit: DEADLINE, check_interval: CHECK_INTERVAL }));
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

impl Decide for Rego {
    fn decide(&mut self, identity: &Identity) -> Decision {
        let text = |text: &str| Value::from(text);
        let mut input: BTreeMap<Value, Value> = BTreeMap::new();
        input.insert(text("groups"), groups(identity).iter().map(|group| text(group)).collect::<Vec<_>>().into());
        if let Some(email) = &identity.email {
            let fields =
                BTreeMap::from([(text("address"), text(&email.address)), (text("verified"), email.verified.into())]);
            input.insert(text("email"), fields.into());
        }
        self.0.set_input(input.into());
        let decision = self.0.execute().expect("it decides");
        if decision == Value::Undefined {
            return None;
        }
        let granted = decision.as_set().expect("a set");
        Some(granted.iter().map(|group| group.as_string().expect("a name").to_string()).collect())
    }
}
