//! The tumbling window of a shard (LS 4.6). It does not know records or batches, and of the state
//! only its length.
//!
//! ```text
//! None     --record-->      Open     the window of the record's arrival
//! Open     --later-->       Closing  the next record belongs to a later window
//! Open     --too large-->   Closing  its state has grown too large: it ends early
//! Open     --idle-->        Closing  it is over, and no record has come for two minutes
//! Open     --shard end-->   Closing  no record follows
//! Closing  --closed-->      None     the final invocation succeeded, or was given up
//! ```
//!
//! Its final invocation is one of its own, without records: which record is a window's last is known only when
//! the next window's first has been read, and by then the last has long been sent. A record that arrived before
//! the open window starts counts into it: a shard's arrival times may step back a little, its windows not.

use crate::{Millis, OpenWindow, WINDOW_IDLE_MS, WINDOW_STATE_BYTES_MAX, WindowMark, WindowPart};

#[derive(Debug)]
pub(crate) struct Window {
    length_ms: Millis,
    state: State,
    /// The checkpoint says something else of the window.
    changed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    None,
    Open { window: OpenWindow, touched_at: Millis },
    Closing { window: OpenWindow, early: bool },
}

impl Window {
    pub(crate) fn new(now: Millis, length_ms: Millis, restored: Option<OpenWindow>) -> Self {
        let open = |window| State::Open { window, touched_at: now };
        Self { length_ms, state: restored.map_or(State::None, open), changed: false }
    }

    const fn end_ms(&self, window: OpenWindow) -> Millis {
        window.start_ms.saturating_add(self.length_ms)
    }

    /// Opens the window of a record if none is open. Its start, if this opened it.
    pub(crate) fn open(&mut self, now: Millis, arrived_at: Millis) -> Option<Millis> {
        if self.state != State::None {
            return None;
        }
        transition!("None --record--> Open");
        let start_ms = arrived_at - arrived_at % self.length_ms;
        let window = OpenWindow { start_ms, state_bytes: 0 };
        self.state = State::Open { window, touched_at: now };
        Some(start_ms)
    }

    /// Records that arrived before this go into the open window. `None`: none is open.
    pub(crate) fn takes_before(&self) -> Option<Millis> {
        match self.state {
            State::Open { window, .. } => Some(self.end_ms(window)),
            _ => None,
        }
    }

    /// Closes the window if it is time. `next`: when the next record that waits arrived; `is_last`: none
    /// follows.
    pub(crate) fn close(&mut self, now: Millis, next: Option<Millis>, is_last: bool) {
        let State::Open { window, .. } = self.state else { return };
        let mut early = false;
        if window.state_bytes > WINDOW_STATE_BYTES_MAX {
            transition!("Open --too large--> Closing");
            early = true;
        } else if next.is_some_and(|arrived_at| arrived_at >= self.end_ms(window)) {
            transition!("Open --later--> Closing");
        } else if next.is_none() && is_last {
            transition!("Open --shard end--> Closing");
        } else if next.is_none() && self.idle_at().is_some_and(|at| at <= now) {
            transition!("Open --idle--> Closing");
        } else {
            return;
        }
        self.state = State::Closing { window, early };
    }

    /// When it is concluded if no record comes.
    pub(crate) fn idle_at(&self) -> Option<Millis> {
        match self.state {
            State::Open { window, touched_at } => {
                Some(self.end_ms(window).max(touched_at).saturating_add(WINDOW_IDLE_MS))
            }
            _ => None,
        }
    }

    pub(crate) const fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing { .. })
    }

    /// An answer was accepted that has a state of this length.
    pub(crate) fn answered(&mut self, now: Millis, state_bytes: u64) {
        if let State::Open { window, touched_at } = &mut self.state {
            window.state_bytes = state_bytes;
            *touched_at = now;
            self.changed = true;
        }
    }

    /// The final invocation is over. Where the window started, and whether it ended early.
    pub(crate) fn closed(&mut self) -> Option<(Millis, bool)> {
        let State::Closing { window, early } = self.state else { return None };
        transition!("Closing --closed--> None");
        self.state = State::None;
        self.changed = true;
        Some((window.start_ms, early))
    }

    /// What an event says.
    pub(crate) const fn part(&self) -> Option<WindowPart> {
        let (window, is_final, is_terminated_early) = match self.state {
            State::None => return None,
            State::Open { window, .. } => (window, false, false),
            State::Closing { window, early } => (window, true, early),
        };
        let (start_ms, end_ms) = (window.start_ms, self.end_ms(window));
        let has_state = window.state_bytes > 0;
        Some(WindowPart { start_ms, end_ms, is_final, is_terminated_early, has_state })
    }

    /// Its state is larger than a checkpoint takes: the final invocation comes next, and the checkpoint after that.
    pub(crate) const fn is_oversized(&self) -> bool {
        match self.state {
            State::None => false,
            State::Open { window, .. } | State::Closing { window, .. } => {
                window.state_bytes > WINDOW_STATE_BYTES_MAX
            }
        }
    }

    /// What a checkpoint says.
    pub(crate) const fn mark(&self) -> Option<WindowMark> {
        match self.state {
            State::None => None,
            State::Open { window, .. } | State::Closing { window, .. } => {
                let (start_ms, has_state) = (window.start_ms, window.state_bytes > 0);
                Some(WindowMark { start_ms, has_state })
            }
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        !matches!(self.state, State::None)
    }

    pub(crate) const fn is_changed(&self) -> bool {
        self.changed
    }

    pub(crate) const fn stored(&mut self) {
        self.changed = false;
    }

    pub(crate) const fn unstored(&mut self) {
        self.changed = true;
    }
}
