//! Rules that change while logins go on.

use std::{fs, process::Command};

use vestibule_tests::{browser::Browser, guests};

use crate::scene::{Scene, With};

#[tokio::test(flavor = "multi_thread")]
async fn new_settings_decide_the_next_login_and_broken_ones_none() {
    let scene = Scene::start(With::Nginx).await;
    assert_eq!(scene.log_in(&mut Browser::new(), "mallory").await.status, 403);

    // Three mistakes: all three are named, and nothing changes.
    scene.gateway.write(
        "settings/domain-restriction.toml",
        "allowed-domains = 7\nno-such-key = 1\nrequire-verified = \"perhaps\"\n",
    );
    let refused =
        scene.gateway.wait_for("that the settings are refused", |event| event["kind"] == "generation.refused").await;
    let why = refused.to_string();
    for pointer in ["allowed-domains", "no-such-key", "require-verified"] {
        assert!(why.contains(pointer), "{pointer} is not named in {why}");
    }
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200, "the old settings are not in force");

    scene.gateway.write("settings/domain-restriction.toml", "allowed-domains = \"evil.test\"\n");
    scene
        .gateway
        .wait_for("that the settings are in force", |event| {
            event["kind"] == "generation.swapped" && event["outcome"]["generation"] == 2
        })
        .await;
    assert_eq!(scene.log_in(&mut Browser::new(), "mallory").await.status, 200);
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 403);
    let generations: Vec<u64> = scene
        .gateway
        .events("decision.login")
        .iter()
        .map(|event| event["trace"]["generation"].as_u64().expect("a generation"))
        .collect();
    assert!(generations.windows(2).all(|pair| pair[0] <= pair[1]), "{generations:?}");
    assert!(generations.first() < generations.last(), "{generations:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a87_a_component_that_cannot_be_loaded_leaves_the_old_one_in_force() {
    let scene = Scene::start(With::Nginx).await;
    let jpeg = [&[0xff, 0xd8, 0xff, 0xe0, 0, 0x10][..], b"JFIF\0", &[0; 64]].concat();
    let component = scene.gateway.path("policies/domain-restriction.wasm");
    let good = fs::read(&component).unwrap();
    for bad in [jpeg, Vec::new(), good[..good.len() / 2].to_vec(), b"\0asm\x01\0\0\0".to_vec()] {
        let before = scene.gateway.events("generation.refused").len();
        fs::write(&component, &bad).unwrap();
        for _ in 0..600 {
            if scene.gateway.events("generation.refused").len() > before {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(scene.gateway.events("generation.refused").len() > before, "nobody refused {} bytes", bad.len());
        assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200);
        assert_eq!(scene.log_in(&mut Browser::new(), "mallory").await.status, 403);
    }
    // A policy that is gone is a failed generation, not a gap.
    fs::remove_file(&component).unwrap();
    let before = scene.gateway.events("generation.refused").len();
    let id = scene.gateway.id().expect("a program").to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    for _ in 0..600 {
        if scene.gateway.events("generation.refused").len() > before {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(scene.log_in(&mut Browser::new(), "mallory").await.status, 403);
    fs::write(&component, &good).unwrap();
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a88_logins_go_on_while_generations_come_and_go() {
    let scene = Scene::start(With::Nginx).await;
    let writer = async {
        for round in 0..20 {
            scene.gateway.write("settings/session-terms.toml", &format!("lifetime-s = {}\n", 3000 + round));
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        }
    };
    let logins = async {
        let mut done = 0;
        for _ in 0..20 {
            let page = scene.log_in(&mut Browser::new(), "alice").await;
            assert_eq!(page.status, 200, "{}", page.body);
            done += 1;
        }
        done
    };
    let ((), done) = tokio::join!(writer, logins);
    let decided = scene.gateway.events("decision.login");
    assert_eq!(decided.len(), done);
    assert!(decided.iter().all(|event| event["granted"] == true));
    assert!(scene.gateway.events("generation.swapped").len() > 3);
}

/// Processes that compile for the process `parent`.
fn compilers(parent: u32) -> usize {
    let own = format!("PPid:\t{parent}\n");
    let processes = fs::read_dir("/proc").expect("processes").filter_map(|entry| Some(entry.ok()?.path()));
    processes
        .filter(|path| fs::read_to_string(path.join("status")).is_ok_and(|status| status.contains(&own)))
        .filter(|path| fs::read_to_string(path.join("cmdline")).is_ok_and(|line| line.contains("compile-worker")))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compile_bomb_costs_no_login_and_leaves_nothing_behind() {
    let mut scene = Scene::start(With::Nginx).await;
    // Limits are set up once.
    scene.gateway.stop();
    let text = fs::read_to_string(scene.gateway.path("vestibule.toml")).unwrap();
    let limits = "deadline-ms = 5000\n";
    let more = "deadline-ms = 5000\ncompile-timeout-ms = 10000\n\n[login]\nattempts-per-minute = 100000\n";
    assert!(text.contains(limits));
    scene.gateway.write("vestibule.toml", &text.replace(limits, more));
    scene.gateway.start();
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200, "{}", scene.gateway.log());

    let gateway = scene.gateway.id().unwrap();
    fs::write(scene.gateway.path("policies/domain-restriction.wasm"), guests::compile_bomb(6_000, 3_000)).unwrap();
    let (mut while_compiling, mut logins) = (0, 0);
    while scene.gateway.events("generation.refused").is_empty() {
        while_compiling += usize::from(compilers(gateway) > 0);
        assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200, "{}", scene.gateway.log());
        logins += 1;
        assert!(logins < 10_000, "the bomb was never given up");
    }
    assert!(while_compiling > 0, "nobody logged in while it was compiled");
    let refused = scene.gateway.events("generation.refused").remove(0).to_string();
    assert!(refused.contains("was not compiled within 10000 ms"), "{refused}");
    for _ in 0..200 {
        if compilers(gateway) == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(compilers(gateway), 0, "it still compiles");
    assert_eq!(scene.log_in(&mut Browser::new(), "alice").await.status, 200);
}
