//! The configuration as its operators meet it.

use super::*;

const MINIMAL: &str = r#"
[server]
public-url = "https://login.example.com"
trusted-proxies = ["127.0.0.1", "10.0.0.0/8"]

[policies.domains]
component = "policies/domain-restriction.wasm"
settings = "policies/domains.toml"

[upstreams.main]
preset = "keycloak"
base-url = "https://id.example.com"
realm = "staff"
client-id = "gateway"
client-secret = { env = "SECRET" }

[applications.wiki]
upstreams = ["main"]
chain = ["domains"]
url = "https://wiki.example.com/"
[applications.wiki.forward-auth]
"#;

fn environment(name: &str) -> Option<String> {
    (name == "SECRET").then(|| "the-secret".to_owned())
}

fn taken(text: &str) -> Config {
    parse(text, Path::new("/etc/vestibule/vestibule.toml"), &environment)
        .unwrap_or_else(|problems| panic!("refused:\n{problems}"))
}

fn refused(text: &str) -> Diagnostics {
    match parse(text, Path::new("/etc/vestibule/vestibule.toml"), &environment) {
        Ok(_) => panic!("taken:\n{text}"),
        Err(problems) => problems,
    }
}

/// `MINIMAL` with one line in place of another.
fn with(line: &str, replacement: &str) -> String {
    assert!(MINIMAL.contains(line), "{line}");
    MINIMAL.replacen(line, replacement, 1)
}

fn errors(text: &str) -> Vec<(String, String)> {
    let problems = refused(text);
    let errors = problems.problems().iter().filter(|problem| problem.severity == Severity::Error);
    errors.map(|problem| (problem.key.clone(), problem.message.clone())).collect()
}

fn upstream(lines: &str) -> Upstream {
    let text = format!(
        "[server]\npublic-url = \"https://login.example.com\"\n[upstreams.main]\nclient-id = \"c\"\nclient-secret = \"s\"\n{lines}"
    );
    taken(&text).upstreams.remove("main").unwrap()
}

fn oidc(lines: &str) -> (Upstream, Oidc) {
    let upstream = upstream(lines);
    let UpstreamKind::Oidc(oidc) = upstream.kind.clone() else { panic!("not OIDC") };
    (upstream, oidc)
}

#[test]
fn a_minimal_configuration_gets_every_default() {
    let config = taken(MINIMAL);
    assert!(config.warnings.is_empty(), "{}", config.warnings);
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert_eq!(config.session.lifetime, 28_800);
    assert_eq!(config.keys.directory, Path::new("/etc/vestibule/keys"));
    assert_eq!(
        config.policies.sources["domains"].component,
        Path::new("/etc/vestibule/policies/domain-restriction.wasm")
    );
    assert_eq!(config.policies.limits.fuel, 20_000_000);
    let wiki = &config.applications["wiki"];
    assert_eq!((wiki.tenant.as_str(), wiki.display_name.as_str()), ("default", "wiki"));
    let HandOver::ForwardAuth(forward_auth) = &wiki.hand_over else { panic!("not forward-auth") };
    assert_eq!(forward_auth.headers.assertion, "X-Vestibule-Assertion");
    assert_eq!(config.digest.len(), 64);
}

