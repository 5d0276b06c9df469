//! The contract in Rust, generated from `wit/policy.wit`. `convert.rs` is the only user of
//! the types, `instance.rs` of the functions.

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package vestibule:host;
        world every-hook {
            include vestibule:policy/route-policy@0.1.0;
            include vestibule:policy/admit-policy@0.1.0;
            include vestibule:policy/profile-policy@0.1.0;
            include vestibule:policy/groups-policy@0.1.0;
            include vestibule:policy/provision-policy@0.1.0;
            include vestibule:policy/session-policy@0.1.0;
            include vestibule:policy/access-policy@0.1.0;
            include vestibule:policy/logout-policy@0.1.0;
        }
    ",
    world: "vestibule:host/every-hook",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
});
