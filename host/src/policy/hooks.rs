//! Where a component's hooks are, looked up once for all its instances, and how each is
//! called.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use wasmtime::{
    Store,
    component::{ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower, TypedFunc},
};

use super::{
    bindings::{
        exports::vestibule::policy::{access, admit, logout, provision, route, session},
        vestibule::policy::types,
    },
    error::LoadError,
    instance::Sandbox,
    limits::Guest,
};
use crate::decision::Hook;

/// The version of the contract whose functions these are.
const VERSION: &str = "0.1.0";

/// A guest's own yes or no.
type Outcome<T> = Result<T, types::Fault>;

/// The function of one hook.
#[derive(Debug)]
struct Function {
    index: ComponentExportIndex,
    /// Were its types held against the contract's? They are the component's: what one
    /// instance has, all have.
    checked: AtomicBool,
}

impl Function {
    /// Of one hook and always with the same `P` and `R`: that is what `checked` says.
    fn typed<P, R>(&self, store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let function = instance.get_func(&mut *store, self.index).ok_or_else(|| wasmtime::format_err!("it is gone"))?;
        if self.checked.load(Ordering::Acquire) {
            #[expect(unsafe_code, reason = "wasmtime would hold the types against each other at each call")]
            // SAFETY: the function was found to take `P` and to return `R`, in an instance of
            // the same component; `hooks!` is the only caller and names one `P` and one `R` for
            // each function.
            return Ok(unsafe { TypedFunc::new_unchecked(function) });
        }
        let typed = function.typed(&*store)?;
        self.checked.store(true, Ordering::Release);
        Ok(typed)
    }

    fn find(component: &InstancePre<Guest>, hook: Hook, name: &str) -> wasmtime::Result<Self> {
        let interface = format!("vestibule:policy/{hook}@{VERSION}");
        let component = component.component();
        let index = component
            .get_export_index(None, interface.as_str())
            .and_then(|interface| component.get_export_index(Some(&interface), name))
            .ok_or_else(|| wasmtime::format_err!("no function `{name}` in `{interface}`"))?;
        Ok(Self { index, checked: AtomicBool::new(false) })
    }
}

/// Each hook's function with its types, as `wit/policy.wit` has them.
macro_rules! hooks {
    ($($hook:ident: $variant:ident, $name:literal ($($argument:ident: $type:ty),+) -> $answer:ty;)+) => {
        /// The exports of one component, by hook.
        #[derive(Debug, Default)]
        pub(crate) struct Hooks {
            $($hook: Option<Function>,)+
        }

        impl Hooks {
            /// Looks up `hooks` in `component`.
            pub(crate) fn find(component: &InstancePre<Guest>, hooks: &BTreeSet<Hook>) -> wasmtime::Result<Self> {
                let mut found = Self::default();
                for hook in hooks {
                    match hook {
                        $(Hook::$variant => found.$hook = Some(Function::find(component, *hook, $name)?),)+
                    }
                }
                Ok(found)
            }

            /// Has the component this hook?
            pub(crate) const fn has(&self, hook: Hook) -> bool {
                match hook {
                    $(Hook::$variant => self.$hook.is_some(),)+
                }
            }

            /// Are the functions of `instance` of the contract's types?
            pub(crate) fn check(&self, store: &mut Store<Guest>, instance: &Instance) -> Result<(), LoadError> {
                $(if let Some(function) = &self.$hook {
                    function.typed::<($($type,)+), (Outcome<$answer>,)>(store, instance).map_err(|error| {
                        LoadError::WrongType { interface: Hook::$variant.name().to_owned(), message: format!("{error:#}") }
                    })?;
                })+
                Ok(())
            }

            $(pub(crate) fn $hook(&self, sandbox: &mut Sandbox, $($argument: $type),+) -> wasmtime::Result<Outcome<$answer>> {
                let function = self.$hook.as_ref().ok_or_else(|| wasmtime::format_err!("the hook is missing"))?;
                let function =
                    function.typed::<($($type,)+), (Outcome<$answer>,)>(&mut sandbox.store, &sandbox.instance)?;
                let (outcome,) = function.call(&mut sandbox.store, ($($argument,)+))?;
                Ok(outcome)
            })+
        }
    };
}

hooks! {
    route: Route, "choose" (attempt: route::Attempt<'_>) -> route::Direction;
    admit: Admit, "decide" (
        context: types::Context<'_>,
        identity: types::Identity<'_>,
        account: Option<types::Account<'_>>
    ) -> admit::Verdict;
    profile: Profile, "fill" (
        context: types::Context<'_>,
        identity: types::Identity<'_>,
        account: Option<types::Account<'_>>,
        so_far: types::ProfileParam<'_>
    ) -> types::ProfileResult;
    groups: Groups, "assign" (
        context: types::Context<'_>,
        identity: types::Identity<'_>,
        account: Option<types::Account<'_>>,
        profile: types::ProfileParam<'_>,
        so_far: types::PlanParam<'_>
    ) -> types::PlanResult;
    provision: Provision, "permit" (
        context: types::Context<'_>,
        identity: types::Identity<'_>,
        account: Option<types::Account<'_>>,
        profile: types::ProfileParam<'_>,
        granted: &[provision::Granted<'_>]
    ) -> provision::Terms;
    session: Session, "limit" (
        context: types::Context<'_>,
        identity: types::Identity<'_>,
        groups: &[&str],
        so_far: session::Terms
    ) -> session::Terms;
    access: Access, "check" (
        context: types::Context<'_>,
        identity: types::Identity<'_>,
        groups: &[&str],
        request: access::Request<'_>
    ) -> access::Verdict;
    logout: Logout, "end" (
        context: types::Context<'_>,
        identity: types::Identity<'_>,
        requested: Option<&str>
    ) -> Option<logout::Ending>;
}
