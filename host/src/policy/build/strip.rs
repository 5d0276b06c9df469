//! Takes off a component what only its maker needed: the names of its functions, and the
//! export by which componentize-py set the interpreter up.

use wasm_encoder::{
    Component, ComponentExportKind, ComponentExportSection, ComponentInstanceSection, ComponentSectionId, RawSection,
};
use wasmparser::{ComponentExport, ComponentExternalKind, Parser, Payload};

/// componentize-py leaves this instance behind; nothing calls it once the component is made.
const LEFT_BEHIND: &str = "exports";

/// `bytes` without it. Sections that are kept are kept as they are.
///
/// # Errors
///
/// Where they are no component, or one that would have to be understood to be changed.
pub(super) fn component(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut component = Component::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| error.to_string())?;
        let is_outermost = depth == 0;
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !is_outermost {
            continue;
        }
        match payload {
            Payload::ComponentExportSection(section) => {
                for export in section {
                    push_export(&mut component, &export.map_err(|error| error.to_string())?)?;
                }
            }
            Payload::CustomSection(_) => {}
            // Both tell of their insides one by one; here they are taken whole.
            Payload::ModuleSection { unchecked_range, .. } => {
                push_raw(&mut component, ComponentSectionId::CoreModule as u8, bytes.get(unchecked_range))?;
            }
            Payload::ComponentSection { unchecked_range, .. } => {
                push_raw(&mut component, ComponentSectionId::Component as u8, bytes.get(unchecked_range))?;
            }
            payload => {
                if let Some((id, range)) = payload.as_section() {
                    push_raw(&mut component, id, bytes.get(range))?;
                }
            }
        }
    }
    Ok(component.finish())
}

fn push_raw(component: &mut Component, id: u8, data: Option<&[u8]>) -> Result<(), String> {
    let data = data.ok_or_else(|| "a section is cut".to_owned())?;
    component.section(&RawSection { id, data });
    Ok(())
}

fn push_export(component: &mut Component, export: &ComponentExport<'_>) -> Result<(), String> {
    let kind = match export.kind {
        ComponentExternalKind::Instance => ComponentExportKind::Instance,
        other => return Err(format!("it exports {other:?}, where a policy exports instances alone")),
    };
    if export.ty.is_some() {
        return Err("it says of an export of which type it is".to_owned());
    }
    if export.name.name == LEFT_BEHIND {
        // An export counts as one more instance: so that what follows keeps its number, an
        // empty one takes its place.
        let mut instances = ComponentInstanceSection::new();
        let nothing: [(&str, ComponentExportKind, u32); 0] = [];
        instances.export_items(nothing);
        component.section(&instances);
        return Ok(());
    }
    let mut exports = ComponentExportSection::new();
    exports.export(export.name.name, kind, export.index, None);
    component.section(&exports);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_the_same_component_with_one_export_less() {
        let with = wat::parse_str(
            "(component
                (core module $m (func (export \"f\") (result i32) (i32.const 7)))
                (core instance $i (instantiate $m))
                (func $f (result u32) (canon lift (core func $i \"f\")))
                (instance $left (export \"f\" (func $f)))
                (export \"exports\" (instance $left))
                (instance $kept (export \"f\" (func $f)))
                (export \"test:test/kept\" (instance $kept))
                (@custom \"name\" \"x\"))",
        )
        .unwrap();
        let without = component(&with).unwrap();
        wasmparser::Validator::new().validate_all(&without).unwrap();
        let names = |bytes: &[u8]| {
            let mut names = Vec::new();
            for payload in Parser::new(0).parse_all(bytes) {
                if let Payload::ComponentExportSection(section) = payload.unwrap() {
                    names.extend(section.into_iter().map(|export| export.unwrap().name.name.to_owned()));
                }
            }
            names
        };
        assert_eq!(names(&with), ["exports", "test:test/kept"]);
        assert_eq!(names(&without), ["test:test/kept"]);
        assert!(without.len() < with.len());
    }

    #[test]
    fn refuses_what_is_no_component_or_is_cut() {
        assert!(component(b"").is_err());
        assert!(component(b"\0asm\x0d\0\x01").is_err());
    }
}
