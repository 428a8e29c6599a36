//! The reply subject of a delivery, which says what was delivered and is where it is acknowledged.
//!
//! ```text
//! $JS.ACK.STREAM.CONSUMER.delivered.stream_sequence.consumer_sequence.nanoseconds.pending
//! $JS.ACK.DOMAIN.ACCOUNT.STREAM.CONSUMER.delivered.stream_sequence.consumer_sequence.nanoseconds.pending[.TOKEN]
//! ```

/// Tokens that say something: of the long form without the one behind.
const TOKENS_MAX: usize = 9;

/// What a delivery says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// How often the message was delivered, this one included.
    pub(crate) count: u64,
    pub(crate) stream_sequence: u64,
    pub(crate) consumer_sequence: u64,
    /// When the stream took the message, nanoseconds since the Unix epoch.
    pub(crate) stored_at_ns: i64,
    /// Messages that the consumer has not been given after this one.
    pub(crate) pending: u64,
}

impl Delivery {
    /// Of a reply subject; `None` if it is none of a delivery.
    pub(crate) fn of(reply: &str) -> Option<Self> {
        let rest = reply.strip_prefix("$JS.ACK.")?;
        // Twice a message, so it is walked through once.
        let mut tokens = [""; TOKENS_MAX];
        let mut count = 0;
        for token in rest.split('.').take(TOKENS_MAX) {
            tokens[count] = token;
            count += 1;
        }
        // The long form has a domain and an account in front, and maybe a token behind.
        let names = if count < 8 { 2 } else { 4 };
        let numbers = &tokens[names..];
        Some(Self {
            count: numbers[0].parse().ok()?,
            stream_sequence: numbers[1].parse().ok()?,
            consumer_sequence: numbers[2].parse().ok()?,
            stored_at_ns: numbers[3].parse().ok()?,
            pending: numbers[4].parse().ok()?,
        })
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) const fn stored_at_ms(&self) -> i64 {
        self.stored_at_ns.div_euclid(1_000_000)
    }
}

/// Where a message is acknowledged that was delivered to somebody who is gone: servers go by the sequences.
pub(crate) fn ack_subject(
    stream: &str,
    consumer: &str,
    stream_sequence: u64,
    consumer_sequence: u64,
) -> String {
    format!("$JS.ACK.{stream}.{consumer}.1.{stream_sequence}.{consumer_sequence}.0.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_reply_are_read() {
        let expected = Delivery {
            count: 2,
            stream_sequence: 10,
            consumer_sequence: 11,
            stored_at_ns: 1_700_000_000_123_456_789,
            pending: 5,
        };
        for reply in [
            "$JS.ACK.S.C.2.10.11.1700000000123456789.5",
            "$JS.ACK.hub.ACC.S.C.2.10.11.1700000000123456789.5",
            "$JS.ACK._.ACC.S.C.2.10.11.1700000000123456789.5.token",
        ] {
            assert_eq!(Delivery::of(reply), Some(expected), "{reply}");
        }
        assert_eq!(expected.stored_at_ms(), 1_700_000_000_123);
        let made = ack_subject("S", "C", 10, 11);
        assert_eq!(Delivery::of(&made).map(|delivery| delivery.stream_sequence), Some(10));
    }

    #[test]
    fn what_is_no_reply_of_a_delivery_is_not_read_as_one() {
        for reply in ["", "_INBOX.a.b", "$JS.ACK.S.C.2.10.11", "$JS.ACK.S.C.2.x.11.1.5"] {
            assert_eq!(Delivery::of(reply), None, "{reply}");
        }
    }
}
