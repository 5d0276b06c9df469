//! What the provider says of itself (OIDC Discovery §3).

use serde_json::{Value, json};

use super::{Provider, claims::SCOPES, issuer};
use crate::{
    config::{ClientMethod, Config},
    jose::ALGORITHMS,
};

impl Provider {
    /// The organization's `/.well-known/openid-configuration`
    #[must_use]
    pub fn discovery(&self, config: &Config, organization: &str) -> Value {
        let issuer = issuer(config, organization);
        let methods = ClientMethod::ALL.map(ClientMethod::name);
        let proving: Vec<&str> = methods.into_iter().filter(|method| *method != ClientMethod::None.name()).collect();
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/oidc/authorize"),
            "pushed_authorization_request_endpoint": format!("{issuer}/oidc/par"),
            "require_pushed_authorization_requests": false,
            "token_endpoint": format!("{issuer}/oidc/token"),
            "userinfo_endpoint": format!("{issuer}/oidc/userinfo"),
            "introspection_endpoint": format!("{issuer}/oidc/introspect"),
            "revocation_endpoint": format!("{issuer}/oidc/revoke"),
            "end_session_endpoint": format!("{issuer}/oidc/logout"),
            "jwks_uri": format!("{issuer}/oidc/jwks.json"),
            "scopes_supported": SCOPES,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256", "EdDSA"],
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
            "introspection_endpoint_auth_methods_supported": proving,
            "introspection_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
            "code_challenge_methods_supported": ["S256"],
            "dpop_signing_alg_values_supported": ALGORITHMS,
            "claims_supported": [
                "sub", "iss", "aud", "exp", "iat", "nonce", "auth_time", "acr", "amr", "sid", "at_hash", "name", "given_name",
                "family_name", "preferred_username", "email", "email_verified", "groups",
            ],
            "backchannel_logout_supported": true,
            "backchannel_logout_session_supported": true,
            "frontchannel_logout_supported": true,
            "frontchannel_logout_session_supported": true,
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "authorization_response_iss_parameter_supported": true,
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
            "claims_parameter_supported": false,
        })
    }
}
