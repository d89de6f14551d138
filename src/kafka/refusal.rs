//! Why no broker lets a client in: librdkafka's answer is then only that time ran out, and the cause is in a line of its
//! log. A broker that is down comes back by itself; a wrong password or a certificate that is refused does not.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;

use crate::http::{ClientSettings, certificate_remedy};
use crate::kafka::context;

/// How long the brokers may take for an answer, time after time: a refusal is found early, and a slow broker has its time.
const ANSWER_LIMITS: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// How long the client's events are served in between.
const SERVE: Duration = Duration::from_millis(50);
/// How long the look at a certificate may take.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// Why the last connection to a broker failed, if only a person can help.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    broker: String,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// We refuse its certificate.
    Certificate,
    /// It has no TLS on this port.
    NoTls,
    /// It hung up at the first words, which were in the clear.
    HungUp,
    /// It wants a user and a password.
    WantsUser,
    /// It refuses user or password.
    Credentials,
    /// It does not know our mechanism.
    Mechanism,
    /// TLS failed in another way.
    Tls,
}

/// What comes of asking the brokers for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Knock {
    /// One answers.
    Answered,
    /// Those that are there do not let us in, and waiting does not help: why, and what to do, in one line.
    Refused(String),
    /// None answers, which may pass by itself: why, in one line.
    Silent(String),
}

/// What a line of librdkafka about a failed connection says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    /// Only a person can help.
    Refused(Refusal),
    /// The broker may just be down: which one, and what it does.
    Away { broker: String, what: &'static str },
}

/// Asks the brokers of these settings, by a client of its own whose log is read.
pub async fn knock(settings: &ClientConfig) -> Knock {
    let own = settings.clone();
    match tokio::task::spawn_blocking(move || ask(&own)).await {
        Ok(Ok(())) => Knock::Answered,
        Ok(Err(Some(Failure::Refused(refusal)))) => {
            let hung_up = || Knock::Silent(silent(Some((&refusal.broker, "hung up"))));
            refusal.explain(settings).await.map_or_else(hung_up, Knock::Refused)
        }
        Ok(Err(Some(Failure::Away { broker, what }))) => Knock::Silent(silent(Some((&broker, what)))),
        Ok(Err(None)) | Err(_) => Knock::Silent(silent(None)),
    }
}

fn silent(last: Option<(&str, &str)>) -> String {
    let last =
        last.map(|(broker, what)| format!(" (the last one asked, {broker}, {what})")).unwrap_or_default();
    format!("no broker answers{last}; check `kafka.brokers` and that the brokers run")
}

/// Why no broker of these settings lets us in, and what to do; none if one does, or if they may just be down.
pub(crate) async fn explain(settings: &ClientConfig) -> Option<String> {
    match knock(settings).await {
        Knock::Refused(why) => Some(why),
        Knock::Answered | Knock::Silent(_) => None,
    }
}

fn ask(settings: &ClientConfig) -> Result<(), Option<Failure>> {
    // It logs as information that a broker hung up at the first words, as one with TLS does at words in the clear.
    let mut settings = settings.clone();
    settings.set_log_level(RDKafkaLogLevel::Info);
    let client: BaseConsumer<Failures> =
        settings.create_with_context(Failures::default()).map_err(|_| None)?;
    let mut away = None;
    for limit in ANSWER_LIMITS {
        if client.fetch_metadata(None, limit).is_ok() {
            return Ok(());
        }
        // librdkafka's log waits in the client's queue.
        while client.poll(SERVE).is_some() {}
        match client.context().last.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(refused @ Failure::Refused(_)) => return Err(Some(refused)),
            last => away = last.or(away),
        }
    }
    Err(away)
}

/// The context of the client that asks.
#[derive(Default)]
struct Failures {
    /// The last one; a refusal is not replaced by a broker that is away.
    last: Mutex<Option<Failure>>,
}

impl Refusal {
    /// Why, and what to do; none if the broker may just be going down.
    async fn explain(&self, settings: &ClientConfig) -> Option<String> {
        let Refusal { broker, cause } = self;
        let file = "`kafka.properties_file`";
        let why = match cause {
            Cause::Certificate => {
                let reason = look_at_certificate(broker, settings).await;
                let remedy = certificate_remedy(&reason, "ssl.ca.location of `kafka.properties_file`");
                format!("is not trusted: its certificate is refused ({reason}); {remedy}")
            }
            Cause::NoTls => format!(
                "does not speak TLS on this port; name its TLS port in `kafka.brokers`, or correct security.protocol in {file}"
            ),
            Cause::HungUp if !speaks_tls(broker, settings).await => return None,
            Cause::HungUp => {
                format!("speaks only TLS on this port; set security.protocol=SASL_SSL (or SSL) in {file}")
            }
            Cause::WantsUser => format!("wants a user; set security.protocol and sasl.mechanism in {file}"),
            Cause::Credentials => {
                format!("refuses our user or password; correct sasl.username and sasl.password in {file}")
            }
            Cause::Mechanism => format!("does not know our SASL mechanism; correct sasl.mechanism in {file}"),
            Cause::Tls => format!(
                "ended the TLS handshake; it may want a client certificate: set ssl.certificate.location and ssl.key.location \
                 in {file}"
            ),
        };
        Some(format!("the Kafka broker {broker} {why}"))
    }
}

