//! Where a component's hooks are, looked up once for all its instances.

use std::collections::BTreeSet;

use wasmtime::{
    Store,
    component::{Instance, InstancePre},
};

use super::{bindings::exports::vestibule::policy, error::LoadError, limits::Guest};
use crate::decision::Hook;

/// The exports of one component, by hook.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) route: Option<policy::route::GuestIndices>,
    pub(crate) admit: Option<policy::admit::GuestIndices>,
    pub(crate) profile: Option<policy::profile::GuestIndices>,
    pub(crate) groups: Option<policy::groups::GuestIndices>,
    pub(crate) provision: Option<policy::provision::GuestIndices>,
    pub(crate) session: Option<policy::session::GuestIndices>,
    pub(crate) access: Option<policy::access::GuestIndices>,
    pub(crate) logout: Option<policy::logout::GuestIndices>,
}

impl Hooks {
    /// Looks up `hooks` in `component`.
    pub(crate) fn find(component: &InstancePre<Guest>, hooks: &BTreeSet<Hook>) -> wasmtime::Result<Self> {
        let mut found = Self::default();
        for hook in hooks {
            match hook {
                Hook::Route => found.route = Some(policy::route::GuestIndices::new(component)?),
                Hook::Admit => found.admit = Some(policy::admit::GuestIndices::new(component)?),
                Hook::Profile => found.profile = Some(policy::profile::GuestIndices::new(component)?),
                Hook::Groups => found.groups = Some(policy::groups::GuestIndices::new(component)?),
                Hook::Provision => found.provision = Some(policy::provision::GuestIndices::new(component)?),
                Hook::Session => found.session = Some(policy::session::GuestIndices::new(component)?),
                Hook::Access => found.access = Some(policy::access::GuestIndices::new(component)?),
                Hook::Logout => found.logout = Some(policy::logout::GuestIndices::new(component)?),
            }
        }
        Ok(found)
    }

    /// Are the functions of `instance` of the contract's types?
    pub(crate) fn check(&self, store: &mut Store<Guest>, instance: &Instance) -> Result<(), LoadError> {
        let check = |hook: Hook, loaded: Option<wasmtime::Result<()>>| match loaded {
            Some(Err(error)) => {
                Err(LoadError::WrongType { interface: hook.name().to_owned(), message: format!("{error:#}") })
            }
            _ => Ok(()),
        };
        macro_rules! check {
            ($($hook:ident: $field:ident),*) => {
                $(check(Hook::$hook, self.$field.as_ref().map(|hook| hook.load(&mut *store, instance).map(drop)))?;)*
            };
        }
        check!(
            Route: route, Admit: admit, Profile: profile, Groups: groups,
            Provision: provision, Session: session, Access: access, Logout: logout
        );
        Ok(())
    }
}
