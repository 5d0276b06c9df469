//! The contract in other words: `wit/policy.wit` as JSON Schema, as types for TypeScript and
//! for Python. All three are made of the WIT, so that they cannot say anything else.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use serde_json::{Map, Value, json};
use wit_parser::{Docs, Resolve, Type, TypeDef, TypeDefKind, TypeId, TypeOwner};

/// The hooks' interfaces, in the order of a login.
const HOOKS: [&str; 8] = ["route", "admit", "profile", "groups", "provision", "session", "access", "logout"];

/// `wit/policy.wit`, read.
pub struct Contract {
    resolve: Resolve,
    hooks: Vec<Hook>,
    /// Types of questions and answers, each after those that it is made of.
    types: Vec<TypeId>,
    /// Those of them that an answer may hold.
    answered: BTreeSet<TypeId>,
}

/// One hook's function.
struct Hook {
    name: &'static str,
    parameters: Vec<(String, Type)>,
    answer: Type,
    fault: TypeId,
    docs: String,
}

impl Contract {
    /// Reads the folder `wit`.
    #[must_use]
    pub fn read() -> Self {
        let mut resolve = Resolve::default();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        let (package, _) = resolve.push_path(folder).unwrap_or_else(|error| panic!("{error:#}"));
        let hooks: Vec<Hook> = HOOKS.iter().map(|name| hook(&resolve, package, name)).collect();
        let (mut asked, mut answered) = (BTreeSet::new(), BTreeSet::new());
        for hook in &hooks {
            hook.parameters.iter().for_each(|(_, ty)| reach(&resolve, ty, &mut asked));
            reach(&resolve, &hook.answer, &mut answered);
            reach(&resolve, &Type::Id(hook.fault), &mut answered);
        }
        // The arena has them in the order in which they build on each other.
        let is_part = |id: &TypeId| asked.contains(id) || answered.contains(id);
        let types = resolve.types.iter().map(|(id, _)| id).filter(is_part).collect();
        Self { resolve, hooks, types, answered }
    }

