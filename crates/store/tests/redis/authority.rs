//! A certificate authority of a test's own.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

/// An authority, and certificates that it signs.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// Writes a certificate for 127.0.0.1 that ends in that year.
    pub(crate) fn sign(&self, folder: &Path, ends: i32) {
        self.sign_for(&["127.0.0.1"], folder, ends);
    }

    /// The same for these names and addresses.
    pub(crate) fn sign_for(&self, names: &[&str], folder: &Path, ends: i32) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(ends, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.0).expect("a certificate");
        fs::write(folder.join("cert"), signed.pem()).expect("a file is written");
        fs::write(folder.join("key"), key.serialize_pem()).expect("a file is written");
        fs::write(folder.join("ca"), self.pem()).expect("a file is written");
    }
}
