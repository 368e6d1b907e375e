//! Which hosts a server is asked under.

use ws_proto::{ConfigError, HandshakeError, HostPolicy, OriginPolicy};

use ws_testing::handshake::{
    DRAFT75, DRAFT76, Outcome, RFC6455, sample_config, serve, status_of, with,
};

/// R-H4, D76-S4, X6: a host that is not on the list gets 421 in every version, whatever its origin is: a page
/// whose name was made to point here is of the same host as the server.
#[test]
fn a_host_that_is_not_ours_gets_421() {
    for request in [RFC6455, DRAFT75, DRAFT76] {
        let request = with(request, "Host", "Host: rebound.example:9000");
        let request = with(&request, "Origin", "Origin: http://rebound.example:9000");
        let same_host = sample_config().origins(OriginPolicy::SameHost);
        assert_eq!(status_of(&serve(&same_host, request.as_bytes()).1).0, 101);
        let hosts = HostPolicy::list(["localhost:9000", "192.168.0.7"]).unwrap();
        let config = same_host.hosts(hosts);
        let (outcome, answer) = serve(&config, request.as_bytes());
        let host = "rebound.example:9000".to_owned();
        assert_eq!(
            outcome,
            Outcome::Failed(HandshakeError::HostRefused { host })
        );
        assert_eq!(status_of(&answer).0, 421);
        assert!(!answer.contains("rebound"), "X27: {answer}");
        for ours in ["localhost:9000", "LOCALHOST:9000", "192.168.0.7:9000"] {
            let request = with(&request, "Host", &format!("Host: {ours}"));
            let request = with(&request, "Origin", &format!("Origin: http://{ours}"));
            assert_eq!(
                status_of(&serve(&config, request.as_bytes()).1).0,
                101,
                "{ours}"
            );
        }
    }
}

/// RFC 9112 §3.2.2: the host of a target in absolute form counts more than the header, so it has to be ours,
/// too.
#[test]
fn a_host_in_the_target_is_checked_too() {
    let config = sample_config().hosts(HostPolicy::list(["ours.example"]).unwrap());
    let request = with(RFC6455, "Host", "Host: ours.example");
    for (host, is_ours) in [("ours.example", true), ("rebound.example", false)] {
        let request = request.replacen("GET /", &format!("GET http://{host}/"), 1);
        let (outcome, answer) = serve(&config, request.as_bytes());
        assert_eq!(outcome == Outcome::Open, is_ours, "{host}: {answer}");
    }
}

/// The message names the option.
#[test]
fn errors_about_hosts_name_the_option() {
    let host = "rebound.example".to_owned();
    let refused = HandshakeError::HostRefused { host };
    assert_eq!(
        refused.to_string(),
        "host \"rebound.example\" is not allowed (option hosts)"
    );
    let error = HostPolicy::list(["*.example.com"]).unwrap_err();
    let value = "*.example.com".to_owned();
    assert_eq!(error, ConfigError::InvalidHost { value });
}
