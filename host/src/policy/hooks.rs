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
    artifact::Form,
    bindings::{
        exports::vestibule::policy::{access, admit, logout, provision, route, session},
        vestibule::policy::types,
    },
    error::LoadError,
    instance::Sandbox,
    json::{self, Answer, Parameter as _},
    limits::{Failure, Guest},
};
use crate::decision::Hook;

/// The version of the contract whose functions these are.
const VERSION: &str = "0.1.0";

/// There are not so many hooks.
const HOOKS_MAX: usize = 32;

/// The name of a hook that is none is cut to so many characters.
const NAME_CHARS_MAX: usize = 64;

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
    /// Of one function and always with the same `P` and `R`: that is what `checked` says.
    fn typed<P, R>(&self, store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let function = instance.get_func(&mut *store, self.index).ok_or_else(|| wasmtime::format_err!("it is gone"))?;
        if self.checked.load(Ordering::Acquire) {
            #[expect(unsafe_code, reason = "wasmtime would hold the types against each other at each call")]
            // SAFETY: the function was found to take `P` and to return `R`, in an instance of
            // the same component; `hooks!` and `Ask` are the only callers and name one `P` and one
            // `R` for each function.
            return Ok(unsafe { TypedFunc::new_unchecked(function) });
        }
        let typed = function.typed(&*store)?;
        self.checked.store(true, Ordering::Release);
        Ok(typed)
    }

    fn find(component: &InstancePre<Guest>, interface: &str, name: &str) -> wasmtime::Result<Self> {
        let interface = format!("vestibule:policy/{interface}@{VERSION}");
        let component = component.component();
        let index = component
            .get_export_index(None, interface.as_str())
            .and_then(|interface| component.get_export_index(Some(&interface), name))
            .ok_or_else(|| wasmtime::format_err!("no function `{name}` in `{interface}`"))?;
        Ok(Self { index, checked: AtomicBool::new(false) })
    }
}

/// The functions of the JSON form, and the hooks that the manifest says they stand for.
#[derive(Debug)]
struct Ask {
    ask: Function,
    declared: Function,
    hooks: BTreeSet<Hook>,
}

impl Ask {
    fn find(component: &InstancePre<Guest>, hooks: &BTreeSet<Hook>) -> wasmtime::Result<Self> {
        let find = |name| Function::find(component, "json", name);
        Ok(Self { ask: find("ask")?, declared: find("hooks")?, hooks: hooks.clone() })
    }

    fn check(&self, store: &mut Store<Guest>, instance: &Instance) -> Result<(), LoadError> {
        let wrong = |error: wasmtime::Error| LoadError::WrongType {
            interface: "json".to_owned(),
            message: format!("{error:#}"),
        };
        self.ask.typed::<(&str, &str), (String,)>(store, instance).map_err(wrong)?;
        self.declared.typed::<(), (Vec<String>,)>(store, instance).map_err(wrong)?;
        Ok(())
    }

    /// Does the component decide the hooks of its manifest, and no others?
    fn check_declared(&self, store: &mut Store<Guest>, instance: &Instance) -> Result<(), LoadError> {
        let declared = self.declared.typed::<(), (Vec<String>,)>(store, instance);
        let (declared,) = declared.and_then(|function| function.call(store, ())).map_err(|error| {
            let Failure { code, detail } = Failure::of_call(&error);
            LoadError::Configure { code, message: detail }
        })?;
        let manifest: BTreeSet<String> = self.hooks.iter().map(|hook| hook.name().to_owned()).collect();
        let declared: BTreeSet<String> = declared.into_iter().take(HOOKS_MAX).collect();
        if manifest == declared {
            return Ok(());
        }
        let exports = declared.iter().map(|name| name.escape_debug().take(NAME_CHARS_MAX).collect()).collect();
        Err(LoadError::LyingManifest { manifest: manifest.into_iter().collect(), exports })
    }

    fn call<T: Answer>(&self, sandbox: &mut Sandbox, hook: Hook, question: &str) -> wasmtime::Result<Outcome<T>> {
        let function = self.ask.typed::<(&str, &str), (String,)>(&mut sandbox.store, &sandbox.instance)?;
        let (answer,) = function.call(&mut sandbox.store, (hook.name(), question))?;
        Ok(json::read(hook, &answer)?)
    }
}

/// Each hook's function with its types, as `wit/policy.wit` has them.
macro_rules! hooks {
    ($($hook:ident: $variant:ident, $name:literal ($($argument:ident: $type:ty),+) -> $answer:ty;)+) => {
        /// The exports of one component, by hook.
        #[derive(Debug, Default)]
        pub(crate) struct Hooks {
            $($hook: Option<Function>,)+
            json: Option<Ask>,
        }

        impl Hooks {
            /// Looks up `hooks` in `component`.
            pub(crate) fn find(
                component: &InstancePre<Guest>,
                form: Form,
                hooks: &BTreeSet<Hook>,
            ) -> wasmtime::Result<Self> {
                let mut found = Self::default();
                if form == Form::Json {
                    found.json = Some(Ask::find(component, hooks)?);
                    return Ok(found);
                }
                for hook in hooks {
                    match hook {
                        $(Hook::$variant => found.$hook = Some(Function::find(component, hook.name(), $name)?),)+
                    }
                }
                Ok(found)
            }

            /// Has the component this hook?
            pub(crate) fn has(&self, hook: Hook) -> bool {
                if let Some(json) = &self.json {
                    return json.hooks.contains(&hook);
                }
                match hook {
                    $(Hook::$variant => self.$hook.is_some(),)+
                }
            }

            /// Does a component of the JSON form decide the hooks of its manifest?
            pub(crate) fn check_declared(
                &self,
                store: &mut Store<Guest>,
                instance: &Instance,
            ) -> Result<(), LoadError> {
                self.json.as_ref().map_or(Ok(()), |json| json.check_declared(store, instance))
            }

            /// Are the functions of `instance` of the contract's types?
            pub(crate) fn check(&self, store: &mut Store<Guest>, instance: &Instance) -> Result<(), LoadError> {
                if let Some(json) = &self.json {
                    return json.check(store, instance);
                }
                $(if let Some(function) = &self.$hook {
                    function.typed::<($($type,)+), (Outcome<$answer>,)>(store, instance).map_err(|error| {
                        LoadError::WrongType { interface: Hook::$variant.name().to_owned(), message: format!("{error:#}") }
                    })?;
                })+
                Ok(())
            }

            $(pub(crate) fn $hook(&self, sandbox: &mut Sandbox, $($argument: $type),+) -> wasmtime::Result<Outcome<$answer>> {
                if let Some(json) = &self.json {
                    let question = json::question([$((stringify!($argument), $argument.to_json())),+]);
                    return json.call(sandbox, Hook::$variant, &question);
                }
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
