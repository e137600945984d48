//! Connections, each within its limits.

use super::stalls::Stalls;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task;
use tokio::time::{sleep, timeout};

/// Connections at a time; further ones wait for their turn in the system's queue.
const MOST_CONNECTIONS: usize = 1000;

/// How long the head of a request may take, and a connection idle between two.
const MOST_HEAD_TIME: Duration = Duration::from_secs(60);

/// How long connections may take to close, when the server stops.
const MOST_CLOSING_TIME: Duration = Duration::from_secs(2);

/// Pause after the system has refused a connection, for want of descriptors mostly.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `closing` is true. Those that there are then answer what they are asked,
/// and are closed.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    mut closing: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let closed = closing.clone();
    let accepting = async {
        loop {
            let permit = Arc::clone(&permits).acquire_owned().await;
            match listener.accept().await {
                Ok((socket, _)) => {
                    let (router, closing) = (router.clone(), closed.clone());
                    task::spawn(async move {
                        converse(socket, router, closing).await;
                        drop(permit);
                    });
                }
                // The client is gone again, or there are no descriptors.
                Err(_) => sleep(PAUSE).await,
            }
        }
    };
    first_of(accepting, until(&mut closing)).await;
    drop(listener);
    let all_closed = permits.acquire_many(MOST_CONNECTIONS as u32);
    // Who does not read what is left has had its time.
    let _ = timeout(MOST_CLOSING_TIME, all_closed).await;
}

/// Answers the requests on a connection, one after the other.
async fn converse(socket: TcpStream, router: Router, mut closing: watch::Receiver<bool>) {
    // A token is a small packet, and is not to wait for the next. Where that cannot be set, it does.
    let _ = socket.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(MOST_HEAD_TIME)
        .serve_connection(Stalls::new(socket), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    // That a client is gone is no error of ours, and there is nobody to tell.
    if first_of(connection.as_mut(), until(&mut closing)).await.is_none() {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

async fn until(closing: &mut watch::Receiver<bool>) {
    // If the server itself is gone, that is the end too.
    let _ = closing.wait_for(|&is_closing| is_closing).await;
}

/// What `work` comes to, unless `end` is there first.
async fn first_of<T>(work: impl Future<Output = T>, end: impl Future<Output = ()>) -> Option<T> {
    let (mut work, mut end) = (pin!(work), pin!(end));
    poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut work).poll(cx) {
            return Poll::Ready(Some(result));
        }
        Pin::new(&mut end).poll(cx).map(|()| None)
    })
    .await
}
