//! The exit codes of `trine`: one closed list, which `--help` and `docs/operating.md` print.
//!
//! It knows which reason ends in which code; it does not know who asks.

use std::process::ExitCode;

use trine_proto::reason;
use trine_proto::v1::Reason;

/// Why the process ended. The numbers from 64 on are those of `sysexits.h`, so that a script
/// which knows other well-behaved programs knows this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done as asked.
    Ok = 0,
    /// The function itself failed; its error object is on stdout.
    FunctionError = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The configuration is faulty; nothing was started.
    Configuration = 64,
    /// What was given to be processed is faulty: a payload or an argument.
    Input = 65,
    /// What was named does not exist: a function, an invocation, a mapping, a file.
    NotFound = 66,
    /// No broker answers at the address, or it went away.
    Unreachable = 69,
    /// A defect, here or in the broker.
    Internal = 70,
    /// The state of what exists does not allow it; asking again does not help.
    Conflict = 73,
    /// Reading or writing failed; the outcome may not be known.
    InputOutput = 74,
    /// Refused for now: the same command may succeed later.
    Temporary = 75,
    /// The other side does not speak our protocol.
    Protocol = 76,
    /// The broker's configuration forbids it.
    Forbidden = 77,
    /// A signal ended it before it was done; of a server, the second one.
    Interrupted = 130,
}

impl Exit {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 14] = [
        Self::Ok,
        Self::FunctionError,
        Self::Usage,
        Self::Configuration,
        Self::Input,
        Self::NotFound,
        Self::Unreachable,
        Self::Internal,
        Self::Conflict,
        Self::InputOutput,
        Self::Temporary,
        Self::Protocol,
        Self::Forbidden,
        Self::Interrupted,
    ];

    /// The code that a refusal with `reason` ends in. Every retryable reason is
    /// [`Exit::Temporary`], so that a script needs to know one number to retry.
    pub(crate) const fn of(reason: Reason) -> Self {
        use Reason as R;
        if reason::row(reason).retryable {
            return Self::Temporary;
        }
        match reason {
            R::InvalidArgument | R::MalformedPayload | R::PayloadTooLarge => Self::Input,
            R::UnknownFunction | R::UnknownQualifier | R::UnknownInvocation | R::UnknownMapping => {
                Self::NotFound
            }
            R::StoreUnknown => Self::InputOutput,
            R::UnsupportedProtocol => Self::Protocol,
            R::DestinationForbidden => Self::Forbidden,
            R::Internal | R::Unspecified => Self::Internal,
            _ => Self::Conflict,
        }
    }

    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// One line for `--help`.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::FunctionError => "the function itself failed (its error object is on stdout)",
            Self::Usage => "the command line makes no sense",
            Self::Configuration => "faulty configuration, nothing was started",
            Self::Input => "faulty input: payload or argument",
            Self::NotFound => "no such function, invocation, mapping or file",
            Self::Unreachable => "no broker answers",
            Self::Internal => "a defect of trine",
            Self::Conflict => "the present state does not allow it",
            Self::InputOutput => "reading or writing failed, the outcome may not be known",
            Self::Temporary => "refused for now, try again later",
            Self::Protocol => "the other side does not speak our protocol",
            Self::Forbidden => "forbidden by the broker's configuration",
            Self::Interrupted => {
                "ended by a signal before it was done (of serve: by the second one)"
            }
        }
    }

    /// The table at the end of `trine --help`.
    pub(crate) fn table() -> String {
        let mut text = String::from("Exit codes:");
        for exit in Self::ALL {
            text.push_str(&format!("\n  {:>3}  {}", exit.number(), exit.meaning()));
        }
        text
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_retries_on_one_number_exactly() {
        for reason in (0..).map_while(|number| Reason::try_from(number).ok()) {
            let temporary = Exit::of(reason) == Exit::Temporary;
            assert_eq!(temporary, reason::row(reason).retryable, "{reason:?}");
        }
    }

    #[test]
    fn the_list_is_complete_and_in_order() {
        let numbers: Vec<u8> = Exit::ALL.iter().map(|exit| exit.number()).collect();
        assert_eq!(numbers, [0, 1, 2, 64, 65, 66, 69, 70, 73, 74, 75, 76, 77, 130]);
        assert_eq!(Exit::table().lines().count(), 1 + numbers.len());
    }
}
