//! A message encoded once and queued to many connections, until its bytes have left all of them.

use std::hint::black_box;
use std::time::Instant;

use core_benches::{Content, SIZES, connection, drain, throughput};
use criterion::{BenchmarkId, Criterion};
use ws_proto::{Connection, Message, PreparedMessage, Role, Version, Workspace};

/// The receivers, which are as many as those of the servers' broadcasts.
const RECEIVERS: usize = 500;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("broadcast");
    for (name, versions) in [
        ("rfc6455", [Version::Rfc6455].as_slice()),
        ("every-version", Version::ALL.as_slice()),
    ] {
        for size in SIZES {
            group.throughput(throughput(RECEIVERS, size));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                let receivers = versions.iter().cycle().take(RECEIVERS);
                let receivers =
                    receivers.map(|version| connection(*version, Role::Server, Instant::now()));
                let mut receivers: Vec<_> = receivers.collect();
                let (message, mut workspace) = (Content::Mixed.message(size), Workspace::new());
                assert!(broadcast(&mut receivers, &message, &mut workspace) > RECEIVERS * size);
                bencher.iter(|| broadcast(&mut receivers, black_box(&message), &mut workspace));
            });
        }
    }
    for size in SIZES {
        let payload = Content::Mixed.payload(size);
        let mut target = vec![0; size];
        group.throughput(throughput(RECEIVERS, size));
        group.bench_function(BenchmarkId::new("memcpy", size), |bencher| {
            bencher.iter(|| {
                for _ in 0..RECEIVERS {
                    target.copy_from_slice(black_box(&payload));
                    black_box(&mut target);
                }
            });
        });
    }
    group.finish();
}

/// Returns how many bytes left.
fn broadcast(receivers: &mut [Connection], message: &Message, workspace: &mut Workspace) -> usize {
    let prepared = PreparedMessage::new(message.clone());
    let mut len = 0;
    for receiver in receivers {
        receiver.attach(workspace);
        receiver.send_prepared(&prepared).expect("nothing is full");
        len += drain(receiver.outgoing());
        receiver.detach(workspace);
    }
    len
}
