//! A policy by hand for tests: it allows or denies by what its settings say.
//!
//! Settings are `{"mark": "TEXT"}`. A mark that begins with `d` denies, one that begins
//! with `t` traps, one that begins with `v` traps in one second of twenty, one that begins with `x` is refused by `configure`; every other one
//! allows. The reason's code is the mark, so that a test sees whose settings decided.

use serde_json::{Value, json};
use wit_component::StringEncoding;
use wit_parser::Resolve;

use super::{Cases, Manifest, build::component};

const CORE: &str = r#"(module
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 4096))
  (global $mark (mut i32) (i32.const 0))
  (global $length (mut i32) (i32.const 0))
  (data (i32.const 16) "/mark")
  (data (i32.const 32) "no mark begins with x")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func $first (result i32) (i32.load8_u (global.get $mark)))
  (func (export "vestibule:policy/settings@0.1.0#configure") (param $at i32) (param $length i32) (result i32)
    ;; {"mark":"…"}: nine bytes before the text, two after it.
    (global.set $mark (i32.add (local.get $at) (i32.const 9)))
    (global.set $length (i32.sub (local.get $length) (i32.const 11)))
    (if (i32.eq (call $first) (i32.const 120)) (then
      (i32.store8 (i32.const 256) (i32.const 1))
      (i32.store (i32.const 260) (i32.const 272))
      (i32.store (i32.const 264) (i32.const 1))
      (i32.store (i32.const 272) (i32.const 16))
      (i32.store (i32.const 276) (i32.const 5))
      (i32.store (i32.const 280) (i32.const 32))
      (i32.store (i32.const 284) (i32.const 21))))
    (i32.const 256))
  (func (export "vestibule:policy/admit@0.1.0#decide") (param i32) (result i32)
    (if (i32.eq (call $first) (i32.const 116)) (then unreachable))
    ;; The context's `at` follows the two words of `login`.
    (if (i32.and
          (i32.eq (call $first) (i32.const 118))
          (i64.eqz (i64.rem_u (i64.load offset=8 (local.get 0)) (i64.const 20))))
      (then unreachable))
    ;; ok(allow(…)), or ok(deny(…))
    (i32.store8 (i32.const 516) (i32.const 1))
    (if (i32.eq (call $first) (i32.const 100)) (then (i32.store8 (i32.const 516) (i32.const 2))))
    (i32.store (i32.const 520) (global.get $mark))
    (i32.store (i32.const 524) (global.get $length))
    (i32.store (i32.const 528) (i32.const 16))
    (i32.store (i32.const 532) (i32.const 0))
    (i32.const 512)))"#;

/// The policy as a component, with `version` and the texts of `cases` in it.
pub(super) fn policy(version: &str, cases: &[(&str, &str)]) -> Vec<u8> {
    let manifest = json!({
        "name": "fixture",
        "version": version,
        "hooks": ["admit"],
        "settings-schema": {
            "type": "object",
            "properties": { "mark": { "type": "string", "pattern": "^[a-z0-9-]+$" } },
            "required": ["mark"],
            "additionalProperties": false,
        },
        "settings-default": { "mark": "plain" },
    });
    component(&module(), &read(&manifest), &Cases::of_texts(cases)).unwrap()
}

/// The core module with its world.
fn module() -> Vec<u8> {
    let mut module = wat::parse_str(CORE).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("policy.wit", include_str!("../../../wit/policy.wit")).unwrap();
    let world = resolve.select_world(&[package], Some("admit-policy")).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

fn read(manifest: &Value) -> Manifest {
    Manifest::from_json(manifest.to_string().as_bytes()).unwrap()
}
