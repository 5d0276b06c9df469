//! The rules of `ARCHITECTURE.md` that a program can check: who may import whom, where a
//! heavy crate may be used, and who may make the types that mean something.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;
use vestibule_tests::process::root;

/// The table of `ARCHITECTURE.md`: each module with what it may import.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("text");
    let block = text.split("```\nmodule       may import\n").nth(1).expect("the table");
    let block = block.split("```").next().expect("its end");
    let rows = block.lines().map(|line| {
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().expect("a module"), words.filter(|word| word != "-").collect())
    });
    rows.collect()
}

/// Crates with weight, and the only module that may name each.
const HEAVY: &[(&str, &[&str])] = &[
    ("axum", &["http"]),
    ("wasmtime", &["policy"]),
    ("wasmtime_wizer", &["policy"]),
    ("wasmparser", &["policy"]),
    ("wit_component", &["policy"]),
    ("openidconnect", &["upstream"]),
    ("hyper_rustls", &["http", "registry", "upstream"]),
    ("chacha20poly1305", &["keys"]),
    ("argon2", &["factor", "upstream"]),
    ("minijinja", &["http"]),
    ("minisign", &["cli"]),
    ("minisign_verify", &["policy"]),
    ("qrcodegen", &["http"]),
    ("webauthn_rs", &["factor"]),
    ("clap", &["cli"]),
    ("notify", &["policy"]),
    ("bergshamra_dsig", &["downstream"]),
    ("bergshamra_keys", &["downstream"]),
    ("uppsala", &["downstream"]),
    ("rcgen", &["keys"]),
];

fn sources() -> Vec<(String, PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                walk(&entry, found);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                found.push(entry);
            }
        }
    }
    let source = root().join("host/src");
    let mut files = Vec::new();
    walk(&source, &mut files);
    files
        .into_iter()
        .filter(|path| !is_for_tests(path))
        .map(|path| {
            let relative = path.strip_prefix(&source).expect("inside").to_owned();
            let first = relative.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
            let module = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).expect("text");
            (module, relative, code_only(&text))
        })
        .collect()
}

/// Files that are compiled for tests only: `tests.rs`, `x_tests.rs`, what is in a folder
/// `tests`, and the doubles that such tests use.
fn is_for_tests(path: &Path) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    name == "tests"
        || name.ends_with("_tests")
        || ["fixture", "scripted", "testing"].contains(&&*name)
        || path.components().any(|part| part.as_os_str() == "tests")
}

/// The text without comments and without what stands in the file's test module.
fn code_only(text: &str) -> String {
    let mut text = text.to_owned();
    // A test module ends where its indentation does.
    while let Some(start) = text.find("#[cfg(test)]\nmod ") {
        let rest = &text[start..];
        let end = match (rest.find('{'), rest.find(';')) {
            (Some(brace), semicolon) if semicolon.is_none_or(|at| brace < at) => rest.find("\n}\n").map(|at| at + 3),
            (_, semicolon) => semicolon.map(|at| at + 1),
        };
        let end = start + end.unwrap_or(rest.len());
        text.replace_range(start..end, "");
    }
    text.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line }).collect::<Vec<_>>().join("\n")
}

/// Every `crate::x` of a text, also in `use crate::{x, y::z}`.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let path = Regex::new(r"\bcrate::(\w+)").expect("a pattern");
    found.extend(path.captures_iter(text).map(|capture| capture[1].to_owned()));
    let braces = Regex::new(r"\bcrate::\{").expect("a pattern");
    for start in braces.find_iter(text) {
        let mut depth = 1;
        let mut name = String::new();
        let mut at_name = true;
        for character in text[start.end()..].chars() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && character == ',') {
                if !name.is_empty() {
                    found.insert(std::mem::take(&mut name));
                }
                at_name = true;
                if depth == 0 {
                    break;
                }
            } else if depth == 1 && at_name {
                if character.is_alphanumeric() || character == '_' {
                    name.push(character);
                } else if !name.is_empty() {
                    at_name = false;
                }
            }
        }
    }
    found
}

