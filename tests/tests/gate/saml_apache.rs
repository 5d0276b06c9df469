//! Apache as the service provider, with mod_auth_mellon (on Lasso, in C) and with Shibboleth (on
//! OpenSAML, in C++): a page that only who is logged in may see.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use serde_json::json;
use vestibule_tests::{
    apache::{Apache, MODULES, program},
    browser::{Browser, Page},
    gateway::Gateway,
    peers::{OpenIdProvider, make_certificate},
    process::Process,
};

use crate::scene::{CHAIN, people, policies, settings};

/// Which module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum With {
    Mellon,
    Shibboleth,
}

impl With {
    const fn metadata(self) -> &'static str {
        match self {
            Self::Mellon => "/mellon/metadata",
            Self::Shibboleth => "/Shibboleth.sso/Metadata",
        }
    }

    fn logout(self, site: &str) -> String {
        match self {
            Self::Mellon => format!("{site}/mellon/logout?ReturnTo={site}/out.html"),
            Self::Shibboleth => format!("{site}/Shibboleth.sso/Logout?return={site}/out.html"),
        }
    }

    /// What Apache is told beside what it always is.
    fn apache(self, folder: &Path, site: &str) -> String {
        let folder = folder.display();
        match self {
            Self::Mellon => format!(
                "LoadModule auth_mellon_module {MODULES}/mod_auth_mellon.so\n\
                 MellonLockFile {folder}/run/mellon.lock\nMellonPostDirectory {folder}/run\n\
                 <Location />\nMellonEnable info\nMellonEndpointPath /mellon\nMellonSPentityId {site}/mellon/metadata\n\
                 MellonSPPrivateKeyFile {folder}/sp.key\nMellonSPCertFile {folder}/sp.crt\n\
                 MellonIdPMetadataFile {folder}/idp.xml\nMellonSignatureMethod rsa-sha256\nMellonSecureCookie Off\n\
                 </Location>\n\
                 <LocationMatch \"^/(index.html)?$\">\nAuthType Mellon\nMellonEnable auth\nRequire valid-user\n\
                 MellonUser \"{EMAIL}\"\nHeader always set X-User \"expr=%{{REMOTE_USER}}\"\n</LocationMatch>\n"
            ),
            Self::Shibboleth => format!(
                "LoadModule mod_shib {MODULES}/mod_shib.so\nShibCompatValidUser On\nShibConfig {folder}/shibboleth2.xml\n\
                 <LocationMatch \"^/(index.html)?$\">\nAuthType shibboleth\nShibRequestSetting requireSession 1\n\
                 Require shib-session\nHeader always set X-User \"expr=%{{REMOTE_USER}}\"\n</LocationMatch>\n"
            ),
        }
    }
}

const EMAIL: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress";

/// Starts Apache; `idp` is the identity provider's metadata, and `entity_id` its name. With Shibboleth, its daemon, too.
fn start(with: With, idp: &str, entity_id: &str) -> (Apache, Option<Process>) {
    let mut daemon = None;
    let apache = Apache::start(|folder, port, site| {
        fs::write(folder.join("idp.xml"), idp).expect("a file");
        make_certificate(folder);
        daemon = (with == With::Shibboleth).then(|| shibd(folder, site, port, entity_id));
        with.apache(folder, site)
    });
    (apache, daemon)
}

