//! The settings of a new project's rules, in each of the forms in which a project has them.

use serde_json::{Value, json};

use crate::decision::Hook;

/// One setting.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) documentation: &'static str,
    pub(super) kind: Kind,
}

impl Setting {
    /// Its JSON Schema, with `kind` for the type.
    fn schema(&self, mut kind: Value) -> Value {
        if let Value::Object(schema) = &mut kind {
            schema.insert("description".to_owned(), Value::from(self.documentation));
        }
        kind
    }

    /// Its JSON Schema, as schemars derives it.
    pub(super) fn schema_in_rust(&self) -> Value {
        self.schema(self.kind.schema())
    }

    /// Its JSON Schema where nothing but the schema says how large a number may be.
    pub(super) fn schema_alone(&self) -> Value {
        self.schema(match self.kind {
            Kind::Seconds(seconds) => {
                json!({ "default": seconds, "type": "integer", "minimum": 0, "maximum": u32::MAX })
            }
            _ => self.kind.schema(),
        })
    }
}

/// A setting's type, and its default.
pub(super) enum Kind {
    Text(&'static str),
    Texts(&'static [&'static str]),
    Seconds(u32),
    Flag(bool),
}

/// The setting of each hook's rule.
pub(super) const fn settings(hook: Hook) -> &'static [Setting] {
    match hook {
        Hook::Route => &[Setting {
            name: "upstream",
            documentation: "The upstream that authenticates everybody, by its id. Empty: no opinion.",
            kind: Kind::Text(""),
        }],
        Hook::Admit => &[Setting {
            name: "allowed-domains",
            documentation: "Domains whose verified addresses may log in, separated by `;`.",
            kind: Kind::Text("example.com"),
        }],
        Hook::Profile => &[Setting {
            name: "lower-case-usernames",
            documentation: "Write usernames in lower case.",
            kind: Kind::Flag(true),
        }],
        Hook::Groups => &[Setting {
            name: "default-groups",
            documentation: "Groups that everybody gets.",
            kind: Kind::Texts(&["users"]),
        }],
        Hook::Provision => &[Setting {
            name: "creation-needs-group",
            documentation: "A group without which no account is created. Empty: none is needed.",
            kind: Kind::Text(""),
        }],
        Hook::Session => &[Setting {
            name: "lifetime-s",
            documentation: "Seconds after which a session ends, whatever happens.",
            kind: Kind::Seconds(14_400),
        }],
        Hook::Access => &[
            Setting {
                name: "protected-paths",
                documentation: "Paths that want a fresh authentication. `*` stands for any text.",
                kind: Kind::Texts(&["/admin/*"]),
            },
            Setting {
                name: "max-age-s",
                documentation: "How fresh: at most so many seconds ago.",
                kind: Kind::Seconds(600),
            },
        ],
        Hook::Logout => &[Setting {
            name: "logout-at-upstream",
            documentation: "End the session at the upstream, too.",
            kind: Kind::Flag(true),
        }],
    }
}

impl Kind {
    /// The default as TOML.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Texts(texts) => format!("{texts:?}"),
            Self::Seconds(seconds) => seconds.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }

    /// The type in Rust.
    pub(super) const fn in_rust(&self) -> &'static str {
        match self {
            Self::Text(_) => "String",
            Self::Texts(_) => "Vec<String>",
            Self::Seconds(_) => "u32",
            Self::Flag(_) => "bool",
        }
    }

    /// The default in Rust.
    pub(super) fn default_in_rust(&self) -> String {
        match self {
            Self::Text("") => "String::new()".to_owned(),
            Self::Text(text) => format!("{text:?}.to_owned()"),
            Self::Texts(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}.to_owned()")).collect();
                format!("vec![{}]", texts.join(", "))
            }
            Self::Seconds(_) | Self::Flag(_) => self.written(),
        }
    }

    /// The JSON Schema, as schemars derives it.
    fn schema(&self) -> Value {
        match self {
            Self::Text(text) => json!({ "default": text, "type": "string" }),
            Self::Texts(texts) => json!({ "default": texts, "items": { "type": "string" }, "type": "array" }),
            Self::Seconds(seconds) => {
                json!({ "default": seconds, "format": "uint32", "minimum": 0, "type": "integer" })
            }
            Self::Flag(flag) => json!({ "default": flag, "type": "boolean" }),
        }
    }
}
