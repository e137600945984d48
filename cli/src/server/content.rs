//! Files, read as their readers take them.

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes that come from the disk together.
const PIECE_BYTES: u64 = 256 << 10;

/// A file with the next bytes of it.
type Piece = io::Result<(File, Vec<u8>)>;

/// The bytes of a file.
pub(super) struct Content {
    n_left: u64,
    /// The file, while nothing is read of it.
    file: Option<File>,
    reading: Option<JoinHandle<Piece>>,
}

impl Content {
    /// The first `n_bytes` of a file.
    pub fn new(file: File, n_bytes: u64) -> Content {
        Content { n_left: n_bytes, file: Some(file), reading: None }
    }
}

impl HttpBody for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.n_left == 0 {
            return Poll::Ready(None);
        }
        if let Some(mut file) = self.file.take() {
            let n_bytes = self.n_left.min(PIECE_BYTES) as usize;
            self.reading = Some(spawn_blocking(move || {
                let mut bytes = vec![0; n_bytes];
                file.read_exact(&mut bytes)?;
                Ok((file, bytes))
            }));
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let piece = ready!(Pin::new(reading).poll(cx)).map_err(io::Error::other).flatten();
        self.reading = None;
        Poll::Ready(Some(piece.map(|(file, bytes)| {
            self.n_left -= bytes.len() as u64;
            self.file = Some(file);
            Frame::data(bytes.into())
        })))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.n_left)
    }
}
