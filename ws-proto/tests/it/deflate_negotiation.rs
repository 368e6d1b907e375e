//! permessage-deflate: what is agreed on, from a table of offers and one of answers (PROTOCOL.md §6.1,
//! §6.2).

use http::HeaderMap;
use proptest::prelude::*;
use ws_proto::{Deflate, HandshakeError};

fn lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> HeaderMap {
    let name = "sec-websocket-extensions";
    let lines = lines.into_iter();
    lines
        .map(|line| (name.parse().unwrap(), line.parse().unwrap()))
        .collect()
}

/// What a server with these options answers.
fn answer(options: &Deflate, offer: &str) -> Option<String> {
    options
        .accept(&lines([offer]))
        .map(|terms| terms.to_string())
}

/// The options that ask for nothing.
fn modest() -> Deflate {
    Deflate::new().server_no_context_takeover(false)
}

fn small(server: u8, client: u8) -> Deflate {
    let options = modest().server_max_window_bits(server).unwrap();
    options.client_max_window_bits(client).unwrap()
}

/// P-S1 to P-S5: the table of §6.2 and what follows from it, offers and the answer to them.
#[test]
fn an_offer_is_answered_or_declined() {
    let accepted = [
        ("", ""),
        ("client_max_window_bits", ""),
        ("client_max_window_bits=15", ""),
        ("client_max_window_bits=10", "client_max_window_bits=10"),
        ("client_max_window_bits=8", "client_max_window_bits=8"),
        ("server_max_window_bits=15", "server_max_window_bits=15"),
        ("server_max_window_bits=9", "server_max_window_bits=9"),
        ("server_max_window_bits=\"12\"", "server_max_window_bits=12"),
        (
            "server_max_window_bits=\"\\1\\2\"",
            "server_max_window_bits=12",
        ),
        (
            "client_max_window_bits; server_max_window_bits=10",
            "server_max_window_bits=10",
        ),
        ("server_no_context_takeover", "server_no_context_takeover"),
        ("client_no_context_takeover", "client_no_context_takeover"),
        (
            "client_max_window_bits = 9;client_no_context_takeover ;\tserver_no_context_takeover",
            "server_no_context_takeover; client_no_context_takeover; client_max_window_bits=9",
        ),
    ];
    for (offered, expected) in accepted {
        let join = |parameters: &str| match parameters {
            "" => "permessage-deflate".to_owned(),
            _ => format!("permessage-deflate; {parameters}"),
        };
        let expected = Some(join(expected));
        assert_eq!(answer(&modest(), &join(offered)), expected, "{offered}");
    }
    let declined = [
        "foo",
        "foo=1",
        "Server_no_context_takeover",
        "server_no_context_takeover=1",
        "server_no_context_takeover=\"true\"",
        "client_no_context_takeover=1",
        "server_max_window_bits",
        "server_max_window_bits=8",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits; client_max_window_bits=10",
        "client_max_window_bits; foo",
    ];
    for offered in declined {
        let offer = format!("permessage-deflate; {offered}");
        assert_eq!(answer(&modest(), &offer), None, "{offered}");
    }
}

/// §6.1, the grammar of values: 8 to 15, no sign, no leading zero, nothing else.
#[test]
fn window_bits_are_read_to_the_letter() {
    let values = [
        "0",
        "1",
        "7",
        "16",
        "20",
        "19",
        "08",
        "015",
        "0x9",
        "1e1",
        "+9",
        "-9",
        "9.0",
        "100",
        "1_0",
        "4294967305",
        "18446744073709551625",
        "nine",
        "\"08\"",
        "\"16\"",
        "\"+9\"",
        "\"9\\9\"",
    ];
    for name in ["server_max_window_bits", "client_max_window_bits"] {
        for value in values {
            let offer = format!("permessage-deflate; {name}={value}");
            assert_eq!(answer(&modest(), &offer), None, "{offer}");
        }
        for bits in 9..=15 {
            for value in [format!("{bits}"), format!("\"{bits}\"")] {
                let offer = format!("permessage-deflate; {name}={value}");
                assert!(answer(&modest(), &offer).is_some(), "{offer}");
            }
        }
    }
}

