//! What the generator must notice: a server that changes a byte, sends the wrong message or to the wrong
//! connection, sends a byte too many or nothing at all, wherever in a run it does so.

mod program;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::program::generate;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    Changed,
    /// The message before this one comes instead of it; by id, this one goes to somebody else.
    Wrong,
    /// A byte comes behind the message.
    Extra,
    /// A byte comes on another connection, which by then has all that it waited for.
    Stray,
    Missing,
}

/// A load, and how many connections it has. With `--messages 16` the server gets as many as `messages`
/// says, warm-up included, in an order that it cannot know.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    options: &'static [&'static str],
    connections: usize,
    messages: usize,
}

const ECHO: Load = Load {
    name: "echo",
    options: &[],
    connections: 2,
    messages: 4 + 16,
};
const BROADCAST: Load = Load {
    name: "broadcast",
    options: &[],
    connections: 4,
    messages: 1 + 4,
};
const BY_ID: Load = Load {
    name: "by-id",
    options: &[],
    connections: 8,
    messages: 8 + 16,
};
const TOPICS: Load = Load {
    name: "topics",
    options: &["--members", "2"],
    connections: 8,
    messages: 8 + 8,
};
const OPEN_LOOP: Load = Load {
    name: "open-loop",
    options: &["--rate", "500"],
    connections: 2,
    messages: 4 + 16,
};

const CLUSTER: Load = Load {
    name: "cluster",
    options: &["--rate", "500"],
    connections: 4,
    messages: 4 + 16,
};

#[test]
fn an_echo_that_lies_is_noticed() {
    check(ECHO);
}

#[test]
fn a_broadcast_that_lies_is_noticed() {
    check(BROADCAST);
}

#[test]
fn a_delivery_by_id_that_lies_is_noticed() {
    check(BY_ID);
}

#[test]
fn a_topic_that_lies_is_noticed() {
    check(TOPICS);
}

#[test]
fn an_echo_to_an_open_loop_that_lies_is_noticed() {
    check(OPEN_LOOP);
}

#[test]
fn a_cluster_that_lies_is_noticed() {
    check(CLUSTER);
}

/// An honest server passes; no lie does, at the beginning, in the middle, or in the very last message.
fn check(load: Load) {
    let honest = run(load, None);
    let printed = String::from_utf8_lossy(&honest.stdout);
    assert!(
        honest.status.success() && printed.contains("\"messages\":16"),
        "{honest:?}"
    );
    let complaints = [
        (
            Lie::Changed,
            ["came back changed", "changed or astray"].as_slice(),
        ),
        (
            Lie::Wrong,
            &["came back changed", "changed or astray", "nobody sent here"],
        ),
        (
            Lie::Extra,
            &[
                "more came back",
                "came back changed",
                "changed or astray",
                "nobody sent here",
            ],
        ),
    ];
    for (lie, complaints) in complaints {
        for at in [2, load.messages / 2 + 1, load.messages] {
            assert_noticed(load, lie, at, complaints);
        }
    }
    let complaints = [
        "more came back",
        "came back changed",
        "changed or astray",
        "nobody sent here",
    ];
    for at in [2, load.messages / 2 + 1, load.messages] {
        assert_noticed(load, Lie::Stray, at, &complaints);
    }
    // A silence takes the generator's patience of five seconds.
    let complaint = "messages are missing, and the server is silent";
    assert_noticed(load, Lie::Missing, load.messages, &[complaint]);
}

fn assert_noticed(load: Load, lie: Lie, at: usize, complaints: &[&str]) {
    let output = run(load, Some((lie, at)));
    let said = String::from_utf8_lossy(&output.stderr);
    let is_noticed = complaints.iter().any(|complaint| said.contains(complaint));
    assert!(
        !output.status.success() && is_noticed,
        "{}, {lie:?} at {at}: {output:?}",
        load.name
    );
}

/// Runs the generator against a server that tells one lie at most.
fn run(load: Load, lie: Option<(Lie, usize)>) -> Output {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let is_over = Arc::new(AtomicBool::new(false));
    let serving = {
        let is_over = Arc::clone(&is_over);
        thread::spawn(move || Liar::accept(&listener, load, lie)?.serve(&is_over))
    };
    let options = ["--size", "18", "--messages", "16", load.name];
    let options = options.into_iter().chain(load.options.iter().copied());
    let output = generate(addr, load.connections, options);
    is_over.store(true, Ordering::Relaxed);
    // It ends with an error when the generator ends early, as it should.
    let _ = serving.join().expect("the server does not panic");
    output
}

