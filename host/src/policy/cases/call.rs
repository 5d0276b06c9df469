//! One question that somebody wrote down, without an expectation: `vestibule policy call`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{
    ask::ask_in_time,
    compare::{self, Outcome},
    form::{self, CaseError, Input, InputForm, Question},
};
use crate::{
    decision::{DenyCode, Hook},
    policy::{
        Component, Engine, LoadError, LoadedPolicy, PolicyProblem, SettingsFile,
        locate::{self, Format},
        settings_file::WrittenSettings,
    },
};

/// A question, ready to be asked.
#[derive(Clone, Debug)]
pub struct Call {
    hook: Hook,
    input: Box<Input>,
    settings: Option<Json>,
    /// Where the settings are written.
    written: WrittenSettings,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Called {
    /// The hook that was asked.
    pub hook: String,
    /// The answer under the keys that a case's `expect` has; none where the hook failed.
    pub answer: Option<Map<String, Json>>,
    /// Why there is no answer.
    pub failed: Option<CallFailed>,
    /// Instructions that the hook took.
    pub fuel: u64,
    /// What the policy logged.
    pub log: Vec<String>,
}

/// Why a hook did not answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CallFailed {
    /// The host's code.
    pub code: String,
    /// What the host says of it.
    pub detail: String,
    /// The fault's kind, where the policy returned one.
    pub fault: Option<String>,
}

/// A question without an expectation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct QuestionForm {
    settings: Option<toml::Table>,
    input: Option<InputForm>,
}

impl Call {
    /// Reads a question to `hook` from `text`, the content of `file`: `[settings]` and `[input]`,
    /// as a case has them, or a file of cases of which `case` names one.
    ///
    /// # Errors
    ///
    /// Where it is malformed, or has no such case.
    pub fn read(hook: Hook, file: &str, text: &str, case: Option<&str>) -> Result<Self, CaseError> {
        let refuse = |message: String| CaseError { file: file.to_owned(), line: None, message };
        let malformed = |error: &toml::de::Error| {
            let malformed = locate::malformed_toml(text, error);
            CaseError {
                file: file.to_owned(),
                line: malformed.position.map(|position| position.line),
                message: malformed.message,
            }
        };
        let table: toml::Table = toml::from_str(text).map_err(|error| malformed(&error))?;
        if table.contains_key("case") {
            return Self::of_cases(hook, file, text, case);
        }
        if let Some(case) = case {
            return Err(refuse(format!("the file has no cases, and so none that is called `{case}`")));
        }
        let form: QuestionForm = toml::from_str(text).map_err(|error| malformed(&error))?;
        let input = form.input.unwrap_or_default().build(hook).map_err(|message| CaseError {
            line: Format::Toml.locate(text, "/input").map(|position| position.line),
            ..refuse(message)
        })?;
        let settings = form.settings.map(|settings| locate::json_of(&toml::Value::Table(settings)));
        Ok(Self { hook, input: Box::new(input), settings, written: WrittenSettings::of_question(file, text) })
    }

    fn of_cases(hook: Hook, file: &str, text: &str, name: Option<&str>) -> Result<Self, CaseError> {
        let cases = form::parse(file, text)?;
        let names: Vec<String> = cases
            .iter()
            .filter(|case| matches!(case.question, Question::Hook(of, _) if of == hook))
            .map(|case| format!("`{}`", case.name))
            .collect();
        let refuse = |what: String| CaseError {
            file: file.to_owned(),
            line: None,
            message: if names.is_empty() {
                format!("{what}; the file has no case for the hook `{hook}`")
            } else {
                format!("{what}; its cases for the hook `{hook}` are {}", names.join(", "))
            },
        };
        let Some(name) = name else { return Err(refuse("a file of cases needs the name of one".to_owned())) };
        let case = cases.into_iter().find(|case| case.name == name);
        let Some(case) = case else { return Err(refuse(format!("the file has no case `{name}`"))) };
        match case.question {
            Question::Hook(of, input) if of == hook => {
                Ok(Self { hook, input, settings: case.settings, written: case.written })
            }
            Question::Hook(of, _) => Err(refuse(format!("the case `{name}` asks the hook `{of}`, not `{hook}`"))),
            Question::Configure => Err(refuse(format!("the case `{name}` asks no hook, it loads settings only"))),
        }
    }

    /// With these settings in place of the file's.
    ///
    /// # Errors
    ///
    /// Where `text`, the content of the settings file `file`, is not what its extension says.
    pub fn with_settings(mut self, file: &std::path::Path, text: &str) -> Result<Self, CaseError> {
        let (settings, written) = SettingsFile::parse(file, text)?.into_parts();
        self.settings = Some(settings);
        self.written = written;
        Ok(self)
    }

    /// What is wrong with the settings, each with its place; nothing where `error` is not about them.
    #[must_use]
    pub fn explain(&self, error: &LoadError) -> Vec<PolicyProblem> {
        self.written.explain(error)
    }

