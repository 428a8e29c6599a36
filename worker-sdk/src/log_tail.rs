//! The log of one attempt, of which the last 4 KiB are kept for a caller who asked for them.
//!
//! It does not know who asked, and not where else the handler logs to.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

/// Bytes of the log that a caller gets to see, at most: Lambda's `X-Amz-Log-Result` (LS 1.2).
pub const LOG_TAIL_BYTES_MAX: usize = 4096;

/// A ring of the last [`LOG_TAIL_BYTES_MAX`] bytes written.
#[derive(Debug, Default)]
pub(crate) struct LogTail {
    bytes: VecDeque<u8>,
}

/// How the attempt ended, for its last log lines.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LogEnd<'a> {
    Success,
    Error { error_type: &'a str },
    Timeout,
    Stopped,
}

impl LogTail {
    /// A log that opens as Lambda's does (LS 6.1).
    pub(crate) fn opened(request_id: &str, version: &str) -> Self {
        let mut log = Self::default();
        log.line(format_args!("START RequestId: {request_id} Version: {version}"));
        log
    }

    /// Appends one line; the line feed is added.
    pub(crate) fn line(&mut self, text: impl fmt::Display) {
        // Writing into the ring cannot fail; a `Display` that reports an error wrote what it could.
        let _ = fmt::write(self, format_args!("{text}\n"));
    }

    /// Appends Lambda's closing lines (LS 6.1) and gives the tail. Peak memory is not reported: the
    /// process serves many slots, and a figure per process would be taken for one per invocation.
    pub(crate) fn closed(
        mut self,
        request_id: &str,
        memory_mb: u32,
        duration: Duration,
        end: LogEnd<'_>,
    ) -> Bytes {
        let ms = duration.as_secs_f64() * 1000.0;
        let billed_ms = duration.as_micros().div_ceil(1000);
        self.line(format_args!("END RequestId: {request_id}"));
        self.line(format_args!(
            "REPORT RequestId: {request_id}\tDuration: {ms:.2} ms\tBilled Duration: {billed_ms} ms\
             \tMemory Size: {memory_mb} MB{end}"
        ));
        Bytes::from(Vec::from(self.bytes))
    }

    fn push(&mut self, text: &[u8]) {
        let kept = &text[text.len().saturating_sub(LOG_TAIL_BYTES_MAX)..];
        let excess = (self.bytes.len() + kept.len()).saturating_sub(LOG_TAIL_BYTES_MAX);
        self.bytes.drain(..excess);
        self.bytes.extend(kept);
    }
}

impl fmt::Write for LogTail {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl fmt::Display for LogEnd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => Ok(()),
            Self::Error { error_type } => write!(f, "\tStatus: error\tError Type: {error_type}"),
            Self::Timeout => f.write_str("\tStatus: timeout"),
            Self::Stopped => f.write_str("\tStatus: stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(log: LogTail) -> String {
        String::from_utf8(Vec::from(log.bytes)).unwrap()
    }

    #[test]
    fn a_short_log_is_kept_whole() {
        let mut log = LogTail::default();
        log.line("one");
        log.line(2);
        assert_eq!(text(log), "one\n2\n");
    }

    #[test]
    fn only_the_last_bytes_are_kept() {
        let mut log = LogTail::default();
        for number in 0..2000 {
            log.line(format_args!("{number:07}"));
        }
        let text = text(log);
        assert_eq!(text.len(), LOG_TAIL_BYTES_MAX);
        assert!(text.starts_with("0001488\n") && text.ends_with("0001999\n"), "{text}");
    }

    #[test]
    fn a_line_longer_than_the_tail_keeps_its_end() {
        let mut log = LogTail::default();
        log.line("lost");
        log.line(format_args!("{}{}", "x".repeat(5), "y".repeat(LOG_TAIL_BYTES_MAX)));
        let text = text(log);
        assert_eq!(text.len(), LOG_TAIL_BYTES_MAX);
        assert!(text.starts_with('y') && text.ends_with("y\n"));
    }

    #[test]
    fn the_frame_is_lambdas() {
        let mut log = LogTail::opened("r-1", "$LATEST");
        log.line("hello");
        let end = LogEnd::Error { error_type: "T" };
        let bytes = log.closed("r-1", 128, Duration::from_micros(79_671), end);
        assert_eq!(
            String::from_utf8(bytes.to_vec()).unwrap(),
            "START RequestId: r-1 Version: $LATEST\nhello\nEND RequestId: r-1\n\
             REPORT RequestId: r-1\tDuration: 79.67 ms\tBilled Duration: 80 ms\
             \tMemory Size: 128 MB\tStatus: error\tError Type: T\n"
        );
    }
}
