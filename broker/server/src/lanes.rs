//! The threads that connections live on. It does not know what is spoken over them.
//!
//! A connection stays on one thread with all its calls: nothing is stolen by, or handed to, another one but messages to
//! the shard and back. Measured against tokio's stealing pool of as many threads: a small unary call costs the same
//! CPU less the hand-overs (docs/adr/0003-threads.md).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Connections that the first lane takes before any other gets one: with few of them, everything is on the thread of
/// the shard and no message crosses.
const FIRST_LANE_CONNECTIONS: usize = 2;

/// The runtime the broker was started on, and threads of its own beside it.
pub(crate) struct Lanes(Vec<Lane>);

struct Lane {
    runtime: Handle,
    open: Arc<AtomicUsize>,
    /// Dropped, it ends the lane's thread and what still runs there.
    _end: Option<oneshot::Sender<()>>,
}

/// The place of one connection on its lane; given back when dropped.
pub(crate) struct Place {
    runtime: Handle,
    open: Arc<AtomicUsize>,
    /// It is the lane of whoever accepts.
    home: bool,
}

impl Lanes {
    /// The present runtime, and `threads` more.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(crate) fn start(threads: u32) -> io::Result<Self> {
        let home = Lane { runtime: Handle::current(), open: Arc::default(), _end: None };
        let mut lanes = vec![home];
        for number in 1..=threads {
            lanes.push(Lane::start(number)?);
        }
        Ok(Self(lanes))
    }

    /// A place on the lane with the fewest connections.
    pub(crate) fn place(&self) -> Place {
        let open = |lane: &Lane| lane.open.load(Ordering::Relaxed);
        let load = |(number, lane): &(usize, &Lane)| match open(lane) {
            few if *number == 0 && few < FIRST_LANE_CONNECTIONS => 0,
            open => open + 1,
        };
        let (number, lane) =
            self.0.iter().enumerate().min_by_key(load).expect("there is always the first lane");
        lane.open.fetch_add(1, Ordering::Relaxed);
        Place { runtime: lane.runtime.clone(), open: Arc::clone(&lane.open), home: number == 0 }
    }
}

impl Lane {
    fn start(number: u32) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        let run = move || {
            // The sender is only ever dropped.
            let _ = runtime.block_on(ended);
        };
        std::thread::Builder::new().name(format!("trine-lane-{number}")).spawn(run)?;
        Ok(Self { runtime: handle, open: Arc::default(), _end: Some(end) })
    }
}

impl Place {
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Whether whoever accepts is on it as well.
    pub(crate) fn is_home(&self) -> bool {
        self.home
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_lane_takes_the_first_and_then_all_take_turns() {
        let lanes = Lanes::start(2).unwrap();
        let mut places: Vec<Place> = (0..6).map(|_| lanes.place()).collect();
        let open =
            || lanes.0.iter().map(|lane| lane.open.load(Ordering::Relaxed)).collect::<Vec<_>>();
        assert_eq!(open(), [2, 2, 2]);
        assert_eq!(places.iter().map(Place::is_home).collect::<Vec<_>>()[..2], [true, true]);
        // Whoever leaves makes room for the next one.
        places.retain(Place::is_home);
        assert_eq!(open(), [2, 0, 0]);
        assert!(!lanes.place().is_home());
    }

    #[tokio::test]
    async fn what_runs_on_a_lane_ends_with_it() {
        let lanes = Lanes::start(1).unwrap();
        let runtime = lanes.0[1].runtime.clone();
        let (held, dropped) = oneshot::channel::<()>();
        runtime.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        drop(lanes);
        assert!(dropped.await.is_err());
    }

    #[tokio::test]
    async fn without_threads_everything_is_at_home() {
        let lanes = Lanes::start(0).unwrap();
        assert!((0..9).map(|_| lanes.place()).all(|place| place.is_home()));
    }
}
