//! Every adapter against the real thing.

mod mq;
