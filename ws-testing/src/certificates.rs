//! Certificates for tests, made while they run, so that no file holds a certificate that expires.
#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "clippy spares tests, but not their helpers"
)]

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// PEM of a certificate and its key.
#[derive(Clone, Debug)]
pub struct Pems {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// An authority that certifies servers.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Makes an authority that nobody knows yet.
    pub fn new(name: &str) -> Self {
        let mut params = params(&[], name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Returns its root as PEM.
    pub fn root(&self) -> String {
        self.0.pem()
    }

    /// Makes a certificate for hosts, which are names or addresses.
    pub fn certify(&self, hosts: &[&str]) -> Pems {
        self.sign(params(hosts, "a server"))
    }

    /// Makes one that has expired.
    pub fn certify_expired(&self, hosts: &[&str]) -> Pems {
        let mut params = params(hosts, "a server of old");
        params.not_after = date_time_ymd(2001, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Pems {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pems {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// Makes a certificate that nobody has signed but itself.
pub fn self_signed(hosts: &[&str]) -> Pems {
    self_signed_as("myself", hosts)
}

/// Makes such a certificate with this name.
pub fn self_signed_as(name: &str, hosts: &[&str]) -> Pems {
    let key = KeyPair::generate().unwrap();
    let certificate = params(hosts, name).self_signed(&key).unwrap();
    Pems {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

fn params(hosts: &[&str], name: &str) -> CertificateParams {
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
