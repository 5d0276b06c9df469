//! Ending the session at the upstream: OIDC RP-Initiated Logout 1.0 §2, or the operator's
//! template where the upstream has a way of its own (AWS Cognito).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::error::{UpstreamError, refuse};
use crate::secret::Secret;

/// All but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a logout request can say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters<'a> {
    pub(super) client_id: &'a str,
    pub(super) id_token: Option<&'a Secret<String>>,
    pub(super) sign_out_url: &'a Url,
    pub(super) state: &'a str,
}

/// The request to an `end_session_endpoint`.
pub(super) fn end_session(endpoint: &Url, parameters: Parameters<'_>) -> Url {
    let mut url = endpoint.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(id_token) = parameters.id_token {
            query.append_pair("id_token_hint", id_token.expose());
        }
        query
            .append_pair("client_id", parameters.client_id)
            .append_pair("post_logout_redirect_uri", parameters.sign_out_url.as_str())
            .append_pair("state", parameters.state);
    }
    url
}

/// The template with each placeholder replaced by its value, percent-encoded. A value is
/// never looked at again, so that a placeholder's name inside one stays text. Without an
/// ID token `{id_token}` becomes empty.
///
/// # Errors
///
/// `logout-template-malformed`.
pub(super) fn from_template(template: &str, parameters: Parameters<'_>) -> Result<Url, UpstreamError> {
    let malformed = |detail: &str| refuse("logout-template-malformed", format!("`logout-url` {detail}"));
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(|| malformed("has a { without a }"))?;
        let value = match name {
            "client_id" => parameters.client_id,
            "id_token" => parameters.id_token.map_or("", |token| token.expose()),
            "sign_out_url" => parameters.sign_out_url.as_str(),
            "state" => parameters.state,
            _ => return Err(malformed("has an unknown placeholder")),
        };
        text.push_str(before);
        text.extend(utf8_percent_encode(value, ENCODED));
        rest = after;
    }
    text.push_str(rest);
    let url = Url::parse(&text).map_err(|_| malformed("is no URL"))?;
    if matches!(url.scheme(), "https" | "http") { Ok(url) } else { Err(malformed("is neither https nor http")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters<'a>(client_id: &'a str, id_token: Option<&'a Secret<String>>, target: &'a Url) -> Parameters<'a> {
        Parameters { client_id, id_token, sign_out_url: target, state: "s t" }
    }

    #[test]
    fn fills_the_seeds_template() {
        let target = Url::parse("https://gateway.example/out?a=1&b=2").unwrap();
        let template =
            "https://name.auth.eu-west-1.amazoncognito.com/logout?client_id={client_id}&logout_uri={sign_out_url}";
        assert_eq!(
            from_template(template, parameters("a&b", None, &target)).unwrap().as_str(),
            "https://name.auth.eu-west-1.amazoncognito.com/logout?client_id=a%26b&logout_uri=https%3A%2F%2Fgateway.example%2Fout%3Fa%3D1%26b%3D2",
        );
    }

    #[test]
    fn a_placeholder_inside_a_value_stays_text() {
        let target = Url::parse("https://gateway.example/").unwrap();
        let token = Secret::new("secret-token".to_owned());
        let url = from_template(
            "https://op.example/?c={client_id}&s={state}",
            parameters("{id_token}", Some(&token), &target),
        );
        assert_eq!(url.unwrap().as_str(), "https://op.example/?c=%7Bid_token%7D&s=s%20t");
    }

    #[test]
    fn refuses_a_template_that_leads_nowhere() {
        let target = Url::parse("https://gateway.example/").unwrap();
        for template in
            ["https://op.example/{user}", "https://op.example/{client_id", "javascript:alert({state})", "/logout", ""]
        {
            let outcome = from_template(template, parameters("c", None, &target));
            assert_eq!(outcome.map_err(|error| error.code), Err("logout-template-malformed"), "{template}");
        }
    }

    #[test]
    fn asks_the_end_session_endpoint() {
        let target = Url::parse("https://gateway.example/out").unwrap();
        let token = Secret::new("t".to_owned());
        let endpoint = Url::parse("https://op.example/end?x=1").unwrap();
        assert_eq!(
            end_session(&endpoint, parameters("c", Some(&token), &target)).as_str(),
            "https://op.example/end?x=1&id_token_hint=t&client_id=c&post_logout_redirect_uri=https%3A%2F%2Fgateway.example%2Fout&state=s+t",
        );
    }
}
