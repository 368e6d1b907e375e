//! The measure for all others: what the machine does with the same bytes at best.

use std::hint::black_box;

use core_benches::{Content, SIZES, batch_len, throughput};
use criterion::{BenchmarkId, Criterion};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("memory");
    for size in SIZES {
        let count = batch_len(size);
        let source = Content::Ascii.payload(size).repeat(count);
        let mut target = vec![0; source.len()];
        group.throughput(throughput(count, size));
        group.bench_function(BenchmarkId::new("memcpy", size), |bencher| {
            bencher.iter(|| {
                let pairs = source.chunks_exact(size).zip(target.chunks_exact_mut(size));
                for (from, to) in pairs {
                    to.copy_from_slice(black_box(from));
                    black_box(to);
                }
            });
        });
        group.bench_function(BenchmarkId::new("memchr", size), |bencher| {
            bencher.iter(|| {
                let found = |payload| memchr::memchr(0xff, black_box(payload)).is_some();
                source.chunks_exact(size).any(found)
            });
        });
    }
    group.finish();
}
