//! Goal: a client trusts whom it is told to trust and nobody else, proves who we are, and goes through the proxy of its
//! settings and no other. Method: a server with TLS, under certificates made for the test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use healthflow_testkit::certificates::{Authority, Signed, Wanted};
use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod, SslVerifyMode};
use tempfile::TempDir;

use super::*;

/// In the environment of the child process of a test: where its client is to go.
const TARGET: &str = "HEALTHFLOW_TEST_TARGET";
/// The authority that it is to trust; none: those of the system.
const CA: &str = "HEALTHFLOW_TEST_CA";
/// The longest wait for anything.
const LIMIT: Duration = Duration::from_secs(20);

/// Serves connections until the test ends, with a short answer for each; sends out how each request begins.
fn server<S: Read + Write>(
    mut open: impl FnMut(TcpStream) -> Option<S> + Send + 'static,
) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (requests, seen) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Some(mut stream) = connection.ok().and_then(&mut open) else { continue };
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let _ = requests.send(text.lines().next().unwrap_or_default().to_owned());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        }
    });
    (address, seen)
}

/// A server with TLS under `signed`; with `clients` it wants a certificate that this authority signed.
fn secure(signed: &Signed, clients: Option<&Authority>) -> String {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_certificate_chain_file(&signed.certificate).unwrap();
    acceptor.set_private_key_file(&signed.key, SslFiletype::PEM).unwrap();
    if let Some(authority) = clients {
        acceptor.set_ca_file(authority.file()).unwrap();
        acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    let acceptor = acceptor.build();
    server(move |stream| acceptor.accept(stream).ok()).0
}

struct World {
    folder: TempDir,
    authority: Authority,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "authority").unwrap();
        World { folder, authority }
    }

    fn sign(&self, name: &str, address: &str, is_expired: bool) -> Signed {
        let wanted = Wanted { name, hosts: &[], addresses: &[address], is_expired };
        self.authority.sign(wanted).unwrap()
    }

    fn settings(&self) -> ClientSettings {
        ClientSettings {
            section: "healthflow",
            ca_file: Some(self.authority.file()),
            ..ClientSettings::default()
        }
    }
}

async fn get(settings: &ClientSettings, url: &str) -> Result<String, reqwest::Error> {
    let builder = settings.builder().unwrap().timeout(LIMIT);
    settings.build(builder).unwrap().get(url).send().await?.text().await
}

#[tokio::test]
async fn a_server_is_trusted_for_its_authority_its_name_and_its_time() {
    let world = World::new();
    let other = Authority::new(world.folder.path(), "other").unwrap();
    let good = secure(&world.sign("good", "127.0.0.1", false), None);
    assert_eq!(get(&world.settings(), &format!("https://{good}/")).await.unwrap(), "ok");
    let stranger = ClientSettings { ca_file: Some(other.file()), ..world.settings() };
    let system = ClientSettings { ca_file: None, ..world.settings() };
    let expired = secure(&world.sign("expired", "127.0.0.1", true), None);
    let misnamed = secure(&world.sign("misnamed", "127.0.0.9", false), None);
    let authority = "name the file of the CA that signed it in `healthflow.ca_file`";
    for (settings, address, reason, remedy) in [
        (&stranger, &good, "unable to get local issuer certificate", authority),
        (&system, &good, "unable to get local issuer certificate", authority),
        (&world.settings(), &expired, "certificate has expired", "have it renewed"),
        (&world.settings(), &misnamed, "IP address mismatch", "call it by a name"),
    ] {
        let error = get(settings, &format!("https://{address}/")).await.expect_err("not trusted");
        let why = settings.distrust(&error).unwrap_or_else(|| panic!("{reason}: {error:?}"));
        assert!(why.starts_with(&format!("its certificate is refused ({reason}); {remedy}")), "{why}");
    }
    let (plain, _) = server(Some);
    let error = get(&world.settings(), &format!("https://{plain}/")).await.expect_err("there is no TLS");
    let why = world.settings().distrust(&error).unwrap_or_else(|| panic!("{error:?}"));
    assert!(why.starts_with("its port does not speak TLS"), "{why}");
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_of_ours_gets_it() {
    let world = World::new();
    let address = secure(&world.sign("server", "127.0.0.1", false), Some(&world.authority));
    let ours = world.sign("ours", "127.0.0.2", false);
    let files = IdentityFiles { certificate: ours.certificate.clone(), key: ours.key.clone() };
    let known = ClientSettings { identity_files: Some(files.clone()), ..world.settings() };
    assert_eq!(get(&known, &format!("https://{address}/")).await.unwrap(), "ok");
    assert!(get(&world.settings(), &format!("https://{address}/")).await.is_err(), "it wants one");
    let swapped = IdentityFiles { key: files.certificate.clone(), ..files };
    let fault = ClientSettings { identity_files: Some(swapped), ..world.settings() }.builder().unwrap_err();
    assert_eq!(fault.key, "healthflow.client_key_file");
    assert!(fault.to_string().contains("openssl pkcs8 -topk8 -nodes"), "{fault}");
}

#[test]
fn a_file_that_is_no_use_is_named_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let fault = || {
        let settings = ClientSettings {
            section: "healthflow",
            ca_file: Some(file.clone()),
            ..ClientSettings::default()
        };
        settings.builder().expect_err("it cannot be used").to_string()
    };
    let path = file.display();
    assert!(
        fault().starts_with(&format!("`healthflow.ca_file` names {path}, which cannot be read")),
        "{}",
        fault()
    );
    std::fs::write(&file, "").unwrap();
    assert!(fault().contains("holds no certificate"), "{}", fault());
    let damaged = "-----BEGIN CERTIFICATE-----\nno base64!\n-----END CERTIFICATE-----\n";
    std::fs::write(&file, damaged).unwrap();
    assert!(fault().contains("holds a damaged certificate"), "{}", fault());
}

