//! How many deliveries run at a time to one place: a destination that does not answer must not take
//! the room of those that do.
//!
//! While a place answers, its deliveries wait a moment for each other. Once it has been silent, only
//! a few may find out whether it is back; the others are turned away at once, and the engine's
//! backoff brings them again. It does not know what a place is, nor when to try again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Deliveries to one place at a time.
const WIDTH: usize = 32;

/// Deliveries to a place that was silent the last time.
const WIDTH_SILENT: usize = 2;

/// Longest wait for a place in the lane.
const WAIT: Duration = Duration::from_secs(1);

/// Places that are remembered; beyond it those to which nothing is under way are forgotten.
const LANES_MAX: usize = 1_024;

/// All lanes, by place.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<HashMap<String, Arc<Lane>>>);

#[derive(Debug)]
struct Lane {
    room: Arc<Semaphore>,
    silent: AtomicBool,
}

/// Leave to deliver; ends when dropped.
#[derive(Debug)]
pub(super) struct Place {
    lane: Arc<Lane>,
    _room: OwnedSemaphorePermit,
}

impl Lanes {
    /// Waits for room.
    ///
    /// # Errors
    /// A sentence, if there is none within [`WAIT`], or at once if `place` has been silent.
    pub(super) async fn enter(&self, place: &str) -> Result<Place, String> {
        let lane = self.lane(place);
        if lane.silent.load(Ordering::Relaxed) && lane.under_way() >= WIDTH_SILENT {
            return Err(format!(
                "{place} did not answer the last time; {WIDTH_SILENT} other records are trying it"
            ));
        }
        let room = tokio::time::timeout(WAIT, lane.room.clone().acquire_owned()).await;
        match room {
            Ok(Ok(room)) => Ok(Place { lane, _room: room }),
            // The semaphore is never closed: both mean that there was no room.
            Ok(Err(_)) | Err(_) => {
                Err(format!("{place} is slow: {WIDTH} records are on their way to it"))
            }
        }
    }

    fn lane(&self, place: &str) -> Arc<Lane> {
        // No panic is possible between two statements that belong together.
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(place) {
            return lane.clone();
        }
        if lanes.len() >= LANES_MAX {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        let lane = Arc::new(Lane {
            room: Arc::new(Semaphore::new(WIDTH)),
            silent: AtomicBool::new(false),
        });
        lanes.insert(place.to_owned(), lane.clone());
        lane
    }
}

impl Lane {
    fn under_way(&self) -> usize {
        WIDTH - self.room.available_permits().min(WIDTH)
    }
}

impl Place {
    /// Whether the place said anything at all, yes or no.
    pub(super) fn leave(self, answered: bool) {
        self.lane.silent.store(!answered, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_place_keeps_its_room_to_itself() {
        let lanes = Lanes::default();
        lanes.enter("silent").await.unwrap().leave(false);
        let first = lanes.enter("silent").await.unwrap();
        let _second = lanes.enter("silent").await.unwrap();
        let refused = lanes.enter("silent").await.unwrap_err();
        assert!(refused.contains("silent did not answer the last time"), "{refused}");

        let mut places = Vec::new();
        for _ in 0..WIDTH {
            places.push(lanes.enter("answers").await.unwrap());
        }

        first.leave(true);
        for _ in 0..WIDTH - 1 {
            places.push(lanes.enter("silent").await.unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_is_waited_for_and_not_for_ever() {
        let lanes = Lanes::default();
        let mut places = Vec::new();
        for _ in 0..WIDTH {
            places.push(lanes.enter("slow").await.unwrap());
        }
        let freed = async {
            tokio::task::yield_now().await;
            places.pop();
        };
        let (entered, ()) = tokio::join!(lanes.enter("slow"), freed);
        let _entered = entered.unwrap();
        let refused = lanes.enter("slow").await.unwrap_err();
        assert!(refused.contains("slow is slow"), "{refused}");
    }

    #[tokio::test]
    async fn lanes_are_forgotten_when_there_are_too_many() {
        let lanes = Lanes::default();
        let _held = lanes.enter("held").await.unwrap();
        for place in 0..2 * LANES_MAX {
            lanes.enter(&place.to_string()).await.unwrap().leave(false);
        }
        let lanes = lanes.0.lock().unwrap();
        assert!(lanes.len() <= LANES_MAX && lanes.contains_key("held"));
    }
}
