//! A lookup of names that an application provides, instead of that of the system.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// A function that looks a host up.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<Lookup>);

type Lookup = dyn Fn(String, u16) -> Pin<Box<LookupFuture>> + Send + Sync;
type LookupFuture = dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send;

impl Resolver {
    pub(super) fn new<F, T>(lookup: F) -> Self
    where
        F: Fn(String, u16) -> T + Send + Sync + 'static,
        T: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        Self(Arc::new(move |host, port| Box::pin(lookup(host, port))))
    }

    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        (self.0)(host.to_owned(), port).await
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
