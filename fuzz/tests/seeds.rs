//! Feeds the committed seeds to the oracles, on a stable compiler.

use std::fs;
use std::path::Path;

/// Every seed of every target is fine. One test, as the oracles count what the process allocates.
#[test]
fn no_seed_is_a_finding() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (name, oracle) in fuzz::TARGETS {
        let mut count = 0;
        for seed in fs::read_dir(seeds.join(name)).expect("the target has seeds") {
            let path = seed.expect("the folder can be read").path();
            println!("{}", path.display());
            oracle(&fs::read(&path).expect("the seed can be read"));
            count += 1;
        }
        assert!(count > 0, "{name} has no seeds");
    }
}