#[test]
fn reports_every_problem_at_once_with_its_place() {
    let text = r#"
[server]
public-url = "http://login.example.com"
listn = "127.0.0.1:1"
request-timeout-ms = "soon"
trusted-proxies = ["10.0.0.1/8"]

[log]
format = "jsn"

[sesion]
idle-s = 3

[policies]
pol-ms = 20
[policies.limits]
fuel = 1

[upstreams.Main]
preset = "entra"
client-id = "x"

[applications.wiki]
upstreams = ["main"]
chain = ["none-such"]
url = "https://user:pass@wiki.example.com"
"#;
    let found: Vec<(String, Option<usize>)> =
        refused(text).problems().iter().map(|problem| (problem.key.clone(), problem.line)).collect();
    let expected = [
        ("server.public-url", 3),
        ("server.listn", 4),
        ("server.request-timeout-ms", 5),
        ("server.trusted-proxies[0]", 6),
        ("log.format", 9),
        ("sesion", 11),
        ("policies.pol-ms", 15),
        ("policies.limits.fuel", 17),
        ("upstreams.Main.tenant", 19),
        ("upstreams.Main", 19),
        ("applications.wiki", 23),
        ("applications.wiki.upstreams[0]", 24),
        ("applications.wiki.chain[0]", 25),
        ("applications.wiki.url", 26),
    ];
    for (key, line) in expected {
        assert!(found.contains(&(key.to_owned(), Some(line))), "{key} in line {line} is not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn names_the_key_that_an_unknown_one_was_meant_to_be() {
    for (wrong, right) in [
        ("publc-url = \"https://x\"", "did you mean `public-url`?"),
        ("public_url = \"https://x\"", "did you mean `public-url`?"),
        ("idle-s = 5", "`idle-s` is a key of [session]"),
    ] {
        let problems = refused(&with("[policies.domains]", &format!("[policies.domains]\n{wrong}")));
        let in_policy = problems.problems().iter().find(|problem| problem.message.starts_with("unknown key")).unwrap();
        let problems = refused(&with("[server]", &format!("[server]\n{wrong}")));
        let in_server = problems.problems().iter().find(|problem| problem.message.starts_with("unknown key"));
        let hints = [in_policy.hint.clone(), in_server.and_then(|problem| problem.hint.clone())];
        assert!(hints.iter().flatten().any(|hint| hint == right), "{wrong}: {hints:?}");
    }
}

#[test]
fn a_misspelt_key_that_is_a_table_is_no_policy() {
    let keys = "[policies.trusted-kys]\nann = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"\n\n[policies.domains]";
    let problems = refused(&with("[policies.domains]", keys));
    let found: Vec<&str> = problems.problems().iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(found, ["unknown key `trusted-kys`"]);
    assert_eq!(problems.problems()[0].hint.as_deref(), Some("did you mean `trusted-keys`?"));
    // A policy may be called nearly so.
    taken(&with("[policies.domains]", "[policies.limit]\ncomponent = \"a.wasm\"\n\n[policies.domains]"));
}

#[test]
fn renders_for_a_person_and_for_a_program() {
    let problems = refused(&with("realm = \"staff\"", "ralm = \"staff\""));
    insta::assert_snapshot!(problems.render(false), @r#"
    error: upstreams.main.realm: `realm` is missing
      --> /etc/vestibule/vestibule.toml:10:1
       |
    10 | [upstreams.main]
       | ^^^^^^^^^^^^^^^^ expected a text
       |
       = help: the preset `keycloak` asks for it

    error: upstreams.main.ralm: unknown key `ralm`
      --> /etc/vestibule/vestibule.toml:13:1
       |
    13 | ralm = *******
       | ^^^^ expected one of 42 keys, see docs/configuration.md
       |
       = help: did you mean `realm`?

    the configuration has 2 errors
    "#);
    let json = serde_json::to_value(&problems).unwrap();
    assert_eq!(json["problems"][0]["severity"], "error");
    assert_eq!(json["problems"][0]["key"], "upstreams.main.realm");
}

#[test]
fn refuses_text_that_is_no_toml_and_says_where() {
    let problems = refused("[server]\npublic-url = \nlisten = \"x\n");
    assert!(problems.problems().len() >= 2, "{problems}");
    assert_eq!(problems.problems()[0].line, Some(2));
}

#[test]
fn a_secret_is_in_no_message_whatever_is_wrong() {
    let secrets = [
        "[upstreams.main]\npreset = \"custom\"\nclient-secret = \"hunter2\"\n",
        "[upstreams.main]\nclient-secrt = \"hunter2\"\n",
        "upstreams.main = { client_secret = \"hunter2\", x = 1 }\n",
        "upstreams.main = { client-secret = \"hunter2\", x = { a = \"hunter2\" } }\nlog = 3\n",
        "[upstreams.main]\nclient-secret = [\"hunter2\"]\n",
        "[upstreams.main]\nclient-secret = { envv = \"hunter2\" }\n",
        "[upstreams.main]\nclient-secret = \"hunter2\" \"\n",
        "[upstreams.main]\nprivate-key = \"\"\"\n-----BEGIN PRIVATE KEY-----\nhunter2\n\"\"\" x\n",
        "[upstreams.main]\nclient-authentication = \"private_key_jwt\"\nprivate-key = \"hunter2\"\nclient-id = \"x\"\nissuer = \"https://x\"\n",
        "[server]\npublic-url = \"https://root:hunter2@login.example.com\"\n",
        "[server]\npublic-url = \"https://root:hunter2@login.exa mple.com\"\n",
        "[applications.wiki.oidc]\nclient-secret = 5\nclient-id = \"\"\n[applications.wiki]\nclient-secret = \"hunter2\"\n",
    ];
    for text in secrets {
        let problems = refused(text);
        let shown = format!("{problems}\n{}\n{problems:?}", serde_json::to_string(&problems).unwrap());
        assert!(!shown.contains("hunter2"), "{text}\n{shown}");
    }
}

#[test]
fn a_secret_comes_from_the_environment_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "from-file\n").unwrap();
    let text = with("{ env = \"SECRET\" }", "{ file = \"secret\" }");
    let config = parse(&text, &folder.path().join("vestibule.toml"), &environment).unwrap();
    let UpstreamKind::Oidc(oidc) = &config.upstreams["main"].kind else { panic!("not OIDC") };
    let ClientAuthn::SecretBasic(secret) = &oidc.client_authn else { panic!("not basic") };
    assert_eq!(secret.expose(), "from-file");
    assert!(!format!("{config:?}").contains("from-file"));

    let taken = taken(MINIMAL);
    let UpstreamKind::Oidc(oidc) = &taken.upstreams["main"].kind else { panic!("not OIDC") };
    assert!(matches!(&oidc.client_authn, ClientAuthn::SecretBasic(secret) if secret.expose() == "the-secret"));

    let unset = errors(&with("{ env = \"SECRET\" }", "{ env = \"UNSET\" }"));
    assert_eq!(unset[0].0, "upstreams.main.client-secret");
}

#[cfg(unix)]
#[test]
fn warns_of_a_secret_that_everybody_may_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "from-file\n").unwrap();
    for (mode, warned) in [(0o644, true), (0o640, false), (0o600, false)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let text = with("{ env = \"SECRET\" }", "{ file = \"secret\" }");
        let config = parse(&text, &folder.path().join("vestibule.toml"), &environment).unwrap();
        assert_eq!(!config.warnings.is_empty(), warned, "{mode:o}: {}", config.warnings);
    }
}

