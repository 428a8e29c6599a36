//! The frames of a session as the stream that tonic sends.
//!
//! It does not know what is in a frame; `book.rs` does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use trine_proto::v1::WorkerServiceSessionRequest;

use crate::book::Book;

/// Takes frames out of the book when the connection can take them. Not a channel of frames: while
/// the connection is busy the outcomes gather, and leave as one frame.
#[derive(Debug)]
pub(crate) struct Outbox {
    book: Arc<Book>,
}

impl Outbox {
    pub(crate) fn new(book: Arc<Book>) -> Self {
        Self { book }
    }
}

impl Stream for Outbox {
    type Item = WorkerServiceSessionRequest;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.book.poll_frame(cx)
    }
}
