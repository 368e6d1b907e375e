//! The names of an adapter that are generic over a runtime in the driver. One macro makes them for every runtime, so
//! that all adapters have the same names and docs. The other names are in `exports.rs`. Beside them stands what adapters of
//! several runtimes share.
//!
//! Imports: `util`, `runtime`, `id`, `tls`, `front`, `observe`, `driver`, `registry`, `cluster`, `handle`, `client`, `server`.

pub mod exports;
pub(crate) mod socket_reads;

/// Makes the names of an adapter for its runtime, from its type and its name in the docs. The adapter must depend on
/// `futures-io` and have a feature `upgrade`.
#[doc(hidden)]
#[macro_export]
macro_rules! adapter {
    // Aliases and thin functions instead of re-exports, so that users never name the runtime.
    ($runtime:ty, $name:literal) => {
        #[doc = concat!("A WebSocket server on ", $name, ". See [`ws_driver::Server`] for its methods.")]
        pub type Server = $crate::Server<$runtime>;

        /// Sets the options of a [`Server`]. See [`ws_driver::ServerBuilder`].
        pub type ServerBuilder = $crate::ServerBuilder<$runtime>;

        /// A client that connects again. See [`ws_driver::Reconnector`].
        pub type Reconnector = $crate::Reconnector<$runtime>;

        /// A request for an upgrade that another HTTP server has read. See [`ws_driver::PendingUpgrade`].
        #[cfg(feature = "upgrade")]
        pub type PendingUpgrade = $crate::PendingUpgrade<$runtime>;

        /// Opens a connection to a URL `ws://host[:port]/path` with the default options. With the feature
        /// `rustls` it also opens `wss://`. [`IntoClientRequest`] lists what can be passed beside text, such as an
        /// `http::Request`.
        ///
        /// # Errors
        ///
        /// Fails if the URL or the request is invalid, the host cannot be reached or its certificate is not trusted, the
        /// server refuses the connection, or a timeout expires.
        ///
        /// # Cancel safety
        ///
        /// If the future is dropped, the stream is closed.
        pub async fn connect(
            request: impl $crate::IntoClientRequest,
        ) -> Result<$crate::Connection, $crate::ConnectError> {
            $crate::connect::<$runtime>(request).await
        }

        /// Opens a connection to a URL with options. Pass a [`ClientConfig`] for the options of the
        /// protocol, such as the version, subprotocols, headers and limits, or a [`ConnectConfig`] for all
        /// options. The headers of a request are sent in addition to those of the options.
        ///
        /// # Errors
        ///
        /// Fails as [`connect`] does.
        ///
        /// # Cancel safety
        ///
        /// If the future is dropped, the stream is closed.
        pub async fn connect_with(
            request: impl $crate::IntoClientRequest,
            options: impl Into<$crate::ConnectConfig>,
        ) -> Result<$crate::Connection, $crate::ConnectError> {
            $crate::connect_with::<$runtime>(request, options).await
        }

        /// Opens a connection over a stream that the application made, such as a Unix socket.
        /// See [`ws_driver::connect_over`].
        ///
        /// # Errors
        ///
        /// Fails if the URL is invalid, the certificate of the server is not trusted, the server refuses the
        /// connection, or a timeout expires.
        ///
        /// # Cancel safety
        ///
        /// If the future is dropped, the stream is dropped.
        pub async fn connect_over<S>(
            stream: S,
            request: impl $crate::IntoClientRequest,
            options: impl Into<$crate::ConnectConfig>,
        ) -> Result<$crate::Connection, $crate::ConnectError>
        where
            S: futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static,
        {
            $crate::connect_over::<$runtime, _>(stream, request, options).await
        }

        /// Waits for a time by the clock that the timeouts of connections have. A handler that waits by it is tested without
        /// waiting: the test kit, with the feature `test-kit`, runs tests in virtual time.
        ///
        /// # Cancel safety
        ///
        /// If the future is dropped before it is ready, the timer is dropped, and nothing is lost.
        pub async fn sleep(time: std::time::Duration) {
            $crate::sleep(&<$runtime as Default>::default(), time).await;
        }

        /// Makes a connection of a stream whose opening handshake was done elsewhere. See [`ws_driver::from_upgraded`].
        ///
        /// # Errors
        ///
        /// Fails if an option of the connection is invalid.
        ///
        /// # Panics
        ///
        /// On tokio, outside of a runtime, as whatever spawns a task.
        pub fn from_upgraded<S>(
            upgraded: $crate::exports::Upgraded<S>,
        ) -> Result<$crate::Connection, $crate::exports::ConfigError>
        where
            S: futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static,
        {
            $crate::from_upgraded::<$runtime, _>(upgraded)
        }
    };
}
