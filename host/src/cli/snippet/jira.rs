//! The single sign-on that Jira Data Center has built in.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    cli::output::{Exit, Failure, Output},
    config,
    downstream::oidc::{self, Known},
};

/// What stands where the client's secret goes: it is shown at its registration alone.
const SECRET: &str = "THE-CLIENT-SECRET";

pub(super) fn run(client: &str, organization: Option<&str>, config: &Path, output: &Output) -> Result<Exit, Failure> {
    let config = config::load(config).map_err(Failure::of_configuration)?;
    let found = oidc::known(&config, organization, client);
    let found = found.map_err(|error| Failure::new(Exit::File, &error))?;
    let known = match &found[..] {
        [known] => known,
        [] => return Err(Failure::text(Exit::Failed, format!("there is no client `{client}`"))),
        several => {
            let names: Vec<&str> = several.iter().map(|known| known.organization.as_str()).collect();
            let message = format!("{} have a client `{client}`: say which with --organization", names.join(" and "));
            return Err(Failure::text(Exit::Failed, message));
        }
    };
    let (properties, call) = (properties(known), call(known));
    let text = format!(
        "# jira-config.properties\n{properties}\n\n# or Jira's REST interface, as an administrator\n\
         curl -X POST {}rest/authconfig/1.0/idps \\\n  -u admin -H 'Content-Type: application/json' \\\n  -d '{call:#}'",
        known.application_url,
    );
    output.result(text, &json!({ "ok": true, "client": client, "properties": properties, "idp": call }));
    Ok(Exit::Done)
}

fn properties(known: &Known) -> String {
    [
        ("enabled", "true"),
        ("issuer", &known.issuer),
        ("clientId", &known.client_id),
        ("clientSecret", SECRET),
        ("scope", &known.scopes.join(" ")),
        ("usernameAttribute", "preferred_username"),
    ]
    .map(|(name, value)| format!("jira.sso.oidc.{name}={value}"))
    .join("\n")
}

/// The body of `POST /rest/authconfig/1.0/idps`. Jira fills in what stands in `${…}` itself.
fn call(known: &Known) -> Value {
    let additional: Vec<&String> = known.scopes.iter().filter(|scope| *scope != "openid").collect();
    json!({
        "name": known.name,
        "enabled": true,
        "sso-type": "OIDC",
        "issuer-url": known.issuer,
        "discovery-enabled": true,
        "client-id": known.client_id,
        "client-secret": SECRET,
        "additional-scopes": additional,
        "username-claim": "${preferred_username}",
        "enable-remember-me": true,
        "jit-configuration": {
            "user-provisioning-enabled": true,
            "mapping-display-name": "${name}",
            "mapping-email": "${email}",
            "mapping-groups": "groups",
            "additional-openid-scopes": additional,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known {
            organization: "acme".into(),
            issuer: "https://id.acme.eu/acme".into(),
            client_id: "atlassian".into(),
            name: "Jira + Confluence".into(),
            scopes: ["openid", "profile", "email", "groups"].map(str::to_owned).to_vec(),
            application_url: "https://jira.acme.eu/".into(),
        }
    }

    #[test]
    fn the_properties_are_those_that_administrators_know() {
        let expected = "jira.sso.oidc.enabled=true\n\
                        jira.sso.oidc.issuer=https://id.acme.eu/acme\n\
                        jira.sso.oidc.clientId=atlassian\n\
                        jira.sso.oidc.clientSecret=THE-CLIENT-SECRET\n\
                        jira.sso.oidc.scope=openid profile email groups\n\
                        jira.sso.oidc.usernameAttribute=preferred_username";
        assert_eq!(properties(&known()), expected);
    }

    #[test]
    fn the_call_names_the_issuer_the_client_and_the_claims() {
        let call = call(&known());
        assert_eq!(call["issuer-url"], "https://id.acme.eu/acme");
        assert_eq!(call["additional-scopes"], json!(["profile", "email", "groups"]));
        assert_eq!(call["username-claim"], "${preferred_username}");
        assert_eq!(call["jit-configuration"]["mapping-groups"], "groups");
    }
}
