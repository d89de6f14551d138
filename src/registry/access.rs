//! How we reach the registry: its address, our credentials there, and the clients under them. A password that changes in
//! its file counts from the next request on, without a restart.

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use schema_registry_converter::async_impl::schema_registry::SrSettings;
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::RawError;

use super::{RegistryFault, fault_of_code};
use crate::http::{ClientSettings, Credentials, Scheme};
use healthflow_core::topics::NamePrefix;

/// Where the registry is, and what it knows us by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrySettings {
    /// The base URL of Confluent's API.
    pub url: String,
    /// What precedes the names of our topics on the cluster, and so those of our subjects.
    pub prefix: NamePrefix,
    /// How connections are made.
    pub client: ClientSettings,
    /// The file with our secret, and what it is; none sends no `Authorization`.
    pub credentials: Option<(PathBuf, Scheme)>,
}

impl RegistrySettings {
    /// A registry that wants no credentials.
    pub fn at(url: &str) -> Self {
        let client = ClientSettings { section: "schema_registry", ..ClientSettings::default() };
        RegistrySettings { url: url.to_owned(), prefix: NamePrefix::default(), client, credentials: None }
    }
}

/// The way to the registry.
pub(super) struct Access {
    url: String,
    pub(super) prefix: NamePrefix,
    timeout: Duration,
    client: ClientSettings,
    credentials: Option<Credentials>,
    clients: RwLock<Clients>,
}

/// Clients with the same connections and the same credentials.
#[derive(Clone)]
pub(super) struct Clients {
    authorization: Option<HeaderValue>,
    /// The converter crate's.
    pub(super) converter: SrSettings,
    /// For what the converter crate has no function for.
    pub(super) http: reqwest::Client,
}

impl Access {
    pub(super) fn new(settings: RegistrySettings, timeout: Duration) -> Result<Self, RegistryFault> {
        let RegistrySettings { url, prefix, client, credentials } = settings;
        let url = url.trim_end_matches('/').to_owned();
        let unusable = |what: String| RegistryFault::Unusable { what };
        let open = |(file, scheme): (PathBuf, Scheme)| {
            let key = if scheme == Scheme::Bearer { "token_file" } else { "password_file" };
            Credentials::open(&file, scheme)
                .map_err(|why| unusable(format!("{why}; correct it, or `schema_registry.{key}`")))
        };
        let credentials = credentials.map(open).transpose()?;
        let authorization = credentials.as_ref().map(Credentials::header);
        let clients = Clients::new(&url, timeout, &client, authorization).map_err(unusable)?;
        Ok(Access { url, prefix, timeout, client, credentials, clients: RwLock::new(clients) })
    }

    /// The URL of `path`.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.url)
    }

    /// The clients under the present credentials.
    pub(super) fn clients(&self) -> Clients {
        let authorization = self.credentials.as_ref().map(Credentials::header);
        let known = self.clients.read().unwrap_or_else(PoisonError::into_inner).clone();
        if known.authorization == authorization {
            return known;
        }
        match Clients::new(&self.url, self.timeout, &self.client, authorization) {
            Ok(new) => {
                *self.clients.write().unwrap_or_else(PoisonError::into_inner) = new.clone();
                new
            }
            Err(why) => {
                tracing::warn!("the schema registry is asked with the credentials of before: {why}");
                known
            }
        }
    }

    /// What an error of the converter crate means: only an error code of the registry itself is final; a 404 of a proxy
    /// is not.
    pub(super) fn fault(&self, about: String, error: &SRCError) -> RegistryFault {
        let Some(cause) = error.source() else {
            return RegistryFault::Unavailable { about, what: error.error.clone() };
        };
        match cause.downcast_ref::<RawError>() {
            Some(raw) if raw.error_code != 0 => {
                let right = format!("read {about}");
                fault_of_code(about, right, raw.error_code, &raw.message)
            }
            Some(_) => RegistryFault::Unavailable { about, what: error.error.clone() },
            None => self.broken(about, cause),
        }
    }

    /// What it means that an exchange ended without an answer.
    pub(super) fn broken(&self, about: String, error: &(dyn std::error::Error + 'static)) -> RegistryFault {
        match self.client.distrust(error) {
            Some(why) => RegistryFault::Distrusted { why },
            None => RegistryFault::Unavailable { about, what: self.client.cause(error) },
        }
    }
}

impl Clients {
    fn new(
        url: &str,
        timeout: Duration,
        client: &ClientSettings,
        authorization: Option<HeaderValue>,
    ) -> Result<Self, String> {
        let headers: HeaderMap = authorization.iter().map(|value| (AUTHORIZATION, value.clone())).collect();
        let builder = || client.builder().map(|builder| builder.default_headers(headers.clone()));
        let ours = builder().map_err(|fault| fault.to_string())?;
        let http = client.build(ours.timeout(timeout)).map_err(|fault| fault.to_string())?;
        let theirs = builder().map_err(|fault| fault.to_string())?;
        let mut converter = SrSettings::new_builder(url.to_owned());
        let converter = converter.set_timeout(timeout).build_with(theirs).map_err(|error| error.error)?;
        Ok(Clients { authorization, converter, http })
    }
}

#[cfg(test)]
mod tests;
