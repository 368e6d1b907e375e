//! What went wrong with compression in other WebSocket libraries, one test for each cause: of a family
//! of advisories it is named after the first. `tests/it/advisories/table.rs` has the table of all causes.

use std::time::Instant;

use ws_proto::{CloseCause, ConnectionConfig, Deflate, ProtocolError, Role};

use super::peer::{self, Deflater};
use super::{eager, headers, open, prose};
use crate::meter::Meter;
use ws_testing::connections::Frame;

#[test]
fn cve_2018_1000518_a_bomb_is_not_inflated() {
    // CVE-2018-1000518, GHSA-hf5h-hh56-3vrg, CVE-2026-1526, CVE-2026-39804, CVE-2026-54490, CVE-2026-54464,
    // CVE-2026-83599, CVE-2026-15709: a limit that is not there, that counts compressed bytes, or that is
    // looked at when all is inflated. Whole or in fragments, behind messages that were fine or at once, the
    // limit counts what comes out, while it does.
    let now = Instant::now();
    let mut deflater = Deflater::new(15, true);
    let good = deflater.compress(prose(1000, 1).as_bytes());
    let bomb = deflater.compress(&vec![0; 16 << 20]);
    let limit = 20_000;
    assert!(bomb.len() < limit, "compressed it is within the limit");
    let whole = peer::message(false, &bomb).to(Role::Server);
    let mut in_fragments = Frame::new(0x42, b"").to(Role::Server);
    bomb.chunks(100)
        .for_each(|part| in_fragments.extend(Frame::new(0x00, part).to(Role::Server)));
    for bytes in [whole, in_fragments] {
        let mut meter = Meter::default();
        let config = ConnectionConfig::new().message_limit(limit);
        let mut connection = meter.run(|| open(Role::Server, &eager(), config, now));
        meter.run(|| {
            connection.handle_read(now, &peer::message(true, &good).to(Role::Server));
            assert!(connection.take_event().is_some());
            assert!(connection.poll_event(now).is_none());
            connection.handle_read(now, &bytes);
        });
        let cause = &connection.closed().unwrap().cause;
        let is_limit = matches!(
            cause,
            CloseCause::Failed(ProtocolError::MessageTooBig { len: 20_001, .. })
        );
        assert!(is_limit, "{cause:?}");
        assert!(meter.peak() < 200_000, "{} bytes", meter.peak());
    }
}

#[test]
fn cve_2026_2229_no_parameter_breaks_the_compressor() {
    // CVE-2026-2229, GMS-2019-145: a parameter that the compressor cannot do, or that has no value, and that
    // nobody looked at. Everything that is agreed on can be done; the rest is declined.
    let now = Instant::now();
    let values = [
        "",
        "=0",
        "=7",
        "=8",
        "=9",
        "=15",
        "=16",
        "=-1",
        "=99999999999999999999",
        "=\"8\"",
    ];
    let mut agreed = 0;
    for server in values {
        for client in values {
            let offer = format!(
                "permessage-deflate; server_max_window_bits{server}; client_max_window_bits{client}"
            );
            let Some(terms) = eager().accept(&headers(&offer)) else {
                continue;
            };
            agreed += 1;
            let version = ws_proto::Version::Rfc6455;
            let connection = super::connect(Role::Server, version, ConnectionConfig::new(), now);
            let mut connection = connection.with_deflate(&terms);
            connection.send(prose(3000, 1)).unwrap();
            let bytes = peer::message(true, &Deflater::new(9, true).compress(b"Hello"));
            connection.handle_read(now, &bytes.to(Role::Server));
            assert_eq!(connection.messages_received(), 1, "{offer}");
        }
    }
    assert_eq!(
        agreed,
        2 * 5,
        "9 and 15 of ours, with none, 8, 9 and 15 of theirs"
    );
}

#[test]
fn cve_2020_7662_an_offer_is_read_in_one_pass() {
    // CVE-2020-7662, CVE-2020-7663, CVE-2021-32640: a header that takes time out of proportion to its
    // length. It is read in one pass, so the work shows in what is allocated, which is bounded by a small
    // multiple of its length; and a value that never ends is no trap.
    let len = 64 << 10;
    for unit in [
        "permessage-deflate,",
        "a;b,",
        "a;",
        "a=\"",
        "\\",
        "\"",
        "permessage-deflate;server_max_window_bits=\"\\1\\0\",",
        "permessage-deflate;x;x;x;x;x,",
    ] {
        for prefix in ["", "permessage-deflate; a=\""] {
            let line = format!("{prefix}{}a", unit.repeat(len / unit.len()));
            let headers = headers(&line);
            let mut meter = Meter::default();
            let terms = meter.run(|| Deflate::new().accept(&headers));
            assert!(terms.is_none() || unit.starts_with("permessage-deflate"));
            assert!(meter.total() < 40 * len, "{unit}: {} bytes", meter.total());
            assert!(meter.count() < 20, "{unit}: {} allocations", meter.count());
        }
    }
}
