//! Policies in JavaScript and Python: the languages' own tools make the component, out of the
//! contract that this gateway has; what they leave behind beside it is taken off.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Output,
};

use serde::Deserialize;
use serde_json::json;

use super::{BuildError, Source, strip, tools};
use crate::policy::manifest::Language;

/// The contract that components are made for.
const CONTRACT: &str = include_str!("../../../../wit/policy.wit");

/// Every interpreter's world.
const WORLD: &str = "json-policy";

/// What is shown of a tool that failed.
const MESSAGE_BYTES_MAX: usize = 4096;

/// What a failed set-up means where it asked for WASI.
const NOTHING_TO_ASK: &str = "The policy asks for randomness or the like while it is made. No policy has any: it decides \
                              by its question and its settings alone";

/// What componentize-py is installed as.
const PYTHON_TOOL: &str = include_str!("../../../../guest/python/requirements-build.txt");

/// The module that componentize-py is given. The policy's own is imported by it.
const PYTHON_APP: &str = "vestibule_app";

/// Makes the component of `source`, without manifest and cases.
pub(super) fn component(source: &Source, language: Language, work: &Path) -> Result<Vec<u8>, BuildError> {
    let file = |path: &Path, source| BuildError::File { path: path.to_owned(), source };
    let wit = work.join("wit");
    fs::create_dir_all(&wit).map_err(|error| file(&wit, error))?;
    let contract = wit.join("policy.wit");
    fs::write(&contract, CONTRACT).map_err(|error| file(&contract, error))?;
    let raw = work.join("raw.wasm");
    match language {
        Language::Js => javascript(source, &wit, &raw)?,
        Language::Python => python(source, work, &wit, &raw)?,
        Language::Rust => {}
    }
    let bytes = fs::read(&raw).map_err(|error| file(&raw, error))?;
    strip::component(&bytes).map_err(|message| BuildError::Encode { policy: source.manifest.name.clone(), message })
}

#[derive(Deserialize)]
struct Package {
    #[serde(default = "javascript_main")]
    main: String,
}

fn javascript_main() -> String {
    "policy.js".to_owned()
}

/// The SDK's own build script bundles the sources and runs componentize-js.
fn javascript(source: &Source, wit: &Path, raw: &Path) -> Result<(), BuildError> {
    // A project whose packages are not installed is built with those of a clone.
    const SCRIPT: &str = "const order = JSON.parse(process.argv.at(-1));\
        const ours = (error) => {\
            if (!order.tools || error.code !== 'ERR_MODULE_NOT_FOUND') throw error;\
            return import(order.tools);\
        };\
        const { build } = await import('@vestibule/policy/build').catch(ours);\
        await build(order);";
    let missing = |what: &'static str, install: &str| BuildError::Missing {
        what,
        directory: source.directory.clone(),
        install: install.to_owned(),
    };
    let path = source.directory.join("package.json");
    let main = match fs::read(&path) {
        Ok(text) => {
            let package: Package = serde_json::from_slice(&text)
                .map_err(|error| BuildError::Language { directory: path, message: error.to_string() })?;
            package.main
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => javascript_main(),
        Err(error) => return Err(BuildError::File { path, source: error }),
    };
    let entry = source.directory.join(&main);
    if let Err(error) = fs::metadata(&entry) {
        return Err(BuildError::File { path: entry, source: error });
    }
    let settings = &source.manifest.settings_default;
    let tools =
        tools::in_clone(&source.directory, "guest/js/node_modules").map(|found| found.with_file_name("build.js"));
    let order = json!({ "entry": entry, "wit": wit, "world": WORLD, "out": raw, "settings": settings, "tools": tools });
    let order = order.to_string();
    let output = tools::run(
        &tools::programs(&source.directory, "node"),
        |node| {
            node.current_dir(&source.directory).args(["--input-type=module", "--eval", SCRIPT, "--", &order]);
        },
        || missing("Node.js", "install Node.js 20 or later"),
    )?;
    if output.status.success() {
        return Ok(());
    }
    let message = words(&output);
    if is_not_installed(&message) {
        return Err(missing(
            "the package @vestibule/policy, or what it builds with,",
            "run `npm install` there, or `npm install PATH` with that of guest/js",
        ));
    }
    if message.contains("attempted to call an unknown imported function") {
        return Err(failed(source, "componentize-js", format!("{message}\n{NOTHING_TO_ASK}")));
    }
    Err(failed(source, "componentize-js", message))
}

/// Is it the SDK or one of its tools that was not found, and no package of the policy's own?
fn is_not_installed(message: &str) -> bool {
    let is_missing = |package| {
        message.contains(&format!("Cannot find package '{package}"))
            || message.contains(&format!("Could not resolve \"{package}"))
    };
    ["@vestibule/policy", "@bytecodealliance/componentize-js", "esbuild"].into_iter().any(is_missing)
}