#[test]
fn a06_refuses_a_redirect_uri_that_is_neither_https_nor_loopback() {
    for uri in [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "java\\tscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://app.example.com/x",
        "http://app.example.com/cb",
        "http://localhost.example.com/cb",
        "http://127.0.0.1.example.com/cb",
        "ftp://app.example.com/cb",
        "//app.example.com/cb",
        "/cb",
        "app.example.com/cb",
        "https:///cb",
        "com.example.app:/cb",
        "",
    ] {
        let text = oidc_client(uri);
        assert!(errors(&text).iter().any(|(key, _)| key == "applications.app.oidc.redirect-uris[0]"), "{uri}");
    }
    for uri in ["https://app.example.com/cb", "http://localhost:3000/cb", "http://127.0.0.1/cb?x=1", "http://[::1]:1/"]
    {
        taken(&oidc_client(uri));
    }
}

#[test]
fn a07_refuses_a_redirect_uri_with_user_information_or_a_fragment() {
    for uri in [
        "https://a@b@evil.com/",
        "https://app.example.com@evil.com/cb",
        "https://app.example.com:443@evil.com/cb",
        "https://user:pass@app.example.com/cb",
        "https://@app.example.com/cb",
        "https://:@app.example.com/cb",
        "https://app.example.com\\\\@evil.com/cb",
        "https://app.example.com%40evil.com/cb",
        "https://app.example.com/cb#x",
        "https://app.example.com/cb#",
        "https://app.example.com/a/../cb",
        "https://APP.example.com/cb",
        "https://app.example.com:443/cb",
        "https://app.example.com",
        " https://app.example.com/cb",
        "https://app.example.com/cb\\n",
        "https://app.exa\\tmple.com/cb",
    ] {
        let text = oidc_client(uri);
        assert!(errors(&text).iter().any(|(key, _)| key == "applications.app.oidc.redirect-uris[0]"), "{uri}");
    }
}

fn oidc_client(uri: &str) -> String {
    format!(
        "[server]\npublic-url = \"https://login.example.com\"\n[applications.app]\nupstreams = []\nchain = []\nurl = \"https://app.example.com\"\n[applications.app.oidc]\nredirect-uris = [\"{uri}\"]\n"
    )
}

#[test]
fn a15_warns_where_forward_auth_is_used_and_no_proxy_is_trusted() {
    let config = taken(&with("trusted-proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n", ""));
    assert!(config.server.trusted_proxies.is_empty());
    assert_eq!(config.warnings.problems().len(), 1);
    assert!(config.warnings.to_string().contains("trusted-proxies"));
    for everybody in ["0.0.0.0/0", "::/0"] {
        let config = taken(&with("\"127.0.0.1\", \"10.0.0.0/8\"", &format!("\"{everybody}\"")));
        assert_eq!(config.warnings.problems().len(), 1, "{everybody}");
    }
}

