//! The check of a whole text, when it is made of bytes and when it is read, beside that of the standard
//! library.

use std::hint::black_box;

use bytes::Bytes;
use core_benches::{Content, SIZES, throughput};
use criterion::{BenchmarkId, Criterion};
use ws_proto::Utf8Bytes;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("utf8");
    for content in [Content::Ascii, Content::Mixed] {
        for size in SIZES {
            let payload = Bytes::from(content.payload(size));
            group.throughput(throughput(1, size));
            let id = |of: &str| BenchmarkId::new(format!("{of}-{}", content.name()), size);
            group.bench_function(id("try_from"), |bencher| {
                bencher.iter(|| Utf8Bytes::try_from(black_box(&payload).clone()).expect("text"));
            });
            let text = Utf8Bytes::try_from(payload.clone()).expect("text");
            group.bench_function(id("as_str"), |bencher| {
                bencher.iter(|| black_box(&text).as_str().len());
            });
            group.bench_function(id("std"), |bencher| {
                bencher.iter(|| str::from_utf8(black_box(&payload)).expect("text"));
            });
        }
    }
    group.finish();
}
