//! An input as a case that can be pasted into `cases/`.

use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use crate::decision::Hook;

/// The text of a case that asks a hook.
pub(super) fn case(name: &str, hook: Hook, settings: &Json, input: &Table, expect: &Map<String, Json>) -> String {
    write(name, hook.name(), settings, input, expect)
}

/// The text of a case that loads settings.
pub(super) fn configure(name: &str, settings: &Json, expect: &Map<String, Json>) -> String {
    write(name, "configure", settings, &Table::new(), expect)
}

fn write(name: &str, hook: &str, settings: &Json, input: &Table, expect: &Map<String, Json>) -> String {
    let mut text = format!("[[case]]\nname = {}\nhook = \"{hook}\"\n", Value::String(name.to_owned()));
    let parts = [
        ("settings", toml_of(settings)),
        ("input", Some(Value::Table(input.clone()))),
        ("expect", toml_of(&Json::Object(expect.clone()))),
    ];
    let within = |key: &str, value: Value| Table::from_iter([(key.to_owned(), value)]);
    for (key, value) in parts {
        let Some(part) = value.filter(|value| value.as_table().is_some_and(|table| !table.is_empty())) else {
            continue;
        };
        let case = within("case", Value::Table(within(key, part)));
        text.push_str(&toml::to_string(&case).unwrap_or_default());
    }
    text
}

/// JSON as TOML, which has no null: what is not there is left out.
pub(super) fn toml_of(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => return None,
        Json::Bool(truth) => Value::Boolean(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Integer(integer),
            None => Value::Float(number.as_f64()?),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::Array(items.iter().filter_map(toml_of).collect()),
        Json::Object(object) => {
            Value::Table(object.iter().filter_map(|(key, value)| Some((key.clone(), toml_of(value)?))).collect())
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::cases;

    #[test]
    fn is_a_case_that_reads_back_as_it_was() {
        let input: Table = toml::from_str(
            "requested = \"a \\\"b\\\"\"\n[identity]\nsubject = \"x\"\nemail = { address = \"u@a\", verified = true }\n\
             claims = { \"odd name\" = [\"a\"], o = { z = 1 } }\n",
        )
        .unwrap();
        let settings = json!({ "rows": [{ "group": "g", "from": ["a", "b"] }], "none": null, "n": 0.5 });
        let expect = json!({ "none": true });
        let text = case("a \"name\"", Hook::Logout, &settings, &input, expect.as_object().unwrap());
        let read = cases::parse("c.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}")).remove(0);
        assert_eq!(read.name, "a \"name\"");
        assert_eq!(read.settings, Some(json!({ "rows": [{ "group": "g", "from": ["a", "b"] }], "n": 0.5 })));
        assert_eq!(Json::Object(read.expect), expect);
        let raw: Table = toml::from_str(&text).unwrap();
        assert_eq!(raw["case"][0]["input"], Value::Table(input));
    }

    #[test]
    fn says_nothing_of_what_is_not_given() {
        let expect = json!({ "leave": false });
        let text = case("n", Hook::Groups, &json!({}), &Table::new(), expect.as_object().unwrap());
        assert_eq!(
            text,
            "[[case]]\nname = \"n\"\nhook = \"groups\"\n\n[case.expect]\nleave = false\n".replace("\n\n", "\n")
        );
    }
}
