//! Holds a parsed TOML tree to the JSON Schema of the raw structs: unknown keys and wrong
//! types, all of them at once, each with its place. What is wrong is taken out of the tree,
//! so that the rest can still be read and checked.

use serde_json::Value;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    check::{Check, join},
    diagnostic::Severity,
};

/// Checks `root` and takes out of it what does not fit `schema`.
pub(super) fn check(check: &mut Check<'_>, schema: &Value, root: &mut DeTable<'_>) {
    Walk { check, schema }.table(schema, root, "");
}

struct Walk<'w, 'c> {
    check: &'w mut Check<'c>,
    schema: &'w Value,
}

impl<'w> Walk<'w, '_> {
    fn table(&mut self, schema: &'w Value, table: &mut DeTable<'_>, path: &str) {
        let schema = resolve(self.schema, schema);
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties").filter(|schema| schema.is_object());
        let known: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        for (key, value) in table.iter() {
            self.check.spans.insert(join(path, key.get_ref()), place(key.span(), value));
        }
        // Every key's place is known before the first is judged: a problem may point at
        // another key.
        let mut wrong = Vec::new();
        for (key, value) in table.iter_mut() {
            let name: &str = key.get_ref();
            let key_path = join(path, name);
            let inner = properties.and_then(|properties| properties.get(name));
            let fits = match (inner, others) {
                (Some(inner), _) => self.value(inner, value, &key_path),
                // Names and keys share a table: what is no table was meant as a key, and so was one that is called
                // nearly so and has nothing of what a name's table has.
                (None, Some(inner)) if known.is_empty() || self.is_named(inner, name, value.get_ref(), &known) => {
                    self.value(inner, value, &key_path)
                }
                _ => {
                    // It may be a secret whose key was misspelt. A table's place is its header.
                    if !value.get_ref().is_table()
                        || self.check.excerpt(&value.span()).is_some_and(|text| text.starts_with('{'))
                    {
                        self.check.hidden.push(value.span());
                    }
                    self.unknown(path, name, key.span(), &known);
                    false
                }
            };
            if !fits {
                wrong.push(name.to_owned());
            }
        }
        for name in wrong {
            table.remove(name.as_str());
        }
        for (name, inner) in properties.into_iter().flatten() {
            if inner.get("x-required").is_some() && !self.check.spans.contains_key(&join(path, name)) {
                let expected = type_name(resolve(self.schema, inner));
                self.check.missing(path, name, &expected, first_sentence(inner));
            }
        }
    }

    /// Is `value` the table of a name, and not that of a misspelt key?
    fn is_named(&self, inner: &Value, name: &str, value: &DeValue<'_>, known: &[&str]) -> bool {
        let Some(table) = value.as_table() else { return false };
        let has = resolve(self.schema, inner).get("properties").and_then(Value::as_object);
        let has_any = table.iter().any(|(key, _)| has.is_some_and(|has| has.contains_key(key.get_ref().as_ref())));
        has_any || table.is_empty() || nearest(name, known).is_none()
    }

    /// Does `value` fit? Reports where not.
    fn value(&mut self, schema: &'w Value, value: &mut Spanned<DeValue<'_>>, path: &str) -> bool {
        let secret = schema.get("x-secret").is_some();
        let schema = resolve(self.schema, schema);
        if secret {
            self.check.secrets.insert(path.to_owned());
            // Where a secret is may be seen; what it is may not.
            if !names_a_place(value.get_ref())
                && let Some(span) = self.check.spans.get(path).cloned()
            {
                self.check.hidden.push(span);
            }
        }
        if schema.get("x-text").is_some() {
            return self.text(value, path);
        }
        if let Some(names) = names(schema) {
            let fits = value.get_ref().as_str().is_some_and(|text| names.contains(&text));
            if !fits {
                let hint = value.get_ref().as_str().and_then(|text| nearest(text, &names)).map(did_you_mean);
                let expected = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
                self.check.error(path, "not one of the values", &expected, &hint.unwrap_or_default());
            }
            return fits;
        }
        let found = value.get_ref().type_str();
        match (kind(schema), value.get_mut()) {
            ("object", DeValue::Table(table)) => {
                self.table(schema, table, path);
                true
            }
            ("array", DeValue::Array(items)) => {
                let inner = schema.get("items");
                let mut fits = true;
                for (index, item) in items.iter_mut().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.check.spans.insert(path.clone(), item.span());
                    fits &= inner.is_none_or(|inner| self.value(inner, item, &path));
                }
                fits
            }
            ("integer", DeValue::Integer(integer)) => {
                let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
                self.integer(schema, number, path)
            }
            ("boolean", DeValue::Boolean(_)) | ("string", DeValue::String(_)) => true,
            _ => {
                self.check.error(path, format!("this is a TOML {found}"), &type_name(schema), "");
                false
            }
        }
    }

    fn integer(&mut self, schema: &Value, number: Option<i64>, path: &str) -> bool {
        let limit = |name: &str| schema.get(name).and_then(Value::as_f64);
        #[expect(clippy::cast_precision_loss, reason = "the limits are far below 2^53")]
        let fits = number.is_some_and(|number| {
            limit("minimum").is_none_or(|minimum| number as f64 >= minimum)
                && limit("maximum").is_none_or(|maximum| number as f64 <= maximum)
        });
        if !fits {
            self.check.error(path, "the number is out of range", &type_name(schema), "");
        }
        fits
    }

    /// `"…"`, `{ env = "NAME" }` or `{ file = "PATH" }`.
    fn text(&mut self, value: &Spanned<DeValue<'_>>, path: &str) -> bool {
        let fits = match value.get_ref() {
            DeValue::String(_) => true,
            DeValue::Table(table) => {
                table.len() == 1
                    && table.iter().all(|(key, value)| {
                        matches!(key.get_ref().as_ref(), "env" | "file") && value.get_ref().is_str()
                    })
            }
            _ => false,
        };
        if !fits {
            let expected = "a text, { env = \"NAME\" } or { file = \"PATH\" }";
            self.check.error(path, "this is not where a text comes from", expected, "");
        }
        fits
    }

    fn unknown(&mut self, path: &str, name: &str, span: std::ops::Range<usize>, known: &[&str]) {
        let hint = nearest(name, known).map(did_you_mean).or_else(|| {
            let places = sections_with(self.schema, name);
            (!places.is_empty()).then(|| format!("`{name}` is a key of {}", places.join(" and ")))
        });
        let expected = match known {
            [] => String::new(),
            known if known.len() <= KNOWN_SHOWN_MAX => format!("one of {}", known.join(", ")),
            known => format!("one of {} keys, see docs/configuration.md", known.len()),
        };
        let message = format!("unknown key `{name}`");
        let key = join(path, name);
        self.check.push(
            Severity::Error,
            &key,
            Some(span),
            message,
            Some(name.to_owned()),
            &expected,
            &hint.unwrap_or_default(),
        );
    }
}