#[test]
fn a15_a_network_holds_its_own_addresses_only() {
    let network = |text: &str| text.parse::<Network>();
    for (range, inside, outside) in [
        ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
        ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
        ("fd00::/8", "fdff::1", "fe00::1"),
        ("::1", "::1", "127.0.0.1"),
        ("0.0.0.0/0", "8.8.8.8", "::1"),
    ] {
        let network = network(range).unwrap();
        assert!(network.contains(inside.parse().unwrap()), "{range} {inside}");
        assert!(!network.contains(outside.parse().unwrap()), "{range} {outside}");
    }
    for wrong in [
        "",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "10.0.0/8",
        "example.com",
        "::/129",
        "10.0.0.0/8/8",
    ] {
        assert!(network(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn refuses_a_public_url_that_is_not_an_origin() {
    for url in [
        "http://login.example.com",
        "https://login.example.com/sso",
        "https://login.example.com?x",
        "login.example.com",
        "https://u@login.example.com",
    ] {
        let found = errors(&with("https://login.example.com", url));
        assert_eq!(found[0].0, "server.public-url", "{url}");
    }
    for url in
        ["http://localhost:8080", "http://127.0.0.1:8080/", "http://login.localhost", "https://login.example.com:8443"]
    {
        taken(&with("https://login.example.com", url));
    }
}

#[test]
fn refuses_ids_that_are_not_kebab_case() {
    for id in ["Wiki", "wiki_1", "-wiki", "wiki-", "wi--ki", "\"wi ki\"", "\"\"", "\"wíki\""] {
        let text = MINIMAL.replace("applications.wiki", &format!("applications.{id}"));
        assert!(errors(&text).iter().any(|(_, message)| message.contains("is not an id")), "{id}");
    }
}

#[test]
fn refuses_chains_and_upstreams_that_do_not_exist() {
    assert_eq!(
        errors(&with("chain = [\"domains\"]", "chain = [\"domains\", \"domain\"]"))[0].0,
        "applications.wiki.chain[1]"
    );
    assert_eq!(errors(&with("chain = [\"domains\"]", "chain = [\"limits\"]"))[0].0, "applications.wiki.chain[0]");
    assert_eq!(
        errors(&with("chain = [\"domains\"]", "chain = [\"domains\", \"domains\"]"))[0].0,
        "applications.wiki.chain[1]"
    );
    assert_eq!(errors(&with("upstreams = [\"main\"]", "upstreams = [\"man\"]"))[0].0, "applications.wiki.upstreams[0]");
}

#[test]
fn refuses_identity_headers_that_others_own() {
    for name in [
        "Host",
        "cookie",
        "Authorization",
        "X-Forwarded-For",
        "X_User",
        "X-Forwarded-Email",
        "X User",
        "Transfer-Encoding",
    ] {
        let text = format!("{MINIMAL}\n[applications.wiki.forward-auth.headers]\nuser = \"{name}\"\n");
        assert_eq!(errors(&text).len(), 1, "{name}");
    }
    taken(&format!("{MINIMAL}\n[applications.wiki.forward-auth.headers]\nname = \"\"\nuser = \"Remote-User\"\n"));
}

#[test]
fn the_preset_entra_knows_single_and_multi_tenant_issuers() {
    let tenant = "0F3A4E9C-8B1D-4C5E-9F20-1A2B3C4D5E6F";
    let (upstream, single) = oidc(&format!("preset = \"entra\"\ntenant = \"{tenant}\"\n"));
    let lower = tenant.to_ascii_lowercase();
    assert_eq!(single.issuer, format!("https://login.microsoftonline.com/{lower}/v2.0"));
    assert_eq!(upstream.email_verified_claim, "xms_edov");
    for tenant in ["common", "organizations"] {
        let (_, multi) = oidc(&format!("preset = \"entra\"\ntenant = \"{tenant}\"\nallowed-tenants = [\"{lower}\"]\n"));
        assert_eq!(multi.issuer, "https://login.microsoftonline.com/{tenantid}/v2.0");
        let discovery = format!("https://login.microsoftonline.com/{tenant}/v2.0/.well-known/openid-configuration");
        assert_eq!(multi.discovery.unwrap().as_str(), discovery);
    }
    let found = errors(&with("preset = \"keycloak\"", "preset = \"entra\"\ntenant = \"contoso.com\""));
    assert_eq!(
        found.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(),
        ["upstreams.main.tenant", "upstreams.main.base-url", "upstreams.main.realm"]
    );
}

#[test]
fn a_multi_tenant_issuer_that_names_no_tenants_is_worth_a_warning() {
    let text = with(
        "preset = \"keycloak\"\nbase-url = \"https://id.example.com\"\nrealm = \"staff\"",
        "preset = \"entra\"\ntenant = \"common\"",
    );
    assert_eq!(taken(&text).warnings.problems().len(), 1);
}

#[test]
fn the_preset_cognito_knows_domain_region_and_pool() {
    let (upstream, cognito) =
        oidc("preset = \"cognito\"\ndomain = \"acme\"\nregion = \"eu-central-1\"\npool = \"eu-central-1_Ab12\"\n");
    assert_eq!(cognito.issuer, "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab12");
    let host = "https://acme.auth.eu-central-1.amazoncognito.com";
    assert_eq!(cognito.endpoints.authorization.unwrap().as_str(), format!("{host}/oauth2/authorize"));
    assert_eq!(cognito.endpoints.userinfo.unwrap().as_str(), format!("{host}/oauth2/userInfo"));
    assert_eq!(
        cognito.logout_url.unwrap(),
        format!("{host}/logout?client_id={{client_id}}&logout_uri={{sign_out_url}}")
    );
    assert!(cognito.discovery.is_none());
    assert!(matches!(cognito.keys, Keying::JwksUri(uri) if uri.as_str().ends_with("/.well-known/jwks.json")));
    assert!(upstream.email_verified_as_text);
    assert_eq!(upstream.groups_claim, "cognito:groups");
    let (_, custom) =
        oidc("preset = \"cognito\"\ndomain = \"login.acme.com\"\nregion = \"eu-central-1\"\npool = \"p\"\n");
    assert_eq!(custom.endpoints.token.unwrap().as_str(), "https://login.acme.com/oauth2/token");
}

#[test]
fn the_other_presets_know_their_issuers() {
    for (lines, issuer) in [
        ("preset = \"okta\"\ndomain = \"acme.okta.com\"", "https://acme.okta.com"),
        (
            "preset = \"okta\"\ndomain = \"acme.okta.com\"\nauthorization-server = \"default\"",
            "https://acme.okta.com/oauth2/default",
        ),
        ("preset = \"google\"", "https://accounts.google.com"),
        (
            "preset = \"keycloak\"\nbase-url = \"https://id.acme.eu/auth/\"\nrealm = \"staff\"",
            "https://id.acme.eu/auth/realms/staff",
        ),
        ("preset = \"auth0\"\ndomain = \"acme.eu.auth0.com\"", "https://acme.eu.auth0.com/"),
        ("preset = \"clavex\"\nhost = \"id.acme.eu\"\norganization = \"acme\"", "https://id.acme.eu/acme"),
        ("issuer = \"https://id.acme.eu/x/\"", "https://id.acme.eu/x/"),
    ] {
        let (_, oidc) = oidc(&format!("{lines}\n"));
        assert_eq!(oidc.issuer, issuer);
        let discovery = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        assert_eq!(oidc.discovery.unwrap().as_str(), discovery);
    }
}

#[test]
fn the_preset_github_is_plain_oauth2() {
    let github = upstream("preset = \"github\"\n");
    assert_eq!(github.subject_claim, "id");
    let UpstreamKind::OAuth2(oauth2) = github.kind else { panic!("not OAuth2") };
    assert_eq!(oauth2.issuer, "https://github.com/login/oauth");
    assert_eq!(oauth2.emails_endpoint.unwrap().as_str(), "https://api.github.com/user/emails");
}

#[test]
fn what_is_set_by_hand_wins_over_the_preset() {
    let (upstream, oidc) = oidc(
        "preset = \"google\"\nissuer = \"http://127.0.0.1:9000\"\ngroups-claim = \"/roles/all\"\nscopes = [\"openid\"]\n",
    );
    assert_eq!(oidc.issuer, "http://127.0.0.1:9000");
    assert_eq!(oidc.discovery.unwrap().as_str(), "http://127.0.0.1:9000/.well-known/openid-configuration");
    assert_eq!((upstream.groups_claim.as_str(), oidc.scopes.len()), ("/roles/all", 1));
}

#[test]
fn endpoints_and_keys_set_by_hand_need_no_discovery() {
    let by_hand = "issuer = \"https://id.acme.eu\"\nauthorization-endpoint = \"https://id.acme.eu/a\"\ntoken-endpoint = \"https://id.acme.eu/t\"\n";
    assert!(oidc(by_hand).1.discovery.is_some());
    assert!(oidc(&format!("{by_hand}jwks-uri = \"https://id.acme.eu/j\"\n")).1.discovery.is_none());
    let (_, pinned) = oidc(&format!("{by_hand}public-key = '{{\"kty\":\"OKP\"}}'\n"));
    assert!(matches!(pinned.keys, Keying::Static(_)) && pinned.discovery.is_none());
}

#[test]
fn refuses_symmetric_algorithms_and_none() {
    for algorithm in ["HS256", "none", "ES256K", "rs256"] {
        let found = errors(&with("realm = \"staff\"", &format!("realm = \"staff\"\nalgorithms = [\"{algorithm}\"]")));
        assert_eq!(found[0].0, "upstreams.main.algorithms[0]", "{algorithm}");
    }
}

#[test]
fn a_confidential_client_needs_its_secret() {
    let found = errors(&with("client-secret = { env = \"SECRET\" }", ""));
    assert_eq!(found[0].0, "upstreams.main.client-secret");
    taken(&with("client-secret = { env = \"SECRET\" }", "client-authentication = \"none\""));
}

#[test]
fn refuses_a_logout_template_with_an_unknown_placeholder() {
    for template in [
        "https://x.example.com/logout?u={url}",
        "https://{client_id}.example.com/",
        "https://x.example.com/{state}",
        "logout?x={state}",
    ] {
        let found = errors(&with("realm = \"staff\"", &format!("realm = \"staff\"\nlogout-url = \"{template}\"")));
        assert_eq!(found[0].0, "upstreams.main.logout-url", "{template}");
    }
}

#[test]
fn refuses_authorize_parameters_that_are_the_gateways_own() {
    let found =
        errors(&format!("{MINIMAL}\n[upstreams.main.authorize-parameters]\nnonce = \"x\"\nprompt = \"login\"\n"));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "upstreams.main.authorize-parameters.nonce");
}

#[test]
fn local_accounts_need_a_file() {
    let text = with(
        "preset = \"keycloak\"\nbase-url = \"https://id.example.com\"\nrealm = \"staff\"\nclient-id = \"gateway\"\nclient-secret = { env = \"SECRET\" }",
        "kind = \"local\"",
    );
    assert_eq!(errors(&text)[0].0, "upstreams.main");
    taken(&format!("{text}\n[accounts]\nfile = \"accounts.toml\"\n"));
}

#[test]
fn a_second_factor_needs_a_file_and_a_name_that_apps_can_read() {
    let section = |lines: &str| format!("{MINIMAL}\n[second-factor]\n{lines}");
    let found = taken(&section("file = \"factors.json\"\n")).second_factor.unwrap();
    assert_eq!(found.file, Path::new("/etc/vestibule/factors.json"));
    assert_eq!((found.name, found.codes_per_minute), (None, 10));
    assert!(taken(MINIMAL).second_factor.is_none());
    for (lines, key) in [
        ("", "second-factor"),
        ("file = \"\"\n", "second-factor.file"),
        ("file = \"f\"\nname = \"a:b\"\n", "second-factor.name"),
        ("file = \"f\"\nname = \" \"\n", "second-factor.name"),
        ("file = \"f\"\ncodes-per-minute = 0\n", "second-factor.codes-per-minute"),
        ("file = \"f\"\nsecret = \"x\"\n", "second-factor"),
    ] {
        assert!(errors(&section(lines))[0].0.starts_with(key), "{lines}: {:?}", errors(&section(lines)));
    }
}

#[test]
fn refuses_targets_that_are_no_origin_or_too_wide() {
    for target in [
        ".com",
        ".",
        "app.example.com",
        "http://app.example.com",
        "https://app.example.com/x",
        ".exa mple.com",
        ".a/b.c",
    ] {
        let found =
            errors(&with("chain = [\"domains\"]", &format!("chain = [\"domains\"]\nallowed-targets = [\"{target}\"]")));
        assert_eq!(found[0].0, "applications.wiki.allowed-targets[0]", "{target}");
        let found = errors(&with("chain = [\"domains\"]", &format!("chain = [\"domains\"]\nhosts = [\"{target}\"]")));
        assert_eq!(found[0].0, "applications.wiki.hosts[0]", "{target}");
    }
}

#[test]
fn two_clients_never_share_an_id() {
    let client = |id: &str| {
        format!(
            "[applications.{id}]\nupstreams = []\nchain = []\nurl = \"https://{id}.example.com\"\n[applications.{id}.oidc]\nclient-id = \"same\"\nredirect-uris = [\"https://{id}.example.com/cb\"]\n"
        )
    };
    let text = format!("[server]\npublic-url = \"https://login.example.com\"\n{}{}", client("one"), client("two"));
    assert_eq!(errors(&text)[0].0, "applications.two.oidc.client-id");
}

#[test]
fn the_example_that_operators_start_from_passes_the_check() {
    let example = include_str!("../../../docs/examples/vestibule.toml");
    let secret = "client-secret = { file = \"secrets/entra\" }";
    assert!(example.contains(secret));
    let text = example.replace(secret, "client-secret = { env = \"ENTRA_SECRET\" }");
    let environment = |name: &str| (name == "ENTRA_SECRET").then(|| "s3cret".to_owned());
    let config = parse(&text, Path::new("/etc/vestibule/vestibule.toml"), &environment)
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert!(config.warnings.is_empty(), "{}", config.warnings);
    // The documented services and paths are those of the example.
    let running = include_str!("../../../docs/running.md");
    for named in ["/var/lib/vestibule/keys", "/var/cache/vestibule", "secrets/entra", "wiki.example.com"] {
        assert!(example.contains(named) && running.contains(named.trim_start_matches("secrets/")), "{named}");
    }
}

#[test]
fn warns_of_what_would_let_nobody_in() {
    let warned = |text: &str| taken(text).warnings.to_string();
    let empty = warned(&with("chain = [\"domains\"]", "chain = []"));
    assert!(empty.contains("applications.wiki.chain") && empty.contains("lets nobody in"), "{empty}");
    for address in ["http://127.0.0.1:8080", "https://10.1.2.3", "https://[fd00::7]", "http://localhost:8080"] {
        let text = with("https://id.example.com", address);
        let closed = warned(&text);
        assert!(closed.contains("upstreams.main") && closed.contains("allow-private-addresses"), "{address}: {closed}");
        let open =
            format!("{text}\n[fetch]\nallow-private-addresses = [\"127.0.0.0/8\", \"10.0.0.0/8\", \"fd00::/8\"]\n");
        assert_eq!(warned(&open), "", "{address}");
    }
    assert_eq!(warned(&with("https://id.example.com", "https://192.0.2.7")), "");
}

#[test]
fn where_a_secret_is_may_be_seen_and_what_it_is_may_not() {
    let lost = with("{ env = \"SECRET\" }", "{ file = \"secrets/nowhere\" }");
    let shown = refused(&lost).to_string();
    assert!(shown.contains("client-secret = { file = \"secrets/nowhere\" }"), "{shown}");
    for hidden in ["\"hunter2\", realm = 3", "{ fil = \"hunter2\" }", "{ file = \"a\", x = \"hunter2\" }"] {
        let shown = refused(&with("{ env = \"SECRET\" }", hidden)).to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn says_what_was_probably_meant() {
    let shown = refused(&with("chain = [\"domains\"]", "chain = [\"domain\"]")).to_string();
    assert!(shown.contains("did you mean `domains`?"), "{shown}");
    let wide = with("chain = [\"domains\"]", "chain = [\"domains\"]\nallowed-targets = [\"*.example.com\"]");
    let shown = refused(&wide).to_string();
    assert!(shown.contains("`.example.com` means every host below it"), "{shown}");
}

#[test]
fn the_policies_of_a_refused_configuration_can_still_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vestibule.toml");
    std::fs::write(&file, with("public-url = \"https://login.example.com\"", "publc-url = 3")).unwrap();
    let policies = policies_of(&file).unwrap();
    assert_eq!(policies.sources["domains"].component, folder.path().join("policies/domain-restriction.wasm"));
    std::fs::write(&file, "[policies\n").unwrap();
    assert!(policies_of(&file).is_none());
}

#[test]
fn behind_the_built_in_proxy_a_host_leads_to_one_application_and_the_gateways_to_none() {
    let proxied = |id: &str, url: &str, hosts: &str| {
        format!(
            "[applications.{id}]\nupstreams = []\nchain = []\nurl = \"{url}\"\nhosts = [{hosts}]\n[applications.{id}.proxy]\nbackend = \"http://127.0.0.1:1\"\n"
        )
    };
    let text = |one: &str, two: &str| format!("[server]\npublic-url = \"https://login.example.com\"\n{one}{two}");
    let one = proxied("one", "https://a.example.com/x", "\"https://a.example.com\"");
    let fine = text(&one, &proxied("two", "https://b.example.com/", "\".sub.example.com\""));
    assert!(parse(&fine, Path::new("v.toml"), &|_| None).is_ok());
    for (url, hosts, key) in [
        ("https://a.example.com/", "", "applications.two.url"),
        ("https://b.example.com/", "\"https://a.example.com\"", "applications.two.hosts[0]"),
        ("https://login.example.com/app", "", "applications.two.url"),
    ] {
        assert_eq!(errors(&text(&one, &proxied("two", url, hosts)))[0].0, key);
    }
}

#[test]
fn two_organizations_never_share_a_list_of_clients() {
    let organization = |id: &str, file: &str| {
        format!(
            "[applications.{id}]\ntenant = \"{id}\"\nupstreams = []\nchain = []\nurl = \"https://{id}.example.com\"\n[applications.{id}.oidc]\nredirect-uris = [\"https://{id}.example.com/cb\"]\n[organizations.{id}]\nclient-application = \"{id}\"\nclients-file = \"{file}\"\nadmin-tokens = []\n"
        )
    };
    let text = |file: &str| {
        let (one, two) = (organization("one", "state/clients.json"), organization("two", file));
        format!("[server]\npublic-url = \"https://login.example.com\"\n{one}{two}")
    };
    assert!(parse(&text("state/clients-two.json"), Path::new("v.toml"), &|_| None).is_ok());
    for file in ["state/clients.json", "./state/clients.json", "state/../state/clients.json"] {
        assert_eq!(errors(&text(file))[0].0, "organizations.two.clients-file", "{file}");
    }
}

#[test]
fn an_upstreams_callback_is_a_plain_path_of_its_own() {
    let upstream = |id: &str, path: &str| {
        format!(
            "[upstreams.{id}]\npreset = \"google\"\nclient-id = \"a\"\nclient-secret = \"b\"\ncallback-path = \"{path}\"\n"
        )
    };
    let text = |rest: &str| format!("[server]\npublic-url = \"https://login.example.com\"\n{rest}");
    for path in ["/oauth2/callback", "/plugins/servlet/oauth/callback", "/cb"] {
        assert!(parse(&text(&upstream("one", path)), Path::new("v.toml"), &|_| None).is_ok(), "{path}");
    }
    for path in ["", "/", "cb", "/a//b", "/a/../b", "/a?b", "/%61", "/login/x", "/callback/two", "/api/session", "/a b"]
    {
        assert_eq!(errors(&text(&upstream("one", path)))[0].0, "upstreams.one.callback-path", "{path}");
    }
    let both = text(&(upstream("one", "/cb") + &upstream("two", "/cb")));
    assert_eq!(errors(&both)[0].0, "upstreams.two.callback-path");
}

#[test]
fn trusted_keys_are_held_to_what_they_are_for() {
    const ANN: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const BOB: &str = "RWQXpnmzusMEpuh0O2+aUcZ2PT4y5q05trsXR/0z5hKGpjJTet+SCh4V";
    let with_keys = |lines: &str| with("[policies.domains]", &format!("[policies]\n{lines}\n[policies.domains]"));
    let file = "versions-file = \"versions.json\"";
    let keys = format!("trusted-keys = {{ ann = \"{ANN}\", bob = \"{BOB}\" }}");

    let taken = taken(&with_keys(&format!("{file}\n{keys}\nrevoked-keys = [\"0000000000000000\"]")));
    assert!(taken.warnings.is_empty(), "{}", taken.warnings);
    assert_eq!(taken.policies.trust.required, 1, "whoever trusts keys wants signatures");
    assert_eq!(taken.policies.trust.keys["ann"].id(), "E7620F1842B4E81F");
    assert_eq!(taken.policies.versions_file.as_deref(), Some(Path::new("/etc/vestibule/versions.json")));

    let wrong = |lines: &str| errors(&with_keys(lines));
    let (key, message) = wrong(&keys).remove(0);
    assert_eq!((key.as_str(), message.as_str()), ("policies.versions-file", "`versions-file` is missing"));
    for (lines, key, says) in [
        (format!("{keys}\nsignatures-required = 3"), "policies.signatures-required", "2 may"),
        ("signatures-required = 1".to_owned(), "policies.signatures-required", "0 may"),
        (
            format!("{keys}\nsignatures-required = 2\nrevoked-keys = [\"{ANN}\"]"),
            "policies.signatures-required",
            "1 may",
        ),
        (format!("trusted-keys = {{ ann = \"{ANN}\", twin = \"{ANN}\" }}"), "policies.trusted-keys.twin", "same key"),
        ("trusted-keys = { ann = \"RWQ\" }".to_owned(), "policies.trusted-keys.ann", "no base64"),
        (format!("{keys}\nrevoked-keys = [\"E762\"]"), "policies.revoked-keys[0]", "not a minisign public key"),
    ] {
        let found = wrong(&format!("{file}\n{lines}"));
        assert!(found.iter().any(|(at, message)| at == key && message.contains(says)), "{lines}: {found:?}");
    }
}

#[test]
fn interpreters_have_limits_of_their_own_and_share_the_rest() {
    let text = |key: &str| {
        format!("{MINIMAL}[policies.limits]\noutput-bytes-max = 2048\n[policies.limits.interpreter]\n{key}\n")
    };
    let limits = taken(&text("fuel = 5000")).policies.limits;
    let interpreted = limits.for_interpreters();
    assert_eq!((limits.fuel, interpreted.fuel), (20_000_000, 5000));
    assert_eq!((interpreted.output_bytes_max, interpreted.memory_bytes_max), (2048, 64 << 20));
    for (key, at) in [("deadline-ms = 0", "deadline-ms"), ("output-bytes-max = 1", "output-bytes-max")] {
        assert_eq!(errors(&text(key))[0].0, format!("policies.limits.interpreter.{at}"));
    }
}

#[test]
fn an_emergency_door_is_where_nobody_looks_and_needs_what_it_stands_on() {
    const SECRET: &str = "door-0123456789abcdef";
    let door = |path: &str, lines: &str| {
        format!(
            "{MINIMAL}[accounts]\nfile = \"accounts.toml\"\n[emergency]\npath = \"{path}\"\ncomponent = \"e.wasm\"\n{lines}\n"
        )
    };
    let taken = taken(&door(&format!("/{SECRET}"), "settings = \"e.toml\"\napplications = [\"wiki\"]"));
    let emergency = taken.emergency.clone().unwrap();
    assert!(emergency.path.is(&format!("/{SECRET}")));
    assert!(emergency.opens("wiki") && !emergency.opens("files"));
    assert_eq!((emergency.lifetime, emergency.policy.signed_as.as_deref()), (1800, Some("emergency-access")));
    // What decides there has the pinned policy and nothing else.
    let pinned = taken.at_the_emergency_door().unwrap();
    assert_eq!(pinned.applications["wiki"].chain, ["emergency"]);
    assert_eq!(pinned.policies.sources.keys().collect::<Vec<_>>(), ["emergency"]);
    assert!(!format!("{taken:?}").contains(SECRET), "the path is told to nobody");

    for (path, says) in [
        (format!("/login/{SECRET}"), "own pages"),
        (format!("/vestibule/{SECRET}"), "own pages"),
        (format!("/.well-known/{SECRET}"), "own pages"),
        (format!("/second-factor/{SECRET}"), "own pages"),
        ("/emergency".to_owned(), "guessed"),
        ("/".to_owned(), "plain path"),
        (String::new(), "empty"),
        (SECRET.to_owned(), "plain path"),
        ("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(), "guessed"),
        ("/0123456789/abcdefghij".to_owned(), "guessed"),
        (format!("/{SECRET}/"), "plain path"),
        (format!("/{SECRET}?a=b"), "plain path"),
        (format!("/../{SECRET}"), "plain path"),
        (format!("/{SECRET}%2f"), "plain path"),
        (format!("/{SECRET}{}", "x".repeat(300)), "plain path"),
    ] {
        let problems = refused(&door(&path, ""));
        let shown = problems.render(false);
        assert!(
            problems.problems().iter().any(|it| it.key == "emergency.path" && it.message.contains(says)),
            "{shown}"
        );
        assert!(!shown.contains(SECRET), "{shown}");
    }
    for (lines, key) in [
        ("applications = [\"wiky\"]", "emergency.applications[0]"),
        ("applications = [\"wiki\", \"wiki\"]", "emergency.applications[1]"),
        ("applications = []", "emergency.applications"),
        ("component-digest = \"abc\"", "emergency.component-digest"),
        ("lifetime-s = 86400", "emergency.lifetime-s"),
        ("lockout-after = 0", "emergency.lockout-after"),
    ] {
        assert_eq!(errors(&door(&format!("/{SECRET}"), lines))[0].0, key, "{lines}");
    }
    let text = format!("{MINIMAL}[emergency]\npath = \"/{SECRET}\"\ncomponent = \"e.wasm\"\n");
    assert_eq!(errors(&text), [("emergency".to_owned(), "there are no local accounts".to_owned())]);
    let bare = format!("{MINIMAL}[accounts]\nfile = \"a\"\n[emergency]\n");
    let keys: BTreeSet<String> = errors(&bare).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys.iter().collect::<Vec<_>>(), ["emergency.component", "emergency.path"]);
    // A text that is no TOML shows nothing of it either.
    let broken = refused(&format!("{}\nx = = 1\n", door(&format!("/{SECRET}"), ""))).render(false);
    assert!(!broken.contains(SECRET), "{broken}");
}

#[test]
fn no_upstream_is_called_as_the_emergency_door_is() {
    let text = format!("{MINIMAL}[upstreams.emergency-door]\nkind = \"local\"\n[accounts]\nfile = \"a\"\n");
    assert_eq!(errors(&text)[0].0, "upstreams.emergency-door");
}

#[test]
fn an_applications_own_login_page_is_one_of_its_pages() {
    let text = |path: &str| with("url = \"https://wiki", &format!("own-login-path = \"{path}\"\nurl = \"https://wiki"));
    for path in ["/login.jsp", "/login.jsp?os_destination=%2F&x=1", "/"] {
        assert_eq!(taken(&text(path)).applications["wiki"].own_login_path.as_deref(), Some(path));
    }
    for path in ["", "login.jsp", "//evil.example/", "/\\\\evil.example/", "/a b", "/vestibule/start/wiki", "/a#b"] {
        assert_eq!(errors(&text(path))[0].0, "applications.wiki.own-login-path", "{path}");
    }
}
