//! The binary from outside: arguments in, streams and exit codes out.

mod alone;
mod configured;
mod demonstrated;
mod functions;
mod invocations;
mod invoked;
mod loaded;
mod mappings;
mod program;
mod served;