    /// Asks `component`. Takes up to the compile timeout, then up to the deadline of a decision.
    ///
    /// # Errors
    ///
    /// Where it does not take the settings.
    pub fn ask(&self, engine: &Engine, component: &Component) -> Result<Called, LoadError> {
        let mut called =
            Called { hook: self.hook.name().to_owned(), answer: None, failed: None, fuel: 0, log: Vec::new() };
        if !component.manifest().hooks.contains(&self.hook) {
            let detail = format!("the policy has no hook `{}`", self.hook);
            called.failed = Some(CallFailed { code: DenyCode::NoPolicy.name().to_owned(), detail, fault: None });
            return Ok(called);
        }
        let settings = self.settings.clone().unwrap_or_else(|| Json::Object(Map::new()));
        let policy = LoadedPolicy::load_case(engine, component, &settings)?;
        let (outcome, fuel) = ask_in_time(&policy, self.hook, &self.input);
        called.fuel = fuel;
        match outcome {
            Outcome::Answered(answered) => {
                called.answer = Some(compare::answer(self.hook, &answered));
                called.log = answered.log;
            }
            Outcome::Failed(failed) => {
                called.log = failed.log;
                called.failed = Some(CallFailed { code: failed.code, detail: failed.detail, fault: failed.fault });
            }
            // A hook was asked: it answered or failed.
            Outcome::Configured | Outcome::Problems(_) | Outcome::NotLoaded(_) => {}
        }
        Ok(called)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture;

    fn component(engine: &Engine) -> Component {
        Component::check(engine, &fixture::policy("0.1.0", &[])).unwrap()
    }

    fn engine() -> Engine {
        crate::policy::testing::engine(|_| {})
    }

    #[test]
    fn asks_what_a_file_says_with_its_settings_or_with_others() {
        let engine = engine();
        let text = "[settings]\nmark = \"deny-all\"\n[input.identity]\nsubject = \"ann\"\n";
        let call = Call::read(Hook::Admit, "q.toml", text, None).unwrap();
        let called = call.ask(&engine, &component(&engine)).unwrap();
        let answer = called.answer.unwrap();
        assert_eq!((&answer["verdict"], &answer["reason"]), (&Json::from("deny"), &Json::from("deny-all")));
        assert!(called.fuel > 0 && called.failed.is_none());
        let other = call.clone().with_settings("s.json".as_ref(), "{\"mark\": \"yes\"}").unwrap();
        assert_eq!(other.ask(&engine, &component(&engine)).unwrap().answer.unwrap()["verdict"], "allow");
        let trap = call.with_settings("s.toml".as_ref(), "mark = \"trap\"").unwrap();
        let called = trap.ask(&engine, &component(&engine)).unwrap();
        assert_eq!((called.answer, called.failed.unwrap().code.as_str()), (None, "policy-trapped"));
    }

    #[test]
    fn chooses_a_case_by_its_name_and_names_those_that_there_are() {
        let text = "[[case]]\nname = \"one\"\nhook = \"admit\"\nsettings = { mark = \"deny-it\" }\nexpect.verdict = \"deny\"\n\
                    [[case]]\nname = \"two\"\nhook = \"groups\"\nexpect.leave = false\n";
        let engine = engine();
        let call = Call::read(Hook::Admit, "c.toml", text, Some("one")).unwrap();
        assert_eq!(call.ask(&engine, &component(&engine)).unwrap().answer.unwrap()["reason"], "deny-it");
        for (case, part) in [(None, "`one`"), (Some("three"), "`three`"), (Some("two"), "asks the hook `groups`")] {
            let error = Call::read(Hook::Admit, "c.toml", text, case).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("c.toml"), "{error}");
        }
    }

    #[test]
    fn a_hook_that_the_policy_has_not_is_no_answer() {
        let engine = engine();
        let component = component(&engine);
        let lacking = Hook::ALL.into_iter().filter(|hook| !component.manifest().hooks.contains(hook));
        for hook in lacking {
            let called = Call::read(hook, "q.toml", "", None).unwrap().ask(&engine, &component).unwrap();
            let failed = called.failed.unwrap();
            assert_eq!((called.answer, failed.code.as_str()), (None, "no-policy"), "{hook}");
            assert!(failed.detail.contains(hook.name()), "{}", failed.detail);
        }
    }

    #[test]
    fn settings_that_are_not_taken_are_told_with_their_place() {
        let engine = engine();
        let told = |call: Call| {
            let error = call.ask(&engine, &component(&engine)).unwrap_err();
            call.explain(&error).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let question = "[input.identity]\nsubject = \"ann\"\n\n[settings]\nmrak = \"yes\"\nmark = 1\n";
        let call = Call::read(Hook::Admit, "q.toml", question, None).unwrap();
        let both = told(call.clone());
        for part in ["q.toml:5:1: /mrak: no such setting", "did you mean `mark`?", "q.toml:6:1: /mark: ", "found: 1"] {
            assert!(both.contains(part), "{part}: {both}");
        }
        assert!(both.contains("expected: a value of the type string"), "{both}");
        let json = told(call.with_settings("s.json".as_ref(), "{\n \"mark\": \"X\"}").unwrap());
        assert!(json.starts_with("s.json:2:10: /mark: ") && json.contains("a text that fits ^[a-z0-9-]+$"), "{json}");
        let text = "[settings]\nmark = 7\n[[case]]\nname = \"one\"\nhook = \"admit\"\nexpect.verdict = \"deny\"\n";
        let case = told(Call::read(Hook::Admit, "c.toml", text, Some("one")).unwrap());
        assert!(case.starts_with("c.toml:2:1: /mark: "), "{case}");
    }

    #[test]
    fn refuses_what_is_no_question_and_says_where() {
        for (text, line, part) in [
            ("[input]\nidntity = {}\n", Some(2), "idntity"),
            ("[inptu]\n", Some(1), "inptu"),
            ("[input.plan]\nreplace = true\n", Some(1), "input.plan"),
            ("input =", Some(1), ""),
        ] {
            let error = Call::read(Hook::Admit, "q.toml", text, None).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
        let error = Call::read(Hook::Admit, "q.toml", "", Some("x")).unwrap_err();
        assert!(error.to_string().contains("no cases"), "{error}");
    }
}
