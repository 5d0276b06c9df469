//! A compact JWS (RFC 7515 §3.1) on its way from a text to claims that a signature protects.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::{
    json,
    key::{Fault, Key, algorithm_named},
};

/// What may be signed with: never `none`, and nothing with a shared secret (RFC 8725 §3.1).
pub const ALGORITHMS: [&str; 10] =
    ["ES256", "ES384", "EdDSA", "Ed25519", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"];

/// The longest text that is looked at.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// A text that says that it is signed. Its claims can be had only with the key.
pub struct SignedText<'a> {
    signed_part: &'a str,
    payload: &'a str,
    signature: &'a str,
    algorithm: Algorithm,
    header: Map<String, Value>,
}

fn refuse(code: &'static str, detail: &str) -> Fault {
    Fault { code, detail: detail.to_owned() }
}

impl<'a> SignedText<'a> {
    /// Takes a text apart, and looks at its header alone. `types` are the types that it may have, in lower
    /// case (RFC 8725 §3.11); `""` among them stands for none at all.
    ///
    /// # Errors
    ///
    /// Where it is no JWS, is encrypted, of another type, or its header asks for what is not in
    /// [`ALGORITHMS`] or what we do not understand.
    pub fn parse(text: &'a str, types: &[&str]) -> Result<Self, Fault> {
        Self::parse_within(text, types, TEXT_BYTES_MAX)
    }

    /// As [`SignedText::parse`], for a text that may be longer than what a stranger sends.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn parse_within(text: &'a str, types: &[&str], bytes_max: usize) -> Result<Self, Fault> {
        let malformed = || refuse("jws-malformed", "it is no signed text of three parts");
        if text.len() > bytes_max {
            return Err(refuse("jws-too-long", "it is too long"));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed());
        };
        let signed_part = text.get(..header.len() + 1 + payload.len()).ok_or_else(malformed)?;
        let header = decoded(header).ok_or_else(malformed)?;
        let name = header.get("alg").and_then(Value::as_str).unwrap_or_default();
        let algorithm = algorithm_named(name)
            .filter(|_| ALGORITHMS.contains(&name))
            .ok_or_else(|| refuse("jws-algorithm", "its algorithm is none of ours"))?;
        let typ = header.get("typ").map(|typ| typ.as_str().unwrap_or("?")).unwrap_or_default().to_ascii_lowercase();
        if !types.contains(&typ.trim_start_matches("application/")) {
            return Err(refuse("jws-type", "its type is another one"));
        }
        // RFC 7515 §4.1.11: we understand no extension. `cty` would be a text in a text, `zip` and `enc`
        // are for encryption.
        if ["crit", "cty", "zip", "b64", "enc"].iter().any(|name| header.contains_key(*name)) {
            return Err(refuse("jws-header", "its header has crit, cty, zip, b64 or enc"));
        }
        Ok(Self { signed_part, payload, signature, algorithm, header })
    }

    /// RFC 7515 §4.1.4. A hint: it chooses among the keys of the signer and nothing else.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// RFC 7515 §4.1.3: the key that it says it is signed with. Proves nothing but that the signer has it.
    #[must_use]
    pub fn jwk(&self) -> Option<&Map<String, Value>> {
        self.header.get("jwk").and_then(Value::as_object)
    }

    /// One of [`ALGORITHMS`].
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What it says of itself under this name, which nobody proved: only to find the key by.
    #[must_use]
    pub fn hint(&self, name: &str) -> Option<String> {
        decoded(self.payload)?.get(name)?.as_str().map(str::to_owned)
    }

    /// Checks the signature against each of `keys`, and only then reads the claims.
    ///
    /// # Errors
    ///
    /// Where none of them signed it, or where it holds no claims.
    pub fn signed_by(&self, keys: &[&Key]) -> Result<Map<String, Value>, Fault> {
        let signed = keys.iter().any(|key| {
            jsonwebtoken::crypto::verify(self.signature, self.signed_part.as_bytes(), &key.key, self.algorithm)
                .unwrap_or(false)
        });
        if !signed {
            return Err(refuse("jws-signature", "its signature does not verify"));
        }
        decoded(self.payload).ok_or_else(|| refuse("jws-claims", "its claims are no JSON object, or one comes twice"))
    }
}

fn decoded(part: &str) -> Option<Map<String, Value>> {
    json::object(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(header: &Value, claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", encode(&header.to_string()), encode(claims), encode("signature"))
    }

    fn refusal(text: &str) -> &'static str {
        SignedText::parse(text, &["", "jwt"]).map(|_| ()).unwrap_err().code
    }

    #[test]
    fn a35_a36_what_is_not_signed_with_a_key_of_ones_own_is_refused_by_its_header() {
        for algorithm in [json!("none"), json!("NONE"), json!(""), json!(null), json!(7), json!(["ES256"])] {
            assert_eq!(refusal(&text(&json!({"alg": algorithm}), "{}")), "jws-algorithm", "{algorithm}");
        }
        for algorithm in ["HS256", "HS512", "es256", "ES256K", "ES512", "dir"] {
            assert_eq!(refusal(&text(&json!({"alg": algorithm}), "{}")), "jws-algorithm", "{algorithm}");
        }
        assert_eq!(refusal(&text(&json!({}), "{}")), "jws-algorithm");
    }

    #[test]
    fn what_asks_for_something_that_we_do_not_understand_is_refused() {
        for name in ["crit", "cty", "zip", "b64", "enc"] {
            assert_eq!(refusal(&text(&json!({"alg": "ES256", name: []}), "{}")), "jws-header", "{name}");
        }
        for typ in [json!("at+jwt"), json!("dpop+jwt"), json!(7), json!(null), json!("?")] {
            assert_eq!(refusal(&text(&json!({"alg": "ES256", "typ": typ}), "{}")), "jws-type", "{typ}");
        }
        for typ in ["JWT", "jwt", "application/jwt"] {
            assert!(SignedText::parse(&text(&json!({"alg": "ES256", "typ": typ}), "{}"), &["jwt"]).is_ok(), "{typ}");
        }
        for broken in ["", ".", "..", "a.b", "a.b.c.d", "e30.e30", "e30.e30.e30.e30.e30", "{}.{}.x", "\u{e9}.\u{e9}.x"]
        {
            assert!(SignedText::parse(broken, &["", "jwt"]).is_err(), "{broken}");
        }
        assert_eq!(refusal(&"a".repeat(TEXT_BYTES_MAX + 1)), "jws-too-long");
    }

    #[test]
    fn a_claim_that_comes_twice_is_none() {
        let twice = text(&json!({"alg": "ES256"}), r#"{"sub":"a","sub":"b"}"#);
        assert_eq!(SignedText::parse(&twice, &[""]).unwrap().hint("sub"), None);
        let once = text(&json!({"alg": "ES256"}), r#"{"sub":"a"}"#);
        assert_eq!(SignedText::parse(&once, &[""]).unwrap().hint("sub").as_deref(), Some("a"));
    }
}