const KNOWN_SHOWN_MAX: usize = 12;

/// Where to point for a key: at its value, or at the key where the value is a table that
/// has no place of its own.
fn place(key: std::ops::Range<usize>, value: &Spanned<DeValue<'_>>) -> std::ops::Range<usize> {
    let span = value.span();
    if span.is_empty() { key } else { span }
}

/// Follows `$ref`, and takes the one alternative of an optional value.
pub(super) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(name.trim_start_matches('#'));
        return target.map_or(schema, |target| resolve(root, target));
    }
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    let inner = alternatives.and_then(|inner| inner.iter().find(|inner| kind(inner) != "null"));
    inner.map_or(schema, |inner| resolve(root, inner))
}

/// The JSON type, `null` aside.
pub(super) fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or(""),
        _ => "",
    }
}

/// The names that an enumeration allows.
pub(super) fn names(schema: &Value) -> Option<Vec<&str>> {
    if let Some(names) = schema.get("enum").and_then(Value::as_array) {
        return Some(names.iter().filter_map(Value::as_str).collect());
    }
    let variants = schema.get("oneOf").and_then(Value::as_array)?;
    let mut names = Vec::new();
    for variant in variants {
        match (variant.get("const").and_then(Value::as_str), variant.get("enum").and_then(Value::as_array)) {
            (Some(name), _) => names.push(name),
            (None, Some(more)) => names.extend(more.iter().filter_map(Value::as_str)),
            (None, None) => return None,
        }
    }
    Some(names)
}

