//! Who prints an error with all its sources reads each text once.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

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
        error: Arc::new(io_error()),
    };
    let errors: Vec<Box<dyn Error>> = vec![
        Box::new(SendToError::Send(SendError::Closed)),
        Box::new(RoundTripError::Send(SendError::Closed)),
        Box::new(ClusterSendError::Send(SendError::Closed)),
        Box::new(ClusterSendError::Backplane(BackplaneError::Ended)),
        Box::new(AppendError::Backplane(BackplaneError::Ended)),
        Box::new(ResumeError::Backplane(BackplaneError::Ended)),
        Box::new(ResumeError::Send(SendError::Closed)),
        Box::new(ConnectError::Io(Arc::new(io_error()))),
        Box::new(lookup),
        Box::new(ConnectError::Config(ConfigError::InvalidSubprotocol {
            value: "a b".into(),
        })),
        Box::new(ConnectError::Handshake(HandshakeError::Body)),
        #[cfg(feature = "proxy")]
        Box::new(ws_driver::ProxyError::Io(Arc::new(io_error()))),
        #[cfg(feature = "proxy")]
        Box::new(ConnectError::Proxy(ws_driver::ProxyError::Io(Arc::new(
            io_error(),
        )))),
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

/// Every public error can be cloned, so that several tasks that wait for one attempt can have it.
#[test]
fn every_error_can_be_cloned() {
    let mut found = 0;
    for folder in ["src", "../ws-proto/src", "../ws-redis/src"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        each_file(&folder, &mut |_, text| {
            let mut derives = "";
            for line in text.lines() {
                if line.starts_with("#[derive(") {
                    derives = line;
                }
                let name = ["pub enum ", "pub struct "]
                    .iter()
                    .find_map(|start| line.strip_prefix(start));
                if name.is_some_and(is_error) {
                    found += 1;
                    assert!(derives.contains("Clone"), "{line} {derives}");
                }
            }
        });
    }
    assert!(found > 20, "{found}");
}

/// Tells whether a type of this name, or of a part of an error, is one.
fn is_error(name: &str) -> bool {
    let name = name.split([' ', '<', '(']).next().unwrap();
    name.ends_with("Error") || ["Attempts", "FailedAttempt", "Rejected"].contains(&name)
}

/// A clone is the same error, and both still have the error of the system, for its kind and for what is inside of it.
#[test]
fn a_clone_has_the_error_of_the_system() {
    let lookup = ConnectError::Lookup {
        host: "a".into(),
        error: Arc::new(io_error()),
    };
    let errors = [
        lookup,
        ConnectError::from(io_error()),
        #[cfg(feature = "proxy")]
        ConnectError::Proxy(ws_driver::ProxyError::from(io_error())),
        #[cfg(feature = "rustls")]
        ConnectError::Tls(ws_driver::TlsError::from(io_error())),
        #[cfg(all(feature = "proxy", feature = "rustls"))]
        ConnectError::Proxy(ws_driver::ProxyError::Tls(io_error().into())),
    ];
    for error in errors {
        let clone = error.clone();
        assert_eq!(clone.to_string(), error.to_string());
        let io_error = clone.io_error().unwrap();
        assert_eq!(io_error.kind(), io::ErrorKind::Other);
        let inner = io_error.get_ref().unwrap();
        assert!(inner.downcast_ref::<Outer>().is_some(), "{error:?}");
        let source = clone.source().unwrap();
        assert!(source.downcast_ref::<io::Error>().is_some(), "{error:?}");
    }
    assert!(ConnectError::TlsUnsupported.io_error().is_none());
}

/// An error of a connection attempt moves through several futures.
#[test]
fn the_error_of_a_client_stays_small() {
    assert!(
        size_of::<ConnectError>() <= 96,
        "{}",
        size_of::<ConnectError>()
    );
}

/// Adds the files in which an error says what its source is.
fn look(folder: &Path, found: &mut Vec<String>) {
    each_file(folder, &mut |path, text| {
        if text.contains("fn source(&self)") {
            let name = path.to_str().unwrap();
            let (_, name) = name.rsplit_once("/src/").unwrap();
            found.push(name.to_owned());
        }
    });
}

/// Calls a function with each file below a folder, and its text.
fn each_file(folder: &Path, call: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_file(&path, call);
        } else {
            call(&path, &std::fs::read_to_string(&path).unwrap());
        }
    }
}
