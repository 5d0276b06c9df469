//! A policy's folder: `policy.toml`, `settings.schema.json`, `cases/`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{BuildError, manifest_file};
use crate::policy::{Cases, Manifest, Properties, manifest::Language};

/// What a policy's folder says of it, but for its code.
#[derive(Clone, Debug)]
pub struct Source {
    /// The folder, absolute.
    pub directory: PathBuf,
    /// `policy.toml` with `settings.schema.json`.
    pub manifest: Manifest,
    /// `cases/`, under their bare names.
    pub cases: Cases,
    /// `properties.toml`.
    pub properties: Properties,
}

impl Source {
    /// Reads a policy's folder.
    ///
    /// # Errors
    ///
    /// Where it is not a policy's, or one of its files is malformed.
    pub fn read(directory: &Path) -> Result<Self, BuildError> {
        let file = |path: &Path, source| BuildError::File { path: path.to_owned(), source };
        let directory = fs::canonicalize(directory).map_err(|source| file(directory, source))?;
        let path = directory.join("policy.toml");
        let text = fs::read_to_string(&path).map_err(|source| file(&path, source))?;
        let mut manifest = Manifest::from_toml(&text)
            .map_err(|error| BuildError::Manifest(manifest_file::diagnose(&path, &text, &error)))?;
        let policy_toml = path;
        let path = directory.join("settings.schema.json");
        match fs::read_to_string(&path) {
            Ok(text) => manifest.settings_schema = schema(&path, &text, &manifest)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(file(&path, source)),
        }
        let problems = manifest_file::contradictions(&policy_toml, &text, &manifest)
            .map_err(|message| BuildError::Schema { path: if path.exists() { path } else { policy_toml }, message })?;
        if !problems.is_empty() {
            return Err(BuildError::Manifest(problems));
        }
        let cases = Cases::folder(&directory.join("cases")).map_err(BuildError::Cases)?;
        // A malformed case is better found before minutes of compiling than after.
        cases.count().map_err(BuildError::Cases)?;
        let properties = Properties::folder(&directory).map_err(BuildError::Properties)?;
        Ok(Self { directory, manifest, cases: cases.with_bare_names(), properties })
    }
}

impl Source {
    /// The language that it is written in: the one that the manifest says, or the one whose
    /// project file is there.
    pub(super) fn language(&self) -> Result<Language, BuildError> {
        if let Some(language) = self.manifest.language {
            return Ok(language);
        }
        let known =
            [("Cargo.toml", Language::Rust), ("package.json", Language::Js), ("pyproject.toml", Language::Python)];
        let mut there = known.iter().filter(|(file, _)| self.directory.join(file).is_file());
        let refuse = |message: String| BuildError::Language { directory: self.directory.clone(), message };
        match (there.next(), there.next()) {
            (Some((_, language)), None) => Ok(*language),
            (Some((one, _)), Some((other, _))) => {
                Err(refuse(format!("{one} and {other} are there: policy.toml has to say `language`")))
            }
            (None, _) => {
                let files = known.map(|(file, _)| file).join(", ");
                Err(refuse(format!("policy.toml says no `language`, and there is none of {files}")))
            }
        }
    }
}

fn schema(path: &Path, text: &str, manifest: &Manifest) -> Result<Value, BuildError> {
    let refuse = |message: String| BuildError::Schema { path: path.to_owned(), message };
    if manifest.settings_schema != serde_json::json!({ "type": "object" }) {
        return Err(refuse("policy.toml has a `settings-schema` of its own: which of them would hold?".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "name = \"p\"\nversion = \"0.1.0\"\nhooks = [\"admit\"]\n";

    #[test]
    fn puts_manifest_schema_and_cases_together() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("policy.toml"), POLICY).unwrap();
        fs::write(folder.path().join("settings.schema.json"), "{\"type\": \"object\", \"maxProperties\": 1}").unwrap();
        fs::create_dir(folder.path().join("cases")).unwrap();
        let case = "[[case]]\nname = \"n\"\nhook = \"admit\"\nexpect.verdict = \"pass\"\n";
        fs::write(folder.path().join("cases/a.toml"), case).unwrap();
        let source = Source::read(folder.path()).unwrap();
        assert_eq!(source.manifest.settings_schema["maxProperties"], 1);
        assert_eq!(source.cases.count().unwrap(), 1);
    }

    #[test]
    fn tells_the_language_by_the_manifest_then_by_the_project() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        let language = || Source::read(folder.path()).unwrap().language();
        write("policy.toml", POLICY);
        assert!(language().unwrap_err().to_string().contains("no `language`"));
        write("package.json", "{}");
        assert_eq!(language().unwrap(), Language::Js);
        write("Cargo.toml", "");
        assert!(language().unwrap_err().to_string().contains("Cargo.toml and package.json"));
        write("policy.toml", &format!("{POLICY}language = \"python\"\n"));
        assert_eq!(language().unwrap(), Language::Python);
    }

    #[test]
    fn names_the_file_that_is_missing_or_malformed() {
        let folder = tempfile::tempdir().unwrap();
        let error = Source::read(folder.path()).unwrap_err();
        assert!(error.to_string().contains("policy.toml"), "{error}");
        fs::write(folder.path().join("policy.toml"), POLICY).unwrap();
        fs::write(folder.path().join("settings.schema.json"), "{").unwrap();
        let error = Source::read(folder.path()).unwrap_err();
        assert!(error.to_string().contains("settings.schema.json"), "{error}");
    }
}