    /// JSON Schema: a definition for each type, `HOOK.question` and `HOOK.answer`.
    #[must_use]
    pub fn schema(&self) -> String {
        let mut defs = Map::new();
        for id in &self.types {
            let def = self.def(*id);
            let mut schema = self.type_schema(def);
            if let (Some(docs), Some(object)) = (&def.docs.contents, schema.as_object_mut()) {
                object.insert("description".to_owned(), json!(docs.trim()));
            }
            defs.insert(self.name(*id), schema);
        }
        for hook in &self.hooks {
            let fields: Vec<_> = hook.parameters.iter().map(|(name, ty)| (name.as_str(), *ty, "")).collect();
            let mut question = self.object(&fields, true);
            question["description"] = json!(hook.docs);
            defs.insert(format!("{}.question", hook.name), question);
            let answer = json!({ "anyOf": [
                single("ok", self.schema_of(&hook.answer)),
                single("err", self.schema_of(&Type::Id(hook.fault))),
            ] });
            defs.insert(format!("{}.answer", hook.name), answer);
        }
        let mut schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "vestibule:policy@0.1.0",
            "description": "Questions and answers in JSON. Generated from policy.wit.",
            "$defs": defs,
        });
        schema.sort_all_objects();
        format!("{schema:#}\n")
    }

    /// A declaration file for TypeScript.
    #[must_use]
    pub fn typescript(&self) -> String {
        let mut text = String::from(
            "// Generated from wit/policy.wit. The same names and shapes as in the JSON; what may be left out of an answer\n\
             // is null where it is none in a question.\n",
        );
        for id in &self.types {
            let def = self.def(*id);
            push_comment(&mut text, "", &def.docs);
            let name = pascal(&self.name(*id));
            match &def.kind {
                TypeDefKind::Record(record) => {
                    let _ = writeln!(text, "export interface {name} {{");
                    for field in &record.fields {
                        push_comment(&mut text, "    ", &field.docs);
                        let may_miss = self.answered.contains(id) && self.is_option(&field.ty);
                        let mark = if may_miss { "?" } else { "" };
                        let _ = writeln!(text, "    {}{mark}: {};", quoted(&field.name), self.ts(&field.ty));
                    }
                    text.push_str("}\n");
                }
                TypeDefKind::Variant(variant) => {
                    let _ = writeln!(text, "export type {name} =");
                    for case in &variant.cases {
                        push_comment(&mut text, "    ", &case.docs);
                        let _ = match &case.ty {
                            None => writeln!(text, "    | \"{}\"", case.name),
                            Some(ty) => writeln!(text, "    | {{ {}: {} }}", quoted(&case.name), self.ts(ty)),
                        };
                    }
                    end_union(&mut text);
                }
                TypeDefKind::Enum(cases) => {
                    let names: Vec<_> = cases.cases.iter().map(|case| format!("\"{}\"", case.name)).collect();
                    let _ = writeln!(text, "export type {name} = {};", names.join(" | "));
                }
                other => panic!("{name}: {}", other.as_str()),
            }
        }
        for hook in &self.hooks {
            let name = pascal(hook.name);
            push_text(&mut text, "", &hook.docs);
            let _ = writeln!(text, "export interface {name}Question {{");
            for (field, ty) in &hook.parameters {
                let _ = writeln!(text, "    {}: {};", quoted(field), self.ts(ty));
            }
            let _ = writeln!(text, "}}\nexport type {name}Answer = {};", self.ts(&hook.answer));
        }
        let names: Vec<_> = HOOKS.iter().map(|name| format!("\"{name}\"")).collect();
        let _ = writeln!(text, "export type Hook = {};", names.join(" | "));
        text
    }

    /// A module for Python.
    #[must_use]
    pub fn python(&self) -> String {
        let mut text = String::from(
            "\"\"\"Questions and answers. Generated from wit/policy.wit.\n\n\
             The same names and shapes as in the JSON; what may be left out of an answer is None where it is none in a\n\
             question.\n\"\"\"\n\n\
             from typing import Literal, NotRequired, TypedDict, Union\n",
        );
        for id in &self.types {
            let def = self.def(*id);
            text.push('\n');
            push_hashes(&mut text, "", &def.docs);
            let name = pascal(&self.name(*id));
            match &def.kind {
                TypeDefKind::Record(record) => {
                    let _ = writeln!(text, "{name} = TypedDict(\"{name}\", {{");
                    for field in &record.fields {
                        push_hashes(&mut text, "    ", &field.docs);
                        let ty = self.py(&field.ty);
                        let may_miss = self.answered.contains(id) && self.is_option(&field.ty);
                        let ty = if may_miss { format!("NotRequired[{ty}]") } else { ty };
                        let _ = writeln!(text, "    \"{}\": {ty},", field.name);
                    }
                    text.push_str("})\n");
                }
                TypeDefKind::Variant(variant) => {
                    let mut union = format!("{name} = Union[\n");
                    for case in &variant.cases {
                        push_hashes(&mut union, "    ", &case.docs);
                        let Some(ty) = &case.ty else {
                            let _ = writeln!(union, "    Literal[\"{}\"],", case.name);
                            continue;
                        };
                        // A type checker knows no class that has no name of its own.
                        let own = format!("{name}{}", pascal(&case.name));
                        let _ = writeln!(text, "{own} = TypedDict(\"{own}\", {{\"{}\": {}}})", case.name, self.py(ty));
                        let _ = writeln!(union, "    {own},");
                    }
                    text.push_str(&union);
                    text.push_str("]\n");
                }
                TypeDefKind::Enum(cases) => {
                    let names: Vec<_> = cases.cases.iter().map(|case| format!("\"{}\"", case.name)).collect();
                    let _ = writeln!(text, "{name} = Literal[{}]", names.join(", "));
                }
                other => panic!("{name}: {}", other.as_str()),
            }
        }
        for hook in &self.hooks {
            let name = pascal(hook.name);
            text.push('\n');
            push_hash_lines(&mut text, "", &hook.docs);
            let _ = writeln!(text, "{name}Question = TypedDict(\"{name}Question\", {{");
            for (field, ty) in &hook.parameters {
                let _ = writeln!(text, "    \"{field}\": {},", self.py(ty));
            }
            let _ = writeln!(text, "}})\n{name}Answer = {}", self.py(&hook.answer));
        }
        let names: Vec<_> = HOOKS.iter().map(|name| format!("\"{name}\"")).collect();
        let _ = writeln!(text, "\nHook = Literal[{}]", names.join(", "));
        text
    }

    fn def(&self, id: TypeId) -> &TypeDef {
        &self.resolve.types[id]
    }

    /// `claim` for a type of `types`, `admit.verdict` for one of a hook's own.
    fn name(&self, id: TypeId) -> String {
        let def = self.def(id);
        let TypeOwner::Interface(owner) = def.owner else { panic!("a type without an interface") };
        let owner = self.resolve.interfaces[owner].name.as_deref().unwrap_or_default();
        let name = def.name.as_deref().unwrap_or_default();
        if owner == "types" { name.to_owned() } else { format!("{owner}.{name}") }
    }

    fn is_option(&self, ty: &Type) -> bool {
        matches!(ty, Type::Id(id) if matches!(self.def(*id).kind, TypeDefKind::Option(_)))
    }

    fn type_schema(&self, def: &TypeDef) -> Value {
        match &def.kind {
            TypeDefKind::Record(record) => {
                let fields: Vec<_> = record
                    .fields
                    .iter()
                    .map(|field| (field.name.as_str(), field.ty, field.docs.contents.as_deref().unwrap_or_default()))
                    .collect();
                self.object(&fields, false)
            }
            TypeDefKind::Variant(variant) => {
                let (plain, full): (Vec<_>, Vec<_>) = variant.cases.iter().partition(|case| case.ty.is_none());
                let names: Vec<_> = plain.iter().map(|case| case.name.as_str()).collect();
                let plain = (!names.is_empty()).then(|| json!({ "enum": names }));
                let full = full.iter().filter_map(|case| Some(single(&case.name, self.schema_of(case.ty.as_ref()?))));
                json!({ "anyOf": plain.into_iter().chain(full).collect::<Vec<_>>() })
            }
            TypeDefKind::Enum(cases) => {
                json!({ "enum": cases.cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>() })
            }
            other => panic!("{}", other.as_str()),
        }
    }

    fn object(&self, fields: &[(&str, Type, &str)], all: bool) -> Value {
        let properties: Map<String, Value> = fields
            .iter()
            .map(|(name, ty, docs)| {
                let mut schema = self.schema_of(ty);
                if let (false, Some(object)) = (docs.is_empty(), schema.as_object_mut()) {
                    object.insert("description".to_owned(), json!(docs.trim()));
                }
                ((*name).to_owned(), schema)
            })
            .collect();
        let required: Vec<_> =
            fields.iter().filter(|(_, ty, _)| all || !self.is_option(ty)).map(|(name, ..)| *name).collect();
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }

    fn schema_of(&self, ty: &Type) -> Value {
        match ty {
            Type::Bool => json!({ "type": "boolean" }),
            Type::U32 => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
            Type::U64 => json!({ "type": "integer", "minimum": 0 }),
            Type::S64 => json!({ "type": "integer" }),
            Type::F64 => json!({ "type": "number" }),
            Type::String => json!({ "type": "string" }),
            Type::Id(id) => match &self.def(*id).kind {
                TypeDefKind::Option(inner) => json!({ "anyOf": [{ "type": "null" }, self.schema_of(inner)] }),
                TypeDefKind::List(inner) => json!({ "type": "array", "items": self.schema_of(inner) }),
                TypeDefKind::Type(inner) => self.schema_of(inner),
                _ => json!({ "$ref": format!("#/$defs/{}", self.name(*id)) }),
            },
            other => panic!("{other:?}"),
        }
    }

    fn ts(&self, ty: &Type) -> String {
        match ty {
            Type::Bool => "boolean".to_owned(),
            Type::U32 | Type::U64 | Type::S64 | Type::F64 => "number".to_owned(),
            Type::String => "string".to_owned(),
            Type::Id(id) => match &self.def(*id).kind {
                TypeDefKind::Option(inner) => format!("{} | null", self.ts(inner)),
                TypeDefKind::List(inner) => format!("{}[]", self.ts(inner)),
                TypeDefKind::Type(inner) => self.ts(inner),
                _ => pascal(&self.name(*id)),
            },
            other => panic!("{other:?}"),
        }
    }

    fn py(&self, ty: &Type) -> String {
        match ty {
            Type::Bool => "bool".to_owned(),
            Type::U32 | Type::U64 | Type::S64 => "int".to_owned(),
            Type::F64 => "float".to_owned(),
            Type::String => "str".to_owned(),
            Type::Id(id) => match &self.def(*id).kind {
                TypeDefKind::Option(inner) => format!("Union[{}, None]", self.py(inner)),
                TypeDefKind::List(inner) => format!("list[{}]", self.py(inner)),
                TypeDefKind::Type(inner) => self.py(inner),
                _ => pascal(&self.name(*id)),
            },
            other => panic!("{other:?}"),
        }
    }
}

