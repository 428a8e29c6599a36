//! The configuration of `serve`: faults, origins, secrets.

use std::net::TcpListener;

use crate::program::{Run, command, trine};

fn config(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("trine.toml");
    std::fs::write(&path, text).expect("written");
    let path = path.to_str().expect("UTF-8").to_owned();
    (dir, path)
}

#[test]
fn all_faults_are_reported_at_once_and_nothing_is_started() {
    let (dir, path) =
        config("listen = '0.0.0.0:7400'\nstor = 'memory'\n[limits]\nfunctions_max = 0\n");
    let data = dir.path().join("data");
    let arguments = ["serve", "--config", &path, "--set", "timing.drain=30"];
    let run = Run::of(command(&arguments).arg("--data-dir").arg(&data).output().expect("it runs"));
    assert_eq!(run.exit, 64, "{run:?}");
    for part in [
        "4 faults",
        "listen = \"0.0.0.0:7400\"",
        "trine.toml:1",
        "no authentication",
        "did you mean store?",
        "limits.functions_max = \"0\"",
        "trine.toml:4",
        "from 1 to 1000000",
        "timing.drain = \"30\" (--set timing.drain)",
        "500ms, 3s, 5m, 1h",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    assert!(run.stdout.is_empty(), "{run:?}");
    assert!(!data.exists(), "the store was touched");

    let arguments = ["--output", "json", "serve", "--config", &path, "--set", "timing.drain=30"];
    let failure = trine(&arguments).failure();
    assert_eq!(failure["reason"], "CONFIGURATION");
    assert_eq!(failure["exit"], 64);
    assert_eq!(failure["faults"].as_array().map(Vec::len), Some(4), "{failure}");
}

#[test]
fn the_configuration_in_force_is_shown_with_its_origins() {
    let (_dir, path) = config("[timing]\ndrain = '7s'\n[limits]\nfunctions_max = 5\n");
    let run = Run::of(
        command(&[
            "--output",
            "json",
            "serve",
            "--config",
            &path,
            "--print-config",
            "--store",
            "memory",
        ])
        .env("TRINE_LIMITS_FUNCTIONS_MAX", "6")
        .env("TRINE_DESTINATIONS_NATS_SECRET", "hush")
        .output()
        .expect("it runs"),
    );
    let shown = run.ok();
    assert!(!shown.stdout.contains("hush"), "{}", shown.stdout);
    let shown = shown.json();
    let settings = shown["configuration"].as_array().expect("a list");
    for (name, value, origin) in [
        ("listen", "127.0.0.1:7400", "default"),
        ("store", "memory", "flag"),
        ("timing.drain", "7s", "file"),
        ("limits.functions_max", "6", "environment"),
        ("limits.history_age", "24h", "default"),
        ("destinations.nats_secret", "(set, not shown)", "environment"),
    ] {
        let setting = settings.iter().find(|setting| setting["name"] == name);
        let setting = setting.unwrap_or_else(|| panic!("{name} is not shown"));
        assert_eq!(
            (&setting["value"], &setting["origin"]),
            (&value.into(), &origin.into()),
            "{name}"
        );
    }
    let human = trine(&["serve", "--config", &path, "--print-config"]).ok().stdout;
    assert!(human.starts_with("SETTING"), "{human}");
    assert!(human.contains("trine.toml:2"), "{human}");
}

#[test]
fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
    let run = trine(&["serve", "--set", "destinations.nats_secret=hush"]);
    assert_eq!(run.exit, 64, "{run:?}");
    assert!(!run.stderr.contains("hush"), "{}", run.stderr);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let run = trine(&["serve", "--store", "memory", "--listen", &address]);
    assert_eq!(run.exit, 74, "{run:?}");
    assert!(run.stderr.contains(&address), "{}", run.stderr);
}
