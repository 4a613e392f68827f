//! Requests and bodies that nobody waits for any more, and answers that break off.

use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lease_core::Failure;
use lease_sim::listener::Fault;

use super::raw::{answering, raw};
use super::*;

#[test]
fn a_cancelled_request_takes_its_answer_along() {
    for tls in [false, true] {
        let server = open(tls);
        server.set_fault_hook(|request: &http::Request<bytes::Bytes>| {
            request.uri().path().ends_with("/a").then(|| Fault::DelayAfter(Duration::from_millis(500)))
        });
        let client = surf_to(&server);
        run(async {
            for _ in 0..5 {
                // One idle connection is there from the second round on.
                let slow = client.recv_string(request(Method::Get, &server.url(), "/a"));
                assert!(crate::runtime::timeout(Duration::from_millis(30), slow).await.is_none());
                let body = client.recv_string(request(Method::Get, &server.url(), "/version")).await.unwrap();
                assert!(body.contains("gitVersion"), "the answer to another request: {body}");
            }
        });
    }
}

#[test]
fn a_body_that_nobody_read_is_not_the_next_answer() {
    let big = format!("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n{}", "A".repeat(300_000));
    let address = raw(move |_, mut stream| {
        while let Some(request) = super::raw::request(&mut stream) {
            let answer = if request.starts_with("GET /a ") {
                big.as_bytes()
            } else {
                b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nB"
            };
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    });
    let client = surf_to_plain(address);
    run(async {
        for _ in 0..5 {
            let response = client.send(get(address, "/a")).await.unwrap();
            assert_eq!(response.len(), Some(300_000));
            drop(response);
            assert_eq!(client.recv_string(get(address, "/b")).await.unwrap(), "B");
        }
    });
}

#[test]
fn a_body_that_broke_off_is_an_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc",
    ] {
        let address = raw(move |_, mut stream| {
            super::raw::request(&mut stream).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        run(async {
            let mut response = surf_to_plain(address).send(get(address, "/")).await.unwrap();
            let mut body = response.take_body().into_reader();
            let mut read = Vec::new();
            let error = futures_util::AsyncReadExt::read_to_end(&mut body, &mut read).await.unwrap_err();
            assert_eq!(read, b"abc", "{answer:?}");
            let cause = error.get_ref().unwrap().downcast_ref::<ClientError>().unwrap();
            assert!(
                matches!(cause, ClientError::Body(_)) && cause.failure() == Failure::Unknown,
                "{cause:?}"
            );
            let again = futures_util::AsyncReadExt::read_to_end(&mut body, &mut read).await;
            assert!(again.is_err(), "an end after all");
        });
    }
    for tls in [false, true] {
        let server = open(tls);
        server.queue_fault(Fault::CutBody(5));
        let client = surf_to(&server);
        run(async {
            let whole = client.recv_bytes(request(Method::Get, &server.url(), "/version")).await;
            assert!(whole.is_err(), "tls: {tls}");
            let next = client.recv_string(request(Method::Get, &server.url(), "/version")).await;
            assert!(next.unwrap().contains("gitVersion"));
        });
    }
}

#[test]
fn the_last_line_of_a_chunked_body_may_come_in_pieces() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    // Each place in the last 12 bytes.
    for cut in ANSWER.len() - 12..ANSWER.len() {
        let address = raw(move |_, mut stream| {
            while super::raw::request(&mut stream).is_some() {
                let (first, rest) = ANSWER.split_at(cut);
                stream.write_all(first.as_bytes()).unwrap();
                // Long enough for a segment of its own, mostly; nothing fails when it is not.
                thread::park_timeout(Duration::from_millis(10));
                stream.write_all(rest.as_bytes()).unwrap();
            }
        });
        let client = surf_to_plain(address);
        run(async {
            for _ in 0..2 {
                assert_eq!(client.recv_string(get(address, "/")).await.unwrap(), "abc", "cut at {cut}");
            }
        });
    }
}

#[test]
fn garbage_is_an_error() {
    for garbage in
        ["", "\r\n\r\n", "HTTP/3 200 OK\r\n\r\n", "HTTP/1.1 999999 OK\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n"]
    {
        let address = raw(move |_, mut stream| {
            super::raw::request(&mut stream).unwrap();
            stream.write_all(garbage.as_bytes()).unwrap();
        });
        let error = run(surf_to_plain(address).send(get(address, "/"))).unwrap_err();
        assert_eq!(kind(&error).failure(), Failure::Unknown, "{garbage:?}");
    }
}

#[test]
fn what_the_server_says_unasked_is_nobodys_answer() {
    // A second answer that lies in wait for the next request.
    let (tell, told) = mpsc::channel();
    let address = raw(move |number, mut stream| {
        super::raw::request(&mut stream).unwrap();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}");
        stream
            .write_all(format!("{answer}HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nX").as_bytes())
            .unwrap();
        tell.send(()).unwrap();
        let _ = super::raw::closes(&mut stream);
    });
    let client = surf_to_plain(address);
    run(async {
        for number in 0..5 {
            let body = client.recv_string(get(address, "/")).await.unwrap();
            assert_eq!(body, number.to_string());
            told.recv().unwrap();
        }
    });
}

#[test]
fn statuses_that_surf_does_not_know_are_told() {
    for (code, nearest) in
        [(499, 400), (599, 500), (420, 400), (299, 200), (399, 300), (999, 500), (429, 429)]
    {
        let (address, _asked) = answering(format!("HTTP/1.1 {code} Odd\r\ncontent-length: 0\r\n\r\n"));
        let response = run(surf_to_plain(address).send(get(address, "/"))).unwrap();
        assert_eq!(response.status() as u16, nearest);
        assert_eq!(response.ext::<super::super::Head>().unwrap().status.as_u16(), code);
    }
}
