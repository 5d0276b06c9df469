//! What two versions of a policy say of themselves: hooks, what they read and may grant, limits.

use serde::Serialize;
use serde_json::Value as Json;

use crate::policy::Component;

/// A difference of two manifests, or of what the components ask for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stated {
    /// The manifest's key, or `form` or `imports`.
    pub key: &'static str,
    /// What the old one says; null where it says nothing.
    pub old: Json,
    /// What the new one says.
    pub new: Json,
    /// Where both are lists: what only the new one has.
    pub added: Vec<Json>,
    /// And what only the old one has.
    pub removed: Vec<Json>,
}

/// What gives a policy power first, then what it sees, then what it may use up. `name`, `version` and `description`
/// are meant to differ.
const KEYS: [&str; 12] = [
    "hooks",
    "may-grant",
    "may-grant-from-settings",
    "reads",
    "reads-from-settings",
    "reads-groups",
    "facts",
    "access-paths",
    "access-paths-from-settings",
    "fuel",
    "settings-default",
    "settings-schema",
];

/// What differs, the weightiest first.
pub(super) fn stated(old: &Component, new: &Component) -> Vec<Stated> {
    let manifest = |component: &Component| serde_json::to_value(component.manifest()).unwrap_or_default();
    let (had, has) = (manifest(old), manifest(new));
    let of = |manifest: &Json, key: &str| manifest.get(key).cloned().unwrap_or_default();
    let keys = KEYS.into_iter().map(|key| (key, of(&had, key), of(&has, key)));
    let form = |component: &Component| serde_json::to_value(component.form()).unwrap_or_default();
    let imports = |component: &Component| Json::from(component.imports().to_vec());
    let components = [("form", form(old), form(new)), ("imports", imports(old), imports(new))];
    keys.chain(components).filter_map(|(key, old, new)| difference(key, old, new)).collect()
}

fn difference(key: &'static str, old: Json, new: Json) -> Option<Stated> {
    // A list that is left out is an empty one.
    let list = |value: &Json| value.as_array().cloned().unwrap_or_default();
    let are_lists = [&old, &new].iter().all(|value| value.is_null() || value.is_array());
    let (had, has) = (list(&old), list(&new));
    let without = |these: &[Json], those: &[Json]| -> Vec<Json> {
        these.iter().filter(|value| !those.contains(value)).cloned().collect()
    };
    let (added, removed) =
        if are_lists { (without(&has, &had), without(&had, &has)) } else { (Vec::new(), Vec::new()) };
    let is_same = old == new || (are_lists && added.is_empty() && removed.is_empty());
    (!is_same).then_some(Stated { key, old, new, added, removed })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn says_what_lists_gained_and_lost_and_how_values_changed() {
        let found = difference("reads", json!(["a", "b"]), json!(["b", "c"])).unwrap();
        assert_eq!((found.added, found.removed), (vec![json!("c")], vec![json!("a")]));
        let found = difference("may-grant-from-settings", Json::Null, json!(["/rows/*"])).unwrap();
        assert_eq!((found.added, found.removed), (vec![json!("/rows/*")], vec![]));
        let found = difference("fuel", Json::Null, json!(1000)).unwrap();
        assert_eq!((found.old, found.new, found.added), (Json::Null, json!(1000), vec![]));
        for (old, new) in [(json!(["a", "b"]), json!(["b", "a"])), (Json::Null, json!([])), (json!(1), json!(1))] {
            assert_eq!(difference("reads", old, new), None);
        }
    }
}
