//! What is made of `wit/policy.wit` says what it says.

use std::fs;

use vestibule_tests::{contract::Contract, process::root};

#[test]
#[expect(clippy::disallowed_methods, reason = "the switch that rewrites the files")]
fn schema_and_types_are_those_of_the_contract() {
    let contract = Contract::read();
    for (file, expected) in [
        ("wit/policy.schema.json", contract.schema()),
        ("guest/js/src/types.d.ts", contract.typescript()),
        ("guest/python/vestibule_policy/types.py", contract.python()),
        ("guest/js/src/reserved-names.json", reserved_names()),
        ("guest/python/vestibule_policy/reserved-names.json", reserved_names()),
    ] {
        let path = root().join(file);
        if std::env::var("UPDATE_DOCS").is_ok() {
            fs::write(&path, &expected).expect(file);
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == expected, "{file} is out of date: run this test with UPDATE_DOCS=1");
    }
}

/// `wit/reserved-names.txt` for languages that read no file of that form.
fn reserved_names() -> String {
    let text = fs::read_to_string(root().join("wit/reserved-names.txt")).expect("the names");
    let names: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    format!("{:#}\n", serde_json::json!(names))
}

#[test]
fn the_sdks_have_the_schema_too() {
    let schema = fs::read(root().join("wit/policy.schema.json")).expect("the schema");
    for copy in ["guest/js/src/policy.schema.json", "guest/python/vestibule_policy/policy.schema.json"] {
        assert!(fs::read(root().join(copy)).expect(copy) == schema, "{copy} differs from wit/policy.schema.json");
    }
}
