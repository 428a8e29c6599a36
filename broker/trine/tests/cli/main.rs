//! The binary from outside: arguments in, streams and exit codes out.

mod alone;
mod program;