#[test]
fn modules_import_only_what_stands_below_them() {
    let table = table();
    assert!(table.len() > 15, "{table:?}");
    let mut broken = Vec::new();
    for (module, path, text) in sources() {
        if module == "lib" {
            continue;
        }
        let Some(allowed) = table.get(&module) else {
            broken.push(format!("{}: the module {module} is not in the table", path.display()));
            continue;
        };
        // The program stands outside the library.
        let text = if module == "main" || module == "edge" { text.replace("vestibule::", "crate::") } else { text };
        for import in imports(&text) {
            if import != module && table.contains_key(&import) && !allowed.contains(&import) {
                broken.push(format!("{}: {module} may not import {import}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_module_of_the_table_is_there() {
    let there: BTreeSet<String> = sources().into_iter().map(|(module, ..)| module).collect();
    for module in table().keys() {
        assert!(there.contains(module), "{module} is in the table and not in the code");
    }
}

#[test]
fn code_after_a_test_module_is_code() {
    let text =
        "use crate::a;\n#[cfg(test)]\nmod tests {\n    use crate::b;\n}\n#[cfg(test)]\nmod more;\nuse crate::c;\n";
    assert_eq!(imports(&code_only(text)), BTreeSet::from(["a".to_owned(), "c".to_owned()]));
}

#[test]
fn the_table_has_no_cycle() {
    let table = table();
    fn visit<'t>(module: &'t str, table: &'t BTreeMap<String, BTreeSet<String>>, path: &mut Vec<&'t str>) {
        assert!(!path.contains(&module), "a cycle: {path:?} → {module}");
        path.push(module);
        for below in table.get(module).into_iter().flatten() {
            visit(below, table, path);
        }
        path.pop();
    }
    for module in table.keys() {
        visit(module, &table, &mut Vec::new());
    }
}

#[test]
fn a_heavy_crate_lives_in_one_module() {
    let mut broken = Vec::new();
    for (module, path, text) in sources() {
        for (name, homes) in HEAVY {
            let named = Regex::new(&format!(r"\b{name}::")).expect("a pattern");
            if named.is_match(&text) && !homes.contains(&module.as_str()) {
                broken.push(format!("{}: {name} belongs in {homes:?}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn what_was_verified_is_made_in_one_place() {
    let places: &[(&str, &[&str])] = &[
        (
            "VerifiedIdentity::assertion(",
            &["upstream/verify.rs", "session/proven.rs", "session/sso.rs", "policy/cases/run.rs"],
        ),
        ("Admission::assertion(", &["login/decide.rs"]),
    ];
    for (call, allowed) in places {
        let makers: BTreeSet<String> = sources()
            .into_iter()
            .filter(|(_, _, text)| text.contains(call))
            .map(|(_, path, _)| path.display().to_string())
            .collect();
        assert!(!makers.is_empty(), "nobody calls {call}…)");
        for maker in &makers {
            assert!(allowed.contains(&maker.as_str()), "{maker} may not call {call}…)");
        }
    }
}

#[test]
fn nothing_unverified_is_named_outside_the_doors() {
    let doors = ["upstream", "login", "http", "downstream"];
    for (module, path, text) in sources() {
        assert!(
            doors.contains(&module.as_str()) || !text.contains("Unverified"),
            "{} handles something unverified",
            path.display()
        );
    }
}

#[test]
fn a_guest_depends_on_the_contract_and_not_on_the_host() {
    let root = root();
    for folder in ["guest/rust", "policies"] {
        for manifest in manifests(&root.join(folder)) {
            let text = fs::read_to_string(&manifest).expect("text");
            assert!(!text.contains("host\""), "{} depends on the host", manifest.display());
        }
    }
    let host = fs::read_to_string(root.join("host/Cargo.toml")).expect("text");
    assert!(!host.contains("vestibule-policy"), "the host depends on the guests' SDK");
}

fn manifests(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.join("Cargo.toml")];
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let manifest = entry.join("Cargo.toml");
        if manifest.exists() {
            found.push(manifest);
        }
    }
    found
}
