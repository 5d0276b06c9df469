//! What the upstream reported: a list of names, or no list at all.

use std::borrow::Cow;

use vestibule_policy::prelude::*;

use super::Settings;

/// The upstream's groups.
#[derive(Debug)]
pub(crate) enum Reported<'a> {
    /// A list, maybe an empty one.
    Listed(Cow<'a, [String]>),
    /// No list, and what there was in its place.
    NoList(&'static str),
}

/// Reads the groups of `identity` as the settings say.
///
/// # Errors
///
/// `bad-claim` where the claim that the settings name holds something else than names.
pub(crate) fn reported<'a>(identity: &'a Identity, settings: &Settings) -> Result<Reported<'a>, Fault> {
    match &identity.groups {
        // A claim of another name that happens to be there does not make up for a list that
        // was too long to be sent.
        GroupClaim::Overage => Ok(Reported::NoList("overage")),
        // The manifest asks for them: somebody took that out of it.
        GroupClaim::Withheld => Ok(Reported::NoList("withheld")),
        GroupClaim::Absent if settings.groups_claim.is_empty() => Ok(Reported::NoList("absent")),
        GroupClaim::Listed(names) if settings.groups_claim.is_empty() => Ok(Reported::Listed(Cow::Borrowed(names))),
        GroupClaim::Absent | GroupClaim::Listed(_) => of_claim(identity, settings),
    }
}

fn of_claim<'a>(identity: &'a Identity, settings: &Settings) -> Result<Reported<'a>, Fault> {
    let claim = settings.groups_claim.as_str();
    let bad = || Fault::BadClaim(claim.to_owned());
    let split = |text: &str| -> Vec<String> {
        if settings.groups_separator.is_empty() {
            return vec![text.to_owned()];
        }
        text.split(&settings.groups_separator)
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    };
    let names = match (identity.claim(claim), settings.groups_pointer.as_str()) {
        (None, _) => return Ok(Reported::NoList("absent")),
        (Some(Value::Texts(texts)), "") => Cow::Borrowed(texts.as_slice()),
        (Some(Value::Text(text)), "") => Cow::Owned(split(text)),
        (Some(Value::Json(json)), pointer) => {
            let json: serde_json::Value = serde_json::from_str(json).map_err(|_| bad())?;
            match json.pointer(pointer) {
                None => return Ok(Reported::NoList("absent")),
                Some(serde_json::Value::String(text)) => Cow::Owned(split(text)),
                Some(serde_json::Value::Array(list)) => {
                    let names = list.iter().map(|name| name.as_str().map(str::to_owned).ok_or_else(bad));
                    Cow::Owned(names.collect::<Result<_, _>>()?)
                }
                Some(_) => return Err(bad()),
            }
        }
        (Some(_), _) => return Err(bad()),
    };
    Ok(Reported::Listed(names))
}
