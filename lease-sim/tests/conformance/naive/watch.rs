//! Watches: a thread that reads, and a queue of what it read.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;

use bytes::Bytes;
use http::Response;
use lease_core::Failure;
use lease_core::driver::{Call, Chunks, Rotating, SendError};

use super::client::{Shared, Wire, error, prepare};
use super::wire::{self, Broken};
use crate::sins::Sin;

type Head = Result<Response<()>, SendError>;
type Piece = Result<Bytes, SendError>;

/// What the thread and whoever reads have in common.
#[derive(Default)]
struct Watch {
    state: Mutex<State>,
    socket: Mutex<Option<TcpStream>>,
    given_up: AtomicBool,
}

#[derive(Default)]
struct State {
    head: Option<Head>,
    /// The head was told: what comes now are pieces.
    begun: bool,
    pieces: VecDeque<Piece>,
    over: bool,
    waker: Option<Waker>,
}

impl Watch {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap();
        change(&mut state);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn poll<T>(&self, context: &mut Context<'_>, take: impl FnOnce(&mut State) -> Option<T>) -> Poll<T> {
        let mut state = self.state.lock().unwrap();
        if let Some(taken) = take(&mut state) {
            return Poll::Ready(taken);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Gives the watch up when it is dropped.
struct GivesUp(Arc<Watch>, Option<Sin>);

impl Drop for GivesUp {
    fn drop(&mut self) {
        if self.1 == Some(Sin::LeavesHungConnections) {
            return;
        }
        self.0.given_up.store(true, Ordering::SeqCst);
        if let Some(socket) = self.0.socket.lock().unwrap().take() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// A thread that panics has told nothing.
struct Finishes(Arc<Watch>);

impl Drop for Finishes {
    fn drop(&mut self) {
        self.0.change(|state| {
            if !state.begun {
                state.head = Some(Err(SendError::new(Failure::Unknown, "its thread is gone")));
            }
            state.over = true;
        });
    }
}

pub async fn open(
    shared: Arc<Shared>,
    rotating: Arc<Rotating<Wire>>,
    call: Call,
) -> Result<Response<Chunks>, SendError> {
    let watch = Arc::new(Watch::default());
    let gives_up = GivesUp(Arc::clone(&watch), shared.sin);
    let finishes = Finishes(Arc::clone(&watch));
    thread::spawn(move || carry(&shared, &rotating, &finishes.0, call));
    let head = poll_fn(|context| watch.poll(context, |state| state.head.take())).await?;
    Ok(head.map(|()| {
        Chunks::from_fn(move |context| {
            let _ = &gives_up;
            watch.poll(context, |state| match state.pieces.pop_front() {
                Some(piece) => Some(Some(piece)),
                None => state.over.then_some(None),
            })
        })
    }))
}

fn carry(shared: &Shared, rotating: &Arc<Rotating<Wire>>, watch: &Watch, call: Call) {
    let _line = (shared.sin == Some(Sin::OneConnectionForAll)).then(|| shared.line.lock());
    let hoards = shared.sin == Some(Sin::HoardsEvents);
    let mut hoard = Vec::new();
    let came = read(shared, rotating, watch, call, |piece| {
        if hoards {
            hoard.push(Ok(piece));
        } else {
            watch.change(|state| state.pieces.push_back(Ok(piece)));
        }
    });
    watch.change(|state| {
        state.pieces.extend(hoard);
        match came {
            Ok(()) => {}
            Err(error) if state.begun => state.pieces.push_back(Err(error)),
            Err(error) => {
                state.begun = true;
                state.head = Some(Err(error));
            }
        }
    });
}

fn read(
    shared: &Shared,
    rotating: &Arc<Rotating<Wire>>,
    watch: &Watch,
    call: Call,
    mut take: impl FnMut(Bytes),
) -> Result<(), SendError> {
    let (sin, time_left) = (shared.sin, call.time_left);
    let (server, wire, request) = prepare(shared, rotating, call)?;
    let told = |broken| {
        rotating.doubt();
        error(broken, &request, sin)
    };
    let connected = shared.connection(&server, &wire, &request);
    let mut connection = connected.map_err(|error| told(Broken::NotSent(error)))?;
    *watch.socket.lock().unwrap() = connection.socket.try_clone().ok();
    if watch.given_up.load(Ordering::SeqCst) {
        return Err(SendError::new(Failure::NotSent, "given up"));
    }
    let limit = (sin == Some(Sin::EndsWatchesInTime)).then_some(time_left);
    let _ = connection.socket.set_read_timeout(limit);
    wire::write(&mut connection, &request, sin).map_err(|error| told(Broken::Unknown(error)))?;
    let (head, mut rest) = wire::read_head(&mut connection, sin).map_err(told)?;
    if sin == Some(Sin::ErrorsForRefusals) && head.status().as_u16() >= 400 {
        return Err(SendError::new(Failure::Unknown, "refused"));
    }
    let begin = |head: &mut Option<Response<()>>| {
        if let Some(head) = head.take() {
            watch.change(|state| {
                state.begun = true;
                state.head = Some(Ok(head));
            });
        }
    };
    let mut head = Some(head);
    if sin != Some(Sin::WaitsForTheFirstEvent) {
        begin(&mut head);
    }
    loop {
        let piece = wire::read_piece(&mut connection, &mut rest, sin);
        begin(&mut head);
        match piece {
            Ok(Some(piece)) => take(piece),
            Ok(None) if sin == Some(Sin::DoubtsEveryEnd) => {
                return Err(SendError::new(Failure::Unknown, "it ended"));
            }
            Ok(None) => return Ok(()),
            // The end is the end.
            Err(Broken::Unknown(_)) if sin == Some(Sin::TakesCutChunks) => return Ok(()),
            Err(broken) => return Err(told(broken)),
        }
    }
}
