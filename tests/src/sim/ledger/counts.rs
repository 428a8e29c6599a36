//! Owns what a run came through: how often each thing that a world is made of occurred.

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What a run came through.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64),+
        }

        impl Counts {
            /// Adds those of another run.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
            }

            /// A simulation in which something never occurs proves nothing about it.
            ///
            /// # Panics
            /// If something never occurred.
            pub fn assert_all_occurred(&self) {
                $(assert!(self.$name > 0, "no run ever had one {}", stringify!($name));)+
            }
        }
    };
}

counts! {
    /// Events that were acknowledged.
    accepted,
    /// Events that ended, durably, by success.
    succeeded,
    /// Events that died.
    died,
    /// Events that were cancelled.
    cancelled,
    /// Dead events that were put back.
    redriven,
    /// Synchronous invocations that were answered by a function.
    answered,
    /// Requests that were refused.
    refused,
    /// Attempts that were sent.
    sent,
    /// Attempts that were sent again although a handler had run: after a crash, or for a worker that was lost.
    repeated,
    /// Outcomes that came too late.
    late,
    /// Attempts that came back unspent.
    unspent,
    /// Attempts that were stopped at their timeout.
    timed_out,
    /// Slots given up after the grace.
    abandoned,
    /// Throttles.
    throttled,
    /// Records that a destination took, some of them more than once.
    delivered,
    /// Records that were given up.
    undelivered,
    /// Ends of the process.
    crashes,
}
