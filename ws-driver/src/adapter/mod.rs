//! The names of an adapter that the driver has with a type parameter: made once, for every runtime, so that
//! all adapters say the same. Those without one are in `exports.rs`.
//!
//! Imports: `id`, `tls`, `observe`, `driver`, `registry`, `handle`, `client`, `server`.

pub mod exports;

/// Makes the names of an adapter for its runtime: its type, and what to call it in the pages. The adapter
/// depends on `futures-io`, and has a feature `upgrade`.
#[doc(hidden)]
#[macro_export]
macro_rules! adapter {
    ($runtime:ty, $name:literal) => {
        #[doc = concat!("A WebSocket server on ", $name, ". See [`ws_driver::Server`] for what it can do.")]
        pub type Server = $crate::Server<$runtime>;

        /// Sets the options of a [`Server`]. See [`ws_driver::ServerBuilder`].
        pub type ServerBuilder = $crate::ServerBuilder<$runtime>;

        /// A request for an upgrade that another HTTP server read. See [`ws_driver::PendingUpgrade`].
        #[cfg(feature = "upgrade")]
        pub type PendingUpgrade = $crate::PendingUpgrade<$runtime>;

        /// Opens a connection to a URL `ws://host[:port]/path` with the default options; with the feature
        /// `rustls` also to `wss://`.
        ///
        /// # Errors
        ///
        /// Fails if the URL is invalid, the host cannot be reached or is not whom it should be, the server
        /// does not agree, or all that takes too long.
        ///
        /// # Cancel safety
        ///
        /// If the future is dropped, the stream is closed.
        pub async fn connect(url: &str) -> Result<$crate::Connection, $crate::ConnectError> {
            $crate::connect::<$runtime>(url).await
        }

        /// As [`connect`], with options: a [`ClientConfig`] for those of the protocol, such as the
        /// version, subprotocols, headers and limits, or [`ConnectConfig`] for all.
        ///
        /// # Errors
        ///
        /// As [`connect`].
        ///
        /// # Cancel safety
        ///
        /// As [`connect`].
        pub async fn connect_with(
            url: &str,
            options: impl Into<$crate::ConnectConfig>,
        ) -> Result<$crate::Connection, $crate::ConnectError> {
            $crate::connect_with::<$runtime>(url, options).await
        }

        /// Opens a connection over a stream that the application made, such as a Unix socket.
        /// See [`ws_driver::connect_over`].
        ///
        /// # Errors
        ///
        /// Fails if the URL is invalid, the server is not whom it should be or does not agree, or all that
        /// takes too long.
        ///
        /// # Cancel safety
        ///
        /// If the future is dropped, the stream is dropped.
        pub async fn connect_over<S>(
            stream: S,
            url: &str,
            options: impl Into<$crate::ConnectConfig>,
        ) -> Result<$crate::Connection, $crate::ConnectError>
        where
            S: futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static,
        {
            $crate::connect_over::<$runtime, _>(stream, url, options).await
        }
    };
}
