//! From messages to the bytes that a socket takes, a batch at a time, with the lent buffer of a driver.

use std::hint::black_box;
use std::time::Instant;

use core_benches::{
    Content, SIZES, batch_len, connection, drain, role_name, throughput, version_name, wire,
};
use criterion::{BenchmarkId, Criterion};
use ws_proto::{Connection, Message, Role, Version, Workspace};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for version in Version::ALL {
        for role in [Role::Server, Role::Client] {
            for content in Content::ALL {
                for size in SIZES.into_iter().filter(|_| content.suits(version)) {
                    let names = (version_name(version), role_name(role), content.name());
                    let name = format!("{}-{}-{}", names.0, names.1, names.2);
                    group.throughput(throughput(batch_len(size), size));
                    group.bench_function(BenchmarkId::new(name, size), |bencher| {
                        let mut sender = connection(version, role, Instant::now());
                        let (message, mut workspace) = (content.message(size), Workspace::new());
                        let expected = wire(version, role, content, size).len();
                        assert_eq!(send(&mut sender, &message, size, &mut workspace), expected);
                        bencher
                            .iter(|| send(&mut sender, black_box(&message), size, &mut workspace));
                        assert_eq!(send(&mut sender, &message, size, &mut workspace), expected);
                    });
                }
            }
        }
    }
    group.finish();
}

/// Sends a batch; returns how many bytes left.
fn send(
    sender: &mut Connection,
    message: &Message,
    size: usize,
    workspace: &mut Workspace,
) -> usize {
    sender.attach(workspace);
    for _ in 0..batch_len(size) {
        sender.send(message.clone()).expect("nothing is full");
    }
    let len = drain(sender.outgoing());
    sender.detach(workspace);
    len
}
