//! Inputs in the form of a case's `input`: fresh ones, and those of cases with a change or two.

use toml::{Table, Value};

use super::{
    pool::{Named, Pool},
    random::Random,
    shape::{self, Field, Shape, Topic},
};
use crate::decision::Hook;

/// A field that may be left out stands in so many of a hundred inputs.
const FILLED_PERCENT: usize = 45;

/// The longest list.
const LIST_MAX: usize = 4;

/// An input for `hook`. `cases` are the inputs of its cases.
pub(super) fn input(hook: Hook, pool: &Pool, cases: &[&Table], random: &mut Random) -> Table {
    let fields = shape::of(hook);
    let case = random.pick(cases).copied().filter(|_| random.percent(60));
    let Some(case) = case else { return record(fields, pool, random) };
    let mut changed = case.clone();
    for _ in 0..=random.below(3) {
        change(&mut changed, fields, pool, random);
    }
    changed
}

fn record(fields: &[Field], pool: &Pool, random: &mut Random) -> Table {
    let mut table = Table::new();
    for field in fields {
        if field.needed || random.percent(FILLED_PERCENT) {
            table.insert(field.name.to_owned(), value(field, pool, random));
        }
    }
    table
}

/// Changes one field of a record, or one within it.
fn change(table: &mut Table, fields: &[Field], pool: &Pool, random: &mut Random) {
    let Some(field) = random.pick(fields).copied() else { return };
    match (field.shape, table.get_mut(field.name)) {
        (Shape::Record(inner), Some(Value::Table(within))) if random.percent(75) => change(within, inner, pool, random),
        (_, Some(_)) if !field.needed && random.percent(20) => drop(table.remove(field.name)),
        _ => drop(table.insert(field.name.to_owned(), value(&field, pool, random))),
    }
}

fn value(field: &Field, pool: &Pool, random: &mut Random) -> Value {
    match field.shape {
        Shape::Text(topic) => Value::String(pool.text(topic, random)),
        Shape::Texts(topic) => texts(0, topic, pool, random),
        Shape::SomeTexts(topic) => texts(1, topic, pool, random),
        Shape::Flag => Value::Boolean(random.percent(50)),
        Shape::Moment => Value::Integer(pool.moment(random)),
        Shape::Seconds => Value::Integer(pool.seconds(random)),
        Shape::Claims => {
            let of = match field.name {
                "facts" => Named::Facts,
                "attributes" => Named::Attributes,
                _ => Named::Claims,
            };
            Value::Table(pool.claims(of, random))
        }
        Shape::Reported => match random.below(10) {
            0 => Value::String("absent".to_owned()),
            1 => Value::String("overage".to_owned()),
            _ => texts(0, Topic::Group, pool, random),
        },
        Shape::Grants => {
            let codes = ["mapped", "default", "mapped-on-the-fly"];
            let grants = (0..random.below(LIST_MAX)).map(|_| {
                let code = random.pick(&codes).copied().unwrap_or("mapped");
                let group = Value::String(pool.text(Topic::Group, random));
                let because = Value::String(code.to_owned());
                Value::Table(Table::from_iter([("group".to_owned(), group), ("because".to_owned(), because)]))
            });
            Value::Array(grants.collect())
        }
        Shape::MatchKey => {
            let (key, topic) = if random.percent(50) { ("email", Topic::Email) } else { ("username", Topic::Other) };
            Value::Table(Table::from_iter([(key.to_owned(), Value::String(pool.text(topic, random)))]))
        }
        Shape::Record(fields) => Value::Table(record(fields, pool, random)),
    }
}

fn texts(least: usize, topic: Topic, pool: &Pool, random: &mut Random) -> Value {
    let many = least + random.below(LIST_MAX);
    Value::Array((0..many).map(|_| Value::String(pool.text(topic, random))).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::policy::{cases::InputForm, properties::pool::Filling};

    fn paths(prefix: &str, fields: &[Field], found: &mut BTreeSet<String>) {
        for field in fields {
            let path = format!("{prefix}{}", field.name);
            if let Shape::Record(inner) = field.shape {
                paths(&format!("{path}."), inner, found);
            }
            found.insert(path);
        }
    }

    fn filled(prefix: &str, table: &Table, fields: &[Field], found: &mut BTreeSet<String>) {
        for field in fields {
            let Some(value) = table.get(field.name) else { continue };
            let path = format!("{prefix}{}", field.name);
            if let (Shape::Record(inner), Value::Table(table)) = (field.shape, value) {
                filled(&format!("{path}."), table, inner, found);
            }
            found.insert(path);
        }
    }

    #[test]
    fn every_input_is_one_that_a_case_could_have_and_every_field_is_filled_at_times() {
        let mut filling = Filling::default();
        filling.names(["department".to_owned()], &["request.path".to_owned()]);
        let pool = filling.pool();
        for hook in Hook::ALL {
            let (mut expected, mut found) = (BTreeSet::new(), BTreeSet::new());
            paths("", shape::of(hook), &mut expected);
            let mut before = Table::new();
            for stream in 0..300 {
                let mut random = Random::new(1, stream);
                let table = input(hook, &pool, &[&before], &mut random);
                let form: InputForm = Value::Table(table.clone()).try_into().unwrap();
                form.build(hook).unwrap_or_else(|message| panic!("{hook}: {message}: {table}"));
                filled("", &table, shape::of(hook), &mut found);
                before = table;
            }
            assert_eq!(found, expected, "{hook}");
        }
    }

    #[test]
    fn every_hour_of_every_day_of_the_week_comes_up() {
        let pool = Filling::default().pool();
        let mut hours = BTreeSet::new();
        for stream in 0..10_000 {
            hours.insert(pool.moment(&mut Random::new(0, stream)) / 3600 % (24 * 7));
        }
        assert_eq!(hours.len(), 24 * 7);
    }

    #[test]
    fn takes_values_that_occur() {
        let mut filling = Filling::default();
        filling.json(&serde_json::json!({ "rows": [{ "group": "odd-name", "domains": "a.com; b.org" }] }));
        let pool = filling.pool();
        let inputs: Vec<String> =
            (0..200).map(|stream| input(Hook::Groups, &pool, &[], &mut Random::new(0, stream)).to_string()).collect();
        for part in ["odd-name", "@b.org", "ODD-NAME", "\"odd-name \""] {
            assert!(inputs.iter().any(|input| input.contains(part)), "{part}");
        }
    }
}
