//! Comparing issuers: byte for byte, with the one exception that Entra ID needs.

/// What stands for the tenant in Entra ID's multi-tenant issuer.
const TENANT: &str = "{tenantid}";

/// A configured issuer, perhaps a template.
#[derive(Clone, Copy, Debug)]
pub(super) struct Issuer<'a>(pub(super) &'a str);

impl Issuer<'_> {
    /// Is `found` this issuer? In a template, `tenant` (the signed `tid`) must be what
    /// stands in the place of `{tenantid}`.
    pub(super) fn is(self, found: &str, tenant: Option<&str>) -> bool {
        match self.0.split_once(TENANT) {
            None => self.0 == found,
            Some(_) => tenant.is_some_and(|tenant| is_tenant(tenant) && self.0.replace(TENANT, tenant) == found),
        }
    }

    /// Could `found` be this issuer, as far as can be said before a token is there?
    pub(super) fn may_be(self, found: &str) -> bool {
        match self.0.split_once(TENANT) {
            None => self.0 == found,
            Some((before, after)) => {
                found.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).is_some_and(is_tenant)
            }
        }
    }
}

/// A tenant is a GUID: nothing that could reach beyond its place in a URL.
fn is_tenant(tenant: &str) -> bool {
    tenant.len() == 36 && tenant.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
