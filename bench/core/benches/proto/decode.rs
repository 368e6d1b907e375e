//! From bytes of a peer to messages, a batch at a time, as a driver takes them.

use std::hint::black_box;
use std::time::Instant;

use core_benches::{
    Content, READ_LEN, SIZES, batch_len, connection, peer_of, role_name, throughput, version_name,
    wire,
};
use criterion::{BenchmarkId, Criterion};
use ws_proto::{Connection, Event, EventBatch, Role, Version};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for version in Version::ALL {
        for role in [Role::Server, Role::Client] {
            for content in Content::ALL {
                for size in SIZES.into_iter().filter(|_| content.suits(version)) {
                    let names = (version_name(version), role_name(role), content.name());
                    let name = format!("{}-{}-{}", names.0, names.1, names.2);
                    group.throughput(throughput(batch_len(size), size));
                    group.bench_function(BenchmarkId::new(name, size), |bencher| {
                        let wire = wire(version, peer_of(role), content, size);
                        let now = Instant::now();
                        let mut receiver = connection(version, role, now);
                        let mut batch = EventBatch::new();
                        receive(&mut receiver, now, &wire, &mut batch);
                        check(&mut batch, content, size);
                        bencher.iter(|| {
                            receive(&mut receiver, now, black_box(&wire), &mut batch);
                            while let Some(event) = batch.pop() {
                                black_box(event);
                            }
                        });
                        receive(&mut receiver, now, &wire, &mut batch);
                        check(&mut batch, content, size);
                    });
                }
            }
        }
    }
    group.finish();
}

fn receive(receiver: &mut Connection, now: Instant, wire: &[u8], batch: &mut EventBatch) {
    for read in wire.chunks(READ_LEN) {
        receiver.handle_read(now, read);
    }
    receiver.take_events(batch);
}

/// What is measured is right: all messages, and nothing else.
fn check(batch: &mut EventBatch, content: Content, size: usize) {
    let expected = Event::Message(content.message(size));
    assert_eq!(batch.len(), batch_len(size));
    while let Some(event) = batch.pop() {
        assert_eq!(event, expected);
    }
}