/// P-S5, P-S6, P-S8: the first offer that can be met is accepted, whatever stands around it, in one
/// line or in several; without one the connection stays plain.
#[test]
fn the_first_offer_that_can_be_met_is_accepted() {
    let first = "permessage-deflate; server_max_window_bits=10; client_max_window_bits";
    let bad = "permessage-deflate; server_max_window_bits=8";
    let odd = "permessage-deflate; server_max_window_bits=10; mystery";
    let other = "x-webkit-deflate-frame; server_max_window_bits=9; a=\"b\"";
    let last = "permessage-deflate";
    for (offers, expected) in [
        (
            vec![first, last],
            Some("permessage-deflate; server_max_window_bits=10"),
        ),
        (vec![last, first], Some("permessage-deflate")),
        (vec![bad, last], Some("permessage-deflate")),
        (
            vec![odd, other, first, last],
            Some("permessage-deflate; server_max_window_bits=10"),
        ),
        (vec![other, bad, odd], None),
        (vec![other], None),
        (
            vec![
                "permessage-deflate2",
                "permessage-bzip2",
                "Permessage-Deflate",
            ],
            None,
        ),
        (vec![], None),
    ] {
        let expected = expected.map(ToOwned::to_owned);
        let in_lines = modest().accept(&lines(offers.iter().copied()));
        assert_eq!(
            in_lines.map(|terms| terms.to_string()),
            expected,
            "{offers:?}"
        );
        if !offers.is_empty() {
            assert_eq!(
                answer(&modest(), &offers.join(", ")),
                expected,
                "{offers:?}"
            );
        }
    }
}

/// §6.2: a server's own wishes go into the answer, as far as the offer allows them.
#[test]
fn the_options_of_a_server_go_into_its_answer() {
    let offers = [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=9; server_max_window_bits=9",
        "permessage-deflate; client_max_window_bits=14; server_max_window_bits=14",
    ];
    let resets = Deflate::new().client_no_context_takeover(true);
    for (options, answers) in [
        (
            small(11, 12),
            [
                // Who cannot be told of a window uses the full one.
                "permessage-deflate; server_max_window_bits=11",
                "permessage-deflate; server_max_window_bits=11; client_max_window_bits=12",
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
                "permessage-deflate; server_max_window_bits=11; client_max_window_bits=12",
            ],
        ),
        (
            resets,
            [
                "permessage-deflate; client_no_context_takeover",
                "permessage-deflate; client_no_context_takeover",
                "permessage-deflate; client_no_context_takeover; \
                 server_max_window_bits=9; client_max_window_bits=9",
                "permessage-deflate; client_no_context_takeover; \
                 server_max_window_bits=14; client_max_window_bits=14",
            ],
        ),
    ] {
        for (offer, expected) in offers.iter().zip(answers) {
            assert_eq!(
                answer(&options, offer).as_deref(),
                Some(expected),
                "{offer}"
            );
        }
    }
}

/// §6.1: what a client offers.
#[test]
fn a_client_offers_what_its_options_say() {
    for (options, offer) in [
        (modest(), "permessage-deflate; client_max_window_bits"),
        (
            Deflate::new(),
            "permessage-deflate; server_no_context_takeover; client_max_window_bits",
        ),
        (
            small(9, 10).client_no_context_takeover(true),
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=9; \
             client_max_window_bits=10",
        ),
    ] {
        assert_eq!(options.offer(), offer);
    }
}

