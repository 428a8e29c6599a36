//! Layers, origins and faults, with maps instead of an environment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::layers::Entry;
use crate::config::{Configuration, Fault, Flags, Setting};
use trine_broker::StoreOption;

/// Loads from flags, variables and the text of a file.
fn load(
    flags: &[(&str, &str)],
    variables: &[(&str, &str)],
    file: &str,
) -> Result<Configuration, Vec<Fault>> {
    let flag = |(key, text): &(&str, &str)| {
        let place = format!("--{key}");
        ((*key).to_owned(), Entry { text: (*text).to_owned(), place })
    };
    let flags: Flags = flags.iter().map(flag).collect();
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    let variables: BTreeMap<String, String> = variables.iter().map(owned).collect();
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("trine.toml");
    std::fs::write(&path, file).expect("written");
    Configuration::load(flags, &variables, Some(path)).map_err(|faults| faults.0)
}

fn faults(flags: &[(&str, &str)], variables: &[(&str, &str)], file: &str) -> Vec<Fault> {
    load(flags, variables, file).expect_err("faults")
}

fn setting(configuration: &Configuration, name: &str) -> Setting {
    let found = configuration.settings.iter().find(|setting| setting.name == name);
    found.unwrap_or_else(|| panic!("{name} is not shown")).clone()
}

/// The line of a place in the file.
fn line(fault: &Fault) -> Option<&str> {
    fault.place.rsplit_once("trine.toml:").map(|(_, line)| line)
}

#[test]
fn defaults_are_a_broker_on_loopback_with_a_store_on_disk() {
    let configuration = load(&[], &[], "").expect("no faults");
    assert_eq!(configuration.broker.listen, Some(([127, 0, 0, 1], 7400).into()));
    let dir = PathBuf::from("./trine-data");
    assert_eq!(configuration.broker.store, StoreOption::Embedded { dir: dir.clone() });
    assert_eq!(configuration.broker.destinations.file_dir, Some(dir.join("destinations")));
    assert_eq!(configuration.broker.limits.account_concurrency, 1000);
    assert!(configuration.settings.iter().all(|setting| setting.origin.name() == "default"));
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "listen = '127.0.0.1:1'\n[timing]\ndrain = '1s'\nheartbeat = '1s'\n\
                [limits]\nfunctions_max = 7\n";
    let variables = [("TRINE_LISTEN", "127.0.0.1:2"), ("TRINE_TIMING_DRAIN", "2s")];
    let configuration = load(&[("listen", "127.0.0.1:3")], &variables, file).expect("no faults");
    for (name, value, origin) in [
        ("listen", "127.0.0.1:3", "flag"),
        ("timing.drain", "2s", "environment"),
        ("timing.heartbeat", "1s", "file"),
        ("limits.functions_max", "7", "file"),
        ("timing.stop_grace", "5s", "default"),
    ] {
        let setting = setting(&configuration, name);
        assert_eq!((setting.value.as_str(), setting.origin.name()), (value, origin), "{name}");
    }
    assert_eq!(configuration.broker.timing.drain, Duration::from_secs(2));
    assert!(setting(&configuration, "limits.functions_max").place.ends_with("trine.toml:6"));
    let shown = ("timing.drain".to_owned(), "2s".to_owned(), "environment".to_owned());
    assert!(configuration.broker.configuration.contains(&shown));
}

#[test]
fn every_fault_is_reported_at_once_with_its_place() {
    let file = "listen = '0.0.0.0:7400'\n\
                virtal_time = true\n\
                [limits]\n\
                account_concurrency = 0\n\
                queue_bytes_max = '8GB'\n\
                [timing]\n\
                drain = 30\n";
    let variables = [
        ("TRINE_STORE", "disk"),
        ("TRINE_LIMITS_FUNCTION_MAX", "5"),
        ("TRINE_LOG_FILTER", "trine=loud"),
    ];
    let faults = faults(&[("data_dir", "")], &variables, file);
    let mut seen: Vec<(&str, &str)> = faults
        .iter()
        .map(|fault| (fault.key.as_str(), line(fault).unwrap_or(&fault.place)))
        .collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            ("data_dir", "--data_dir"),
            ("limits.account_concurrency", "4"),
            ("limits.function_max", "TRINE_LIMITS_FUNCTION_MAX"),
            ("limits.queue_bytes_max", "5"),
            ("listen", "1"),
            ("log.filter", "TRINE_LOG_FILTER"),
            ("store", "TRINE_STORE"),
            ("timing.drain", "7"),
            ("virtal_time", "2"),
        ]
    );
    let problem = |key: &str| {
        let fault = faults.iter().find(|fault| fault.key == key);
        fault.map(|fault| fault.problem.as_str()).unwrap_or_default()
    };
    assert!(problem("listen").contains("no authentication"));
    assert!(problem("virtal_time").contains("did you mean virtual_time?"));
    assert!(problem("limits.function_max").contains("did you mean limits.functions_max?"));
    assert_eq!(problem("store"), "expected embedded or memory");
    assert!(problem("limits.account_concurrency").contains("from 1 to 1000000"));
    assert!(problem("timing.drain").contains("500ms, 3s, 5m, 1h"));
}

#[test]
fn a_broken_file_is_reported_with_its_line_beside_other_faults() {
    let faults = faults(&[], &[("TRINE_STORE", "disk")], "listen = \n\n[limits\n");
    assert!(
        faults.iter().any(|fault| line(fault) == Some("1") && fault.key == "config"),
        "{faults:?}"
    );
    assert!(
        faults.iter().any(|fault| line(fault) == Some("3") && fault.key == "config"),
        "{faults:?}"
    );
    assert!(faults.iter().any(|fault| fault.key == "store"), "{faults:?}");
}

