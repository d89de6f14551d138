//! A proxy between Kafka's clients and one broker that misbehaves on command. It knows where requests begin and end, so
//! it can delay just the ends of transactions, lose just their answers, cut every connection or freeze it: only so can
//! a test see what a broker does with a request that lands late.

#![allow(dead_code, reason = "the torture and the tests each use a process of it")]

mod frames;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use frames::{Frames, number};

/// The api key of EndTxn.
pub const END_TXN: i16 = 26;

/// Requests of one connection that wait here at most; then its client waits.
const QUEUED_MAX: usize = 1_024;
/// How long a broker may take for the requests of a client that has gone: it forgets those of a closed connection.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// A proxy before one broker. Dropping it closes every connection.
pub struct KafkaProxy {
    orders: watch::Sender<Orders>,
    seen: Arc<Mutex<Seen>>,
}

/// What all connections do now.
#[derive(Default)]
struct Orders {
    /// Requests of these api keys are delayed.
    delaying: BTreeSet<i16>,
    /// Delayed requests up to this number may go.
    released: u64,
    /// Answers to requests of these api keys get lost.
    losing: BTreeSet<i16>,
    is_frozen: bool,
    cuts: u64,
}

#[derive(Default)]
struct Seen {
    /// The numbers of the requests that are delayed now.
    delayed: BTreeSet<u64>,
    /// How many ever were.
    delayed_ever: u64,
    answered: BTreeMap<i16, u64>,
    lost: u64,
}

impl KafkaProxy {
    /// Listens on `listen` and forwards to `broker`, both host:port; the broker must advertise `listen`.
    ///
    /// # Errors
    /// The address is in use or invalid.
    pub fn start(runtime: &Handle, listen: &str, broker: &str) -> io::Result<KafkaProxy> {
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let _within = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        let (orders, receiver) = watch::channel(Orders::default());
        let seen = Arc::new(Mutex::default());
        let line = Line { broker: broker.to_owned(), orders: receiver, seen: Arc::clone(&seen) };
        runtime.spawn(accept(listener, line));
        Ok(KafkaProxy { orders, seen })
    }

    /// Delays every request of this kind from now on, and what follows it on its connection. The proxy delivers it even
    /// if its client has gone meanwhile.
    pub fn delay(&self, api_key: i16) {
        self.orders.send_modify(|orders| {
            orders.delaying.insert(api_key);
        });
    }

    /// Delays nothing that comes from now on; what is delayed stays so.
    pub fn delay_no_more(&self) {
        self.orders.send_modify(|orders| orders.delaying.clear());
    }

    /// Delivers everything that is delayed now.
    pub fn release(&self) {
        let last = lock(&self.seen).delayed_ever;
        self.orders.send_modify(|orders| orders.released = last);
    }

    /// Delivers what has been delayed longest.
    pub fn release_oldest(&self) {
        let oldest = lock(&self.seen).delayed.first().copied();
        self.orders.send_modify(|orders| orders.released = oldest.unwrap_or(orders.released));
    }

    /// Loses the answers to requests of this kind from now on: the broker carries them out, and no client learns of it.
    pub fn lose_answers(&self, api_key: i16) {
        self.orders.send_modify(|orders| {
            orders.losing.insert(api_key);
        });
    }

    /// Loses no answer from now on.
    pub fn lose_no_more(&self) {
        self.orders.send_modify(|orders| orders.losing.clear());
    }

    /// Lets nothing through in either direction until [`KafkaProxy::thaw`], without closing a connection.
    pub fn freeze(&self) {
        self.orders.send_modify(|orders| orders.is_frozen = true);
    }

    /// Ends a freeze; nothing is lost.
    pub fn thaw(&self) {
        self.orders.send_modify(|orders| orders.is_frozen = false);
    }

    /// Ends every fault; delivers what is delayed.
    pub fn calm(&self) {
        self.delay_no_more();
        self.lose_no_more();
        self.thaw();
        self.release();
    }

    /// Cuts every client off; each may connect again at once. Delayed requests are still delivered when released.
    pub fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// How many requests are delayed now, not counting what waits behind them.
    pub fn delayed(&self) -> usize {
        lock(&self.seen).delayed.len()
    }

    /// How many requests of this kind the broker has answered, whether the answer got lost or not.
    pub fn answered(&self, api_key: i16) -> u64 {
        lock(&self.seen).answered.get(&api_key).copied().unwrap_or_default()
    }

