//! The transport against a server that misbehaves on purpose, byte by byte.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use super::*;
use crate::http::{ClientSettings, check_token_file};

/// What the server does with one connection after it has read a whole request.
type Behaviour = fn(&mut TcpStream);

/// Serves each connection with the next behaviour; sends out every request it read, as text.
fn server(behaviours: Vec<Behaviour>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (requests, seen) = channel();
    std::thread::spawn(move || {
        for behaviour in behaviours {
            let Ok((mut connection, _)) = listener.accept() else { return };
            connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            while let Some(request) = read_request(&mut connection) {
                let _ = requests.send(request);
                behaviour(&mut connection);
            }
        }
    });
    (address, seen)
}

/// Head and body of one request; none at the end of the connection.
fn read_request(connection: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        match connection.read(&mut chunk) {
            Ok(0) | Err(_) if bytes.is_empty() => return None,
            Ok(0) | Err(_) => return Some(format!("TORN {}", String::from_utf8_lossy(&bytes))),
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

fn answer(connection: &mut TcpStream) {
    let _ = connection.write_all(b"HTTP/1.1 429 Too Many\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}");
}

fn answer_with_limits(connection: &mut TcpStream) {
    let _ = connection.write_all(
        b"HTTP/1.1 429 Too Many\r\nRateLimit: \"a\";r=1;t=2\r\nratelimit: \"b\";r=0;t=3\r\nX-Rate-Limit-Reset: 4\r\n\
          ratelimit-policy: \xff\r\ncontent-length: 2\r\n\r\n{}",
    );
}

fn hang_up(connection: &mut TcpStream) {
    let _ = connection.shutdown(Shutdown::Both);
}

fn say_nothing(_: &mut TcpStream) {}

fn redirect(connection: &mut TcpStream) {
    let _ = connection.write_all(b"HTTP/1.1 307 Go\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n");
}

fn answer_too_much(connection: &mut TcpStream) {
    let body = "x".repeat(5_000);
    let _ = write!(connection, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
}

fn answer_and_hang_up(connection: &mut TcpStream) {
    answer(connection);
    hang_up(connection);
}

fn transport(base_url: &str, token_file: Option<PathBuf>) -> Arc<Transport> {
    let settings = TransportSettings {
        base_url: base_url.into(),
        client: ClientSettings::default(),
        token_file,
        connect_timeout_ms: 2_000,
        request_life_ms: 1_000,
        idle_connections_max: 4,
        idle_connection_ms: 4_000,
        body_bytes_max: 1_000,
    };
    Transport::new(&settings).unwrap()
}

fn write() -> WireRequest {
    WireRequest {
        method: Method::Post,
        path_and_query: "/appointments?a=b".into(),
        idempotency_key: Some("key-1".into()),
        if_match: Some("\"7\"".into()),
        body: Some(b"{\"a\":1}".to_vec()),
    }
}

fn read() -> WireRequest {
    WireRequest {
        method: Method::Get,
        path_and_query: "/appointments".into(),
        idempotency_key: None,
        if_match: None,
        body: None,
    }
}

/// Goal: what HealthFlow tells of its limits comes through, in every spelling and on several lines; what is no text does not.
#[tokio::test]
async fn the_headers_of_limits_come_through() {
    let (address, _seen) = server(vec![answer_with_limits]);
    let reply = transport(&address, None).send(read(), || true).await.unwrap();
    let limits = LimitHeaders {
        state: Some(r#""a";r=1;t=2, "b";r=0;t=3"#.into()),
        reset: Some("4".into()),
        ..LimitHeaders::default()
    };
    assert_eq!(*reply.limits, limits);
}

/// Goal: the wire carries the request as it is, with the current token.
#[tokio::test]
async fn a_request_goes_out_as_it_is_and_the_answer_comes_back() {
    let (address, seen) = server(vec![answer]);
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "first\n").unwrap();
    let transport = transport(&format!("{address}/v1/"), Some(token.clone()));
    let reply = transport.send(write(), || true).await.unwrap();
    assert_eq!(
        reply,
        WireReply {
            status: 429,
            retry_after: Some("7".into()),
            limits: Box::default(),
            body: b"{}".to_vec()
        }
    );
    let request = seen.recv().unwrap();
    assert!(request.starts_with("post /v1/appointments?a=b http/1.1\r\n"), "{request}");
    for line in [
        "authorization: bearer first",
        "idempotency-key: key-1",
        "if-match: \"7\"",
        "content-type: application/json",
    ] {
        assert!(request.contains(&format!("{line}\r\n")), "{line} is missing in {request}");
    }
    assert!(request.ends_with("{\"a\":1}"), "{request}");

    std::fs::write(&token, "second").unwrap();
    std::fs::File::open(&token).unwrap().set_modified(SystemTime::now() + Duration::from_secs(9)).unwrap();
    transport.send(read(), || true).await.unwrap();
    assert!(seen.recv().unwrap().contains("authorization: bearer second\r\n"));
}

/// Goal: a rotation that goes wrong does not stop the account. Method: the token file as an editor, a torn write or a wrong
/// file leaves it, one after the other, and a good one at the end.
#[tokio::test]
async fn a_token_file_without_a_token_leaves_the_last_one_in_use() {
    let (address, seen) = server(vec![answer]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "\u{feff}first\r\n").unwrap();
    let transport = transport(&address, Some(file.clone()));
    let sent = async || {
        transport.send(read(), || true).await.unwrap();
        let request = seen.recv().unwrap();
        let line = request.lines().find_map(|line| line.strip_prefix("authorization: ")).map(str::to_owned);
        line.expect("a token goes along")
    };
    assert_eq!(sent().await, "bearer first", "a byte order mark is none of it");
    for nothing in
        [&b""[..], b" \n", b"\xef\xbb\xbf", b"two words", b"two\nlines\n", b"t\xc3\xb6ken", b"\xff\xfet\0"]
    {
        std::fs::write(&file, nothing).unwrap();
        assert!(check_token_file(&file).is_err(), "{nothing:?}");
        assert!(transport.has_stale_token(), "{nothing:?}");
        assert_eq!(sent().await, "bearer first", "{nothing:?}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(transport.has_stale_token());
    assert_eq!(sent().await, "bearer first", "the file is gone");
    std::fs::write(&file, "another-one").unwrap();
    assert_eq!(sent().await, "bearer another-one");
    assert!(!transport.has_stale_token());
}

#[test]
fn a_start_without_a_token_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "\n").unwrap();
    let refused = check_token_file(&file).unwrap_err();
    assert_eq!(refused.to_string(), format!("the token file {} is empty", file.display()));
    std::fs::write(&file, "secret of two words").unwrap();
    assert!(!check_token_file(&file).unwrap_err().to_string().contains("secret"));
}

/// Goal: each failure is distinguished from the others, and nothing is sent twice (rule W6).
#[tokio::test]
async fn each_failure_is_what_it_is_and_nothing_is_sent_again() {
    use TransportFault as Fault;
    let cases: [(Behaviour, Fault); 3] = [
        (hang_up, Fault::Unknown(Unknown::Reset)),
        (say_nothing, Fault::Unknown(Unknown::Timeout)),
        (answer_too_much, Fault::Unknown(Unknown::Unreadable)),
    ];
    for (behaviour, fault) in cases {
        for request in [write(), read()] {
            let (address, seen) = server(vec![behaviour, answer]);
            let transport = transport(&address, None);
            let failed = transport.send(request, || true).await.unwrap_err();
            assert_eq!(failed.fault, fault);
            assert!(failed.cause.unwrap().contains(" /appointments"), "{fault:?}: the path has no query");
            drop(transport);
            assert_eq!(seen.try_iter().count(), 1, "{fault:?}");
        }
    }
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for request in [write(), read()] {
        let refused = transport(&format!("http://{unused}"), None).send(request, || true).await;
        let cause = Some("the connection is refused".to_owned());
        assert_eq!(refused, Err(Failed { fault: Fault::NotSent(NotSent::Connect), cause }));
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_named_as_the_cause() {
    let unknown = transport("http://healthflow.invalid", None).send(read(), || true).await.unwrap_err();
    assert_eq!(unknown.fault, TransportFault::NotSent(NotSent::Connect));
    assert!(unknown.cause.as_deref().is_some_and(|cause| cause.contains("name is unknown")), "{unknown:?}");
}

/// Goal: a redirect is an answer like any other.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (address, seen) = server(vec![redirect, answer]);
    let reply = transport(&address, None).send(write(), || true).await.unwrap();
    assert_eq!((reply.status, seen.try_iter().count()), (307, 1));
}

/// Goal: not one byte goes out once the lease is over (rule W2), on a new connection and on an open one. The lease is checked
/// once the connection exists, not before.
#[tokio::test]
async fn without_a_lease_no_byte_goes_out() {
    let (address, seen) = server(vec![answer, answer]);
    let transport = transport(&address, None);
    let over = Err(Failed { fault: TransportFault::NotSent(NotSent::LeaseOver), cause: None });
    assert_eq!(transport.send(write(), || false).await, over);
    transport.send(write(), || true).await.unwrap();
    assert_eq!(transport.send(write(), || false).await, over);
    drop(transport);
    let requests: Vec<String> = seen.iter().take(1).chain(seen.try_iter()).collect();
    assert_eq!(requests.len(), 1, "{requests:?}");
}

/// Goal: a connection that the server has closed meanwhile costs at most one fault, never a second copy.
#[tokio::test]
async fn a_stale_connection_never_makes_two_of_one() {
    let (address, seen) = server(vec![answer_and_hang_up, answer]);
    let transport = transport(&address, None);
    transport.send(write(), || true).await.unwrap();
    let _ = transport.send(write(), || true).await;
    drop(transport);
    assert!(seen.try_iter().count() <= 2);
}

/// Goal: once a call has ended without reaching its gate, nothing passes the gate any more.
#[test]
fn a_closed_gate_stays_closed() {
    let gate = Gate::new(|| true);
    assert_eq!(gate.close(), Passage::NeverAsked);
    let mut body = std::pin::pin!(GatedBody::new(vec![1], gate.clone()));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let frame = http_body::Body::poll_frame(body.as_mut(), &mut context);
    assert!(matches!(frame, std::task::Poll::Ready(Some(Err(_)))));
    assert_eq!(gate.close(), Passage::NeverAsked);
}

fn keep_for_a_second(connection: &mut TcpStream) {
    let _ = connection
        .write_all(b"HTTP/1.1 201 Made\r\nkeep-alive: timeout=1, max=9\r\ncontent-length: 2\r\n\r\n{}");
}

fn answer_202(connection: &mut TcpStream) {
    let _ = connection.write_all(b"HTTP/1.1 202 Made\r\ncontent-length: 2\r\n\r\n{}");
}

fn answer_203(connection: &mut TcpStream) {
    let _ = connection.write_all(b"HTTP/1.1 203 Made\r\ncontent-length: 2\r\n\r\n{}");
}

/// Goal: no write goes out on a connection that the other side is about to close. Method: the server says how long it keeps
/// one; each connection answers with another status, so the statuses show which one was used.
#[tokio::test]
async fn a_connection_that_was_idle_for_nearly_as_long_as_the_server_keeps_it_is_not_used() {
    let (address, _seen) = server(vec![keep_for_a_second, answer_202, answer_203]);
    let transport = transport(&address, None);
    let status = async || transport.send(write(), || true).await.unwrap().status;
    assert_eq!(status().await, 201);
    // From here on the server's word is known.
    assert_eq!(status().await, 202);
    // Longer than we keep it, shorter than the server does.
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(status().await, 203);
}

#[test]
fn the_keep_alive_header_is_read_and_nonsense_is_passed_over() {
    assert_eq!(kept_alive_ms("timeout=5, max=100"), Some(5_000));
    assert_eq!(kept_alive_ms("max=100, timeout=15"), Some(15_000));
    for nonsense in ["", "timeout=", "timeout=-1", "timeout=x", "max=7", "timeout=99999999999999999999"] {
        assert_eq!(kept_alive_ms(nonsense), None, "{nonsense}");
    }
}