#[test]
fn a_missing_file_is_a_fault() {
    let path = PathBuf::from("no/such/trine.toml");
    let variables = BTreeMap::new();
    let faults = Configuration::load(Flags::new(), &variables, Some(path)).expect_err("missing").0;
    assert_eq!(faults[0].place, "no/such/trine.toml");
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let variables = BTreeMap::from([("TRINE_CONFIG".to_owned(), "no/such.toml".to_owned())]);
    let faults = Configuration::load(Flags::new(), &variables, None).expect_err("missing").0;
    assert_eq!(faults[0].place, "no/such.toml");
}

#[test]
fn variables_of_others_are_left_alone() {
    let variables =
        [("TRINE_PORT", "tcp://10.0.0.1:7400"), ("TRINE_BROKER", "http://x:1"), ("HOME", "/")];
    assert!(load(&[], &variables, "").is_ok());
}

#[test]
fn values_are_checked_against_each_other() {
    let small = load(&[], &[], "limits.account_concurrency = 10").expect("no faults");
    assert_eq!(small.broker.limits.unreserved_concurrency_min, 10);
    let faults =
        faults(&[], &[], "limits.account_concurrency = 10\nlimits.unreserved_concurrency_min = 11");
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].key, "limits.unreserved_concurrency_min");
    assert!(faults[0].problem.contains("which is 10"));
}

#[test]
fn secrets_are_never_shown_and_never_on_the_command_line() {
    let file =
        "[[destinations.nats]]\nserver = 'nats.local:4222'\nuser = 'trine'\nsecret = 'hush'\n";
    let variables = [("TRINE_DESTINATIONS_NATS_SECRET", "token")];
    let configuration = load(&[], &variables, file).expect("no faults");
    let credentials = &configuration.broker.destinations.nats_credentials;
    assert_eq!(credentials.len(), 2);
    assert_eq!((credentials[0].server.as_str(), credentials[0].secret.as_str()), ("", "token"));
    assert_eq!((credentials[1].user.as_str(), credentials[1].secret.as_str()), ("trine", "hush"));
    let printed = format!("{configuration:?}");
    assert!(!printed.contains("hush") && !printed.contains("token\""), "{printed}");

    let faults =
        faults(&[("destinations.nats_secret", "hush")], &[], "destinations.nats_user = 'u'");
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].problem.contains("command line"));
    assert!(faults.iter().all(|fault| !format!("{fault:?}").contains("hush")));
}

#[test]
fn logins_of_destinations_are_read_by_kind() {
    let file = "destinations.rabbitmq_user = 'u'\n\
                [[destinations.rabbitmq]]\nserver = 'rabbit:5672'\nuser = 'trine'\nsecret = 'hush'\n\
                [[destinations.kafka]]\nserver = 'kafka:9092'\nuser = 'trine'\nsecret = 'hush'\n\
                [[destinations.kafka]]\nserver = 'tls:9092'\ntls = true\nca_file = 'ca.pem'\n";
    let variables = [
        ("TRINE_DESTINATIONS_RABBITMQ_SECRET", "hush"),
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
    ];
    let policy = load(&[], &variables, file).expect("no faults").broker.destinations;
    let rabbitmq = &policy.rabbitmq_credentials;
    assert_eq!((rabbitmq[0].server.as_str(), rabbitmq[0].user.as_str()), ("", "u"));
    assert_eq!((rabbitmq[1].server.as_str(), rabbitmq[1].user.as_str()), ("rabbit:5672", "trine"));
    let login = policy.kafka_credentials[0].login.as_ref().expect("a login");
    assert_eq!((login.mechanism.name(), login.user.as_str()), ("PLAIN", "trine"));
    assert!(policy.kafka_credentials[1].tls && policy.kafka_credentials[1].login.is_none());
    assert_eq!(policy.aws_credential.as_ref().expect("keys").access_key_id, "AKIA");
    let printed = format!("{policy:?}");
    assert!(!printed.contains("hush"), "{printed}");

    let half = [("AWS_ACCESS_KEY_ID", "AKIA")];
    let policy = load(&[], &half, "").expect("no faults").broker.destinations;
    assert_eq!(policy.aws_credential, None);

    let faults = faults(
        &[],
        &[("TRINE_DESTINATIONS_RABBITMQ_SECRET", "hush")],
        "destinations.kafka_mechanism = 'GSSAPI'\ndestinations.kafka_ca_file = 'ca.pem'\n",
    );
    let mut keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "destinations.kafka_ca_file",
            "destinations.kafka_mechanism",
            "destinations.rabbitmq_user"
        ]
    );
}

#[test]
fn the_poller_has_a_name_and_bounds() {
    let configuration = load(&[], &[], "").expect("no faults");
    assert!(configuration.poller.enabled && configuration.poller.mappings_max == 1_000);
    let faults =
        faults(&[], &[], "poller.name = ''\npoller.mappings_max = 0\npoller.enabled = 3\n");
    let mut keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["poller.enabled", "poller.mappings_max", "poller.name"]);
}

#[test]
fn a_list_where_one_value_is_expected_is_a_fault() {
    let faults = faults(&[], &[], "listen = ['127.0.0.1:1', '127.0.0.1:2']\nlimits = 3\n");
    assert!(faults.iter().any(|fault| fault.key == "listen[0]"), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.key == "limits"), "{faults:?}");
}
