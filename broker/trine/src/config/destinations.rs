//! The keys of destinations: what they may reach, and how the broker logs in there.

use std::path::Path;

use crate::config::layers::Strings;
use crate::config::resolver::Resolver;
use trine_broker::{
    AwsCredential, DestinationPolicy, KafkaCredential, KafkaLogin, KafkaMechanism, NatsCredential,
    RabbitMqCredential,
};

/// What everybody who speaks to AWS reads its keys from.
const AWS_ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const AWS_SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const AWS_SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

/// All but the keys of AWS.
pub(super) fn resolve(resolver: &mut Resolver, data_dir: &Path) -> DestinationPolicy {
    let allow_internal_addresses = resolver.value("destinations.allow_internal_addresses", false);
    let file_dir = resolver.value("destinations.file_dir", data_dir.join("destinations"));
    let nats = logins(resolver, "destinations.nats", |resolver, prefix, server| {
        let (user, secret) = login(resolver, prefix)?;
        Some(NatsCredential { server, user: user.unwrap_or_default(), secret })
    });
    let rabbitmq = logins(resolver, "destinations.rabbitmq", |resolver, prefix, server| {
        let (user, secret) = login(resolver, prefix)?;
        let user = named(resolver, prefix, user)?;
        Some(RabbitMqCredential { server, user, secret })
    });
    DestinationPolicy {
        allow_internal_addresses,
        file_dir: Some(file_dir),
        nats_credentials: nats,
        kafka_credentials: logins(resolver, "destinations.kafka", kafka_credential),
        rabbitmq_credentials: rabbitmq,
        aws_credential: None,
    }
}

/// The keys that AWS's own tools would use, if both are there. They are left to where those look for them and have no names of ours.
pub(super) fn aws_credential(environment: &impl Strings) -> Option<AwsCredential> {
    let variable = |name| environment.get(name).filter(|text| !text.is_empty());
    Some(AwsCredential {
        access_key_id: variable(AWS_ACCESS_KEY_ID)?,
        secret_access_key: variable(AWS_SECRET_ACCESS_KEY)?,
        session_token: variable(AWS_SESSION_TOKEN),
    })
}

/// What is set for every server of a kind (`destinations.nats_user`), and for single ones (`[[destinations.nats]]`).
fn logins<T>(
    resolver: &mut Resolver,
    kind: &str,
    read: impl Fn(&mut Resolver, &str, String) -> Option<T>,
) -> Vec<T> {
    let mut logins = Vec::new();
    logins.extend(read(resolver, &format!("{kind}_"), String::new()));
    for item in resolver.list(kind) {
        let server = resolver.required(&format!("{item}.server"), host_and_port);
        logins.extend(read(resolver, &format!("{item}."), server.unwrap_or_default()));
    }
    logins
}

/// A user, perhaps, and a secret; nothing without a secret.
fn login(resolver: &mut Resolver, prefix: &str) -> Option<(Option<String>, String)> {
    let user_key = format!("{prefix}user");
    let user: Option<String> = resolver.optional(&user_key, |_| Ok(()));
    let secret = resolver.secret(&format!("{prefix}secret"));
    if user.is_some() && secret.is_none() {
        resolver.contradiction(&user_key, format!("a user needs {prefix}secret as well"));
    }
    secret.map(|secret| (user, secret))
}

/// The user where a secret alone means nothing.
fn named(resolver: &mut Resolver, prefix: &str, user: Option<String>) -> Option<String> {
    if user.is_none() {
        let key = format!("{prefix}user");
        resolver.contradiction(&key, format!("{prefix}secret needs a user as well"));
    }
    user
}

/// Nothing if nothing is set that makes a difference.
fn kafka_credential(
    resolver: &mut Resolver,
    prefix: &str,
    server: String,
) -> Option<KafkaCredential> {
    let mechanism_key = format!("{prefix}mechanism");
    let mechanism: Option<String> = resolver.optional(&mechanism_key, |name: &String| {
        let names = KafkaMechanism::ALL.map(KafkaMechanism::name);
        let known = mechanism_of(name).map(|_| ());
        known.ok_or_else(|| format!("expected {}", names.join(", ")))
    });
    let tls = resolver.value(&format!("{prefix}tls"), false);
    let ca_file = resolver.optional(&format!("{prefix}ca_file"), |_| Ok(()));
    let login = login(resolver, prefix).and_then(|(user, secret)| {
        let user = named(resolver, prefix, user)?;
        let mechanism = mechanism.as_deref().and_then(mechanism_of).unwrap_or_default();
        Some(KafkaLogin { mechanism, user, secret })
    });
    if mechanism.is_some() && login.is_none() {
        let problem = format!("a mechanism needs {prefix}user and {prefix}secret as well");
        resolver.contradiction(&mechanism_key, problem);
    }
    if ca_file.is_some() && !tls {
        let problem = format!("it is for TLS only: set {prefix}tls = true");
        resolver.contradiction(&format!("{prefix}ca_file"), problem);
    }
    (tls || login.is_some()).then_some(KafkaCredential { server, login, tls, ca_file })
}

fn mechanism_of(name: &str) -> Option<KafkaMechanism> {
    KafkaMechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name)
}

#[expect(clippy::ptr_arg, reason = "the check of a `String` value")]
fn host_and_port(server: &String) -> Result<(), String> {
    match server.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(()),
        _ => Err("expected HOST:PORT".to_owned()),
    }
}
