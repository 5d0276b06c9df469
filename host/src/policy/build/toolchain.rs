//! The Rust standard library for WebAssembly, in the order in which it is looked for:
//!
//! 1. It is installed with the compiler.
//! 2. `rustup target add` installs it.
//! 3. Debian's `rustc-web` has a compiler with the library's sources: the library is built
//!    from them, once for each compiler, into a cache that all policies share.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::cargo::{TARGET, cargo};

/// Debian's compiler: rustup's does not build the sources that Debian packages.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Counts up whenever the library is built in another way: what was compiled against one
/// library does not fit another under the same path.
const RECIPE: u32 = 2;

/// There is no compiler for WebAssembly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolchainError {
    /// None of the three ways works.
    #[error(
        "the Rust compiler has no standard library for {TARGET}. Any of these gives it one:\n  \
         rustup target add {TARGET}\n  \
         apt-get install --no-install-recommends rustc-web rust-web-src   (Debian)\n\
         tried: {}", .tried.join("; ")
    )]
    None {
        /// What was tried, and why it did not work.
        tried: Vec<String>,
    },
    /// There is no Rust compiler at all.
    #[error("failed to run rustc; https://rustup.rs installs it")]
    NoRustc(#[source] io::Error),
    /// The library could not be built from its sources.
    #[error("failed to build the standard library for {TARGET}: {step}")]
    Std {
        /// What failed.
        step: String,
    },
    /// The cache cannot be written.
    #[error("failed to use the cache {path}")]
    Cache {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A compiler that can compile policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Toolchain {
    /// The one that cargo uses anyway.
    Installed,
    /// Debian's, with a standard library of our own making.
    Own { rustc: PathBuf, sysroot: PathBuf, linker: PathBuf },
}

impl Toolchain {
    /// What rustc must be told.
    pub(super) fn flags(&self) -> Vec<String> {
        match self {
            Self::Installed => Vec::new(),
            Self::Own { sysroot, linker, .. } => {
                vec![format!("--sysroot={}", sysroot.display()), format!("-Clinker={}", linker.display())]
            }
        }
    }

    /// What cargo must be told.
    pub(super) fn prepare(&self, cargo: &mut Command) {
        if let Self::Own { rustc, .. } = self {
            cargo.env("RUSTC", rustc);
        }
    }
}

/// Finds or makes a compiler for the package in `directory`.
pub(super) fn find(directory: &Path, cache: &Path, progress: &dyn Fn(&str)) -> Result<Toolchain, ToolchainError> {
    if is_installed(directory)? {
        return Ok(Toolchain::Installed);
    }
    // What was built before needs neither network nor time.
    if let Ok(built) = debian(directory, cache, None) {
        return Ok(built);
    }
    let mut tried = Vec::new();
    progress(&format!("installing the compiler's target {TARGET} with rustup"));
    let added =
        Command::new("rustup").args(["target", "add", TARGET]).current_dir(directory).stdin(Stdio::null()).output();
    match added {
        Ok(output) if output.status.success() && is_installed(directory)? => return Ok(Toolchain::Installed),
        Ok(output) => tried.push(format!("rustup: {}", last_line(&output.stderr))),
        Err(error) => tried.push(format!("rustup: {error}")),
    }
    match debian(directory, cache, Some(progress)) {
        Ok(toolchain) => Ok(toolchain),
        Err(Debian::NotThere(why)) => {
            tried.push(format!("Debian's rustc-web: {why}"));
            Err(ToolchainError::None { tried })
        }
        Err(Debian::Failed(error)) => Err(error),
    }
}

fn is_installed(directory: &Path) -> Result<bool, ToolchainError> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(directory);
    let folder = output_of(&mut rustc).map_err(ToolchainError::NoRustc)?;
    Ok(folder.is_some_and(|folder| has_core(Path::new(&folder))))
}

fn has_core(folder: &Path) -> bool {
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

enum Debian {
    NotThere(String),
    Failed(ToolchainError),
}

/// Debian's compiler; without `progress` only where its library was built before.
fn debian(directory: &Path, cache: &Path, progress: Option<&dyn Fn(&str)>) -> Result<Toolchain, Debian> {
    let not_there = |why: &str| Debian::NotThere(why.to_owned());
    let rustc = Path::new(DEBIAN_RUSTC);
    let ask = |arguments: &[&str]| output_of(Command::new(rustc).args(arguments)).ok().flatten();
    let version = ask(&["--version"]).ok_or_else(|| not_there("/usr/bin/rustc is not there"))?;
    let sysroot = ask(&["--print", "sysroot"]).ok_or_else(|| not_there("it has no sysroot"))?;
    if !Path::new(&sysroot).join("lib/rustlib/src/rust/library/Cargo.toml").exists() {
        return Err(not_there("the library's sources are not there (rust-web-src)"));
    }
    let linker = linker(directory, Path::new(&sysroot))
        .ok_or_else(|| not_there("no rust-lld (rustup's, or Debian's rust-web-llvm)"))?;
    let cache = std::path::absolute(cache).unwrap_or_else(|_| cache.to_owned());
    let slug: String = version.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let std = cache.join(format!("std-{RECIPE}-{slug}"));
    let library = std.join("lib/rustlib").join(TARGET).join("lib");
    if !has_core(&library) {
        let progress = progress.ok_or_else(|| not_there("its library is not built yet"))?;
        progress(&format!("building the standard library for {TARGET}, once (about two minutes)"));
        build_std(rustc, &cache, &library).map_err(Debian::Failed)?;
    }
    Ok(Toolchain::Own { rustc: rustc.to_owned(), sysroot: std, linker })
}

/// rustup's rust-lld, or the one of Debian's compiler.
fn linker(directory: &Path, debian: &Path) -> Option<PathBuf> {
    let rustup = output_of(Command::new("rustc").args(["--print", "sysroot"]).current_dir(directory)).ok().flatten();
    let sysroots = rustup.map(PathBuf::from).into_iter().chain([debian.to_owned()]);
    sysroots
        .flat_map(|sysroot| fs::read_dir(sysroot.join("lib/rustlib")).into_iter().flatten().flatten())
        .map(|entry| entry.path().join("bin/rust-lld"))
        .find(|linker| linker.is_file())
}

/// Builds an empty crate with `-Zbuild-std`, and keeps the libraries that came of it.
fn build_std(rustc: &Path, cache: &Path, library: &Path) -> Result<(), ToolchainError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ToolchainError::Cache { path, source }
    };
    let seed = cache.join("seed");
    fs::create_dir_all(seed.join("src")).map_err(at(&seed))?;
    let manifest = "[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
                    [profile.release]\npanic = \"abort\"\nopt-level = 3\n";
    fs::write(seed.join("Cargo.toml"), manifest).map_err(at(&seed))?;
    fs::write(seed.join("src/lib.rs"), "").map_err(at(&seed))?;
    let status = cargo(&seed)
        .env("RUSTC", rustc)
        // The option that builds a standard library is not yet stable.
        .env("RUSTC_BOOTSTRAP", "1")
        // Policies are optimized as a whole, library included; that needs its bitcode.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Cembed-bitcode=yes")
        .args(["build", "--release", "--target", TARGET, "-Zbuild-std=std,panic_abort"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| ToolchainError::Std { step: error.to_string() })?;
    if !status.success() {
        return Err(ToolchainError::Std { step: "cargo failed (its message is above)".to_owned() });
    }
    // Copied beside and renamed: half a library would be worse than none.
    let part = library.with_extension("part");
    fs::create_dir_all(&part).map_err(at(&part))?;
    let made = seed.join("target").join(TARGET).join("release/deps");
    for entry in fs::read_dir(&made).map_err(at(&made))?.flatten() {
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if text.ends_with(".rlib") && !text.starts_with("libseed-") {
            fs::copy(entry.path(), part.join(&name)).map_err(at(&part))?;
        }
    }
    if !has_core(&part) {
        return Err(ToolchainError::Std { step: "no library came of it".to_owned() });
    }
    fs::rename(&part, library).map_err(at(library))?;
    // What is left is of no use any more; if it stays, it only takes room.
    let _ = fs::remove_dir_all(&seed);
    Ok(())
}

/// What a program printed, trimmed; none where it failed.
fn output_of(command: &mut Command) -> io::Result<Option<String>> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success().then_some(text))
}

fn last_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().lines().last().unwrap_or("it failed").to_owned()
}
