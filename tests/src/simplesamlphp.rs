//! SimpleSAMLphp as a SAML service provider, under PHP's own web server.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::{
    apache::program,
    peers::make_certificate,
    process::{Process, free_port},
};

/// Where Debian has it.
const HOME: &str = "/usr/share/simplesamlphp";

/// `/` asks for a login and says in JSON who it is; `/me` says who is logged in, and asks for nothing; `/logout` begins
/// a logout, which ends at `/out`.
const ROUTER: &str = r#"<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if (!in_array($path, ['/', '/me', '/logout', '/out'], true)) {
    return false;
}
require '/usr/share/simplesamlphp/lib/_autoload.php';
$sp = new \SimpleSAML\Auth\Simple('default-sp');
if ($path === '/logout') {
    $sp->logout('/out');
}
if ($path === '/') {
    $sp->requireAuth();
}
$known = $sp->isAuthenticated();
$id = $known ? $sp->getAuthData('saml:sp:NameID') : null;
header('Content-Type: application/json');
echo json_encode([
    'path' => $path,
    'name_id' => $id === null ? null : $id->getValue(),
    'attributes' => $known ? $sp->getAttributes() : null,
]);
"#;

/// SimpleSAMLphp.
#[derive(Debug)]
pub struct SimpleSamlPhp {
    _process: Process,
    folder: TempDir,
    /// Its own address, without a slash at the end.
    pub site: String,
}

impl SimpleSamlPhp {
    /// Starts it; `entity_id` is the identity provider's name. It knows that one once it is taught its metadata.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    #[must_use]
    pub fn start(entity_id: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path();
        for name in ["config", "data", "log", "tmp"] {
            fs::create_dir(path.join(name)).expect("a folder");
        }
        make_certificate(path);
        let port = free_port();
        let site = format!("http://127.0.0.1:{port}");
        fs::write(path.join("config/config.php"), configuration(path, &site)).expect("a file");
        fs::write(path.join("config/authsources.php"), service_provider(&site, entity_id)).expect("a file");
        fs::write(path.join("router.php"), ROUTER).expect("a file");
        let log = fs::File::create(path.join("php.log")).expect("a file");
        let mut command = Command::new(program("/usr/bin/php"));
        command
            .args(["-S", &format!("127.0.0.1:{port}"), "-t", &format!("{HOME}/www")])
            .arg(path.join("router.php"))
            .env("SIMPLESAMLPHP_CONFIG_DIR", path.join("config"))
            .stderr(log);
        let mut process = Process::start("php", &mut command);
        process.wait_for_port(port);
        Self { _process: process, folder, site }
    }

    /// Tells it the identity provider's metadata.
    ///
    /// # Panics
    ///
    /// Where the file cannot be written.
    pub fn learn(&self, metadata: &str) {
        fs::write(self.folder.path().join("idp.xml"), metadata).expect("a file");
    }

    /// Where its own metadata is.
    #[must_use]
    pub fn metadata(&self) -> String {
        format!("{}/module.php/saml/sp/metadata.php/default-sp", self.site)
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        ["php.log", "log/simplesamlphp.log"]
            .map(|name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default())
            .concat()
    }
}

fn configuration(folder: &Path, site: &str) -> String {
    format!(
        "<?php\n$config = [\n'baseurlpath' => '{site}/', 'certdir' => '{folder}/', 'loggingdir' => '{folder}/log/',\n\
         'datadir' => '{folder}/data/', 'tempdir' => '{folder}/tmp', 'secretsalt' => 'a-salt-of-the-test',\n\
         'auth.adminpassword' => 'nobody-logs-in-there', 'timezone' => 'UTC', 'logging.handler' => 'file',\n\
         'module.enable' => ['core' => true, 'saml' => true], 'language.default' => 'en',\n\
         'store.type' => 'phpsession', 'session.phpsession.savepath' => '{folder}/tmp',\n\
         'session.phpsession.cookiename' => 'simplesaml', 'session.cookie.secure' => false,\n\
         'session.cookie.samesite' => 'Lax', 'session.phpsession.httponly' => true,\n\
         'trusted.url.domains' => ['127.0.0.1'],\n\
         'metadata.sources' => [['type' => 'xml', 'file' => '{folder}/idp.xml']],\n];\n",
        folder = folder.display(),
    )
}

fn service_provider(site: &str, entity_id: &str) -> String {
    format!(
        "<?php\n$config = ['default-sp' => ['saml:SP', 'entityID' => '{site}/sp', 'idp' => '{entity_id}',\n\
         'privatekey' => 'sp.key', 'certificate' => 'sp.crt', 'sign.authnrequest' => true, 'sign.logout' => true,\n\
         'validate.logout' => true, 'signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',\n\
         'WantAssertionsSigned' => true,\n\
         'NameIDPolicy' => ['Format' => 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress']]];\n"
    )
}