fn hook(resolve: &Resolve, package: wit_parser::PackageId, name: &'static str) -> Hook {
    let interface = &resolve.interfaces[resolve.packages[package].interfaces[name]];
    let function = interface.functions.values().next().expect("a function");
    let result = match function.result {
        Some(Type::Id(id)) => resolve.types[id].kind.clone(),
        _ => panic!("{name} answers with a result"),
    };
    let TypeDefKind::Result(wit_parser::Result_ { ok: Some(answer), err: Some(Type::Id(fault)) }) = result else {
        panic!("{name} answers with a value or a fault")
    };
    Hook {
        name,
        parameters: function.params.iter().map(|param| (param.name.clone(), param.ty)).collect(),
        answer,
        fault: real(resolve, fault),
        docs: interface.docs.contents.as_deref().unwrap_or_default().trim().to_owned(),
    }
}

/// The type behind the names under which interfaces use it.
fn real(resolve: &Resolve, id: TypeId) -> TypeId {
    match resolve.types[id].kind {
        TypeDefKind::Type(Type::Id(inner)) => real(resolve, inner),
        _ => id,
    }
}

/// Adds the named types that `ty` is made of.
fn reach(resolve: &Resolve, ty: &Type, reached: &mut BTreeSet<TypeId>) {
    let Type::Id(id) = ty else { return };
    match &resolve.types[*id].kind {
        TypeDefKind::Option(inner) | TypeDefKind::List(inner) | TypeDefKind::Type(inner) => {
            reach(resolve, inner, reached)
        }
        TypeDefKind::Record(record) => {
            if reached.insert(*id) {
                record.fields.iter().for_each(|field| reach(resolve, &field.ty, reached));
            }
        }
        TypeDefKind::Variant(variant) => {
            if reached.insert(*id) {
                variant.cases.iter().filter_map(|case| case.ty.as_ref()).for_each(|ty| reach(resolve, ty, reached));
            }
        }
        TypeDefKind::Enum(_) => {
            reached.insert(*id);
        }
        other => panic!("{}", other.as_str()),
    }
}

