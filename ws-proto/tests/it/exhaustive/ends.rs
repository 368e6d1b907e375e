//! Every order in which a connection can end: closes, sends and messages of both sides, the end of the stream, its loss, and
//! the time.

use ws_proto::{Role, Version};

use super::{is_full, setups};
use ws_testing::model::op::{Content, Op, Sent};
use ws_testing::model::script::run;
use ws_testing::model::view::Setup;
use ws_testing::plain;

/// What can happen, each as what the driver does for it.
fn happenings(setup: &Setup) -> Vec<(&'static str, Vec<Op>)> {
    let role = setup.rules.role;
    let key = (role == Role::Server).then_some([1, 2, 3, 4]);
    let (message, close) = match setup.rules.version {
        Version::Rfc6455 => {
            let message = plain::frame(0x81, key, b"heard");
            (message, plain::frame(0x88, key, b"\x03\xe8"))
        }
        Version::Draft75 | Version::Draft76 => (b"\0heard\xff".to_vec(), b"\xff\0".to_vec()),
    };
    let arrives = |bytes| vec![Op::Peer(Sent::Raw(bytes)), Op::Read(usize::MAX)];
    vec![
        ("close", vec![Op::Close(Some(1000), String::new())]),
        ("send", vec![Op::Send(Content::Text("said".into()))]),
        ("the peer closes", arrives(close)),
        ("the peer sends", arrives(message)),
        ("end of the stream", vec![Op::Eof]),
        ("reset", vec![Op::Reset]),
        ("timeout", vec![Op::Timeout(true)]),
    ]
}

/// Runs every order of so many, in which nothing is taken nor written in between, or all is.
fn every_order(setup: &Setup, depth: u32) {
    let happenings = happenings(setup);
    let count = happenings.len();
    for order in 0..count.pow(depth) {
        let chosen: Vec<_> = (0..depth)
            .map(|at| &happenings[order / count.pow(at) % count])
            .collect();
        for is_idle in [true, false] {
            let ops: Vec<_> = chosen
                .iter()
                .flat_map(|(_, ops)| {
                    let rest = [Op::PollAll, Op::Write(usize::MAX)];
                    ops.iter()
                        .cloned()
                        .chain(rest.into_iter().filter(move |_| !is_idle))
                })
                .collect();
            if let Err(difference) = run(setup, &ops) {
                let names: Vec<_> = chosen.iter().map(|(name, _)| name).collect();
                panic!("{setup:?}\n{names:?}, idle: {is_idle}\n{difference}");
            }
        }
    }
}

/// R-X, D75-X, D76-X, X19, X20: in every order of up to six, both roles and all versions, the connection says and does what the
/// model says, and comes to its end. Without `WS_EXHAUSTIVE`, of up to four.
#[test]
fn every_order_comes_to_its_end() {
    let depth = if is_full() { 6 } else { 4 };
    std::thread::scope(|scope| {
        for version in Version::ALL {
            for role in [Role::Server, Role::Client] {
                // A shorter order is the beginning of a longer one, which is compared step by step.
                scope.spawn(move || every_order(&setups::setup(role, version), depth));
            }
        }
    });
}
