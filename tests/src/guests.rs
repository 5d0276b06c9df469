//! Hostile guests: components made of `tests/guests/*.wat`, and those that are too large to
//! be written down.
//!
//! What a component needs beside its module (its world, its manifest) is read off the
//! module, so that a guest is one file. No WebAssembly toolchain takes part.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use wasm_encoder::{BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, MemorySection};
use wasm_encoder::{MemoryType, Module, TypeSection, ValType};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The custom section in which a component's manifest is.
const MANIFEST: &str = "vestibule:manifest";

/// Where the guests' sources are.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests")
}

/// The names of all guests that are files.
#[must_use]
pub fn names() -> BTreeSet<String> {
    let entries = fs::read_dir(folder()).expect("tests/guests");
    entries
        .filter_map(|entry| entry.expect("tests/guests").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".wat").map(str::to_owned))
        .collect()
}

/// The component `NAME`, with a manifest that is true and grants nothing.
#[must_use]
pub fn component(name: &str) -> Vec<u8> {
    component_with(name, |_| {})
}

/// The component `NAME`, with a manifest that `change` has changed.
#[must_use]
pub fn component_with(name: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let path = folder().join(name).with_extension("wat");
    let module = wat::parse_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let foreign = fs::read_to_string(path.with_extension("wit")).unwrap_or_default();
    let mut manifest = manifest(name, &module);
    change(&mut manifest);
    with_manifest(encode(name, module, &foreign), &manifest)
}

/// The component `NAME` without any manifest.
#[must_use]
pub fn without_manifest(name: &str) -> Vec<u8> {
    let path = folder().join(name).with_extension("wat");
    let module = wat::parse_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    encode(name, module, "")
}

/// Appends a manifest to a component.
#[must_use]
pub fn with_manifest(mut component: Vec<u8>, manifest: &Value) -> Vec<u8> {
    use wasm_encoder::{ComponentSection as _, CustomSection, Encode as _};
    let data = manifest.to_string();
    let section = CustomSection { name: MANIFEST.into(), data: data.as_bytes().into() };
    component.push(section.id());
    section.encode(&mut component);
    component
}

/// A policy whose one function is a maze of `blocks` blocks, each of which may jump to any
/// other, with `locals` values alive in all of them: small to send, and slow to compile.
#[must_use]
pub fn compile_bomb(blocks: u32, locals: u32) -> Vec<u8> {
    let module = bomb(blocks, locals);
    let manifest = manifest("compile-bomb", &module);
    with_manifest(encode("compile-bomb", module, ""), &manifest)
}

fn manifest(name: &str, module: &[u8]) -> Value {
    let prefix = "vestibule:policy/";
    let (_, exports) = interfaces(module);
    let hooks: Vec<&str> = exports
        .iter()
        .filter_map(|export| export.strip_prefix(prefix)?.split_once('@').map(|(interface, _)| interface))
        .filter(|interface| *interface != "settings")
        // The JSON form does not say from outside which hooks it stands for.
        .map(|interface| if interface == "json" { "route" } else { interface })
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    // A manifest that names no hook is refused for that: guests of other worlds name one.
    let hooks = if hooks.is_empty() { vec!["admit"] } else { hooks };
    json!({ "name": name, "version": "0.1.0", "hooks": hooks })
}

/// The interfaces that a module imports and exports.
fn interfaces(module: &[u8]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.expect("a module") {
            Payload::ImportSection(section) => {
                imports.extend(section.into_imports().map(|import| import.expect("an import").module.to_owned()));
            }
            Payload::ExportSection(section) => {
                exports.extend(section.into_iter().filter_map(|export| {
                    // What frees an answer belongs to the function that gave it.
                    let name = export.expect("an export").name.trim_start_matches("cabi_post_");
                    name.split_once('#').map(|(interface, _)| interface.to_owned())
                }));
            }
            _ => {}
        }
    }
    (imports, exports)
}

/// Makes a component of a module whose imports and exports name their interfaces.
fn encode(name: &str, mut module: Vec<u8>, foreign: &str) -> Vec<u8> {
    let mut world = String::from("package test:guest;\n");
    let (imports, exports) = interfaces(&module);
    world.push_str("world guest {\n");
    for import in imports {
        let _ = writeln!(world, "import {import};");
    }
    for export in exports {
        let _ = writeln!(world, "export {export};");
    }
    world.push_str("}\n");
    world.push_str(foreign);

    let mut resolve = Resolve::default();
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let explain = |error: &dyn std::fmt::Display| -> ! { panic!("{name}: {error:#}\n{world}") };
    resolve.push_path(contract).unwrap_or_else(|error| explain(&error));
    let package = resolve.push_str("guest.wit", &world).unwrap_or_else(|error| explain(&error));
    let world = resolve.select_world(&[package], None).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .unwrap_or_else(|error| panic!("{name}: {error:#}"));
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .unwrap_or_else(|error| panic!("{name}: {error:#}"))
}

fn bomb(blocks: u32, locals: u32) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    types.ty().function([ValType::I32; 2], [ValType::I32]);
    types.ty().function([ValType::I32], [ValType::I32]);
    let mut functions = FunctionSection::new();
    [0, 1, 2].iter().for_each(|index| {
        functions.function(*index);
    });
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("cabi_realloc", ExportKind::Func, 0);
    exports.export("vestibule:policy/settings@0.1.0#configure", ExportKind::Func, 1);
    exports.export("vestibule:policy/route@0.1.0#choose", ExportKind::Func, 2);

    let mut code = CodeSection::new();
    for result in [4096, 1024] {
        let mut function = Function::new([]);
        function.instructions().i32_const(result).end();
        code.function(&function);
    }
    code.function(&maze(blocks, locals));
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&memories).section(&exports).section(&code);
    module.finish()
}

/// A loop around nested blocks, left by a table of jumps: every block follows every other,
/// and every local is written in one and read in another.
fn maze(blocks: u32, locals: u32) -> Function {
    let mut function = Function::new([(locals, ValType::I32)]);
    let mut code = function.instructions();
    code.loop_(BlockType::Empty);
    for _ in 0..blocks {
        code.block(BlockType::Empty);
    }
    let targets: Vec<u32> = (0..blocks).collect();
    code.local_get(1).br_table(targets, 0);
    for block in 0..blocks {
        code.end();
        let local = |offset: u32| 1 + (block.wrapping_mul(2_654_435_761).wrapping_add(offset * 7_919)) % locals;
        for offset in 0..8 {
            code.local_get(local(offset)).local_get(local(offset + 1)).i32_add();
            code.local_get(0).i32_xor().local_set(local(offset + 2));
        }
        // Back to the loop's head, which stands one block further out with each end.
        code.local_get(local(3)).br_if(blocks - 1 - block);
    }
    code.end().i32_const(1024).end();
    function
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_a_valid_component_of_every_guest() {
        let names = names();
        assert!(names.len() >= 25, "{names:?}");
        for name in names {
            let bytes = component(&name);
            wasmparser::Validator::new().validate_all(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        wasmparser::Validator::new().validate_all(&compile_bomb(100, 10)).expect("a bomb is valid, too");
    }
}
