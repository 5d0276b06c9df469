//! Rhai.

use std::{cell::Cell, time::Instant};

use rhai::{AST, Array, Dynamic, Engine, Map, Scope};
use vestibule::identity::Identity;

use super::{DEADLINE, Decide, rule};
use crate::login::{DEFAULT, DOMAINS, Decision, groups, rows};

/// So many operations between two looks at the clock.
const CHECK_INTERVAL: u64 = 512;

thread_local! {
    /// When the question under way has to be answered.
    static UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Compiled once; a scope for each question. The rules' data is shared with the script, not copied.
pub struct Rhai {
    engine: Engine,
    rules: AST,
    domains: Dynamic,
    rows: Dynamic,
    fallback: Dynamic,
}

impl Rhai {
    /// With the rules and the data.
    #[must_use]
    pub fn new() -> Self {
        let mut engine = Engine::new();
        engine
            .set_max_operations(100_000)
            .set_max_call_levels(32)
            .set_max_expr_depths(64, 64)
            .set_max_string_size(64 << 10)
            .set_max_array_size(10_000)
            .set_max_map_size(10_000)
            .on_progress(|operations| {
                let is_late =
                    operations % CHECK_INTERVAL == 0 && UNTIL.get().is_some_and(|until| Instant::now() > until);
                is_late.then(|| "out of time".into())
            });
        let rules = engine.compile(rule("rules.rhai")).expect("it compiles");
        let mut index = Map::new();
        for (from, group) in rows() {
            let groups = index.entry(from.into()).or_insert_with(|| Array::new().into());
            groups.write_lock::<Array>().expect("a list").push(group.into());
        }
        let domains: Array = DOMAINS.iter().map(|domain| (*domain).into()).collect();
        Self {
            engine,
            rules,
            domains: Dynamic::from(domains).into_shared(),
            rows: Dynamic::from(index).into_shared(),
            fallback: DEFAULT.into(),
        }
    }
}

impl Default for Rhai {
    fn default() -> Self {
        Self::new()
    }
}

impl Decide for Rhai {
    fn decide(&mut self, identity: &Identity) -> Decision {
        UNTIL.set(Instant::now().checked_add(DEADLINE));
        let mut scope = Scope::new();
        let email = identity.email.as_ref()?;
        let arguments = (Dynamic::from(email.address.clone()), email.verified, self.domains.clone());
        let allowed: bool = self.engine.call_fn(&mut scope, &self.rules, "allow", arguments).expect("it decides");
        if !allowed {
            return None;
        }
        let names: Array = groups(identity).iter().map(|group| group.as_str().into()).collect();
        let arguments = (names, self.rows.clone(), self.fallback.clone());
        let granted: Array = self.engine.call_fn(&mut scope, &self.rules, "groups", arguments).expect("it decides");
        Some(granted.into_iter().map(|group| group.into_string().expect("a name")).collect())
    }
}
