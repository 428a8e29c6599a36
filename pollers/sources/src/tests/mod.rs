//! Tests of the runner from outside: a scripted source on one side, a scripted broker behind the public
//! contract on the other. Time is the runtime's and paused: it moves when nothing else can. Only `wire`
//! runs by the real clock, over real sockets.

pub(crate) mod broker;
mod runner;
pub(crate) mod watching;
mod wire;
