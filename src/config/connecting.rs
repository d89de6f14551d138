//! Keys about connections that contradict each other, or that would do nothing. A CA beside a URL without TLS would look
//! like security.

use super::check::{Fault, holds};
use super::{Config, Optional};

/// What may end a prefix.
const SEPARATORS: [u8; 3] = *b"._-";
/// Kafka's names of topics have at most 249 characters.
const PREFIX_BYTES_MAX: usize = 100;

/// Returns the first rule that is broken.
pub(super) fn check(config: &Config) -> Result<(), Fault> {
    let Config { kafka, schema_registry: registry, healthflow, .. } = config;
    let prefix = &kafka.name_prefix;
    let is_legal = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || SEPARATORS.contains(&byte));
    let has_end = prefix.bytes().last().is_none_or(|last| SEPARATORS.contains(&last));
    holds(
        is_legal && has_end && prefix.len() <= PREFIX_BYTES_MAX,
        "kafka.name_prefix",
        "must consist of letters, digits, dots, underscores and hyphens, end in one of the last three, and be at most 100 long",
    )?;
    let has_both = registry.user.0.is_some() == registry.password_file.0.is_some();
    holds(has_both, "schema_registry.user", "must be set together with `schema_registry.password_file`")?;
    let is_clear = !registry.user.0.as_ref().is_some_and(|user| user.contains(':'));
    holds(is_clear, "schema_registry.user", "must not contain a colon")?;
    holds(
        registry.user.0.is_none() || registry.token_file.0.is_none(),
        "schema_registry.token_file",
        "must not be set beside `schema_registry.user`; keep the one that the registry wants",
    )?;
    holds(
        healthflow.client_certificate_file.0.is_some() == healthflow.client_key_file.0.is_some(),
        "healthflow.client_certificate_file",
        "must be set together with `healthflow.client_key_file`",
    )?;
    for (key, file, url) in [
        ("schema_registry.ca_file", &registry.ca_file, &registry.url),
        ("healthflow.ca_file", &healthflow.ca_file, &healthflow.base_url),
        ("healthflow.client_certificate_file", &healthflow.client_certificate_file, &healthflow.base_url),
    ] {
        let is_used = file.0.is_none() || url.starts_with("https://");
        holds(is_used, key, "does nothing, because the URL of this section does not begin with https://")?;
    }
    proxy("schema_registry.proxy", &registry.proxy)?;
    proxy("healthflow.proxy", &healthflow.proxy)
}

fn proxy(key: &'static str, proxy: &Optional<String>) -> Result<(), Fault> {
    let Some(url) = &proxy.0 else { return Ok(()) };
    let is_url = url.starts_with("http://") || url.starts_with("https://");
    holds(is_url, key, "must begin with http:// or https://")?;
    holds(!url.contains('@'), key, "must not carry a user or password")
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn half_of_a_pair_and_what_would_do_nothing_are_refused() {
        let https = "healthflow.base_url=https://h";
        let certificate = "healthflow.client_certificate_file=c";
        for (flags, key, rule) in [
            (&["kafka.name_prefix=a b."][..], "kafka.name_prefix", "letters"),
            (&["kafka.name_prefix=test"], "kafka.name_prefix", "end in one"),
            (&["schema_registry.user=u"], "schema_registry.user", "together with"),
            (&["schema_registry.password_file=p"], "schema_registry.user", "together with"),
            (
                &["schema_registry.user=a:b", "schema_registry.password_file=p"],
                "schema_registry.user",
                "colon",
            ),
            (
                &[
                    "schema_registry.user=u",
                    "schema_registry.password_file=p",
                    "schema_registry.token_file=t",
                ],
                "schema_registry.token_file",
                "beside `schema_registry.user`",
            ),
            (&[https, certificate], "healthflow.client_certificate_file", "together with"),
            (
                &[certificate, "healthflow.client_key_file=k"],
                "healthflow.client_certificate_file",
                "does nothing",
            ),
            (&["healthflow.ca_file=c"], "healthflow.ca_file", "does nothing"),
            (&["schema_registry.ca_file=c"], "schema_registry.ca_file", "does nothing"),
            (&["healthflow.proxy=proxy:3128"], "healthflow.proxy", "must begin with http://"),
            (&["schema_registry.proxy=http://u:p@proxy"], "schema_registry.proxy", "user or password"),
        ] {
            let error = load(flags).expect_err("must be refused");
            assert!(error.contains(&format!("`{key}` from")) && error.contains(rule), "{flags:?}: {error}");
        }
        load(&[https, "healthflow.ca_file=c", certificate, "healthflow.client_key_file=k"]).expect("a whole");
    }
}
