//! Settings and the places in the file that they are written in: what is wrong with them is told with file, line,
//! key, what was found and what was expected. Reads no file.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value as Json;

use super::{
    cases::CaseError,
    error::{LoadError, SettingsProblem},
    event::PolicyProblem,
    locate::{Format, Malformed},
};

/// So much of a value is shown.
const FOUND_CHARACTERS_MAX: usize = 80;

/// A settings file that was read.
#[derive(Clone, Debug)]
pub struct SettingsFile {
    json: Json,
    written: WrittenSettings,
}

/// Where settings are written: in a file of their own, or within a file of cases.
#[derive(Clone, Debug)]
pub(in crate::policy) struct WrittenSettings {
    file: PathBuf,
    format: Format,
    text: Arc<str>,
    /// JSON pointers to the tables that may have a setting; the first one that has it counts.
    within: Vec<String>,
}

impl SettingsFile {
    /// The settings in `text`, the content of `file`: TOML, or JSON where `file` ends so.
    ///
    /// # Errors
    ///
    /// Where it is not what its extension says.
    pub fn parse(file: &Path, text: &str) -> Result<Self, CaseError> {
        Self::parse_at(file, text).map_err(|malformed| CaseError {
            file: file.display().to_string(),
            line: malformed.position.map(|position| position.line),
            message: malformed.message,
        })
    }

    /// As [`SettingsFile::parse`], with the place of what is wrong.
    pub(in crate::policy) fn parse_at(file: &Path, text: &str) -> Result<Self, Malformed> {
        let format = Format::of(file);
        let json = format.parse(text)?;
        let written =
            WrittenSettings { file: file.to_owned(), format, text: Arc::from(text), within: vec![String::new()] };
        Ok(Self { json, written })
    }

    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &Json {
        &self.json
    }

    /// What is wrong with them, each with its place; nothing where `error` is not about them.
    #[must_use]
    pub fn explain(&self, error: &LoadError) -> Vec<PolicyProblem> {
        self.written.explain(error)
    }

    pub(in crate::policy) fn into_parts(self) -> (Json, WrittenSettings) {
        (self.json, self.written)
    }
}

impl WrittenSettings {
    /// The settings of the case with this number, from 0, in a file of cases: its own over those of the file.
    pub(in crate::policy) fn of_case(file: &str, text: &Arc<str>, index: usize) -> Self {
        let within = vec![format!("/case/{index}/settings"), "/settings".to_owned()];
        Self { file: file.into(), format: Format::Toml, text: Arc::clone(text), within }
    }

    /// The `[settings]` of a file that has more than them.
    pub(in crate::policy) fn of_question(file: &str, text: &str) -> Self {
        let within = vec!["/settings".to_owned()];
        Self { file: file.into(), format: Format::Toml, text: Arc::from(text), within }
    }

    /// What is wrong with them, each with its place, in the order of the file.
    pub(in crate::policy) fn explain(&self, error: &LoadError) -> Vec<PolicyProblem> {
        let LoadError::Settings(problems) = error else { return Vec::new() };
        let whole = self.format.parse(&self.text).unwrap_or_default();
        let mut explained: Vec<PolicyProblem> = problems.iter().map(|problem| self.place(&whole, problem)).collect();
        explained.sort_by_key(|problem| (problem.line, problem.column));
        explained
    }

    fn place(&self, whole: &Json, problem: &SettingsProblem) -> PolicyProblem {
        let setting = problem.setting().map(|setting| format!("/{setting}")).unwrap_or_default();
        let has = |within: &&String| whole.pointer(&format!("{within}{setting}")).is_some();
        let there = |within: &&String| within.is_empty() || whole.pointer(within).is_some();
        let mut within = self.within.iter();
        let within = within.clone().find(has).or_else(|| within.find(there));
        let pointer = within.map(|within| format!("{within}{}", problem.pointer));
        let position = pointer.as_ref().and_then(|pointer| self.format.locate(&self.text, pointer));
        PolicyProblem {
            file: Some(self.file.clone()),
            line: position.map(|position| position.line),
            column: position.map(|position| position.column),
            key: (!problem.pointer.is_empty()).then(|| problem.pointer.clone()),
            message: problem.message.clone(),
            found: pointer.as_ref().and_then(|pointer| whole.pointer(pointer)).and_then(found),
            expected: problem.expected.clone(),
            ..PolicyProblem::default()
        }
    }
}

/// A value as it is shown; a table says nothing that its place does not.
pub(in crate::policy) fn found(value: &Json) -> Option<String> {
    if value.is_object() {
        return None;
    }
    let text = value.to_string();
    if text.chars().count() <= FOUND_CHARACTERS_MAX {
        return Some(text);
    }
    Some(text.chars().take(FOUND_CHARACTERS_MAX).chain(['…']).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(pointer: &str) -> LoadError {
        let (pointer, message) = (pointer.to_owned(), "wrong".to_owned());
        LoadError::Settings(vec![SettingsProblem { pointer, message, expected: Some("a text".to_owned()) }])
    }

    #[test]
    fn names_file_line_key_and_what_was_found() {
        let file = SettingsFile::parse(Path::new("s.toml"), "a = 1\n[[rows]]\nb = [2]\n").unwrap();
        let told = file.explain(&problem("/rows/0/b")).remove(0).to_string();
        assert_eq!(told, "s.toml:3:1: /rows/0/b: wrong\n    found: [2]\n    expected: a text");
        let told = file.explain(&problem("/missing")).remove(0).to_string();
        assert_eq!(told, "s.toml:1:1: /missing: wrong\n    expected: a text");
    }

    #[test]
    fn of_a_case_finds_what_is_its_own_and_what_is_the_files() {
        let text = "[settings]\nshared = 1\nown = 2\n[[case]]\nname = \"n\"\nsettings.own = 3\n";
        let written = WrittenSettings::of_case("c.toml", &Arc::from(text), 0);
        let place = |pointer: &str| {
            let problem = written.explain(&problem(pointer)).remove(0);
            (problem.line, problem.found)
        };
        assert_eq!(place("/own"), (Some(6), Some("3".to_owned())));
        assert_eq!(place("/shared"), (Some(2), Some("1".to_owned())));
        // What is missing is missing in the case.
        assert_eq!(place("/none").0, Some(6));
    }
}
