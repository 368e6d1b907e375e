//! The code is compared with a second, slow model of the protocol, step by step: what it tells,
//! every byte that it writes, its states, its deadlines; and its choice of the version from a
//! request.
//!
//! `PROPTEST_CASES` sets the number of cases of each property.

#[cfg(feature = "deflate")]
mod deflated;
mod heads;
mod streams;

use proptest::prelude::*;
use ws_proto::Version;
use ws_testing::model::request;
use ws_testing::model::script::run;

/// `count` cases unless `PROPTEST_CASES` is set: a few seconds in a debug build.
fn cases(count: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config.cases,
        None => count,
    };
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..config
    }
}

proptest! {
    #![proptest_config(cases(400))]

    /// Proves PROTOCOL.md §5.4 to §5.6 (R-F, R-U, R-X) and X17 to X20 for both roles.
    #[test]
    fn rfc6455_does_what_the_model_does(
        setup in streams::setup(Version::Rfc6455),
        ops in streams::ops(Version::Rfc6455),
    ) {
        run(&setup, &ops).map_err(TestCaseError::fail)?;
    }

    /// Proves PROTOCOL.md §2.7 and §2.8 (D76-F, D76-X) and X15, X16 for both roles.
    #[test]
    fn draft76_does_what_the_model_does(
        setup in streams::setup(Version::Draft76),
        ops in streams::ops(Version::Draft76),
    ) {
        run(&setup, &ops).map_err(TestCaseError::fail)?;
    }

    /// Proves PROTOCOL.md §1.4 and §1.5 (D75-F, D75-X) for both roles.
    #[test]
    fn draft75_does_what_the_model_does(
        setup in streams::setup(Version::Draft75),
        ops in streams::ops(Version::Draft75),
    ) {
        run(&setup, &ops).map_err(TestCaseError::fail)?;
    }

    /// Proves PROTOCOL.md §6.3 and §6.4 (P-M) for both roles, whatever was agreed on: what is told of
    /// compressed messages and when, that limits count what comes out, and every byte that is sent.
    #[cfg(feature = "deflate")]
    #[test]
    fn what_is_compressed_does_what_the_model_does(
        setup in deflated::setup(),
        ops in deflated::ops(),
    ) {
        run(&setup, &ops).map_err(TestCaseError::fail)?;
    }

    /// Proves the same for bytes that mean nothing.
    #[test]
    fn noise_does_what_the_model_says(
        setup in prop::sample::select(Version::ALL.to_vec()).prop_flat_map(streams::setup),
        ops in streams::noise(),
    ) {
        run(&setup, &ops).map_err(TestCaseError::fail)?;
    }
}

proptest! {
    #![proptest_config(cases(2500))]

    /// Proves PROTOCOL.md §4 and what a server demands of a request (R-H, D76-S, K1 to K9, X7, X9,
    /// X13), at any chopping.
    #[test]
    fn a_request_becomes_what_the_model_decides(
        head in heads::head(),
        policy in heads::policy(),
        read_lens in prop::collection::vec(1_usize..200, 1..4),
    ) {
        request::compare(&head, &policy, &read_lens).map_err(TestCaseError::fail)?;
    }
}
