//! The proxy before a broker that answers each request at once, with its correlation id and nothing more.

use tokio::io::AsyncReadExt;

use super::*;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

/// A broker, and the correlation ids of what reached it.
async fn broker() -> (String, mpsc::UnboundedReceiver<i32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (reached, ids) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let reached = reached.clone();
            tokio::spawn(async move {
                let mut frames = Frames::default();
                while let Ok(request) = frames.next(&mut client).await {
                    let id: [u8; 4] = number(&request, 8).unwrap();
                    reached.send(i32::from_be_bytes(id)).unwrap();
                    let _ = client.write_all(&[&[0, 0, 0, 4][..], &id].concat()).await;
                }
            });
        }
    });
    (address, ids)
}

async fn proxy() -> (KafkaProxy, TcpStream, mpsc::UnboundedReceiver<i32>) {
    let (broker, ids) = broker().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap();
    drop(listener);
    let proxy = KafkaProxy::start(&Handle::current(), &listen.to_string(), &broker).unwrap();
    let client = TcpStream::connect(listen).await.unwrap();
    (proxy, client, ids)
}

async fn ask(client: &mut TcpStream, api_key: i16, id: i32) {
    let body = [&api_key.to_be_bytes()[..], &[0, 1], &id.to_be_bytes()].concat();
    client.write_all(&[&[0, 0, 0, 8][..], &body].concat()).await.unwrap();
}

/// The correlation id of the next answer; none when the connection was closed.
async fn answer_of(client: &mut TcpStream) -> Option<i32> {
    let mut answer = [0; 8];
    timeout(LIMIT, client.read_exact(&mut answer)).await.expect("an answer, or the end").ok()?;
    number(&answer, 4).map(i32::from_be_bytes)
}

#[tokio::test]
async fn a_delayed_request_reaches_the_broker_after_its_client_has_gone() {
    let (proxy, mut client, mut ids) = proxy().await;
    proxy.delay(END_TXN);
    ask(&mut client, 3, 1).await;
    ask(&mut client, END_TXN, 2).await;
    ask(&mut client, 3, 3).await;
    assert_eq!((ids.recv().await, answer_of(&mut client).await), (Some(1), Some(1)), "others get through");
    timeout(LIMIT, async {
        while proxy.delayed() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("one is delayed");
    proxy.cut();
    assert_eq!(answer_of(&mut client).await, None, "the client is cut off");
    assert!(ids.try_recv().is_err(), "what came behind it waits too");
    proxy.release();
    assert_eq!((ids.recv().await, ids.recv().await), (Some(2), Some(3)));
    assert_eq!(proxy.delayed(), 0);
}

#[tokio::test]
async fn an_answer_gets_lost_and_its_neighbours_do_not() {
    let (proxy, mut client, mut ids) = proxy().await;
    proxy.lose_answers(END_TXN);
    ask(&mut client, END_TXN, 1).await;
    ask(&mut client, 3, 2).await;
    assert_eq!(answer_of(&mut client).await, Some(2));
    assert_eq!((ids.recv().await, ids.recv().await), (Some(1), Some(2)), "both were carried out");
    assert_eq!((proxy.lost(), proxy.answered(END_TXN)), (1, 1));
    proxy.lose_no_more();
    ask(&mut client, END_TXN, 3).await;
    assert_eq!(answer_of(&mut client).await, Some(3));
}

#[tokio::test]
async fn after_a_thaw_everything_goes_on() {
    let (proxy, mut client, mut ids) = proxy().await;
    proxy.freeze();
    ask(&mut client, 3, 1).await;
    // Too short a look can only miss a defect.
    assert!(timeout(Duration::from_millis(50), ids.recv()).await.is_err(), "it got through");
    proxy.thaw();
    assert_eq!((ids.recv().await, answer_of(&mut client).await), (Some(1), Some(1)));
}
