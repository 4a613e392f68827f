//! Bodies that come bit by bit, as a watch's do, and bodies that are large.

use std::io::Write;
use std::sync::{Mutex, mpsc};

use futures_util::io::{AsyncBufReadExt, AsyncReadExt};

use super::raw::raw;
use super::*;

#[test]
fn lines_are_handed_out_as_they_come() {
    let (more, wanted) = mpsc::channel::<()>();
    let wanted = Mutex::new(wanted);
    let address = raw(move |_, mut stream| {
        super::raw::request(&mut stream).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        // The next line only when the last one was read.
        for number in 0..10 {
            stream.write_all(format!("7\r\nline {number}\n\r\n").as_bytes()).unwrap();
            wanted.lock().unwrap().recv().unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    let client = surf_to_plain(address);
    run(async {
        let mut response = client.send(get(address, "/watch")).await.unwrap();
        assert_eq!(response.len(), None);
        let mut body = response.take_body();
        for number in 0..10 {
            let mut line = String::new();
            body.read_line(&mut line).await.unwrap();
            assert_eq!(line, format!("line {number}\n"));
            more.send(()).unwrap();
        }
        assert_eq!(body.read(&mut [0; 8]).await.unwrap(), 0);
    });
}

#[test]
fn a_watch_of_the_model_server_is_handed_out_as_it_comes() {
    const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    for tls in [false, true] {
        let server = open(tls);
        let client = surf_to(&server);
        run(async {
            let watch = request(Method::Get, &server.url(), &format!("{LEASES}?watch=true"));
            let mut response = client.send(watch).await.unwrap();
            let mut lines = response.take_body();
            for name in ["one", "two"] {
                let mut create = request(Method::Post, &server.url(), LEASES);
                create.set_header("content-type", "application/json");
                create.set_body(format!(
                    r#"{{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{{"name":"{name}"}}}}"#
                ));
                assert_eq!(client.send(create).await.unwrap().status(), 201);
                let mut line = String::new();
                lines.read_line(&mut line).await.unwrap();
                assert!(line.contains("ADDED") && line.contains(name), "{line}");
            }
        });
    }
}

#[test]
fn large_bodies_arrive_whole_in_both_directions() {
    let server = open(true);
    let client = surf_to(&server);
    let big: Vec<u8> = (0..1_000_003_u32).map(|n| n.to_le_bytes()[1]).collect();
    let expected = big.clone();
    server.set_fault_hook(move |request: &http::Request<bytes::Bytes>| {
        Some(lease_sim::listener::Fault::status(200, request.body().clone()))
    });
    run(async {
        let mut request = request(Method::Post, &server.url(), "/echo");
        request.set_body(big);
        let mut response = client.send(request).await.unwrap();
        assert!(response.take_body().into_bytes().await.unwrap() == expected, "another body");
    });
    assert_eq!(server.connections(), 1);
}