/// Shibboleth's own daemon, which does the work.
fn shibd(folder: &Path, site: &str, port: u16, entity_id: &str) -> Process {
    let name = folder.display();
    fs::write(
        folder.join("attribute-map.xml"),
        format!(
            "<Attributes xmlns=\"urn:mace:shibboleth:2.0:attribute-map\">\
             <Attribute name=\"{EMAIL}\" id=\"mail\"/></Attributes>"
        ),
    )
    .expect("a file");
    fs::write(
        folder.join("shibd.logger"),
        format!(
            "log4j.rootCategory=INFO, file\nlog4j.appender.file=org.apache.log4j.FileAppender\n\
             log4j.appender.file.fileName={name}/shibd.log\nlog4j.appender.file.layout=org.apache.log4j.PatternLayout\n\
             log4j.appender.file.layout.ConversionPattern=%p %c: %m%n\n"
        ),
    )
    .expect("a file");
    fs::write(
        folder.join("shibboleth2.xml"),
        format!(
            "<SPConfig xmlns=\"urn:mace:shibboleth:3.0:native:sp:config\" clockSkew=\"180\">\
             <OutOfProcess logger=\"{name}/shibd.logger\"/><InProcess logger=\"/etc/shibboleth/native.logger\"/>\
             <UnixListener address=\"{name}/run/shibd.sock\"/>\
             <StorageService type=\"Memory\" id=\"mem\" cleanupInterval=\"900\"/>\
             <SessionCache type=\"StorageService\" StorageService=\"mem\" cacheTimeout=\"3600\"/>\
             <ReplayCache StorageService=\"mem\"/>\
             <RequestMapper type=\"Native\"><RequestMap><Host name=\"127.0.0.1\" scheme=\"http\" port=\"{port}\"/></RequestMap>\
             </RequestMapper>\
             <ApplicationDefaults entityID=\"{site}/shib\" REMOTE_USER=\"mail\" signing=\"true\" encryption=\"false\">\
             <Sessions lifetime=\"28800\" timeout=\"3600\" relayState=\"ss:mem\" checkAddress=\"false\" handlerSSL=\"false\" \
             cookieProps=\"http\" redirectLimit=\"none\" handlerURL=\"/Shibboleth.sso\">\
             <SSO entityID=\"{entity_id}\">SAML2</SSO><Logout>SAML2 Local</Logout>\
             <Handler type=\"MetadataGenerator\" Location=\"/Metadata\" signing=\"false\"/></Sessions>\
             <Errors supportContact=\"root@localhost\"/>\
             <MetadataProvider type=\"XML\" validate=\"true\" path=\"{name}/idp.xml\"/>\
             <AttributeExtractor type=\"XML\" validate=\"false\" reloadChanges=\"false\" path=\"{name}/attribute-map.xml\"/>\
             <CredentialResolver type=\"File\" key=\"{name}/sp.key\" certificate=\"{name}/sp.crt\"/>\
             </ApplicationDefaults>\
             <SecurityPolicyProvider type=\"XML\" validate=\"true\" path=\"/etc/shibboleth/security-policy.xml\"/>\
             <ProtocolProvider type=\"XML\" validate=\"true\" reloadChanges=\"false\" path=\"/etc/shibboleth/protocols.xml\"/>\
             </SPConfig>"
        ),
    )
    .expect("a file");
    let mut command = Command::new(program("/usr/sbin/shibd"));
    command.arg("-F").arg("-c").arg(folder.join("shibboleth2.xml")).arg("-p").arg(folder.join("run/shibd.pid"));
    let process = Process::start("shibd", &mut command);
    let socket = folder.join("run/shibd.sock");
    wait_for_file(&socket);
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).expect("permissions");
    process
}

