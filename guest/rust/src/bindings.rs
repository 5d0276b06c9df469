//! What `wit-bindgen` makes of the contract: one world for each hook, over one set of
//! shared types. Not for use by hand; the crate's other modules give it names.
//!
//! The component encoder looks for every export of every world that it finds in the object
//! files. `pub_export_macro` puts a world's exports into its export macro, so that a policy
//! exports only the hooks for which [`export!`](crate::export) invokes that macro.

#![allow(missing_docs, reason = "generated; the documentation is in the WIT")]
#![allow(clippy::all, clippy::restriction, unused_qualifications, unreachable_pub, reason = "generated code")]
#![allow(unsafe_code, reason = "the canonical ABI works on raw memory")]

/// The shared types, `log` and `settings`.
pub mod base {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package vestibule:sdk-base; world base {
            import vestibule:policy/types@0.1.0;
            import vestibule:policy/log@0.1.0;
            export vestibule:policy/settings@0.1.0;
        }",
        runtime_path: "::vestibule_policy::__rt",
        additional_derives: [PartialEq],
        generate_all,
        generate_unused_types: true,
        pub_export_macro: true,
    });
}

macro_rules! hook {
    ($module:ident, $world:literal) => {
        /// One hook.
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit",
                inline: $world,
                runtime_path: "::vestibule_policy::__rt",
                additional_derives: [PartialEq],
                with: { "vestibule:policy/types@0.1.0": ::vestibule_policy::types },
                pub_export_macro: true,
            });
        }
    };
}

hook!(route, "package vestibule:sdk-route; world route-hook { export vestibule:policy/route@0.1.0; }");
hook!(admit, "package vestibule:sdk-admit; world admit-hook { export vestibule:policy/admit@0.1.0; }");
hook!(profile, "package vestibule:sdk-profile; world profile-hook { export vestibule:policy/profile@0.1.0; }");
hook!(groups, "package vestibule:sdk-groups; world groups-hook { export vestibule:policy/groups@0.1.0; }");
hook!(provision, "package vestibule:sdk-provision; world provision-hook { export vestibule:policy/provision@0.1.0; }");
hook!(session, "package vestibule:sdk-session; world session-hook { export vestibule:policy/session@0.1.0; }");
hook!(access, "package vestibule:sdk-access; world access-hook { export vestibule:policy/access@0.1.0; }");
hook!(logout, "package vestibule:sdk-logout; world logout-hook { export vestibule:policy/logout@0.1.0; }");
