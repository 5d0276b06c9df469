//! Where cases come from: a component's custom section, a folder beside it, or the folder
//! of the policy's source.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::form::{self, Case, CaseError};
use crate::policy::{artifact::CASES_SECTION, case_files::files};

/// Case files together may have so many bytes: they are read whenever a component is.
const CASES_BYTES_MAX: u64 = 4 << 20;

/// And so many cases: each is run before the policy comes into force.
const CASES_MAX: usize = 2000;

/// Case files, as texts by file name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cases(BTreeMap<String, String>);

impl Cases {
    /// The cases that are embedded in a component; none where it has no such section.
    ///
    /// # Errors
    ///
    /// Where the section is not what `policy build` writes.
    pub fn embedded(component: &[u8]) -> Result<Self, CaseError> {
        let Some(section) = custom_section(component, CASES_SECTION) else { return Ok(Self::default()) };
        serde_json::from_slice(section).map(Self).map_err(|error| CaseError {
            file: CASES_SECTION.to_owned(),
            line: None,
            message: format!("expected an object of file names and texts: {error}"),
        })
    }

    /// The `.toml` files of `folder`; none where there is no such folder.
    ///
    /// # Errors
    ///
    /// Where the folder or a file cannot be read, all of them are too large, or one is written in something else than
    /// TOML: it would be overlooked.
    pub fn folder(folder: &Path) -> Result<Self, CaseError> {
        let refuse = |path: &Path, message: String| CaseError { file: path.display().to_string(), line: None, message };
        let mut texts = BTreeMap::new();
        let mut bytes = 0;
        if let Some(stray) = stray(folder) {
            let message = "cases are TOML: expected a file NAME.toml (docs/cases.md)".to_owned();
            return Err(refuse(&stray, message));
        }
        for path in files(folder).map_err(|error| refuse(folder, error.to_string()))? {
            bytes += fs::metadata(&path).map_err(|error| refuse(&path, error.to_string()))?.len();
            if bytes > CASES_BYTES_MAX {
                return Err(refuse(folder, format!("the cases have more than {CASES_BYTES_MAX} bytes")));
            }
            let text = fs::read_to_string(&path).map_err(|error| refuse(&path, error.to_string()))?;
            texts.insert(path.display().to_string(), text);
        }
        Ok(Self(texts))
    }

    #[cfg(test)]
    pub(in crate::policy) fn of_texts(texts: &[(&str, &str)]) -> Self {
        Self(texts.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect())
    }

    /// All cases of `component`, whose bytes are `bytes`: the embedded ones and those of
    /// the folder beside it.
    ///
    /// # Errors
    ///
    /// As [`Cases::embedded`] and [`Cases::folder`].
    pub fn of(bytes: &[u8], component: &Path) -> Result<Self, CaseError> {
        let embedded = Self::embedded(bytes)?;
        match folder_beside(component) {
            Some(folder) => Ok(embedded.and(Self::folder(&folder)?)),
            None => Ok(embedded),
        }
    }

    /// The same cases under their bare file names, as a component embeds them.
    #[must_use]
    pub fn with_bare_names(self) -> Self {
        let bare = |path: String| {
            Path::new(&path).file_name().map_or(path.clone(), |name| name.to_string_lossy().into_owned())
        };
        Self(self.0.into_iter().map(|(path, text)| (bare(path), text)).collect())
    }

    /// Both; a file of `other` wins over one of the same name.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What goes into the custom section.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    /// How many cases there are.
    ///
    /// # Errors
    ///
    /// The first case that is malformed.
    pub fn count(&self) -> Result<usize, CaseError> {
        self.parse().map(|cases| cases.len())
    }

    /// The files, by name and text.
    pub(in crate::policy) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(file, text)| (file.as_str(), text.as_str()))
    }

    /// The cases themselves.
    pub(in crate::policy) fn parse(&self) -> Result<Vec<Case>, CaseError> {
        let mut cases = Vec::new();
        for (file, text) in &self.0 {
            cases.extend(form::parse(file, text)?);
            if cases.len() > CASES_MAX {
                let message = format!("the policy has more than {CASES_MAX} cases");
                return Err(CaseError { file: file.clone(), line: None, message });
            }
        }
        Ok(cases)
    }
}

