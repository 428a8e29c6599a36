//! What ActiveMQ's refusals mean to people. It does not know what is done about them.

use super::config::Config;
use super::stomp::Trouble;
use crate::{Problem, SourceError};

/// The end of a connection, or why there is none, as a sentence that names the server, the queue and what to do.
pub(crate) fn told(config: &Config, trouble: &Trouble) -> SourceError {
    let address = &config.address;
    match trouble {
        Trouble::Broken(what) => SourceError::unreachable(format!("ActiveMQ at {address} {what}")),
        Trouble::Foreign(what) => SourceError::configuration(format!(
            "what listens at {address} {what}; expected STOMP 1.2, which ActiveMQ has since 5.6"
        )),
        Trouble::Refused(says) => refused(config, says),
    }
}

fn refused(config: &Config, says: &str) -> SourceError {
    let Config { address, queue, username, .. } = config;
    let user = username.as_deref().map_or_else(
        || "somebody without a name".to_owned(),
        |username| format!("user \"{username}\""),
    );
    let text = says.to_ascii_lowercase();
    let (problem, what) = if text.contains("not authorized") {
        let what = format!("does not let {user} read the queue \"{queue}\": grant read on it");
        (Problem::Authorization, what)
    } else if text.contains("password") || text.contains("login") || text.contains("authenticat") {
        let what = format!("does not accept the password of {user}, or does not know the user");
        (Problem::Authentication, what)
    } else {
        (Problem::Unreachable, "refused".to_owned())
    };
    SourceError::new(problem, format!("ActiveMQ at {address} {what} (it says: {says})"))
}
