//! A Kafka with TLS and SASL: whoever cannot come in says why in one line, and never tries with less.

use crate::guarded::{Entry, guarded, password};

/// Goal: each cause has its line, which names the broker and the key to correct, from a worker and from a command. Method:
/// one broker with a good certificate, an expired one and one of another host, and a port without TLS.
#[test]
fn whoever_cannot_come_in_says_why_in_one_line() {
    let guarded = guarded();
    let secret = password("worker");
    let good = Entry {
        listener: "GOOD_BROKERS",
        user: "worker",
        password: &secret,
        ca: "authority",
        protocol: "SASL_SSL",
    };
    let cases = [
        (
            "stranger",
            Entry { ca: "stranger", ..good },
            "is not trusted: its certificate is refused (unable to get local issuer certificate); name the file of the CA that \
             signed it in ssl.ca.location of `kafka.properties_file`",
        ),
        (
            "expired",
            Entry { listener: "EXPIRED_BROKERS", ..good },
            "is not trusted: its certificate is refused (certificate has expired); have it renewed",
        ),
        (
            "misnamed",
            Entry { listener: "MISNAMED_BROKERS", ..good },
            "is not trusted: its certificate is refused (IP address mismatch); call it by a name that its certificate is made \
             out to",
        ),
        (
            "password",
            Entry { password: "wrong", ..good },
            "refuses our user or password; correct sasl.username and sasl.password in `kafka.properties_file`",
        ),
        (
            "plain-port",
            Entry { listener: "KAFKA_BROKERS", ..good },
            "does not speak TLS on this port; name its TLS port in `kafka.brokers`",
        ),
        (
            "plain-client",
            Entry { protocol: "PLAINTEXT", ..good },
            "speaks only TLS on this port; set security.protocol=SASL_SSL (or SSL) in `kafka.properties_file`",
        ),
    ];
    // All at once: each waits until the time for an answer is over.
    std::thread::scope(|scope| {
        for (name, entry, expected) in cases {
            let flags = guarded.flags(entry, &format!("{name}."));
            let broker = guarded.stack.env(entry.listener);
            let expected = format!("the Kafka broker {broker} {expected}");
            let (of_worker, of_command) = (flags.clone(), flags);
            let in_worker = expected.clone();
            scope.spawn(move || {
                let line = guarded.refused_worker(name, &of_worker);
                assert!(line.contains(&in_worker), "{name}: {line}");
                assert!(!line.contains("secret-of"), "{line}");
            });
            scope.spawn(move || {
                let line = guarded.refused_command(&of_command, &["topics", "--check"]);
                assert!(line.contains(&expected), "{name}: {line}");
            });
        }
    });
}
