//! The roots of this machine, and its verifier. Both read the environment, which a test must not change for the others of its
//! process: so each case is a process of its own, which runs the same test again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ws_driver::{
    CertificateProblem, ClientTls, ConnectConfig, ConnectError, ServerTls, TlsConfigError,
    TlsError, connect_with,
};
use ws_testing::certificates::Authority;
use ws_testing::sim::{ANY, Server, Sim, echo, serve};

/// What a client trusts in a case.
#[derive(Clone, Copy)]
enum Trust {
    Default,
    SystemRoots,
    PlatformVerifier,
}

const ALL: [Trust; 3] = [Trust::Default, Trust::SystemRoots, Trust::PlatformVerifier];

impl Trust {
    fn make(self) -> Result<ClientTls, TlsConfigError> {
        match self {
            Self::Default => Ok(ClientTls::default()),
            Self::SystemRoots => ClientTls::system_roots(),
            Self::PlatformVerifier => ClientTls::platform_verifier(),
        }
    }
}

/// Says what becomes of a connection to a server whose certificate is in the folder.
fn connected(folder: &Path, trust: Trust) -> String {
    let tls = match trust.make() {
        Ok(tls) => tls,
        Err(error) => return error.to_string(),
    };
    let server_tls = ServerTls::from_files(folder.join("cert"), folder.join("key")).unwrap();
    let mut said = String::new();
    Sim::run(async |sim| {
        let server = Server::builder().tls(server_tls.clone());
        let server = server.bind(ANY).await.unwrap();
        serve(&sim, &server, echo);
        let url = format!("wss://{}/", server.local_addr());
        let options = ConnectConfig::new().tls(tls.clone());
        said = match connect_with::<Sim>(&*url, options).await {
            Ok(mut connection) => {
                connection.close().await;
                "connected".to_owned()
            }
            Err(ConnectError::Tls(TlsError::Certificate {
                problem: CertificateProblem::UnknownIssuer,
                ..
            })) => "unknown issuer".to_owned(),
            Err(error) => error.to_string(),
        };
    });
    said
}

/// A variable that names the folder of the certificates in the processes of the cases.
const FOLDER: &str = "WS_TEST_TLS_SYSTEM";

/// Runs this test again with these variables; returns what each of `ALL` says.
fn cases(test: &str, folder: &Path, file: Option<PathBuf>, dir: Option<PathBuf>) -> [String; 3] {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process
        .args([test, "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR");
    for (name, value) in [("SSL_CERT_FILE", file), ("SSL_CERT_DIR", dir)] {
        if let Some(value) = value {
            process.env(name, value);
        }
    }
    let output = process.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = text.lines().filter_map(|line| line.split_once("SAID "));
    let said: Vec<_> = said.map(|(_, said)| said.to_owned()).collect();
    said.try_into()
        .unwrap_or_else(|said| panic!("{said:?}: {text}"))
}

/// Both trust whom the files of the environment name, and only them. An error names a file that cannot be read. A client
/// that asked for neither trusts Mozilla's roots, though both features are on.
#[test]
fn the_machine_says_who_is_trusted() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        for trust in ALL {
            // A line of its own, behind the name of the test.
            println!("\nSAID {}", connected(folder.as_ref(), trust));
        }
        return;
    }
    let path = std::env::temp_dir().join(format!("ws-tls-system-{}", std::process::id()));
    let (roots, empty) = (path.join("roots"), path.join("empty"));
    fs::create_dir_all(&roots).unwrap();
    fs::create_dir_all(&empty).unwrap();
    let (authority, other) = (Authority::new("an authority"), Authority::new("another"));
    let pems = authority.certify(&["127.0.0.1"]);
    fs::write(path.join("cert"), &pems.certificate).unwrap();
    fs::write(path.join("key"), &pems.key).unwrap();
    fs::write(path.join("other"), other.root()).unwrap();
    fs::write(path.join("nothing"), "no certificate\n").unwrap();
    fs::write(roots.join("root.pem"), authority.root()).unwrap();
    let file = |name: &str| Some(path.join(name));

    let test = "tls_system::the_machine_says_who_is_trusted";
    let none = "this machine has no root certificates that can be used: ";
    let (connected, unknown) = ("connected", "unknown issuer");
    for (name, ssl_file, ssl_dir, expected) in [
        ("a file", file("roots/root.pem"), None, connected),
        ("a folder", None, Some(roots.clone()), connected),
        (
            "two folders",
            None,
            Some(format!("{}:{}", empty.display(), roots.display()).into()),
            connected,
        ),
        // What can be read counts.
        (
            "one of two",
            file("missing"),
            Some(roots.clone()),
            connected,
        ),
        ("others", file("other"), None, unknown),
        ("a missing file", file("missing"), None, none),
        ("an empty file", file("nothing"), None, none),
        ("an empty folder", None, Some(empty.clone()), none),
    ] {
        let said = cases(test, &path, ssl_file.clone(), ssl_dir);
        assert_eq!(said[0], unknown, "{name}, by default");
        for said in &said[1..] {
            assert!(said.starts_with(expected), "{name}: {said}");
        }
        if name == "an empty file" {
            let empty = ssl_file.as_ref().unwrap().display().to_string();
            assert!(
                said[1].contains(&format!("none was found in SSL_CERT_FILE={empty}")),
                "{}",
                said[1]
            );
        }
        if name == "a missing file" {
            let missing = ssl_file.unwrap().display().to_string();
            assert!(said[1].contains(&missing), "{}", said[1]);
            assert!(said[1].contains("SSL_CERT_FILE"), "{}", said[1]);
        }
    }
    fs::remove_dir_all(&path).unwrap();
}
