//! What the tests of several crates share. It is not published, and no crate depends on it but for its tests.
