//! cargo, asked once for each workspace.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use super::{BuildError, Source, toolchain::Toolchain};

/// The compiler's target: it asks for no WASI, so that there is none to forbid.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// Variables by which the host's own build would change the guests'.
const HOST_ONLY: [&str; 8] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
    "RUSTC_BOOTSTRAP",
    "RUSTFLAGS",
];

/// Policies that cargo can compile in one go.
#[derive(Debug)]
pub(super) struct Workspace<'a> {
    /// Where cargo is run.
    pub(super) root: PathBuf,
    /// cargo's target folder.
    pub(super) target: PathBuf,
    pub(super) members: Vec<Member<'a>>,
    /// Folders of this machine, and what stands for them in the modules.
    remap: BTreeMap<PathBuf, String>,
}

/// One policy of a workspace.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) source: &'a Source,
    package: String,
    id: String,
}

/// The workspaces that `sources` belong to.
pub(super) fn workspaces(sources: &[Source]) -> Result<Vec<Workspace<'_>>, BuildError> {
    let mut workspaces: Vec<Workspace<'_>> = Vec::new();
    for source in sources {
        let manifest = source.directory.join("Cargo.toml");
        let known = workspaces.iter().position(|workspace| source.directory.starts_with(&workspace.root));
        let metadata = metadata(&source.directory)?;
        let package = metadata.packages.iter().find(|package| package.manifest_path == manifest).ok_or_else(|| {
            BuildError::Metadata {
                directory: source.directory.clone(),
                message: "cargo knows no package there; is it a member of its workspace?".to_owned(),
            }
        })?;
        let member = Member { source, package: package.name.clone(), id: package.id.clone() };
        let remap = remapped(&metadata.packages);
        match known.and_then(|index| workspaces.get_mut(index)).filter(|known| known.root == metadata.workspace_root) {
            Some(workspace) => {
                workspace.members.push(member);
                workspace.remap.extend(remap);
            }
            None => workspaces.push(Workspace {
                root: metadata.workspace_root,
                target: metadata.target_directory,
                members: vec![member],
                remap,
            }),
        }
    }
    Ok(workspaces)
}

/// Compiles the members; returns their core modules, in the members' order.
pub(super) fn compile(
    workspace: &Workspace<'_>,
    toolchain: &Toolchain,
    stack_bytes: u32,
) -> Result<Vec<PathBuf>, BuildError> {
    let mut flags = vec![format!("-Clink-arg=-zstack-size={stack_bytes}")];
    // A panic's message names its source file: without this, the bytes would depend on
    // where the source lies.
    flags.extend(workspace.remap.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())));
    flags.extend(toolchain.flags());
    let mut cargo = cargo(&workspace.root);
    toolchain.prepare(&mut cargo);
    cargo
        .args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"])
        .args(["--config", &format!("target.{TARGET}.rustflags={}", serde_json::json!(flags))])
        .args(workspace.members.iter().flat_map(|member| ["-p", member.package.as_str()]))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = cargo.spawn().map_err(BuildError::CargoMissing)?;
    let mut modules: BTreeMap<String, PathBuf> = BTreeMap::new();
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufReader::lines) {
        let Ok(Message { reason, package_id: Some(id), filenames }) =
            serde_json::from_str(&line.map_err(BuildError::CargoMissing)?)
        else {
            continue;
        };
        let module = filenames.into_iter().find(|name| name.extension().is_some_and(|extension| extension == "wasm"));
        if let Some(module) = module.filter(|_| reason == "compiler-artifact") {
            modules.insert(id, module);
        }
    }
    if !child.wait().map_err(BuildError::CargoMissing)?.success() {
        return Err(BuildError::Compile);
    }
    workspace
        .members
        .iter()
        .map(|member| {
            modules.remove(&member.id).ok_or_else(|| BuildError::NoModule { package: member.package.clone() })
        })
        .collect()
}

/// A cargo that knows nothing of the host's own build.
pub(super) fn cargo(directory: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(directory);
    for variable in HOST_ONLY {
        cargo.env_remove(variable);
    }
    cargo
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    manifest_path: PathBuf,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn metadata(directory: &Path) -> Result<Metadata, BuildError> {
    let refuse = |message: String| BuildError::Metadata { directory: directory.to_owned(), message };
    let output = cargo(directory)
        .args(["metadata", "--format-version", "1", "--filter-platform", TARGET])
        .stdin(Stdio::null())
        .output()
        .map_err(BuildError::CargoMissing)?;
    if !output.status.success() {
        return Err(refuse(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| refuse(error.to_string()))
}

fn remapped(packages: &[Package]) -> BTreeMap<PathBuf, String> {
    packages
        .iter()
        .filter_map(|package| {
            let folder = package.manifest_path.parent()?;
            let is_own = package.source.is_none();
            let name =
                if is_own { format!("/{}", package.name) } else { format!("/{}-{}", package.name, package.version) };
            Some((folder.to_owned(), name))
        })
        .collect()
}
