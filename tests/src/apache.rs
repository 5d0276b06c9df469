//! Apache with a page that only who is logged in may see.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::process::{Process, free_port};

/// Where Debian has its modules.
pub const MODULES: &str = "/usr/lib/apache2/modules";

/// Apache: `/` answers `the page` and a line end, `/out.html` answers `out` and a line end.
#[derive(Debug)]
pub struct Apache {
    process: Process,
    folder: TempDir,
    /// Its own address, without a slash at the end.
    pub site: String,
}

impl Apache {
    /// Starts it; `more` gets its folder, its port and its address, and says what it is told beside what it always is.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    #[must_use]
    pub fn start(more: impl FnOnce(&Path, u16, &str) -> String) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path();
        // Its children are nobody in particular.
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions");
        for name in ["run", "www"] {
            fs::create_dir(path.join(name)).expect("a folder");
            fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o777)).expect("permissions");
        }
        fs::write(path.join("www/index.html"), "the page\n").expect("a file");
        fs::write(path.join("www/out.html"), "out\n").expect("a file");
        let port = free_port();
        let site = format!("http://127.0.0.1:{port}");
        let configuration = format!(
            "ServerRoot {folder}\nServerName 127.0.0.1\nPidFile run/apache.pid\nErrorLog error.log\nLogLevel warn\n\
             DefaultRuntimeDir run\nMutex file:run default\nListen 127.0.0.1:{port}\n\
             LoadModule mpm_event_module {MODULES}/mod_mpm_event.so\n\
             LoadModule authn_core_module {MODULES}/mod_authn_core.so\n\
             LoadModule authz_core_module {MODULES}/mod_authz_core.so\n\
             LoadModule authz_user_module {MODULES}/mod_authz_user.so\n\
             LoadModule dir_module {MODULES}/mod_dir.so\n\
             LoadModule mime_module {MODULES}/mod_mime.so\n\
             LoadModule headers_module {MODULES}/mod_headers.so\n\
             User www-data\nGroup www-data\nTypesConfig /etc/mime.types\n\
             DocumentRoot {folder}/www\nDirectoryIndex index.html\n{more}",
            folder = path.display(),
            more = more(path, port, &site),
        );
        fs::write(path.join("apache.conf"), configuration).expect("a file");
        let mut command = Command::new(program("/usr/sbin/apache2"));
        command.arg("-f").arg(path.join("apache.conf")).args(["-D", "FOREGROUND"]);
        let mut process = Process::start("apache2", &mut command);
        process.wait_for_port(port);
        Self { process, folder, site }
    }

    /// The id of its first process, the parent of those that serve.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it and its helpers logged.
    #[must_use]
    pub fn log(&self) -> String {
        ["error.log", "shibd.log"]
            .map(|name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default())
            .concat()
    }
}

/// A program that `scripts/setup test` installed.
///
/// # Panics
///
/// Where it did not.
#[must_use]
pub fn program(path: &str) -> PathBuf {
    let path = PathBuf::from(path);
    assert!(path.exists(), "{} is missing: run `make setup-test`", path.display());
    path
}