fn single(name: &str, schema: Value) -> Value {
    json!({ "type": "object", "properties": { name: schema }, "required": [name], "additionalProperties": false })
}

/// `admit.step-up` as `AdmitStepUp`.
fn pascal(name: &str) -> String {
    let capital = |part: &str| {
        let (first, rest) = part.split_at(1);
        first.to_uppercase() + rest
    };
    name.split(['.', '-']).map(capital).collect()
}

fn quoted(name: &str) -> String {
    if name.contains('-') { format!("\"{name}\"") } else { name.to_owned() }
}

/// The union's last line ends the statement.
fn end_union(text: &mut String) {
    if text.ends_with('\n') {
        text.pop();
    }
    text.push_str(";\n");
}

fn push_comment(text: &mut String, indent: &str, docs: &Docs) {
    if let Some(docs) = &docs.contents {
        push_text(text, indent, docs.trim());
    }
}

fn push_text(text: &mut String, indent: &str, docs: &str) {
    let _ = writeln!(text, "{indent}/** {} */", docs.replace('\n', &format!("\n{indent} *  ")));
}

fn push_hashes(text: &mut String, indent: &str, docs: &Docs) {
    if let Some(docs) = &docs.contents {
        push_hash_lines(text, indent, docs.trim());
    }
}

fn push_hash_lines(text: &mut String, indent: &str, docs: &str) {
    for line in docs.lines() {
        let _ = writeln!(text, "{indent}# {line}");
    }
}
