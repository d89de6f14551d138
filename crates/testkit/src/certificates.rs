//! Certificates made for a test: an authority, and what it signs, good and bad.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameRef};

const DAY_SECONDS: i64 = 24 * 60 * 60;
/// When a certificate is valid, in seconds from now: longer than any test runs.
const VALID: (i64, i64) = (-60, DAY_SECONDS);
/// The same of one that ended yesterday.
const EXPIRED: (i64, i64) = (-2 * DAY_SECONDS, -DAY_SECONDS);

/// An authority whose files are in a folder.
pub struct Authority {
    folder: PathBuf,
    name: &'static str,
    certificate: X509,
    key: PKey<Private>,
}

/// What is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The name of its files.
    pub name: &'a str,
    /// The host names it is made out to.
    pub hosts: &'a [&'a str],
    /// The addresses it is made out to.
    pub addresses: &'a [&'a str],
    /// Whether it ended yesterday.
    pub is_expired: bool,
}

/// The files of a signed certificate.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The certificate (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM, PKCS #8).
    pub key: PathBuf,
    /// Both, the key first, as Kafka's key stores of type PEM want them.
    pub both: PathBuf,
}

impl Authority {
    /// An authority `name` with its files in `folder`.
    pub fn new(folder: &Path, name: &'static str) -> Result<Authority> {
        let key = new_key()?;
        let subject = subject(name)?;
        let mut builder = builder(&subject, &subject, &key, VALID)?;
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        builder.sign(&key, MessageDigest::sha256())?;
        let certificate = builder.build();
        let authority = Authority { folder: folder.to_owned(), name, certificate, key };
        fs::write(authority.file(), authority.certificate.to_pem()?)?;
        Ok(authority)
    }

    /// Its certificate (PEM).
    pub fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    /// Signs a certificate.
    pub fn sign(&self, wanted: Wanted<'_>) -> Result<Signed> {
        let key = new_key()?;
        let validity = if wanted.is_expired { EXPIRED } else { VALID };
        let subject = subject(wanted.name)?;
        let mut builder = builder(&subject, self.certificate.subject_name(), &key, validity)?;
        if !wanted.hosts.is_empty() || !wanted.addresses.is_empty() {
            let mut names = SubjectAlternativeName::new();
            wanted.hosts.iter().for_each(|host| _ = names.dns(host));
            wanted.addresses.iter().for_each(|address| _ = names.ip(address));
            let names = names.build(&builder.x509v3_context(Some(&self.certificate), None))?;
            builder.append_extension(names)?;
        }
        builder.sign(&self.key, MessageDigest::sha256())?;
        let (certificate, key) = (builder.build().to_pem()?, key.private_key_to_pem_pkcs8()?);
        let file = |ending: &str| self.folder.join(format!("{}{ending}", wanted.name));
        let signed = Signed { certificate: file(".pem"), key: file(".key"), both: file(".both.pem") };
        fs::write(&signed.certificate, &certificate)?;
        fs::write(&signed.key, &key)?;
        fs::write(&signed.both, [key, certificate].concat())?;
        Ok(signed)
    }
}

fn new_key() -> Result<PKey<Private>> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    Ok(PKey::from_ec_key(EcKey::generate(&group)?)?)
}

fn subject(name: &str) -> Result<X509Name> {
    let mut builder = X509Name::builder()?;
    builder.append_entry_by_nid(Nid::COMMONNAME, name)?;
    Ok(builder.build())
}

/// A certificate that is valid between two instants, in seconds from now.
fn builder(
    subject: &X509NameRef,
    issuer: &X509NameRef,
    key: &PKey<Private>,
    (from, to): (i64, i64),
) -> Result<X509Builder> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let mut serial = BigNum::new()?;
    serial.rand(64, MsbOption::MAYBE_ZERO, false)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_pubkey(key)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs().cast_signed();
    builder.set_not_before(&*Asn1Time::from_unix(now + from)?)?;
    builder.set_not_after(&*Asn1Time::from_unix(now + to)?)?;
    Ok(builder)
}
