//! The list of oracles and the list of targets are one. Apart from the seeds, whose test counts what its
//! process allocates.

use std::collections::BTreeSet;

/// Each target has an oracle here, and each oracle a target: none is left out of `cargo test` or of
/// `fuzz/run`.
#[test]
fn targets_and_oracles_are_the_same() {
    let manifest = include_str!("../Cargo.toml").lines();
    let built = manifest.filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"));
    let built: BTreeSet<_> = built
        .map(|file| file.trim_end_matches(".rs\"").to_owned())
        .collect();
    let tested = fuzz::TARGETS.map(|(name, _)| name.to_owned());
    assert_eq!(built, BTreeSet::from(tested));
}
