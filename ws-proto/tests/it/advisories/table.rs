//! The table: all causes, and the tests that answer for them.

/// Where a cause is answered for.
enum Held {
    /// By tests in this directory.
    Here(&'static [&'static str]),
    /// By tests in ws-driver's `tests/it/advisories.rs`.
    Driver(&'static [&'static str]),
    /// By tests in `tests/it/deflate/advisories.rs`, where the feature is on.
    Deflate(&'static [&'static str]),
    /// By cases of ws-testing's `src/conformance/tls.rs`, which every adapter runs.
    Tls(&'static [&'static str]),
    /// The same, of `src/conformance/http2_port.rs`.
    Http2(&'static [&'static str]),
    /// Nowhere, as there is nothing yet that could go wrong.
    NotYet(&'static str),
}

const TABLE: [(&str, Held); 24] = [
    (
        "allocation by declared length, length overflow",
        Held::Here(&["rustsec_2022_0035_what_a_header_declares_is_not_allocated"]),
    ),
    (
        "no cap over fragments",
        Held::Here(&["cve_2014_0193_a_message_in_fragments_is_capped"]),
    ),
    (
        "overhead of each fragment or chunk",
        Held::Here(&["cve_2026_48779_fragments_cost_what_they_carry"]),
    ),
    (
        "decompression",
        Held::Deflate(&["cve_2018_1000518_a_bomb_is_not_inflated"]),
    ),
    (
        "bad extension parameters",
        Held::Deflate(&[
            "cve_2026_2229_no_parameter_breaks_the_compressor",
            "cve_2020_7662_an_offer_is_read_in_one_pass",
        ]),
    ),
    (
        "bits of extensions that were not negotiated",
        Held::Here(&["pysec_2026_3547_no_extension_is_agreed_to_and_no_reserved_bit_passes"]),
    ),
    (
        "cost of parsing a handshake",
        Held::Here(&["cve_2023_43669_a_head_is_looked_at_once_and_limited"]),
    ),
    (
        "legacy drafts: lengths",
        Held::Here(&["cve_2026_54466_a_length_of_a_draft_has_an_end"]),
    ),
    (
        "legacy drafts: upgrades without their headers",
        Held::Here(&["cve_2026_59898_a_draft_is_not_spoken_without_its_headers"]),
    ),
    (
        "HTTP fall-through: pipelining",
        Held::Driver(&["cve_2026_100658_pipelined_requests_are_not_read_ahead"]),
    ),
    (
        "HTTP fall-through: smuggling",
        Held::Driver(&["rustsec_2021_0081_bytes_belong_to_one_request"]),
    ),
    (
        "HTTP fall-through: HTTP/2 frames",
        Held::Http2(&[
            "rapid_resets_end_a_session",
            "a_flood_of_continuations_ends_a_session",
            "who_takes_no_page_in_http_2_is_cut_off",
        ]),
    ),
    (
        "outgoing buffer",
        Held::Driver(&["rustsec_2020_0043_a_peer_that_never_reads_is_bounded"]),
    ),
    (
        "origins",
        Held::Here(&["ghsa_p8f7_22gq_m7j9_an_origin_is_compared_whole"]),
    ),
    (
        "randomness of masks: how they are used",
        Held::Here(&["ghsa_w67g_5rqw_f597_each_frame_has_fresh_random_bytes_as_its_mask"]),
    ),
    (
        "randomness of masks: where they come from",
        Held::Driver(&["ghsa_w67g_5rqw_f597_masks_do_not_repeat"]),
    ),
    (
        "memory disclosure, memory safety",
        Held::Here(&["cve_2016_10518_what_is_sent_is_what_was_given"]),
    ),
    (
        "memory safety: the topics",
        Held::Driver(&["osv_2020_1695_topics_do_what_a_simple_model_does"]),
    ),
    (
        "control frames",
        Held::Here(&["cve_2026_15711_control_frames_are_short_whole_and_bounded"]),
    ),
    (
        "identity in TLS",
        Held::Tls(&["who_is_not_trusted_is_refused"]),
    ),
    (
        "timing of comparisons",
        Held::NotYet("no secret is compared: there is no helper for authentication"),
    ),
    (
        "as many of something as a peer wants",
        Held::Driver(&["cve_2026_56811_topics_of_a_connection_are_limited"]),
    ),
    (
        "generous defaults",
        Held::Here(&["cve_2016_10542_every_default_is_limited"]),
    ),
    (
        "panics that the network can cause, old dependencies",
        Held::Driver(&[
            "cve_2022_41940_a_reset_ends_one_connection_only",
            "rustsec_2026_0007_dependencies_have_floors",
        ]),
    ),
];

/// All files of this directory, so that none has tests that are not in the table.
fn here() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/advisories");
    let paths = std::fs::read_dir(path)
        .unwrap()
        .map(|file| file.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
}

/// Proves that every cause has its tests, and no test is missing in the table.
#[test]
fn the_table_is_complete() {
    let here: &str = &here();
    let driver = include_str!("../../../../ws-driver/tests/it/advisories.rs");
    let deflate = include_str!("../deflate/advisories.rs");
    let tls = include_str!("../../../../ws-testing/src/conformance/tls.rs");
    let http2 = include_str!("../../../../ws-testing/src/conformance/http2_port.rs");
    let mut named = 0;
    for (cause, held) in TABLE {
        let (names, file) = match held {
            Held::Here(names) => (names, here),
            Held::Driver(names) => (names, driver),
            Held::Deflate(names) => (names, deflate),
            Held::Tls(names) => {
                check_cases(cause, names, tls);
                continue;
            }
            Held::Http2(names) => {
                check_cases(cause, names, http2);
                continue;
            }
            Held::NotYet(why) => {
                assert!(!why.is_empty(), "{cause}");
                continue;
            }
        };
        for name in names {
            let test = format!("#[test]\nfn {name}() {{\n    // ");
            assert_eq!(file.matches(&test).count(), 1, "{cause}: {name}");
            named += 1;
        }
    }
    let files = [here, driver, deflate];
    let tests: usize = files
        .map(|file| file.matches("\n#[test]\n").count())
        .iter()
        .sum();
    assert_eq!(tests, named + 1, "all but this one are in the table");
}

/// Proves that the conformance list has each of these cases.
fn check_cases(cause: &str, names: &[&str], file: &str) {
    for name in names {
        let case = format!("\npub async fn {name}<");
        assert_eq!(file.matches(&case).count(), 1, "{cause}: {name}");
    }
}
