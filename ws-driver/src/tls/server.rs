//! TLS of a server: its certificate, and how a stream is opened with it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConnection};
use rustls::sign::CertifiedKey;

use super::pem::{Pem, certified_key};
use super::stream::TlsStream;
use super::{ALPN, TlsConfigError, TlsError, provider};

/// The TLS of a server: its certificate and its key, for [`ServerBuilder::tls`](crate::ServerBuilder::tls).
///
/// It speaks TLS 1.3 and 1.2 and agrees on HTTP/1.1 by ALPN. It is a handle: all clones have the same
/// certificate, so keep one to [`reload`](Self::reload).
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    /// `None` if the configuration is somebody else's.
    certificate: Option<Arc<Certificate>>,
}

/// The certificate that connections get that come now.
struct Certificate {
    current: Mutex<Arc<CertifiedKey>>,
    files: Option<(PathBuf, PathBuf)>,
}

impl ServerTls {
    /// Reads a certificate, followed by those that lead to its root, and its private key from PEM files,
    /// which can be the same. Blocks meanwhile.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or has not in it what it should, or if the key is not that of the
    /// certificate.
    pub fn from_files(
        certificates: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsConfigError> {
        let (certificates, key) = (certificates.into(), key.into());
        let current = certified_key(&Pem::of_file(&certificates)?, &Pem::of_file(&key)?)?;
        Ok(Self::new(current, Some((certificates, key))))
    }

    /// Takes a certificate, followed by those that lead to its root, and its private key as PEM.
    ///
    /// # Errors
    ///
    /// Fails if there is not in them what should be, or if the key is not that of the certificate.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsConfigError> {
        Ok(Self::new(of_pem(certificates, key)?, None))
    }

    /// Takes a configuration of rustls as it is: for client certificates, a certificate for each name,
    /// another provider of cryptography. Let its ALPN have `http/1.1` and nothing else, or be empty.
    pub fn from_config(config: impl Into<Arc<ServerConfig>>) -> Self {
        Self {
            config: config.into(),
            certificate: None,
        }
    }

    fn new(current: CertifiedKey, files: Option<(PathBuf, PathBuf)>) -> Self {
        let certificate = Arc::new(Certificate {
            current: Mutex::new(Arc::new(current)),
            files,
        });
        let resolver: Arc<dyn ResolvesServerCert> = certificate.clone();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of all versions")
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![ALPN.to_vec()];
        Self {
            config: Arc::new(config),
            certificate: Some(certificate),
        }
    }

    /// Reads the same files again, and gives what is in them to connections that come from now on; what
    /// is open goes on. Blocks meanwhile.
    ///
    /// # Errors
    ///
    /// As [`from_files`](Self::from_files), and if it was not made by that; then the certificate stays
    /// what it was.
    pub fn reload(&self) -> Result<(), TlsConfigError> {
        let certificate = self.own_certificate()?;
        let Some((certificates, key)) = &certificate.files else {
            let problem = "it is not from a file; replace takes one that is in memory";
            return Err(TlsConfigError::NotReloadable { problem });
        };
        certificate.set(certified_key(
            &Pem::of_file(certificates)?,
            &Pem::of_file(key)?,
        )?);
        Ok(())
    }

    /// Gives another certificate to connections that come from now on; what is open goes on.
    ///
    /// # Errors
    ///
    /// As [`from_pem`](Self::from_pem), and if it was made of a configuration; then the certificate stays
    /// what it was.
    pub fn replace(&self, certificates: &[u8], key: &[u8]) -> Result<(), TlsConfigError> {
        self.own_certificate()?.set(of_pem(certificates, key)?);
        Ok(())
    }

    fn own_certificate(&self) -> Result<&Certificate, TlsConfigError> {
        let problem = "it belongs to a configuration of yours";
        let own = self.certificate.as_deref();
        own.ok_or(TlsConfigError::NotReloadable { problem })
    }

    /// Opens a stream. If that fails the peer has been told; the stream is given back if it can be
    /// told more.
    pub(crate) async fn open<S>(&self, stream: S) -> Result<TlsStream<S>, (TlsError, Option<S>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let session = match ServerConnection::new(Arc::clone(&self.config)) {
            Ok(session) => session,
            Err(error) => return Err((error.into(), None)),
        };
        let mut stream = TlsStream::new(stream, session.into());
        match stream.handshake().await {
            Ok(()) => Ok(stream),
            Err(error) => {
                let may_go_on = !stream.has_read();
                Err((error, may_go_on.then(|| stream.into_transport())))
            }
        }
    }
}

fn of_pem(certificates: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsConfigError> {
    certified_key(
        &Pem::of_bytes("the argument certificates", certificates),
        &Pem::of_bytes("the argument key", key),
    )
}

impl Certificate {
    fn set(&self, certified: CertifiedKey) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// Tells a client that speaks HTTP without TLS that it should not: without a word of HTTP it would say
/// that the answer is malformed.
pub(crate) async fn refuse_plain_http<S>(mut stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let refusal = format!(
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{PLAIN_HTTP_BODY}",
        PLAIN_HTTP_BODY.len()
    );
    let mut rest = refusal.as_bytes();
    let mut discarded = [0; 512];
    poll_fn(|cx| {
        while !rest.is_empty() {
            match ready!(Pin::new(&mut stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                len => rest = &rest[len..],
            }
        }
        ready!(Pin::new(&mut stream).poll_close(cx))?;
        // A stream that is closed with unread bytes is reset, and the answer is lost.
        for _ in 0..DISCARD_LIMIT {
            if ready!(Pin::new(&mut stream).poll_read(cx, &mut discarded))? == 0 {
                break;
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Reads whose bytes are discarded in one poll: a peer that talks on after so much is not waited for.
const DISCARD_LIMIT: usize = 128;

const PLAIN_HTTP_BODY: &str = "400 Bad Request\n\n\
    This port speaks TLS: use https:// or wss:// instead of http:// or ws://.\n";
