//! What makes a crate a component: the export macro, and the policy that `configure` left.

use std::sync::OnceLock;

use crate::{
    hooks::Policy,
    settings,
    types::{Fault, Problem},
};

/// The configured policy of a guest. One static for each component.
#[derive(Debug)]
pub struct Loaded<P>(OnceLock<P>);

impl<P: Policy> Loaded<P> {
    /// Nothing is configured yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The export `settings.configure`.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings, or that they were already given.
    pub fn configure(&self, json: &str) -> Result<(), Vec<Problem>> {
        #[cfg(target_arch = "wasm32")]
        trace_panics();
        let policy = P::configure(settings::parse(json)?)?;
        let outcome = self.0.set(policy).map_err(|_| vec![Problem::new("", "the policy is already configured")]);
        #[cfg(target_arch = "wasm32")]
        crate::alloc::decide();
        outcome
    }

    /// Asks the policy at one hook.
    ///
    /// # Errors
    ///
    /// The policy's fault, or that it was never configured.
    pub fn ask<T>(&self, question: impl FnOnce(&P) -> Result<T, Fault>) -> Result<T, Fault> {
        match self.0.get() {
            Some(policy) => question(policy),
            None => Err(Fault::Internal("the policy is not configured".to_owned())),
        }
    }
}

impl<P: Policy> Default for Loaded<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// A panic ends in a trap, which has no words; so the words go to the trace first.
#[cfg(target_arch = "wasm32")]
fn trace_panics() {
    std::panic::set_hook(Box::new(|panic| crate::log::warn(&panic.to_string())));
}

/// Makes the crate a component: exports `settings` and the hooks named, and no others.
///
/// ```ignore
/// vestibule_policy::export!(DomainRestriction: admit);
/// vestibule_policy::export!(Mapping: groups, provision);
/// ```
///
/// The hooks are `route`, `admit`, `profile`, `groups`, `provision`, `session`, `access` and
/// `logout`; the type must implement the trait of each. Compiled natively, the macro only
/// checks that, so that any number of policies fit into one test program.
#[macro_export]
macro_rules! export {
    ($policy:ty: $($hook:ident),+ $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "the canonical ABI works on raw memory")]
        const _: () = {
            static LOADED: $crate::__Loaded<$policy> = $crate::__Loaded::new();

            struct Exported;

            impl $crate::bindings::base::exports::vestibule::policy::settings::Guest for Exported {
                fn configure(json: ::std::string::String)
                    -> ::core::result::Result<(), ::std::vec::Vec<$crate::types::Problem>> {
                    LOADED.configure(&json)
                }
            }
            $crate::bindings::base::export!(Exported with_types_in $crate::bindings::base);
            $( $crate::__export_hook!($hook $policy); )+
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            $( $crate::__check_hook!($hook $policy); )+
        };
    };
}