#[tokio::test]
async fn requests_go_through_the_proxy_of_the_settings() {
    let (proxy, seen) = server(Some);
    let through = Some(format!("http://{proxy}"));
    let settings = ClientSettings { section: "healthflow", proxy: through, ..ClientSettings::default() };
    assert_eq!(get(&settings, "http://nowhere.invalid/a").await.unwrap(), "ok");
    assert_eq!(seen.recv_timeout(LIMIT).unwrap(), "GET http://nowhere.invalid/a HTTP/1.1");
}

/// Not a test of its own: what the child process of the next ones does.
#[tokio::test]
async fn the_child_process_asks_its_target() {
    if let Ok(target) = std::env::var(TARGET) {
        let ca_file = std::env::var(CA).ok().map(PathBuf::from);
        let settings = ClientSettings { section: "healthflow", ca_file, ..ClientSettings::default() };
        let said = get(&settings, &target).await.unwrap_or_else(|error| settings.distrust(&error).unwrap());
        println!("answered {said}");
    }
}

/// What this program says, run once more to ask `target`.
fn child(target: &str, variables: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "--nocapture", "http::client::tests::the_child_process_asks_its_target"]);
    child.env(TARGET, target).env_remove("REQUEST_METHOD").env_remove("NO_PROXY").env_remove("no_proxy");
    let output = child.envs(variables.iter().copied()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Goal: no variable of the environment sends a request elsewhere. Method: this program once more, with every variable
/// that names a proxy, which is a server that counts.
#[test]
fn proxies_of_the_environment_are_ignored() {
    let (proxy, proxied) = server(Some);
    let (target, asked) = server(Some);
    let proxy = format!("http://{proxy}");
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    let said = child(&format!("http://{target}/direct"), &names.map(|name| (name, &*proxy)));
    assert!(said.contains("answered ok"), "{said}");
    assert_eq!(asked.recv_timeout(LIMIT).unwrap(), "GET /direct HTTP/1.1");
    assert!(proxied.try_recv().is_err(), "the environment's proxy was asked");
}

/// Goal: whoever names an authority trusts no other. Method: this program once more, where the system trusts the server's.
#[test]
fn an_authority_of_the_system_does_not_count_beside_our_own() {
    let world = World::new();
    let other = Authority::new(world.folder.path(), "other").unwrap();
    let target = format!("https://{}/", secure(&world.sign("good", "127.0.0.1", false), None));
    let (trusted, other) = (world.authority.file().display().to_string(), other.file().display().to_string());
    let said = child(&target, &[("SSL_CERT_FILE", &trusted)]);
    assert!(said.contains("answered ok"), "{said}");
    let said = child(&target, &[("SSL_CERT_FILE", &trusted), (CA, &other)]);
    assert!(said.contains("answered its certificate is refused"), "{said}");
}
