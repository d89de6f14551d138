//! How our HTTP clients connect: whom they trust, who they say they are, through which proxy. All of it comes from the
//! configuration: variables like `HTTPS_PROXY` would send patients' data through a proxy that nobody configured.

use std::error::Error;
use std::path::{Path, PathBuf};

use reqwest::{Certificate, Client, ClientBuilder, Identity, Proxy};

/// How the connections of one client are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// The section of the configuration that holds its keys, for errors.
    pub section: &'static str,
    /// PEM file with the only authorities that may have signed the server's certificate; none: those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM files of the certificate by which the server knows us, with its chain, and of its key; none: we have none.
    pub identity_files: Option<IdentityFiles>,
    /// URL of the proxy through which every request goes; none: no request goes through a proxy.
    pub proxy: Option<String>,
}

/// Where our certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate, and those of its chain after it (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM, PKCS #8, not encrypted).
    pub key: PathBuf,
}

/// Why a client cannot be created; one line that names the key, without the content of any file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {what}")]
pub struct ClientFault {
    /// The key.
    pub key: String,
    /// What is wrong, and what to do.
    pub what: String,
}

impl ClientSettings {
    /// What builds the client, for more settings.
    ///
    /// # Errors
    /// A file cannot be read or used, or the proxy's URL is not one.
    pub fn builder(&self) -> Result<ClientBuilder, ClientFault> {
        let mut builder = Client::builder().no_proxy();
        if let Some(file) = &self.ca_file {
            builder = builder.tls_certs_only(self.authorities(file)?);
        }
        if let Some(IdentityFiles { certificate, key }) = &self.identity_files {
            let chain = self.read("client_certificate_file", certificate)?;
            let secret = self.read("client_key_file", key)?;
            let identity = Identity::from_pkcs8_pem(&chain, &secret).map_err(|_| {
                let rule = "does not hold the unencrypted PKCS #8 key of `client_certificate_file` in PEM; convert it with \
                            openssl pkcs8 -topk8 -nodes";
                self.fault("client_key_file", format!("names {}, which {rule}", key.display()))
            })?;
            builder = builder.identity(identity);
        }
        if let Some(proxy) = &self.proxy {
            let proxy =
                Proxy::all(proxy).map_err(|_| self.fault("proxy", "is not the URL of a proxy".into()))?;
            builder = builder.proxy(proxy);
        }
        Ok(builder)
    }

    /// Checks the files.
    ///
    /// # Errors
    /// As [`builder`](Self::builder) and [`build`](Self::build).
    pub fn check(&self) -> Result<(), ClientFault> {
        self.build(self.builder()?).map(drop)
    }

    /// The client.
    ///
    /// # Errors
    /// The system's TLS refuses the settings.
    pub fn build(&self, builder: ClientBuilder) -> Result<Client, ClientFault> {
        builder.build().map_err(|error| {
            let what = format!("cannot be used: {}", innermost(&error));
            self.fault("client_certificate_file", what)
        })
    }

    /// Why the server was not trusted, and what to do; none if `error` is about something else.
    pub fn distrust(&self, error: &(dyn Error + 'static)) -> Option<String> {
        let section = self.section;
        if let Some(reason) = self.refused_certificate(error) {
            let remedy = certificate_remedy(&reason, &format!("`{section}.ca_file`"));
            return Some(format!("its certificate is refused ({reason}); {remedy}"));
        }
        let whole = chain(error);
        let is_plain =
            ["wrong version number", "packet length too long"].iter().any(|sign| whole.contains(sign));
        is_plain.then(|| {
            format!("its port does not speak TLS; correct the URL in `{section}`, which begins with https://")
        })
    }

    /// Which rule the server's certificate breaks, in OpenSSL's words; none if `error` is about something else.
    pub fn refused_certificate(&self, error: &(dyn Error + 'static)) -> Option<String> {
        let whole = chain(error);
        let (_, rest) = whole.split_once("certificate verify failed")?;
        // OpenSSL names the rule in parentheses.
        let reason = rest.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
        Some(reason.map_or("its rule is not known", |(reason, _)| reason).to_owned())
    }

    /// Why an exchange failed; the end of a sentence, without the URL.
    pub fn cause(&self, error: &(dyn Error + 'static)) -> String {
        if chain(error).contains("timed out") { "no answer in time".to_owned() } else { innermost(error) }
    }

    fn authorities(&self, file: &Path) -> Result<Vec<Certificate>, ClientFault> {
        let pem = self.read("ca_file", file)?;
        let unusable = |what| self.fault("ca_file", format!("names {}, which {what}", file.display()));
        let found = Certificate::from_pem_bundle(&pem)
            .map_err(|_| unusable("holds a damaged certificate; write it again, as PEM"))?;
        match found.is_empty() {
            true => Err(unusable("holds no certificate; write the CA's into it, as PEM")),
            false => Ok(found),
        }
    }

    fn read(&self, key: &str, file: &Path) -> Result<Vec<u8>, ClientFault> {
        std::fs::read(file).map_err(|error| {
            let (shown, kind) = (file.display(), error.kind());
            self.fault(
                key,
                format!("names {shown}, which cannot be read ({kind}); correct the path or its rights"),
            )
        })
    }

    fn fault(&self, key: &str, what: String) -> ClientFault {
        ClientFault { key: format!("{}.{key}", self.section), what }
    }
}

/// What to do about a certificate that is refused for `reason`; `authorities` is the key that names the trusted ones.
pub fn certificate_remedy(reason: &str, authorities: &str) -> String {
    if reason.contains("expired") || reason.contains("not yet valid") {
        "have it renewed, and check the clock of this machine".to_owned()
    } else if reason.contains("mismatch") {
        "call it by a name that its certificate is made out to".to_owned()
    } else {
        format!("name the file of the CA that signed it in {authorities}")
    }
}

/// An error and all that caused it.
pub(super) fn causes<'error>(
    error: &'error (dyn Error + 'static),
) -> impl Iterator<Item = &'error (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// The texts of an error and of all that caused it.
fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The text of the first cause, which says most.
fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests;