/// §6.2, the checks of a client, with what the error names.
#[test]
fn an_answer_is_checked_against_the_offer() {
    let demanding = small(10, 10).server_no_context_takeover(true);
    let good = [
        (modest(), "permessage-deflate"),
        (
            modest(),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        (
            modest(),
            "permessage-deflate; server_max_window_bits=8; client_max_window_bits=8",
        ),
        (
            modest(),
            "permessage-deflate; server_max_window_bits=15; client_max_window_bits=\"15\"",
        ),
        // It may exceed the hint.
        (
            small(15, 10),
            "permessage-deflate; client_max_window_bits=12",
        ),
        (
            demanding.clone(),
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
        ),
        // A server that passes over a wish.
        (
            demanding.clone(),
            "permessage-deflate; server_max_window_bits=10",
        ),
    ];
    for (options, answer) in good {
        let terms = options.confirm(&lines([answer])).unwrap().unwrap();
        assert_eq!(terms.to_string(), answer.replace('"', ""));
    }
    for answer in [HeaderMap::new(), lines([""]), lines([",", " "])] {
        assert_eq!(modest().confirm(&answer), Ok(None), "declined");
    }

    let bad = [
        (modest(), "permessage-deflate; foo", "unknown"),
        (
            modest(),
            "permessage-deflate; server_max_window_bits",
            "no value",
        ),
        (
            modest(),
            "permessage-deflate; client_max_window_bits",
            "no value",
        ),
        (
            modest(),
            "permessage-deflate; client_max_window_bits=16",
            "8 to 15",
        ),
        (
            modest(),
            "permessage-deflate; server_max_window_bits=08",
            "8 to 15",
        ),
        (
            modest(),
            "permessage-deflate; server_no_context_takeover=1",
            "must not",
        ),
        (
            modest(),
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "twice",
        ),
        (
            modest(),
            "permessage-deflate, permessage-deflate",
            "more than once",
        ),
        (modest(), "permessage-deflate;", "no name"),
        (modest(), "; a", "no name"),
        (
            demanding.clone(),
            "permessage-deflate; server_no_context_takeover",
            "demanded",
        ),
        (
            demanding,
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=11",
            "demanded",
        ),
    ];
    for (options, answer, problem) in bad {
        let error = options.confirm(&lines([answer])).unwrap_err();
        assert!(
            matches!(error, HandshakeError::InvalidHeader { .. }),
            "{answer}: {error:?}"
        );
        assert!(error.to_string().contains(problem), "{answer}: {error}");
    }
    for answer in [
        "x-webkit-deflate-frame",
        "permessage-deflate, mux",
        "Permessage-Deflate",
    ] {
        let error = modest().confirm(&lines([answer])).unwrap_err();
        assert!(
            matches!(error, HandshakeError::ExtensionNotOffered { .. }),
            "{error:?}"
        );
    }
}

/// An offer by its parts: a name of a parameter, or something like it, and perhaps a value.
fn offers() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("server_no_context_takeover"),
        Just("client_no_context_takeover"),
        Just("server_max_window_bits"),
        Just("client_max_window_bits"),
        Just("x"),
    ];
    let value = prop_oneof![
        4 => Just(String::new()),
        4 => (0..18_u8).prop_map(|bits| format!("={bits}")),
        1 => (8..16_u8).prop_map(|bits| format!("=\"{bits}\"")),
        1 => (8..16_u8).prop_map(|bits| format!("=0{bits}")),
    ];
    let parameters = prop::collection::vec((name, value), 0..4);
    let element = parameters.prop_map(|parameters| {
        let parameters = parameters.into_iter();
        let parameters = parameters.map(|(name, value)| format!("; {name}{value}"));
        format!("permessage-deflate{}", parameters.collect::<String>())
    });
    prop::collection::vec(element, 1..4).prop_map(|elements| elements.join(", "))
}

fn options() -> impl Strategy<Value = Deflate> {
    (any::<bool>(), any::<bool>(), 9..16_u8, 9..16_u8).prop_map(|(server, client, ours, theirs)| {
        small(ours, theirs)
            .server_no_context_takeover(server)
            .client_no_context_takeover(client)
    })
}

proptest! {
    /// Whatever two of our endpoints want, they agree; and whatever is offered, the answer keeps to
    /// §6.1: nothing that was not asked for may be told, and what was demanded is met.
    #[test]
    fn an_answer_never_says_what_the_offer_forbids(
        offer in offers(),
        client in options(),
        server in options(),
    ) {
        let own = server.accept(&lines([&*client.offer()])).expect("we understand ourselves");
        let confirmed = client.confirm(&lines([&*own.to_string()])).unwrap().unwrap();
        prop_assert_eq!(confirmed.to_string(), own.to_string());

        if let Some(answer) = answer(&server, &offer) {
            let fits = offer.split(", ").any(|element| {
                let has = |text: &str, name: &str| text.contains(&format!("; {name}"));
                let number = |text: &str, name: &str| -> Option<u8> {
                    let (_, value) = text.split_once(&format!("; {name}="))?;
                    value.split(';').next().unwrap().trim_matches('"').parse().ok()
                };
                let told = |name| number(&answer, name);
                let keeps_quiet = has(element, "client_max_window_bits")
                    || !has(&answer, "client_max_window_bits");
                let resets = has(element, "server_no_context_takeover")
                    == has(&answer, "server_no_context_takeover");
                let fits = number(element, "server_max_window_bits")
                    .is_none_or(|most| told("server_max_window_bits").is_some_and(|bits| bits <= most));
                keeps_quiet && resets && fits && !element.contains("; x")
            });
            prop_assert!(fits, "{} to {}", answer, offer);
        }
    }
}