impl Load {
    /// How many messages a connection sends before the load, which come back.
    fn registrations(self) -> usize {
        match self.name {
            "by-id" | "cluster" => 1,
            "topics" => 2,
            _ => 0,
        }
    }

    /// Whether a message says who gets it.
    fn is_addressed(self) -> bool {
        matches!(self.name, "by-id" | "topics")
    }
}

/// A server without a handshake, which returns frames as they come.
struct Liar {
    load: Load,
    lie: Option<(Lie, usize)>,
    /// The messages so far.
    count: usize,
    before: Vec<u8>,
    streams: Vec<TcpStream>,
}

impl Liar {
    fn accept(listener: &TcpListener, load: Load, lie: Option<(Lie, usize)>) -> io::Result<Self> {
        let mut liar = Self {
            load,
            lie,
            count: 0,
            before: Vec::new(),
            streams: Vec::new(),
        };
        for _ in 0..load.connections {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            for _ in 0..load.registrations() {
                let mut frame = [0; 2 + 4 + 9];
                stream.read_exact(&mut frame)?;
                stream.write_all(&frame)?;
            }
            stream.set_nonblocking(true)?;
            liar.streams.push(stream);
        }
        Ok(liar)
    }

    /// Looks at one connection after the other until the generator is gone.
    fn serve(mut self, is_over: &AtomicBool) -> io::Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        while !is_over.load(Ordering::Relaxed) && Instant::now() < end {
            for index in 0..self.streams.len() {
                let mut frame = [0; FRAME_LEN];
                match self.stream(index).read(&mut frame) {
                    Ok(FRAME_LEN) => self.answer(index, frame)?,
                    Ok(_) => return Err(ErrorKind::UnexpectedEof.into()),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    fn answer(&mut self, sender: usize, frame: [u8; FRAME_LEN]) -> io::Result<()> {
        self.count += 1;
        let lie = self.lie.filter(|(_, at)| *at == self.count);
        let lie = lie.map(|(lie, _)| lie);
        let before = std::mem::replace(&mut self.before, frame.to_vec());
        let all = self.streams.len();
        let (first, count) = match self.load.name {
            "echo" | "open-loop" => (sender, 1),
            "broadcast" | "cluster" => (0, all),
            // A topic has as many members as a connection joins topics.
            _ => {
                let target = target(frame) + usize::from(lie == Some(Lie::Wrong));
                (target, self.load.registrations())
            }
        };
        // Of several receivers only the last one is lied to.
        let last = (first + count - 1) % all;
        for receiver in (first..first + count).map(|index| index % all) {
            if lie == Some(Lie::Stray) && receiver == last {
                // Time for the generator to read all that came before.
                thread::sleep(Duration::from_millis(20));
                self.stream((last + 1) % all).write_all(&frame[..1])?;
            }
            let mut sent = frame.to_vec();
            match lie.filter(|_| receiver == last) {
                Some(Lie::Changed) => sent[FRAME_LEN - 1] ^= 1,
                Some(Lie::Wrong) if !self.load.is_addressed() => sent.clone_from(&before),
                Some(Lie::Extra) => sent.push(frame[0]),
                Some(Lie::Missing) => continue,
                Some(Lie::Wrong | Lie::Stray) | None => {}
            }
            self.stream(receiver).write_all(&sent)?;
        }
        Ok(())
    }

    fn stream(&mut self, index: usize) -> &mut TcpStream {
        &mut self.streams[index]
    }
}

/// A masked frame of 18 bytes.
const FRAME_LEN: usize = 2 + 4 + 18;

/// Reads the number behind the letter.
fn target(frame: [u8; FRAME_LEN]) -> usize {
    let (head, payload) = frame.split_at(6);
    let key = head[2..].iter().cycle();
    let digits = payload.iter().zip(key).map(|(byte, key)| byte ^ key);
    let digits: Vec<_> = digits.skip(1).take(8).collect();
    let number = String::from_utf8_lossy(&digits).parse();
    number.expect("a message by id begins with a number")
}
