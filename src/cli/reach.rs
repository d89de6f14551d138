//! How a configuration reaches the schema registry and HealthFlow.

use crate::config::Config;
use crate::http::{ClientSettings, IdentityFiles, Scheme};
use crate::registry::RegistrySettings;
use healthflow_core::topics::NamePrefix;

/// How a configuration reaches the schema registry.
pub fn registry_settings(config: &Config) -> RegistrySettings {
    let registry = &config.schema_registry;
    let password =
        || Some((registry.password_file.0.clone()?, Scheme::Basic { user: registry.user.0.clone()? }));
    let token = || Some((registry.token_file.0.clone()?, Scheme::Bearer));
    RegistrySettings {
        url: registry.url.clone(),
        prefix: NamePrefix::new(&config.kafka.name_prefix),
        client: ClientSettings {
            section: "schema_registry",
            ca_file: registry.ca_file.0.clone(),
            identity_files: None,
            proxy: registry.proxy.0.clone(),
        },
        credentials: password().or_else(token),
    }
}

/// How a configuration connects to HealthFlow.
pub(super) fn healthflow_client(config: &Config) -> ClientSettings {
    let healthflow = &config.healthflow;
    let identity_files = || {
        let (certificate, key) = (&healthflow.client_certificate_file.0, &healthflow.client_key_file.0);
        Some(IdentityFiles { certificate: certificate.clone()?, key: key.clone()? })
    };
    ClientSettings {
        section: "healthflow",
        ca_file: healthflow.ca_file.0.clone(),
        identity_files: identity_files(),
        proxy: healthflow.proxy.0.clone(),
    }
}
