//! Servers that say exactly what a test wants, byte for byte, on threads of their own.
#![allow(dead_code, unreachable_pub)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Longer than anything takes here; shorter than a patience with a test that hangs.
pub const LONG: Duration = Duration::from_secs(20);

/// Each connection gets a thread, which runs `serve` with the connection's number, from 0 on.
pub fn raw(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (serve, stream) = (Arc::clone(&serve), stream.unwrap());
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            thread::spawn(move || serve(number, stream));
        }
    });
    address
}

/// Answers every request of every connection with the same bytes; tells what was asked.
pub fn answering(answer: impl Into<Vec<u8>>) -> (SocketAddr, Receiver<String>) {
    let answer = answer.into();
    let (sender, asked) = channel();
    let sender = Mutex::new(sender);
    let address = raw(move |_, mut stream| {
        while let Some(request) = request(&mut stream) {
            let _ = sender.lock().unwrap().send(request);
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    });
    (address, asked)
}

/// Reads one request, its body included; `None` when the client has closed instead.
pub fn request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}

/// Whether the client closes the connection; false when it says something instead, or nothing for long.
pub fn closes(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}
