//! TLS below a connection of the generator. Knows nothing of messages.
//!
//! It offers one version, one suite and one group, so that every server has the same work.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};

/// Whom the generator trusts, and how it speaks TLS.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts the certificate in a PEM file and nobody else. No handshake resumes an earlier one.
    pub(crate) fn trusting(path: &str) -> Result<Self, String> {
        let pem = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
        let certificate = CertificateDer::from_pem_slice(&pem)
            .map_err(|error| format!("{path} has no certificate: {error}"))?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate).map_err(|error| error.to_string())?;
        let provider = CryptoProvider {
            cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![ring::kx_group::X25519],
            ..ring::default_provider()
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Makes handshakes resume earlier ones, by the tickets of the server.
    pub(crate) fn resuming(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(TICKETS);
        Self {
            config: Arc::new(config),
        }
    }

    fn session(&self) -> io::Result<Box<ClientConnection>> {
        let host = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST).into());
        let session = ClientConnection::new(Arc::clone(&self.config), host);
        let mut session = session.map_err(io::Error::other)?;
        // A window is encrypted at once.
        session.set_buffer_limit(None);
        Ok(Box::new(session))
    }
}

/// The sessions that are kept; there is one server.
const TICKETS: usize = 64;

/// A socket, with TLS or without.
pub(crate) struct Stream<S> {
    socket: S,
    session: Option<Box<ClientConnection>>,
}

impl<S: Read + Write> Stream<S> {
    pub(crate) fn new(socket: S, tls: Option<&Tls>) -> io::Result<Self> {
        let session = tls.map(Tls::session).transpose()?;
        Ok(Self { socket, session })
    }

    /// Does the handshake of TLS over a socket that blocks.
    pub(crate) fn shake_hands(&mut self) -> io::Result<()> {
        if let Some(session) = &mut self.session {
            while session.is_handshaking() {
                session.complete_io(&mut self.socket)?;
            }
        }
        Ok(())
    }

    /// Whether the handshake of TLS, which is over, resumed an earlier one.
    pub(crate) fn has_resumed(&self) -> bool {
        let session = self.session.as_ref();
        session.and_then(|one| one.handshake_kind()) == Some(HandshakeKind::Resumed)
    }

    /// Makes the same of another kind of socket.
    pub(crate) fn map<T>(self, change: impl FnOnce(S) -> T) -> Stream<T> {
        Stream {
            socket: change(self.socket),
            session: self.session,
        }
    }

    pub(crate) fn socket(&mut self) -> &mut S {
        &mut self.socket
    }
}

impl<S: Read + Write> Read for Stream<S> {
    /// Reads records into the space for their content, so that one read takes many.
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let Some(session) = &mut self.session else {
            return self.socket.read(space);
        };
        if let Some(len) = take(session, space)? {
            return Ok(len);
        }
        loop {
            let arrived = self.socket.read(space)?;
            if arrived == 0 {
                return Ok(0);
            }
            let (mut taken, mut filled) = (0, 0);
            while taken < arrived {
                let mut rest = space.get(taken..arrived).unwrap_or_default();
                taken += session.read_tls(&mut rest)?;
                session.process_new_packets().map_err(io::Error::other)?;
                // What is behind is still to be read. It is only overtaken by a record that had begun in an earlier read,
                // and the session keeps the rest of that.
                let room = space.get_mut(filled..taken).unwrap_or_default();
                filled += take(session, room)?.unwrap_or(0);
            }
            let room = space.get_mut(filled..).unwrap_or_default();
            filled += take(session, room)?.unwrap_or(0);
            drain(session, &mut self.socket)?;
            if filled > 0 {
                return Ok(filled);
            }
        }
    }
}

impl<S: Read + Write> Write for Stream<S> {
    /// Takes everything, once what it took before is written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(session) = &mut self.session else {
            return self.socket.write(bytes);
        };
        while session.wants_write() {
            session.write_tls(&mut self.socket)?;
        }
        let len = session.writer().write(bytes)?;
        drain(session, &mut self.socket)?;
        Ok(len)
    }

    /// Writes what was taken, as far as the socket takes it.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.session {
            Some(session) => drain(session, &mut self.socket),
            None => Ok(()),
        }
    }
}

/// Takes what is decrypted: zero bytes at the end of the stream, and `None` if more has to come first.
fn take(session: &mut ClientConnection, space: &mut [u8]) -> io::Result<Option<usize>> {
    match session.reader().read(space) {
        Ok(len) => Ok(Some(len)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the records that wait, as far as the socket takes them.
fn drain(session: &mut ClientConnection, socket: &mut impl Write) -> io::Result<()> {
    while session.wants_write() {
        match session.write_tls(socket) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            written => written?,
        };
    }
    Ok(())
}