/// Implements and exports one hook. The arguments are not dropped: the instance is dropped
/// whole, and so the walk through every string would be for nothing.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    (route $policy:ty) => {
        impl $crate::bindings::route::exports::vestibule::policy::route::Guest for Exported {
            fn choose(attempt: $crate::route::Attempt) -> Result<$crate::route::Direction, $crate::types::Fault> {
                let attempt = ::core::mem::ManuallyDrop::new(attempt);
                LOADED.ask(|policy| <$policy as $crate::Route>::choose(policy, &attempt))
            }
        }
        $crate::bindings::route::export!(Exported with_types_in $crate::bindings::route);
    };
    (admit $policy:ty) => {
        impl $crate::bindings::admit::exports::vestibule::policy::admit::Guest for Exported {
            fn decide(
                context: $crate::types::Context,
                identity: $crate::types::Identity,
                account: Option<$crate::types::Account>,
            ) -> Result<$crate::admit::Verdict, $crate::types::Fault> {
                let given = ::core::mem::ManuallyDrop::new((context, identity, account));
                LOADED.ask(|policy| <$policy as $crate::Admit>::decide(policy, &given.0, &given.1, given.2.as_ref()))
            }
        }
        $crate::bindings::admit::export!(Exported with_types_in $crate::bindings::admit);
    };
    (profile $policy:ty) => {
        impl $crate::bindings::profile::exports::vestibule::policy::profile::Guest for Exported {
            fn fill(
                context: $crate::types::Context,
                identity: $crate::types::Identity,
                account: Option<$crate::types::Account>,
                so_far: $crate::types::Profile,
            ) -> Result<$crate::types::Profile, $crate::types::Fault> {
                let given = ::core::mem::ManuallyDrop::new((context, identity, account));
                LOADED.ask(|policy| {
                    <$policy as $crate::FillProfile>::fill(policy, &given.0, &given.1, given.2.as_ref(), so_far)
                })
            }
        }
        $crate::bindings::profile::export!(Exported with_types_in $crate::bindings::profile);
    };
    (groups $policy:ty) => {
        impl $crate::bindings::groups::exports::vestibule::policy::groups::Guest for Exported {
            fn assign(
                context: $crate::types::Context,
                identity: $crate::types::Identity,
                account: Option<$crate::types::Account>,
                profile: $crate::types::Profile,
                so_far: $crate::types::Plan,
            ) -> Result<$crate::types::Plan, $crate::types::Fault> {
                let given = ::core::mem::ManuallyDrop::new((context, identity, account, profile));
                LOADED.ask(|policy| {
                    <$policy as $crate::AssignGroups>::assign(
                        policy, &given.0, &given.1, given.2.as_ref(), &given.3, so_far,
                    )
                })
            }
        }
        $crate::bindings::groups::export!(Exported with_types_in $crate::bindings::groups);
    };
    (provision $policy:ty) => {
        impl $crate::bindings::provision::exports::vestibule::policy::provision::Guest for Exported {
            fn permit(
                context: $crate::types::Context,
                identity: $crate::types::Identity,
                account: Option<$crate::types::Account>,
                profile: $crate::types::Profile,
                granted: ::std::vec::Vec<$crate::provision::Granted>,
            ) -> Result<$crate::provision::Terms, $crate::types::Fault> {
                let given = ::core::mem::ManuallyDrop::new((context, identity, account, profile, granted));
                LOADED.ask(|policy| {
                    <$policy as $crate::Provision>::permit(
                        policy, &given.0, &given.1, given.2.as_ref(), &given.3, &given.4,
                    )
                })
            }
        }
        $crate::bindings::provision::export!(Exported with_types_in $crate::bindings::provision);
    };
    (session $policy:ty) => {
        impl $crate::bindings::session::exports::vestibule::policy::session::Guest for Exported {
            fn limit(
                context: $crate::types::Context,
                identity: $crate::types::Identity,
                groups: Vec<String>,
                so_far: $crate::session::Terms,
            ) -> Result<$crate::session::Terms, $crate::types::Fault> {
                let given = ::core::mem::ManuallyDrop::new((context, identity, groups));
                LOADED.ask(|policy| {
                    <$policy as $crate::LimitSession>::limit(policy, &given.0, &given.1, &given.2, so_far)
                })
            }
        }
        $crate::bindings::session::export!(Exported with_types_in $crate::bindings::session);
    };
    (access $policy:ty) => {
        impl $crate::bindings::access::exports::vestibule::policy::access::Guest for Exported {
            fn check(
                context: $crate::types::Context,
                identity: $crate::types::Identity,
                groups: Vec<String>,
                request: $crate::access::Request,
            ) -> Result<$crate::access::Verdict, $crate::types::Fault> {
                let given = ::core::mem::ManuallyDrop::new((context, identity, groups, request));
                LOADED.ask(|policy| <$policy as $crate::Access>::check(policy, &given.0, &given.1, &given.2, &given.3))
            }
        }
        $crate::bindings::access::export!(Exported with_types_in $crate::bindings::access);
    };
    (logout $policy:ty) => {
        impl $crate::bindings::logout::exports::vestibule::policy::logout::Guest for Exported {
            fn end(
                context: $crate::types::Context,
                identity: $crate::types::Identity,
                requested: Option<String>,
            ) -> Result<Option<$crate::logout::Ending>, $crate::types::Fault> {
                let given = ::core::mem::ManuallyDrop::new((context, identity, requested));
                LOADED.ask(|policy| <$policy as $crate::Logout>::end(policy, &given.0, &given.1, given.2.as_deref()))
            }
        }
        $crate::bindings::logout::export!(Exported with_types_in $crate::bindings::logout);
    };
    ($unknown:ident $policy:ty) => {
        compile_error!(concat!(
            "there is no hook `", stringify!($unknown),
            "`: route, admit, profile, groups, provision, session, access, logout"
        ));
    };
}

/// Is the trait of the hook implemented?
#[doc(hidden)]
#[macro_export]
macro_rules! __check_hook {
    (route $policy:ty) => { $crate::__check_hook!(trait $crate::Route, $policy); };
    (admit $policy:ty) => { $crate::__check_hook!(trait $crate::Admit, $policy); };
    (profile $policy:ty) => { $crate::__check_hook!(trait $crate::FillProfile, $policy); };
    (groups $policy:ty) => { $crate::__check_hook!(trait $crate::AssignGroups, $policy); };
    (provision $policy:ty) => { $crate::__check_hook!(trait $crate::Provision, $policy); };
    (session $policy:ty) => { $crate::__check_hook!(trait $crate::LimitSession, $policy); };
    (access $policy:ty) => { $crate::__check_hook!(trait $crate::Access, $policy); };
    (logout $policy:ty) => { $crate::__check_hook!(trait $crate::Logout, $policy); };
    (trait $hook:path, $policy:ty) => {
        const _: () = {
            const fn implements<P: $hook>() {}
            implements::<$policy>();
        };
    };
    ($unknown:ident $policy:ty) => {
        compile_error!(concat!(
            "there is no hook `", stringify!($unknown),
            "`: route, admit, profile, groups, provision, session, access, logout"
        ));
    };
}