/// The folder in which an operator keeps cases for `component`: `NAME.cases` beside
/// `NAME.wasm`, or `cases` where `NAME.wasm` is the only component of its folder.
fn folder_beside(component: &Path) -> Option<PathBuf> {
    let own = component.with_extension("cases");
    if own.is_dir() {
        return Some(own);
    }
    let shared = component.parent()?.join("cases");
    if !shared.is_dir() {
        return None;
    }
    let is_wasm = |path: &Path| path.extension().is_some_and(|extension| extension == "wasm");
    let components = fs::read_dir(component.parent()?).ok()?.flatten().filter(|entry| is_wasm(&entry.path())).count();
    (components == 1).then_some(shared)
}

/// What somebody else's cases are written in.
const NO_CASES: [&str; 3] = ["json", "yaml", "yml"];

/// A file of a folder of cases that nobody would run. What is no data (notes) may stay.
fn stray(folder: &Path) -> Option<PathBuf> {
    let is_stray = |path: &PathBuf| {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        // `.TOML` is TOML, too, and would not be run either.
        extension.is_some_and(|extension| {
            NO_CASES.contains(&extension.as_str())
                || (extension == "toml" && path.extension().is_none_or(|extension| extension != "toml"))
        })
    };
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).filter(is_stray).min()
}

/// The component's own custom section of that name: sections of modules inside it do not
/// count.
pub(in crate::policy) fn custom_section<'a>(component: &'a [u8], name: &str) -> Option<&'a [u8]> {
    use wasmparser::Payload;
    let mut depth = 0_usize;
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        match payload.ok()? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 && section.name() == name => return Some(section.data()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: &str = "[[case]]\nname = \"n\"\nhook = \"admit\"\nexpect.verdict = \"pass\"\n";

    fn component_with(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut component = wasm_encoder::Component::new();
        let mut inner = wasm_encoder::Module::new();
        inner.section(&wasm_encoder::CustomSection { name: CASES_SECTION.into(), data: b"{}".as_slice().into() });
        component.section(&wasm_encoder::ModuleSection(&inner));
        for (name, data) in sections {
            component.section(&wasm_encoder::CustomSection { name: (*name).into(), data: (*data).into() });
        }
        component.finish()
    }

    #[test]
    fn reads_back_what_was_embedded_and_nothing_from_inner_modules() {
        let cases = Cases([("a.toml".to_owned(), CASE.to_owned())].into());
        let component = component_with(&[(CASES_SECTION, &cases.to_json())]);
        assert_eq!(Cases::embedded(&component).unwrap(), cases);
        assert!(Cases::embedded(&component_with(&[])).unwrap().is_empty());
    }

    #[test]
    fn refuses_a_section_that_is_no_case_file() {
        let component = component_with(&[(CASES_SECTION, b"nonsense")]);
        assert!(Cases::embedded(&component).unwrap_err().to_string().contains(CASES_SECTION));
    }

    #[test]
    fn finds_the_folder_beside_a_component() {
        let folder = tempfile::tempdir().unwrap();
        let component = folder.path().join("a.wasm");
        fs::write(&component, b"").unwrap();
        assert_eq!(folder_beside(&component), None);
        fs::create_dir(folder.path().join("cases")).unwrap();
        assert_eq!(folder_beside(&component), Some(folder.path().join("cases")));
        fs::write(folder.path().join("b.wasm"), b"").unwrap();
        assert_eq!(folder_beside(&component), None, "whose cases would they be?");
        fs::create_dir(folder.path().join("a.cases")).unwrap();
        assert_eq!(folder_beside(&component), Some(folder.path().join("a.cases")));
    }

    #[test]
    fn reads_a_folder_in_order_and_only_toml() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.toml", "a.toml", "notes.md"] {
            fs::write(folder.path().join(name), CASE).unwrap();
        }
        let cases = Cases::folder(folder.path()).unwrap();
        assert_eq!(cases.count().unwrap(), 2);
        assert_eq!(cases.with_bare_names().0.keys().collect::<Vec<_>>(), ["a.toml", "b.toml"]);
        assert!(Cases::folder(&folder.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn refuses_a_file_of_cases_that_would_be_overlooked() {
        for name in ["a.yaml", "a.yml", "a.json", "a.TOML"] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("good.toml"), CASE).unwrap();
            fs::write(folder.path().join(name), "- name: a\n").unwrap();
            let error = Cases::folder(folder.path()).unwrap_err();
            assert!(error.file.ends_with(name) && error.message.contains("cases are TOML"), "{error}");
        }
    }
}