fn python(source: &Source, work: &Path, wit: &Path, raw: &Path) -> Result<(), BuildError> {
    let module = module(&source.directory)?;
    let app = work.join(format!("{PYTHON_APP}.py"));
    let text = format!(
        "from vestibule_policy.component import Json, Settings, load\n\nload({}, {})\n__all__ = [\"Json\", \"Settings\"]\n",
        json!(module),
        // JSON in a string: Python reads the quoting of a JSON string as its own.
        json!(source.manifest.settings_default.to_string()),
    );
    fs::write(&app, text).map_err(|source| BuildError::File { path: app, source })?;
    let directory = &source.directory;
    let environment = directory.join(".venv");
    let is_sdk = |folder: &PathBuf| folder.join("vestibule_policy/__init__.py").is_file();
    let sdk = [directory.join("sdk")]
        .into_iter()
        .chain(directory.ancestors().map(Path::to_owned))
        .chain(tools::in_clone(directory, "guest/python"))
        .find(is_sdk);
    let paths = [Some(work), Some(directory.as_path()), sdk.as_deref()].into_iter().flatten();
    let paths: Vec<&Path> = paths.flat_map(|folder| [Path::new("--python-path"), folder]).collect();
    let output = tools::run(
        &tools::programs(directory, "componentize-py"),
        |componentize| {
            if Path::new(componentize.get_program()).starts_with(&environment) {
                componentize.env("VIRTUAL_ENV", &environment);
            }
            componentize
                .current_dir(work)
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .arg("--wit-path")
                .arg(wit)
                .args(["--world", WORLD, "componentize", "--stub-wasi", PYTHON_APP, "--output"])
                .arg(raw)
                .args(&paths);
        },
        || BuildError::Missing {
            what: "componentize-py",
            directory: directory.clone(),
            install: format!("run `python3 -m venv .venv && .venv/bin/pip install {}` there", PYTHON_TOOL.trim()),
        },
    )?;
    if output.status.success() {
        return Ok(());
    }
    let message = words(&output);
    if message.contains("No module named 'vestibule_policy'") {
        return Err(BuildError::Missing {
            what: "the package vestibule-policy",
            directory: source.directory.clone(),
            install: "run `.venv/bin/pip install PATH` there, with that of guest/python".to_owned(),
        });
    }
    Err(failed(source, "componentize-py", message))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pyproject {
    tool: Tool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tool {
    vestibule: Vestibule,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Vestibule {
    module: String,
}

impl Default for Vestibule {
    fn default() -> Self {
        Self { module: "policy".to_owned() }
    }
}

/// The policy's module: `module` under `[tool.vestibule]`, or `policy`.
fn module(directory: &Path) -> Result<String, BuildError> {
    let path = directory.join("pyproject.toml");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(BuildError::File { path, source }),
    };
    let refuse = |message: String| BuildError::Language { directory: path.clone(), message };
    let Pyproject { tool: Tool { vestibule: Vestibule { module } } } =
        toml::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    let is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if !module.split('.').all(is_name) {
        return Err(refuse(format!("`tool.vestibule.module` = `{}` is no module's name", module.escape_debug())));
    }
    Ok(module)
}

fn failed(source: &Source, program: &'static str, message: String) -> BuildError {
    BuildError::Interpreter { policy: source.manifest.name.clone(), program, message }
}

/// What a tool said before it gave up; its end, where it said much.
fn words(output: &Output) -> String {
    let text =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned()).join("\n");
    let text = text.trim();
    let start = text.floor_char_boundary(text.len().saturating_sub(MESSAGE_BYTES_MAX));
    text.get(start..).unwrap_or_default().to_owned()
}

/// Where tools work for `source`: in its own `target`, or beside the components where the
/// caller says where those go.
pub(super) fn work_folder(source: &Source, out: Option<&Path>) -> PathBuf {
    let name = &source.manifest.name;
    let out = out.map(|out| env::current_dir().unwrap_or_default().join(out));
    out.map_or_else(|| source.directory.join("target/work").join(name), |out| out.join(".work").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_installed_is_told_from_a_slip_of_the_policys_own() {
        assert!(is_not_installed(
            "Error [ERR_MODULE_NOT_FOUND]: Cannot find package '@vestibule/policy' imported from"
        ));
        assert!(is_not_installed("Cannot find package 'esbuild' imported from /p/sdk/build.js"));
        assert!(is_not_installed("policy.js:1:9: Could not resolve \"@vestibule/policy\""));
        assert!(!is_not_installed("policy.js:2:9: Could not resolve \"./rules/admin.js\""));
        assert!(!is_not_installed("policy.js:2:9: Could not resolve \"left-pad\""));
    }

    #[test]
    fn a_python_policy_says_which_module_it_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(module(folder.path()).unwrap(), "policy");
        let with = |text: &str| {
            fs::write(folder.path().join("pyproject.toml"), text).unwrap();
            module(folder.path())
        };
        assert_eq!(with("[project]\nname = \"x\"\n").unwrap(), "policy");
        assert_eq!(with("[tool.vestibule]\nmodule = \"rules.main\"\n").unwrap(), "rules.main");
        for text in [
            "[tool.vestibule]\nmodule = \"a b\"\n",
            "[tool.vestibule]\nmodul = \"a\"\n",
            "[tool",
            "[tool.vestibule]\nmodule = \"\\\"); x\"\n",
        ] {
            let error = with(text).unwrap_err();
            assert!(matches!(error, BuildError::Language { .. }), "{error}");
        }
    }
}
