//! The smallest input that still shows what a larger one showed: parts are taken away as long
//! as it does.

use toml::{Table, Value};

/// Makes `table` smaller as long as `shows` says that the smaller one will do; asks at most `most`
/// times.
pub(super) fn shrink(table: Table, most: usize, shows: &mut dyn FnMut(&Table) -> bool) -> Table {
    let mut smallest = table;
    let mut asked = 0;
    // Each round begins anew with what is left, and ends when nothing more can go.
    'again: loop {
        for candidate in of_table(&smallest) {
            if asked >= most {
                return smallest;
            }
            asked += 1;
            if shows(&candidate) {
                smallest = candidate;
                continue 'again;
            }
        }
        return smallest;
    }
}

/// Smaller ones, the smallest first: without a key, then with a smaller value.
fn of_table(table: &Table) -> Vec<Table> {
    let without = table.keys().map(|key| {
        let mut less = table.clone();
        less.remove(key);
        less
    });
    let mut smaller: Vec<Table> = without.collect();
    for (key, value) in table {
        for value in of_value(value) {
            let mut less = table.clone();
            less.insert(key.clone(), value);
            smaller.push(less);
        }
    }
    smaller
}

fn of_value(value: &Value) -> Vec<Value> {
    match value {
        Value::Table(table) => of_table(table).into_iter().map(Value::Table).collect(),
        Value::Array(items) => of_list(items).into_iter().map(Value::Array).collect(),
        Value::String(text) => of_text(text).into_iter().map(Value::String).collect(),
        Value::Integer(number) if *number > 0 => vec![Value::Integer(0), Value::Integer(number / 2)],
        // Each way only one step, or it would never end.
        Value::Boolean(true) => vec![Value::Boolean(false)],
        _ => Vec::new(),
    }
}

fn of_list(items: &[Value]) -> Vec<Vec<Value>> {
    if items.is_empty() {
        return Vec::new();
    }
    let mut smaller = vec![Vec::new()];
    let (front, back) = items.split_at(items.len() / 2);
    smaller.extend(
        [front, back].into_iter().filter(|half| !half.is_empty() && half.len() < items.len()).map(<[_]>::to_vec),
    );
    for index in 0..items.len() {
        let mut less = items.to_vec();
        less.remove(index);
        smaller.push(less);
    }
    for (index, item) in items.iter().enumerate() {
        for item in of_value(item) {
            let mut less = items.to_vec();
            if let Some(slot) = less.get_mut(index) {
                *slot = item;
            }
            smaller.push(less);
        }
    }
    smaller
}

/// No text becomes empty: an empty one is hardly ever what the longer one was.
fn of_text(text: &str) -> Vec<String> {
    const CHARACTERS_MAX: usize = 64;
    let characters: Vec<char> = text.chars().collect();
    let (front, back) = characters.split_at(characters.len() / 2);
    let mut smaller: Vec<String> = vec![front.iter().collect(), back.iter().collect()];
    if characters.len() <= CHARACTERS_MAX {
        let without = |gone: usize| characters.iter().enumerate().filter(move |(at, _)| *at != gone).map(|(_, c)| *c);
        smaller.extend((0..characters.len()).map(|gone| without(gone).collect::<String>()));
    }
    smaller.retain(|less| !less.is_empty() && less.len() < text.len());
    smaller
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn leaves_only_what_it_takes() {
        let large = table(
            "requested = \"x\"\n[identity]\nsubject = \"ann\"\ngroups = [\"a\", \"the-admins\", \"b\"]\n\
             email = { address = \"u@a.com\", verified = true }\n[context]\nat = 1700000000\n",
        );
        let mut shows = |table: &Table| {
            let groups = table.get("identity").and_then(|identity| identity.get("groups")).and_then(Value::as_array);
            groups.is_some_and(|groups| groups.iter().any(|group| group.as_str().unwrap().contains("admin")))
        };
        assert_eq!(shrink(large, 1000, &mut shows), table("identity.groups = [\"admin\"]"));
    }

    #[test]
    fn ends_whatever_shows_and_however_often_it_may_ask() {
        let large = table("a = true\nb = 5\nc = [[1, 2], [3]]\nd = \"text\"\n");
        assert_eq!(shrink(large.clone(), 1000, &mut |_| true), Table::new());
        assert_eq!(shrink(large.clone(), 1000, &mut |_| false), large);
        assert_eq!(shrink(large.clone(), 0, &mut |_| true), large);
    }
}