#[expect(clippy::disallowed_methods, reason = "another program's socket has no event to wait for")]
fn wait_for_file(path: &Path) {
    for _ in 0..600 {
        if path.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{} never came", path.display());
}

/// Does what the script of a page that brings a message does.
async fn bring(browser: &mut Browser, page: Page) -> Page {
    let form = page
        .forms()
        .into_iter()
        .find(|form| form.fields.iter().any(|(name, _)| name == "SAMLResponse"))
        .unwrap_or_else(|| panic!("no response at {}: {}", page.url, page.body));
    browser.submit(&form).await
}

/// Follows the page that leads to a service provider on a logout's way.
async fn go(browser: &mut Browser, page: Page) -> Page {
    let link = page.body.split("id=\"go\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
    let link = link.unwrap_or_else(|| panic!("nobody is told at {}: {}", page.url, page.body));
    browser.get(&link.replace("&#x2f;", "/").replace("&amp;", "&")).await
}

/// Where a logout begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    Apache,
    Gateway,
}

async fn a_login_reaches_apache_and_a_logout_ends_it_everywhere(with: With, begun: Begun) {
    let mut gateway = Gateway::new();
    assert_eq!(gateway.run(&["keys", "certificate", "add", "--directory", "keys"]).0, 0);
    let op = OpenIdProvider::start(
        &json!([{
            "client_id": "gate", "client_secret": "a-secret-of-the-test-which-is-long",
            "redirect_uris": [format!("{}/callback/op", gateway.url())],
            "post_logout_redirect_uris": [format!("{}/logged-out", gateway.url())],
        }]),
        &people(),
    );
    settings(&gateway);
    let configure = |gateway: &Gateway, site: &str, table: &str| {
        gateway.configure(&format!(
            "{policies}\
             [upstreams.op]\nissuer = \"{issuer}\"\nclient-id = \"gate\"\nclient-secret = \"a-secret-of-the-test-which-is-long\"\n\
             scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\n\
             [applications.apache]\nurl = \"{site}/\"\nupstreams = [\"op\"]\nchain = {CHAIN:?}\n{table}",
            policies = policies(&CHAIN),
            issuer = op.issuer,
        ));
    };
    // Neither knows the other yet: as the walkthrough for Guard does it.
    configure(
        &gateway,
        "http://127.0.0.1",
        "[applications.apache.saml]\nentity-id = \"urn:later\"\nacs-urls = [\"http://127.0.0.1/later\"]\n\
         logout-url = \"http://127.0.0.1/later\"\nsp-certificates = [{ file = \"later.pem\" }]\n",
    );
    make_certificate(&gateway.path(""));
    fs::rename(gateway.path("sp.crt"), gateway.path("later.pem")).expect("a file");
    gateway.start();
    let entity_id = format!("{}/saml/apache/metadata", gateway.url());
    let shown = Browser::new().get(&entity_id).await.body;
    let (apache, _daemon) = start(with, &shown, &entity_id);
    let metadata = Browser::new().get(&format!("{}{}", apache.site, with.metadata())).await.body;
    gateway.write("sp.xml", &metadata);
    let (code, table, errors) = gateway.run(&["saml", "import", "--app", "apache", "sp.xml"]);
    assert_eq!(code, 0, "{errors}{metadata}\n{}", apache.log());
    configure(&gateway, &apache.site, &table);
    gateway
        .wait_for("that the service provider is known", |event| {
            event["kind"] == "generation.swapped" && event["outcome"]["generation"] == 2
        })
        .await;

    let mut browser = Browser::new();
    let page = browser.get(&format!("{}/", apache.site)).await;
    assert!(page.url.as_str().starts_with(&op.issuer), "{} {}\n{}", page.url, page.body, gateway.log());
    let form = page.forms().into_iter().next().expect("a form");
    let page = browser.submit(&form.with("login", "alice").with("password", "any")).await;
    let page = bring(&mut browser, page).await;
    assert_eq!((page.status.as_u16(), page.body.as_str()), (200, "the page\n"), "{}\n{}", page.url, apache.log());
    assert_eq!(page.header("x-user"), "alice@example.test");

    // Out there, here and upstream.
    let page = match begun {
        Begun::Apache => browser.get(&with.logout(&apache.site)).await,
        Begun::Gateway => {
            let page = browser.get(&format!("{}/logout", gateway.url())).await;
            go(&mut browser, page).await
        }
    };
    let page = match page.forms().into_iter().find(|form| form.action.as_str().starts_with(&op.issuer)) {
        Some(form) => browser.submit(&form.with("logout", "yes")).await,
        None => page,
    };
    match begun {
        Begun::Apache => {
            assert_eq!(page.body, "out\n", "{} {}\n{}\n{}", page.url, page.body, apache.log(), gateway.log());
            assert!(gateway.events("logout.asked").is_empty(), "whoever began is not asked");
        }
        Begun::Gateway => {
            assert!(page.body.contains("<h1>You are logged out</h1>"), "{} {}\n{}", page.url, page.body, apache.log());
            let sent = gateway.events("logout.sent");
            assert_eq!(sent.len(), 1, "{}\n{}", gateway.log(), apache.log());
            assert_eq!(sent[0]["input"]["method"], "saml-logout");
        }
    }
    assert_eq!(gateway.events("session.ended").len(), 1);
    let page = browser.get(&format!("{}/", apache.site)).await;
    assert!(page.url.as_str().starts_with(&op.issuer), "still logged in: {}", page.url);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_reaches_mod_auth_mellon_and_a_logout_there_ends_it_everywhere() {
    a_login_reaches_apache_and_a_logout_ends_it_everywhere(With::Mellon, Begun::Apache).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_reaches_shibboleth_and_a_logout_there_ends_it_everywhere() {
    a_login_reaches_apache_and_a_logout_ends_it_everywhere(With::Shibboleth, Begun::Apache).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_the_gateway_is_asked_of_mod_auth_mellon() {
    a_login_reaches_apache_and_a_logout_ends_it_everywhere(With::Mellon, Begun::Gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_the_gateway_is_asked_of_shibboleth() {
    a_login_reaches_apache_and_a_logout_ends_it_everywhere(With::Shibboleth, Begun::Gateway).await;
}
