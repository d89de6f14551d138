//! The way to the shared counter in Redis: one task, one connection, one script. It decides nothing and never keeps the worker
//! waiting: whatever an ask comes to, the processor hears of it, or does without an answer that takes too long.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::http::{CredentialsFault, password};
use healthflow_core::limits::shared_counter::{Answer, CounterTrouble, PermitAsk};
use healthflow_core::processor::{Inbox, Input};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisError, Script, ServerErrorKind,
    TlsCertificates,
};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;

/// How long connecting may take: TCP, TLS and the password.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How long the script may take on an open connection; the processor waits for less.
const ANSWER_WITHIN: Duration = Duration::from_millis(300);

/// The script: every rule of the counter.
pub const SCRIPT: &str = include_str!("permits.lua");

/// Where the counter is, and who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterSettings {
    /// `redis://host:port/database`, or `rediss://` for TLS.
    pub url: String,
    /// The user; none: Redis' default one.
    pub user: Option<String>,
    /// The file with the password, on one line; none: there is none.
    pub password_file: Option<PathBuf>,
    /// PEM file with the only authorities that may have signed Redis' certificate; none: those of the system.
    pub ca_file: Option<PathBuf>,
    /// What our two keys begin with.
    pub key_prefix: String,
}

/// Why the counter cannot be used as it is configured; one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CounterFault {
    /// Not an address.
    #[error("`limits.redis_url` is not an address of Redis; write redis://host:port or rediss://host:port")]
    Url,
    /// The certificates cannot be used.
    #[error(
        "`limits.ca_file` names {file}, which cannot be used ({what}); correct the path, its rights, or its content"
    )]
    Authorities {
        /// Its path.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// The password cannot be read.
    #[error("`limits.password_file`: {0}; correct the path, its rights, or its content")]
    Password(#[from] CredentialsFault),
}

/// The task that asks. It ends with its runtime, or once nobody can ask any more.
#[derive(Debug)]
pub struct CounterClient(UnboundedSender<PermitAsk>);

impl CounterClient {
    /// Starts it; the answers go to `inbox`. Redis may be away.
    ///
    /// # Errors
    /// The settings cannot be used, whatever Redis does.
    pub fn start(
        settings: CounterSettings,
        runtime: &tokio::runtime::Handle,
        inbox: Arc<dyn Inbox>,
    ) -> Result<Self, CounterFault> {
        let asking =
            Asking { script: Script::new(SCRIPT), keys: keys(&settings.key_prefix), settings, inbox };
        asking.client()?;
        let (sender, asks) = mpsc::unbounded_channel();
        runtime.spawn(asking.run(asks));
        Ok(CounterClient(sender))
    }

    /// Asks; never waits.
    pub fn ask(&self, ask: PermitAsk) {
        // Without a task there is no answer, and the processor goes on without.
        drop(self.0.send(ask));
    }
}

/// Our keys. The braces keep them on one server of a cluster, for a script may touch no other.
fn keys(prefix: &str) -> [String; 2] {
    [format!("{{{prefix}}}:given"), format!("{{{prefix}}}:heard")]
}

struct Asking {
    settings: CounterSettings,
    script: Script,
    keys: [String; 2],
    inbox: Arc<dyn Inbox>,
}

impl Asking {
    async fn run(self, mut asks: UnboundedReceiver<PermitAsk>) {
        let mut connection = None;
        while let Some(mut ask) = asks.recv().await {
            let connected = match connection.take() {
                Some(open) => Ok(open),
                None => self.connect().await,
            };
            // Who asked again meanwhile does not wait for an answer to the first ask any more.
            while let Ok(newer) = asks.try_recv() {
                ask = newer;
            }
            let answer = match connected {
                Ok(mut open) => match timeout(ANSWER_WITHIN, self.exchange(&mut open, &ask)).await {
                    Ok(Ok(answer)) => {
                        connection = Some(open);
                        Ok(answer)
                    }
                    Ok(Err(error)) => Err(trouble(&error)),
                    Err(_) => Err(CounterTrouble::NoAnswer),
                },
                Err(why) => Err(why),
            };
            self.inbox.post(Input::PermitsAnswered { number: ask.number, answer });
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, CounterTrouble> {
        // The password may have changed since.
        let client = self.client().map_err(|_| CounterTrouble::UnreadableFile)?;
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        match timeout(CONNECT_WITHIN, connecting).await {
            Ok(connected) => connected.map_err(|error| trouble(&error)),
            Err(_) => Err(CounterTrouble::Unreachable),
        }
    }

    fn client(&self) -> Result<Client, CounterFault> {
        let CounterSettings { url, user, password_file, ca_file, .. } = &self.settings;
        let info = url.as_str().into_connection_info().map_err(|_| CounterFault::Url)?;
        let mut redis = info.redis_settings().clone();
        if let Some(user) = user {
            redis = redis.set_username(user);
        }
        if let Some(file) = password_file {
            redis = redis.set_password(password(file)?);
        }
        let info = info.set_redis_settings(redis);
        let Some(file) = ca_file else { return Client::open(info).map_err(|_| CounterFault::Url) };
        let unusable = |what: String| CounterFault::Authorities { file: file.display().to_string(), what };
        let root_cert = Some(std::fs::read(file).map_err(|error| unusable(error.kind().to_string()))?);
        let certificates = TlsCertificates { client_tls: None, root_cert };
        Client::build_with_tls(info, certificates).map_err(|_| unusable("no certificates in PEM".to_owned()))
    }

    async fn exchange(
        &self,
        connection: &mut MultiplexedConnection,
        ask: &PermitAsk,
    ) -> Result<Answer, RedisError> {
        let told = serde_json::to_string(ask).map_err(std::io::Error::other)?;
        let mut call = self.script.prepare_invoke();
        for key in &self.keys {
            call.key(key);
        }
        let numbers: Vec<i64> = call.arg(told).invoke_async(connection).await?;
        let [now_us, again_us, ends_us, slots_us @ ..] = &numbers[..] else {
            return Err((ErrorKind::UnexpectedReturnType, "the script answers something else").into());
        };
        let ends_us = Some(*ends_us).filter(|ends_us| *ends_us > 0);
        Ok(Answer { now_us: *now_us, again_us: *again_us, ends_us, slots_us: slots_us.to_vec() })
    }
}

/// What is wrong.
fn trouble(error: &RedisError) -> CounterTrouble {
    match error.kind() {
        ErrorKind::AuthenticationFailed => CounterTrouble::WrongPassword,
        ErrorKind::Server(ServerErrorKind::NoPerm) => CounterTrouble::NoPermission,
        ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown) => {
            CounterTrouble::Starting
        }
        ErrorKind::Server(ServerErrorKind::ReadOnly) => CounterTrouble::ReadOnly,
        ErrorKind::Io => CounterTrouble::Unreachable,
        ErrorKind::Client => CounterTrouble::Tls,
        _ => match error.code() {
            Some("NOAUTH" | "WRONGPASS") => CounterTrouble::WrongPassword,
            _ => CounterTrouble::Refused,
        },
    }
}