    /// How many answers got lost by order.
    pub fn lost(&self) -> u64 {
        lock(&self.seen).lost
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What every connection needs to know.
#[derive(Clone)]
struct Line {
    broker: String,
    orders: watch::Receiver<Orders>,
    seen: Arc<Mutex<Seen>>,
}

/// A request as it came.
struct Request {
    bytes: Vec<u8>,
    api_key: i16,
    correlation: i32,
    delayed: Option<Delayed>,
}

/// A request is delayed until its number is released.
struct Delayed {
    number: u64,
    seen: Arc<Mutex<Seen>>,
}

impl Delayed {
    /// Delays a request if `orders` say so. Takes the lock under which a release counts: otherwise a request that is
    /// delayed at the moment at which delaying ends would never be released.
    fn by(orders: &watch::Receiver<Orders>, api_key: i16, seen: &Arc<Mutex<Seen>>) -> Option<Delayed> {
        let mut all = lock(seen);
        if !orders.borrow().delaying.contains(&api_key) {
            return None;
        }
        all.delayed_ever += 1;
        let number = all.delayed_ever;
        all.delayed.insert(number);
        Some(Delayed { number, seen: Arc::clone(seen) })
    }
}

impl Drop for Delayed {
    fn drop(&mut self) {
        lock(&self.seen).delayed.remove(&self.number);
    }
}

/// The requests of a connection that the broker has not answered: by correlation id, their api keys.
type Unanswered = watch::Sender<HashMap<i32, i16>>;

async fn accept(listener: TcpListener, line: Line) {
    let mut orders = line.orders.clone();
    loop {
        tokio::select! {
            // Only an end of the proxy ends this wait.
            _ = orders.wait_for(|_| false) => return,
            client = listener.accept() => if let Ok((client, _)) = client {
                tokio::spawn(connect(client, line.clone()));
            },
        }
    }
}

async fn connect(client: TcpStream, line: Line) {
    // Dropping the client's connection closes it: there is no broker.
    let Ok(broker) = TcpStream::connect(&line.broker).await else { return };
    if client.set_nodelay(true).and_then(|()| broker.set_nodelay(true)).is_err() {
        return;
    }
    let ((client_in, client_out), (broker_in, broker_out)) = (client.into_split(), broker.into_split());
    let (queue, requests) = mpsc::channel(QUEUED_MAX);
    let unanswered: Unanswered = watch::channel(HashMap::new()).0;
    let (broker_gone, is_gone) = watch::channel(false);
    tokio::join!(
        take(client_in, queue, line.clone(), is_gone.clone()),
        deliver(requests, broker_out, line.orders.clone(), &unanswered, is_gone),
        answer(broker_in, client_out, line, &unanswered, broker_gone),
    );
}

/// Takes requests from the client until it, or the broker, has gone.
async fn take(
    mut client: OwnedReadHalf,
    queue: mpsc::Sender<Request>,
    line: Line,
    mut broker_gone: watch::Receiver<bool>,
) {
    let (mut frames, mut orders) = (Frames::default(), line.orders);
    let cuts = orders.borrow().cuts;
    loop {
        let bytes = tokio::select! {
            next = frames.next(&mut client) => next,
            _ = orders.wait_for(|orders| orders.cuts > cuts) => return,
            _ = broker_gone.wait_for(|gone| *gone) => return,
        };
        let Ok(bytes) = bytes else { return };
        let (Some(api_key), Some(correlation)) = (number(&bytes, 4), number(&bytes, 8)) else { return };
        let (api_key, correlation) = (i16::from_be_bytes(api_key), i32::from_be_bytes(correlation));
        let delayed = Delayed::by(&orders, api_key, &line.seen);
        if queue.send(Request { bytes, api_key, correlation, delayed }).await.is_err() {
            return;
        }
    }
}

/// Delivers what was taken, each at its time, whether its client is still there or not.
async fn deliver(
    mut requests: mpsc::Receiver<Request>,
    mut broker: OwnedWriteHalf,
    mut orders: watch::Receiver<Orders>,
    unanswered: &Unanswered,
    mut broker_gone: watch::Receiver<bool>,
) {
    let all = async {
        while let Some(request) = requests.recv().await {
            let number = request.delayed.as_ref().map(|delayed| delayed.number);
            let is_released = |orders: &Orders| number.is_none_or(|number| orders.released >= number);
            let may_go = |orders: &Orders| !orders.is_frozen && is_released(orders);
            if orders.wait_for(may_go).await.is_err() {
                return;
            }
            unanswered.send_modify(|all| {
                all.insert(request.correlation, request.api_key);
            });
            if broker.write_all(&request.bytes).await.is_err() {
                return;
            }
        }
        let _ = timeout(LAST_ANSWERS, unanswered.subscribe().wait_for(HashMap::is_empty)).await;
    };
    tokio::select! {
        () = all => {}
        _ = broker_gone.wait_for(|gone| *gone) => {}
    }
}

/// Takes the broker's answers to the client, for as long as there is one, until the broker has gone.
async fn answer(
    mut broker: OwnedReadHalf,
    client: OwnedWriteHalf,
    line: Line,
    unanswered: &Unanswered,
    broker_gone: watch::Sender<bool>,
) {
    let (mut frames, mut orders, mut client) = (Frames::default(), line.orders, Some(client));
    let cuts = orders.borrow().cuts;
    loop {
        let bytes = tokio::select! {
            next = frames.next(&mut broker) => next,
            _ = orders.wait_for(|orders| orders.cuts > cuts), if client.is_some() => {
                client = None;
                continue;
            }
        };
        let Some(bytes) = bytes.ok().filter(|bytes| bytes.len() >= 8) else { break };
        let may_go = |orders: &Orders| !orders.is_frozen || orders.cuts > cuts;
        if orders.wait_for(may_go).await.is_ok_and(|orders| orders.cuts > cuts) {
            client = None;
        }
        let api_key = answered(unanswered, &bytes);
        let is_lost = api_key.is_some_and(|api_key| orders.borrow().losing.contains(&api_key));
        {
            let mut seen = lock(&line.seen);
            seen.lost += u64::from(is_lost);
            api_key.into_iter().for_each(|api_key| *seen.answered.entry(api_key).or_default() += 1);
        }
        if !is_lost
            && let Some(to) = &mut client
            && to.write_all(&bytes).await.is_err()
        {
            client = None;
        }
    }
    broker_gone.send_replace(true);
}

/// The api key of the request that is answered here, which is not open any more.
fn answered(unanswered: &Unanswered, answer: &[u8]) -> Option<i16> {
    let correlation = i32::from_be_bytes(number(answer, 4)?);
    let mut api_key = None;
    unanswered.send_modify(|all| api_key = all.remove(&correlation));
    api_key
}

#[cfg(test)]
mod tests;
