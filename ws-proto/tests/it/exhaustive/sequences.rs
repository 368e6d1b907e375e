//! Every sequence of frames, and every pair of them in two reads.

use ws_proto::{Role, Version};

use super::frames::table;
use super::{is_full, setups};
use ws_testing::model::op::{Op, Sent};
use ws_testing::model::script::run;
use ws_testing::model::view::Setup;
use ws_testing::plain;

/// Runs frames, each in a read of its own, after which the application takes what happened.
fn run_frames(setup: &Setup, frames: &[&[u8]]) {
    let ops: Vec<_> = frames
        .iter()
        .flat_map(|frame| {
            let sent = Op::Peer(Sent::Raw(frame.to_vec()));
            [sent, Op::Read(usize::MAX), Op::PollAll]
        })
        .collect();
    check(setup, &ops);
}

fn check(setup: &Setup, ops: &[Op]) {
    if let Err(difference) = run(setup, ops) {
        panic!("{setup:?}\n{ops:#?}\n{difference}");
    }
}

/// Whether a connection still reads after this.
fn goes_on(setup: &Setup, frames: &[&[u8]]) -> bool {
    let reads: Vec<_> = frames.iter().map(|frame| frame.to_vec()).collect();
    let decoded = plain::decode(&setup.rules, &reads);
    !decoded.items.iter().any(plain::Item::is_end)
}

/// Every sequence of up to three. What follows the end of a connection is discarded, which all pairs show; so a
/// sequence goes no further than one frame behind it.
fn sequences(setup: &Setup) -> usize {
    let table = table(setup.rules.role, setup.rules.version);
    let mut count = 0;
    for first in &table {
        run_frames(setup, &[first]);
        for second in &table {
            count += 1;
            run_frames(setup, &[first, second]);
            if !goes_on(setup, &[first, second]) {
                continue;
            }
            for third in &table {
                count += 1;
                run_frames(setup, &[first, second, third]);
            }
        }
    }
    count
}

/// Every pair in two reads, cut at every byte; without `WS_EXHAUSTIVE`, the pairs of every fourth frame with all.
fn cut_pairs(setup: &Setup) -> usize {
    let table = table(setup.rules.role, setup.rules.version);
    let step = if is_full() { 1 } else { 4 };
    let mut count = 0;
    for first in table.iter().step_by(step) {
        for second in &table {
            let bytes = [&first[..], second].concat();
            // In the midst of content that is all alike one place is as good as another.
            for cut in (1..bytes.len()).filter(|cut| *cut < 24 || bytes.len() - cut < 12) {
                count += 1;
                let sent = Op::Peer(Sent::Raw(bytes.clone()));
                check(
                    setup,
                    &[sent, Op::Read(cut), Op::Read(usize::MAX), Op::PollAll],
                );
            }
        }
    }
    count
}

fn both(setup: &Setup, least: usize) {
    let counts = (sequences(setup), cut_pairs(setup));
    // A table that became empty, or a connection that ends at once, would show here.
    assert!(counts.0 >= least && counts.1 >= least, "{counts:?}");
}

/// R-F, R-U, R-X, X14, X17, X19, for a server.
#[test]
fn frames_to_a_server() {
    both(&setups::setup(Role::Server, Version::Rfc6455), 10_000);
}

/// The same for a client.
#[test]
fn frames_to_a_client() {
    both(&setups::setup(Role::Client, Version::Rfc6455), 10_000);
}

/// The same for a server whose peer speaks version 8.
#[test]
fn frames_of_version_8() {
    sequences(&setups::version_8());
}

/// The same where messages are given out in parts.
#[test]
fn frames_of_messages_in_parts() {
    both(&setups::in_parts(Role::Server, Version::Rfc6455), 10_000);
}

/// P-M, X21, for a server.
#[cfg(feature = "deflate")]
#[test]
fn compressed_frames_to_a_server() {
    both(&setups::deflated(Role::Server), 10_000);
}

/// The same for a client.
#[cfg(feature = "deflate")]
#[test]
fn compressed_frames_to_a_client() {
    both(&setups::deflated(Role::Client), 10_000);
}

/// D75-F, D75-X, D76-F, D76-X, X15, X16, for both roles, strict and lenient.
#[test]
fn frames_of_the_drafts() {
    for version in [Version::Draft75, Version::Draft76] {
        for role in [Role::Server, Role::Client] {
            both(&setups::setup(role, version), 300);
            both(&setups::lenient(role, version), 300);
            both(&setups::in_parts(role, version), 300);
        }
    }
}
