//! A Redis that cannot be asked, and why.

use healthflow_core::limits::shared_counter::CounterTrouble;
use healthflow_sync::shared_counter::CounterSettings;
use healthflow_testkit::certificates::{Authority, Wanted};
use healthflow_testkit::processes::redis::Redis;
use healthflow_testkit::wait::wait_for;

use crate::{Asker, LIMIT, an_ask, at, folder};

/// Goal: a client says what is wrong and comes back by itself.
#[test]
fn a_killed_redis_is_unreachable_and_is_asked_again_once_it_is_back() {
    let mut redis = Redis::start(&folder("killed"), &[]).unwrap();
    let mut asker = Asker::new(at(&redis, "killed"));
    let before = asker.ask(&an_ask(1, 100.0));
    redis.kill().unwrap();
    assert_eq!(asker.try_ask(&an_ask(1, 100.0)), Err(CounterTrouble::Unreachable));
    assert_eq!(asker.try_ask(&an_ask(1, 100.0)), Err(CounterTrouble::Unreachable));
    redis.start_again().unwrap();
    let after = wait_for(LIMIT, || asker.try_ask(&an_ask(1, 100.0)).ok()).expect("it is back");
    assert!(after.now_us > before.now_us);
}

/// Goal: TLS is what it should be, and a password is read from its file each time.
#[test]
fn redis_with_tls_and_a_password_is_asked_by_those_who_trust_it_and_know_it() {
    let folder = folder("tls");
    let authority = Authority::new(&folder, "redis-ca").unwrap();
    let stranger = Authority::new(&folder, "other-ca").unwrap();
    let signed = authority
        .sign(Wanted { name: "redis", hosts: &["localhost"], addresses: &[], is_expired: false })
        .unwrap();
    let options = [
        ("--tls-port", "PORT".to_owned()),
        ("--port", "0".to_owned()),
        ("--tls-cert-file", signed.certificate.display().to_string()),
        ("--tls-key-file", signed.key.display().to_string()),
        ("--tls-ca-cert-file", authority.file().display().to_string()),
        ("--tls-auth-clients", "no".to_owned()),
        ("--requirepass", "pass one".to_owned()),
    ];
    let options: Vec<String> =
        options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
    let redis = Redis::start(&folder, &options).unwrap();
    let password = folder.join("password");
    std::fs::write(&password, "another\n").unwrap();
    let settings = CounterSettings {
        url: format!("rediss://localhost:{}", redis.port),
        password_file: Some(password.clone()),
        ca_file: Some(authority.file()),
        ..at(&redis, "tls")
    };
    let mut asker = Asker::new(settings.clone());
    assert_eq!(asker.try_ask(&an_ask(1, 100.0)), Err(CounterTrouble::WrongPassword));
    std::fs::write(&password, "pass one\n").unwrap();
    asker.ask(&an_ask(1, 100.0));
    let mut distrustful = Asker::new(CounterSettings { ca_file: Some(stranger.file()), ..settings.clone() });
    assert_eq!(distrustful.try_ask(&an_ask(1, 100.0)), Err(CounterTrouble::Tls));
    let mut clear = Asker::new(CounterSettings { url: redis.url(), ca_file: None, ..settings });
    assert!(clear.try_ask(&an_ask(1, 100.0)).is_err());
}