/// What a value is, in words.
pub(super) fn type_name(schema: &Value) -> String {
    if schema.get("x-text").is_some() {
        return "a text, { env = … } or { file = … }".to_owned();
    }
    if let Some(names) = names(schema) {
        return names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
    }
    match kind(schema) {
        "array" if schema.get("items").is_some_and(|items| kind(items) == "integer") => {
            "a list of whole numbers".to_owned()
        }
        "array" => "a list of texts".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => {
            let limit = |name: &str| schema.get(name).and_then(Value::as_i64);
            match (limit("minimum"), limit("maximum")) {
                (Some(minimum), Some(maximum)) => format!("a whole number from {minimum} to {maximum}"),
                (Some(minimum), None) => format!("a whole number from {minimum}"),
                _ => "a whole number".to_owned(),
            }
        }
        "object" => "a table".to_owned(),
        _ => "a text".to_owned(),
    }
}

fn first_sentence(schema: &Value) -> &str {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_once(". ").map_or(text, |(first, _)| first).lines().next().unwrap_or_default()
}

/// Is it `{ file = … }` or `{ env = … }`?
fn names_a_place(value: &DeValue<'_>) -> bool {
    value.as_table().is_some_and(|table| table.len() == 1 && (table.contains_key("file") || table.contains_key("env")))
}

/// The question after a name that was probably misspelt.
#[must_use]
pub fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// The name that `name` was probably meant to be.
#[must_use]
pub fn nearest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let wanted = plain(name);
    let (distance, found) = names.iter().map(|known| (distance(&wanted, &plain(known)), *known)).min()?;
    let allowed = (wanted.chars().count() / 3).clamp(1, 4);
    (distance <= allowed)
        .then_some(found)
        .or_else(|| names.iter().copied().find(|known| wanted.len() >= 4 && plain(known).starts_with(&wanted)))
}

/// Edits (insert, delete, replace, swap of two neighbours) from one text to the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    let mut row_before: Vec<usize> = Vec::new();
    let mut left_before = None;
    for (line, a) in left.chars().enumerate() {
        let mut next = vec![line + 1];
        let mut right_before = None;
        for (column, b) in right.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&row, column) + usize::from(a != *b);
            let mut least = replaced.min(at(&row, column + 1) + 1).min(at(&next, column) + 1);
            if left_before == Some(*b)
                && right_before == Some(a)
                && let Some(two_before) = column.checked_sub(1)
            {
                least = least.min(at(&row_before, two_before) + 1);
            }
            next.push(least);
            right_before = Some(*b);
        }
        row_before = std::mem::replace(&mut row, next);
        left_before = Some(a);
    }
    row.last().copied().unwrap_or_default()
}

/// The sections that have a key `name`.
fn sections_with(root: &Value, name: &str) -> Vec<String> {
    super::reference::sections(root)
        .into_iter()
        .filter(|section| section.properties.iter().any(|(key, _)| *key == name))
        .map(|section| format!("[{}]", section.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits_and_swaps() {
        for (left, right, edits) in [
            ("", "abc", 3),
            ("mark", "mark", 0),
            ("mrak", "mark", 1),
            ("gruop", "group", 1),
            ("alow", "allow", 1),
            ("ab", "xy", 2),
        ] {
            assert_eq!((distance(left, right), distance(right, left)), (edits, edits), "{left} {right}");
        }
    }

    #[test]
    fn means_what_is_near_and_nothing_else() {
        let names = ["mark", "group", "verdict"];
        assert_eq!(nearest("mrak", &names), Some("mark"));
        assert_eq!(nearest("verd", &names), Some("verdict"));
        assert_eq!(nearest("nonsense", &names), None);
    }
}
