//! The control over standard input.

use std::{io, process, thread};

use crate::allocations;

/// Answers each line on standard input with the allocations so far, and ends the server at its end, so
/// that none outlives the program that started it.
pub(crate) fn listen() {
    thread::spawn(|| {
        for _ in io::stdin().lines().map_while(Result::ok) {
            match allocations::so_far() {
                Some((count, bytes)) => println!("allocations {count} {bytes}"),
                None => println!("allocations are not counted in this build"),
            }
        }
        process::exit(0);
    });
}
