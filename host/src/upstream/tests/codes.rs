//! Every code that the source names is documented, and the reverse.

use std::collections::BTreeSet;

use regex::Regex;

#[test]
fn every_code_has_a_row_and_every_row_a_code() {
    let sources = [
        include_str!("../authorize.rs"),
        include_str!("../callback.rs"),
        include_str!("../discovery.rs"),
        include_str!("../email.rs"),
        include_str!("../ended.rs"),
        include_str!("../exchange.rs"),
        include_str!("../fetch.rs"),
        include_str!("../groups.rs"),
        include_str!("../jwks.rs"),
        include_str!("../../jose/key.rs"),
        include_str!("../local.rs"),
        include_str!("../logout.rs"),
        include_str!("../mod.rs"),
        include_str!("../oauth2.rs"),
        include_str!("../oidc.rs"),
        include_str!("../tell.rs"),
        include_str!("../token.rs"),
        include_str!("../userinfo.rs"),
        include_str!("../verify.rs"),
    ];
    let find = |pattern: &str| {
        let pattern = Regex::new(pattern).unwrap();
        sources
            .iter()
            .flat_map(|source| pattern.captures_iter(source).map(|found| found[1].to_owned()).collect::<Vec<_>>())
            .collect::<BTreeSet<String>>()
    };
    let named = find(r#"(?:refuse\(\s*|=> |_UNSUPPORTED: &str = )"([a-z0-9]+(?:-[a-z0-9]+)+)"[,;\n]"#);
    let documented = find(r"//! \| `([a-z0-9-]+)` \|");
    assert_eq!(named, documented);
    assert!(named.len() > 80);
}
