//! Who prints an error with all its sources reads each text once.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use ws_driver::ws_proto::{ConfigError, HandshakeError, SendError};
use ws_driver::{
    AppendError, BackplaneError, ClusterSendError, ConnectError, ResumeError, RoundTripError,
    SendToError,
};

/// An error with a source, as other libraries have them.
#[derive(Debug)]
struct Outer(io::Error);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the outer text")
    }
}

impl Error for Outer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn io_error() -> io::Error {
    let inner = io::Error::other("the inner text");
    io::Error::other(Outer(inner))
}

/// Returns the texts of an error and of all its sources.
fn chain(error: &dyn Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        texts.push(error.to_string());
        source = error.source();
    }
    texts
}

/// No text of a source is part of what was said before it, whichever error is asked; and no source is lost.
#[test]
fn no_error_repeats_the_text_of_its_source() {
    let lookup = ConnectError::Lookup {
        host: "a".into(),
        error: io_error(),
    };
    let errors: Vec<Box<dyn Error>> = vec![
        Box::new(SendToError::Send(SendError::Closed)),
        Box::new(RoundTripError::Send(SendError::Closed)),
        Box::new(ClusterSendError::Send(SendError::Closed)),
        Box::new(ClusterSendError::Backplane(BackplaneError::Ended)),
        Box::new(AppendError::Backplane(BackplaneError::Ended)),
        Box::new(ResumeError::Backplane(BackplaneError::Ended)),
        Box::new(ResumeError::Send(SendError::Closed)),
        Box::new(ConnectError::Io(io_error())),
        Box::new(lookup),
        Box::new(ConnectError::Config(ConfigError::InvalidSubprotocol {
            value: "a b".into(),
        })),
        Box::new(ConnectError::Handshake(HandshakeError::Body)),
        #[cfg(feature = "proxy")]
        Box::new(ws_driver::ProxyError::Io(io_error())),
        #[cfg(feature = "proxy")]
        Box::new(ConnectError::Proxy(ws_driver::ProxyError::Io(io_error()))),
    ];
    for error in errors.into_iter().chain(tls_errors()) {
        let texts = chain(&*error);
        for (index, text) in texts.iter().enumerate() {
            for before in &texts[..index] {
                assert!(!before.contains(text), "{texts:#?}");
            }
        }
        if format!("{error:?}").contains("the inner text") {
            assert_eq!(texts.last().unwrap(), "the inner text", "{texts:#?}");
        }
    }
}

#[cfg(not(feature = "rustls"))]
fn tls_errors() -> Vec<Box<dyn Error>> {
    Vec::new()
}

#[cfg(feature = "rustls")]
fn tls_errors() -> Vec<Box<dyn Error>> {
    use std::sync::Arc;

    use ws_driver::{ServerTls, TlsError};

    let other = || {
        let error: Arc<dyn Error + Send + Sync> = Arc::new(Outer(io::Error::other("inside")));
        TlsError::Other(rustls::Error::Other(rustls::OtherError(error)))
    };
    let unreadable = ServerTls::from_files("/no such file", "/no such file").unwrap_err();
    vec![
        Box::new(other()),
        Box::new(ConnectError::Tls(other())),
        Box::new(TlsError::Io(Arc::new(io_error()))),
        Box::new(ConnectError::Tls(TlsError::Io(Arc::new(io_error())))),
        Box::new(unreadable),
    ]
}

/// All errors that have a source are in the test above.
#[test]
fn every_error_with_a_source_is_tried() {
    let mut found = Vec::new();
    for folder in ["src", "../ws-proto/src"] {
        look(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut found,
        );
    }
    found.sort();
    let known = [
        "client/error.rs",
        "client/proxy/error.rs",
        "cluster/direct.rs",
        "cluster/log/position.rs",
        "driver/round_trip.rs",
        "handle/clients.rs",
        "tls/error.rs",
        "tls/pem.rs",
    ];
    assert_eq!(found, known);
}

/// Adds the files in which an error says what its source is.
fn look(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look(&path, found);
        } else if std::fs::read_to_string(&path)
            .unwrap()
            .contains("fn source(&self)")
        {
            let name = path.to_str().unwrap();
            let (_, name) = name.rsplit_once("/src/").unwrap();
            found.push(name.to_owned());
        }
    }
}
