//! Every recipe of `docs/cookbook.md`, through the sandbox, as an operator would try it.

use std::{fs, process::Command};

use tempfile::TempDir;
use vestibule_tests::process::{root, vestibule};

struct Recipe<'a> {
    title: &'a str,
    policy: &'a str,
    block: &'a str,
}

fn recipes(page: &str) -> Vec<Recipe<'_>> {
    let parts = page.split("\n## ").skip(1);
    parts
        .map(|part| {
            let title = part.lines().next().unwrap_or_default();
            let policy = part.split("\nPolicy: `").nth(1).and_then(|rest| rest.split('`').next());
            let block = part.split("\n```toml\n").nth(1).and_then(|rest| rest.split("\n```").next());
            match (policy, block) {
                (Some(policy), Some(block)) => Recipe { title, policy, block },
                _ => panic!("{title}: a recipe names its policy and has a block"),
            }
        })
        .collect()
}

#[test]
fn every_recipe_does_what_it_says() {
    let page = fs::read_to_string(root().join("docs/cookbook.md")).expect("the page");
    let recipes = recipes(&page);
    assert!(recipes.len() >= 15, "{}", recipes.len());
    for Recipe { title, policy, block } in recipes {
        let folder = TempDir::new().expect("a folder");
        let component = folder.path().join(format!("{policy}.wasm"));
        fs::copy(root().join(format!("policies/target/components/{policy}.wasm")), &component)
            .unwrap_or_else(|error| panic!("{policy}: {error}: run `make policies`"));
        let cases = folder.path().join(format!("{policy}.cases"));
        fs::create_dir(&cases).expect("a folder");
        fs::write(cases.join("recipe.toml"), block).expect("a file");
        let output =
            Command::new(vestibule()).args(["policy", "test", "--json"]).arg(&component).output().expect("run");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{title}: {printed}{}", String::from_utf8_lossy(&output.stderr));
        let own = block.matches("[[case]]").count();
        let ran = printed.matches("recipe.toml").count();
        assert!(own > 0 && ran >= own, "{title}: {own} cases, {ran} ran: {printed}");
    }
}