impl Failure {
    /// What a line of librdkafka about a failed connection says; none if it is about something else.
    fn of(line: &str) -> Option<Failure> {
        const REFUSALS: [(&str, Cause); 9] = [
            ("certificate verify failed", Cause::Certificate),
            ("certificate could not be verified", Cause::Certificate),
            ("Failed to verify broker certificate", Cause::Certificate),
            ("connecting to a PLAINTEXT broker listener", Cause::NoTls),
            ("in state APIVERSION_QUERY", Cause::HungUp),
            ("broker might require SASL authentication", Cause::WantsUser),
            ("mechanism handshake failed", Cause::Mechanism),
            ("SASL authentication error", Cause::Credentials),
            ("SSL handshake failed", Cause::Tls),
        ];
        const AWAY: [(&str, &str); 4] = [
            ("Connection refused", "refuses the connection"),
            ("Failed to resolve", "has a name that is unknown"),
            ("timed out", "does not answer in time"),
            ("unreachable", "cannot be reached from here"),
        ];
        // "[thrd:NAME]: NAME: what happened", in which NAME is "sasl_ssl://HOST:PORT/bootstrap", or shorter.
        let (_, told) = line.split_once("]: ")?;
        let (name, _) = told.split_once(": ")?;
        let address = name.split_once("://").map_or(name, |(_, address)| address);
        let broker = address.split('/').next()?.to_owned();
        if let Some((_, cause)) = REFUSALS.into_iter().find(|(sign, _)| line.contains(sign)) {
            return Some(Failure::Refused(Refusal { broker, cause }));
        }
        let (_, what) = AWAY.into_iter().find(|(sign, _)| line.contains(sign))?;
        Some(Failure::Away { broker, what })
    }
}

/// Which rule a broker's certificate breaks. librdkafka does not say, so this makes the same handshake once more.
async fn look_at_certificate(broker: &str, settings: &ClientConfig) -> String {
    let (client, error) = shake_hands(broker, settings).await;
    let reason = error.and_then(|error| client.refused_certificate(&error));
    reason.unwrap_or_else(|| "its rule is not known".to_owned())
}

/// Whether there is TLS on this port of a broker, under whatever certificate.
async fn speaks_tls(broker: &str, settings: &ClientConfig) -> bool {
    let (client, error) = shake_hands(broker, settings).await;
    error.is_some_and(|error| client.refused_certificate(&error).is_some() || !error.is_connect())
}

/// Makes a TLS handshake with a broker, as librdkafka does; Kafka does not answer the request that follows.
async fn shake_hands(broker: &str, settings: &ClientConfig) -> (ClientSettings, Option<reqwest::Error>) {
    let ca_file = settings.get("ssl.ca.location").map(PathBuf::from);
    let settings = ClientSettings { section: "kafka", ca_file, ..ClientSettings::default() };
    let client = settings.builder().and_then(|builder| settings.build(builder.timeout(LOOK_LIMIT)));
    let error = match client {
        Ok(client) => client.get(format!("https://{broker}/")).send().await.err(),
        Err(_) => None,
    };
    (settings, error)
}

impl ClientContext for Failures {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        if let Some(failure) = Failure::of(line).filter(|_| facility == "FAIL") {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            match *last {
                Some(Failure::Refused(_)) => {}
                _ => *last = Some(failure),
            }
        }
        context::log("entry", level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(client = "entry", "{error}: {reason}");
    }
}

impl ConsumerContext for Failures {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: each cause is recognised by librdkafka's own words. Method: lines of a real one, before real brokers.
    #[test]
    fn lines_of_librdkafka_name_broker_and_cause() {
        let broker = || "127.0.0.1:20123".to_owned();
        let refused = |cause| Some(Failure::Refused(Refusal { broker: broker(), cause }));
        let away = |what| Some(Failure::Away { broker: broker(), what });
        let address = "sasl_ssl://127.0.0.1:20123/bootstrap";
        let line = |text: &str| format!("[thrd:{address}]: {address}: {text} (after 5ms in state CONNECT)");
        for (text, cause) in [
            (
                "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be \
              verified, verify that ssl.ca.location is correctly configured",
                Cause::Certificate,
            ),
            ("SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?", Cause::NoTls),
            (
                "SASL authentication error: Authentication failed during authentication due to invalid credentials with SASL \
              mechanism SCRAM-SHA-256",
                Cause::Credentials,
            ),
            (
                "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: \
              SCRAM-SHA-256",
                Cause::Mechanism,
            ),
        ] {
            assert_eq!(Failure::of(&line(text)), refused(cause), "{text}");
        }
        let hung_up = "[thrd:127.0.0.1:20123/bootstrap]: 127.0.0.1:20123/bootstrap: Disconnected: connection closed by peer: \
                       receive 0 after POLLIN (after 0ms in state APIVERSION_QUERY)";
        assert_eq!(Failure::of(hung_up), refused(Cause::HungUp));
        for (text, what) in [
            ("Connect to ipv4#127.0.0.1:20123 failed: Connection refused", "refuses the connection"),
            ("Failed to resolve '127.0.0.1:20123': Name or service not known", "has a name that is unknown"),
            ("Connection setup timed out in state CONNECT", "does not answer in time"),
        ] {
            assert_eq!(Failure::of(&line(text)), away(what), "{text}");
        }
        assert_eq!(Failure::of(&line("Disconnected")), None);
    }

    /// Goal: a broker that is away is named, with what it does. Method: a port that nobody listens on, and a name that no name
    /// service may know (RFC 6761).
    #[tokio::test]
    async fn a_silent_broker_is_named_with_its_cause() {
        for (broker, what) in [
            ("127.0.0.1:1", "refuses the connection"),
            ("nowhere.invalid:9092", "has a name that is unknown"),
        ] {
            let knock = knock(ClientConfig::new().set("bootstrap.servers", broker)).await;
            let said = silent(Some((broker, what)));
            assert_eq!(knock, Knock::Silent(said));
        }
    }
}
