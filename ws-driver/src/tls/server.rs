//! TLS of a server: its certificate, and the handshake over a stream.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use rustls::ServerConfig;
use rustls::crypto::ring::Ticketer;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConnection};
use rustls::sign::CertifiedKey;

use super::pem::{Pem, certified_key};
use super::stream::TlsStream;
use super::{ALPN, TlsConfigError, TlsError, provider};

/// The TLS of a server: its certificate and its key, for [`ServerBuilder::tls`](crate::ServerBuilder::tls).
///
/// It speaks TLS 1.3 and 1.2, and agrees on HTTP/1.1 by ALPN. It is a handle, and all clones share one
/// certificate. Keep a clone to [`reload`](Self::reload) the certificate.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    /// `None` if the application made the configuration.
    certificate: Option<Arc<Certificate>>,
}

/// The certificate for new connections. It is behind a lock and not in the configuration, so that it can be replaced
/// while the server runs.
struct Certificate {
    current: Mutex<Arc<CertifiedKey>>,
    files: Option<(PathBuf, PathBuf)>,
}

impl ServerTls {
    /// Reads a certificate and its private key from PEM files, which can be the same file. The intermediate
    /// certificates follow the server's own. Blocks while it reads the files.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read, a certificate or the key is missing or invalid, or the key does not
    /// belong to the certificate.
    pub fn from_files(
        certificates: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsConfigError> {
        let (certificates, key) = (certificates.into(), key.into());
        let current = certified_key(&Pem::of_file(&certificates)?, &Pem::of_file(&key)?)?;
        Ok(Self::new(current, Some((certificates, key))))
    }

    /// Takes a certificate and its private key as PEM texts. The intermediate certificates follow the server's
    /// own.
    ///
    /// # Errors
    ///
    /// Fails if a certificate or the key is missing or invalid, or the key does not belong to the certificate.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsConfigError> {
        Ok(Self::new(of_pem(certificates, key)?, None))
    }

    /// Uses a configuration of rustls as it is, for instance with client certificates, a certificate for each
    /// name or another provider of cryptography. Its ALPN must be empty, or contain `http/1.1` and, only with
    /// the option `http2` of a server, `h2`, but nothing else.
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
        // Sessions that the client keeps, encrypted. The default, a memory of 256, is full before the clients of a server
        // that restarts are back. The keys belong to this value and change every six hours. Without randomness from the
        // system there is no ticketer, and the default stays.
        if let Ok(ticketer) = Ticketer::new() {
            config.ticketer = ticketer;
        }
        Self {
            config: Arc::new(config),
            certificate: Some(certificate),
        }
    }

    /// Reads the files again and uses the certificate for new connections. Open connections go on. Blocks while
    /// it reads the files.
    ///
    /// # Errors
    ///
    /// Fails as [`from_files`](Self::from_files) does. Also fails if this was not made by `from_files`. After
    /// an error the old certificate stays in use.
    pub fn reload(&self) -> Result<(), TlsConfigError> {
        let certificate = self.own_certificate()?;
        let Some((certificates, key)) = &certificate.files else {
            let problem = "it is not from a file; use replace for one in memory";
            return Err(TlsConfigError::NotReloadable { problem });
        };
        certificate.set(certified_key(
            &Pem::of_file(certificates)?,
            &Pem::of_file(key)?,
        )?);
        Ok(())
    }

    /// Uses another certificate for new connections. Open connections go on.
    ///
    /// # Errors
    ///
    /// Fails as [`from_pem`](Self::from_pem) does. Also fails if this was made by `from_config`. After an error
    /// the old certificate stays in use.
    pub fn replace(&self, certificates: &[u8], key: &[u8]) -> Result<(), TlsConfigError> {
        self.own_certificate()?.set(of_pem(certificates, key)?);
        Ok(())
    }

    fn own_certificate(&self) -> Result<&Certificate, TlsConfigError> {
        let problem = "it belongs to a configuration that the application made";
        let own = self.certificate.as_deref();
        own.ok_or(TlsConfigError::NotReloadable { problem })
    }

    /// Offers HTTP/2 as well, unless the application made the configuration. The certificate stays a shared one.
    #[cfg(feature = "http2")]
    pub(crate) fn with_http2(mut self) -> Self {
        if self.certificate.is_some() {
            // The order is the preference of the server (RFC 7301 §3.2).
            Arc::make_mut(&mut self.config).alpn_protocols = vec![b"h2".to_vec(), ALPN.to_vec()];
        }
        self
    }

    /// Does the TLS handshake over a stream. On an error the peer has got its alert. If the stream has not carried
    /// TLS, it is returned with the error, so that the peer can get an answer in its own protocol.
    pub(crate) async fn open<S>(
        &self,
        stream: S,
        early: Vec<u8>,
    ) -> Result<TlsStream<S>, (TlsError, Option<S>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let session = match ServerConnection::new(Arc::clone(&self.config)) {
            Ok(session) => session,
            Err(error) => return Err((error.into(), None)),
        };
        let mut stream = TlsStream::new(stream, session.into());
        match stream.handshake(early).await {
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

/// Answers a client that speaks HTTP without TLS. An answer in HTTP is needed, because the client would report any other
/// bytes only as malformed.
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
        // The system resets a stream that is closed with unread bytes, and the client would lose the answer.
        for _ in 0..DISCARD_LIMIT {
            if ready!(Pin::new(&mut stream).poll_read(cx, &mut discarded))? == 0 {
                break;
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// The number of reads whose bytes are discarded in one poll. A peer that still sends after that is not waited for.
const DISCARD_LIMIT: usize = 128;

const PLAIN_HTTP_BODY: &str = "400 Bad Request\n\n\
    This port speaks TLS: use https:// or wss:// instead of http:// or ws://.\n";
