//! Nodes that are processes of their own, so that one can be killed and another stopped. The test starts itself: with
//! [`ENGINE`] in its environment it is a node, which obeys a line of its standard input and answers each with a line.

use std::io::{BufRead, BufReader, Write, stdin};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ws_driver::{ClusterHealth, Server};

use crate::engine::{Engine, signal};
use crate::host::{Host, on_each_runtime};
use crate::nodes::{Member, Publisher, SECOND, node};

/// The URL of the engine of a node that is a process, and the number of its publisher.
const ENGINE: &str = "NODE_ENGINE";
const NUMBER: &str = "NODE_NUMBER";

/// Begins the lines of a node. The harness of the tests writes others.
const MARK: &str = "node: ";

/// The longest wait for an answer of a process that runs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Messages that a publisher sends each 5 ms, so 800 a second.
const BURST: usize = 4;

/// What a node says of itself, in the order of its line.
#[derive(Clone, Copy, Debug)]
struct Report {
    queued: u64,
    dropped: u64,
    received: u64,
    missed: u64,
    malformed: u64,
    slow_closes: u64,
    queued_bytes: u64,
    inbound_bytes: u64,
    is_up: u64,
}

/// A node of three is killed under load, another one is stopped and goes on, a new one comes, and links break. On each node
/// that lives the sums agree: each live publisher's last message has arrived, and every gap before it is counted.
async fn nodes_that_die_or_stand_still_cost_what_is_counted<R: Host>() {
    if let Ok(url) = std::env::var(ENGINE) {
        return be_a_node::<R>(&url).await;
    }
    let engine = Engine::start();
    let mut nodes = Vec::new();
    for number in 1..=3 {
        nodes.push(Process::start::<R>(&engine, number).await);
    }
    settle::<R>(&mut nodes).await;
    // Losses before the first message cannot be seen by anybody.
    nodes.iter_mut().for_each(Process::publish_one);
    settle::<R>(&mut nodes).await;

    nodes.iter_mut().for_each(|node| node.obey("publish"));
    R::sleep(SECOND).await;
    let killed = nodes.remove(2).kill();
    R::sleep(SECOND).await;
    signal(&nodes[1].child, "-STOP");
    // Longer than a node waits for an answer of its engine, and for its own questions.
    R::sleep(SECOND * 5).await;
    signal(&nodes[1].child, "-CONT");
    R::sleep(SECOND).await;
    nodes.iter_mut().for_each(|node| node.obey("halt"));

    settle::<R>(&mut nodes).await;
    // The death of one node, and that another one stands still, cost the third nothing.
    let report = nodes[0].report();
    assert_eq!((report.missed, report.dropped), (0, 0), "{report:?}");

    nodes.push(Process::start::<R>(&engine, 4).await);
    settle::<R>(&mut nodes).await;
    nodes.iter_mut().for_each(Process::publish_one);
    settle::<R>(&mut nodes).await;
    nodes.iter_mut().for_each(|node| node.obey("publish"));
    // One link at a time, so that the others publish on and something is missed.
    for _ in 0..3 {
        R::sleep(SECOND / 2).await;
        cut_a_subscriber(&engine);
    }
    R::sleep(SECOND).await;
    nodes.iter_mut().for_each(|node| node.obey("halt"));
    settle::<R>(&mut nodes).await;
    // A loss at the end shows with the next message.
    nodes.iter_mut().for_each(Process::publish_one);
    settle::<R>(&mut nodes).await;

    let reports: Vec<_> = nodes.iter_mut().map(Process::report).collect();
    let mut publishers: Vec<_> = nodes.iter().map(|node| node.number).collect();
    publishers.push(killed);
    for (node, report) in nodes.iter().zip(&reports) {
        let (mut got, mut gaps) = (0, 0);
        for &publisher in &publishers {
            let numbers = node.member.numbers(publisher);
            let is_sorted = numbers.is_sorted_by(|a, b| a < b);
            assert!(is_sorted, "{publisher} at {}", node.number);
            let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else {
                // The new one came behind the end of the one that was killed.
                assert_eq!((publisher, node.number), (killed, 4));
                continue;
            };
            let live = nodes.iter().position(|node| node.number == publisher);
            if let Some(place) = live {
                assert_eq!(
                    last, reports[place].queued,
                    "{publisher} at {}",
                    node.number
                );
            }
            assert_eq!(first == 1, node.number != 4 || publisher == 4);
            let count = len(&numbers);
            if publisher == node.number {
                assert_eq!(count, report.queued, "members here get all");
            } else {
                got += count;
                gaps += last - first + 1 - count;
            }
        }
        assert_eq!((report.received, report.missed), (got, gaps), "{report:?}");
        assert_eq!((report.dropped, report.malformed), (0, 0), "{report:?}");
        assert_eq!(report.slow_closes, 0, "{report:?}");
        assert_eq!(node.member.closed(), None);
    }
    assert!(reports.iter().all(|report| report.queued > 500));
    let missed: u64 = reports.iter().map(|report| report.missed).sum();
    assert!(missed > 0, "nothing was tried: {reports:?}");
    assert!(len(&nodes[0].member.numbers(killed)) > 500);
}

/// A node in a process of its own, with a member on it.
struct Process {
    number: u64,
    child: Child,
    orders: ChildStdin,
    answers: Receiver<String>,
    member: Member,
}

impl Process {
    async fn start<R: Host>(engine: &Engine, number: u64) -> Self {
        let name =
            std::any::type_name_of_val(&nodes_that_die_or_stand_still_cost_what_is_counted::<R>);
        let name = name.split_once('<').map_or(name, |(name, _)| name);
        let (_, name) = name.split_once("::").unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            &format!("{name}::{}", R::NAME),
            "--exact",
            "--ignored",
            "--nocapture",
        ]);
        command
            .env(ENGINE, engine.url())
            .env(NUMBER, number.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, answers) = channel();
        thread::spawn(move || {
            let mut lines = lines.map_while(Result::ok);
            lines.all(|line| match line.split_once(MARK) {
                Some((_, answer)) => sender.send(answer.to_owned()).is_ok(),
                None => true,
            })
        });
        let addr = answers.recv_timeout(PATIENCE).expect("a node that starts");
        let member = Member::at::<R>(addr, "room").await;
        Self {
            number,
            child,
            orders,
            answers,
            member,
        }
    }

    fn ask(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").unwrap();
        self.answers.recv_timeout(PATIENCE).expect("an answer")
    }

    fn obey(&mut self, order: &str) {
        assert_eq!(self.ask(order), order);
    }

    fn publish_one(&mut self) {
        self.obey("publish one");
    }

    fn report(&mut self) -> Report {
        let answer = self.ask("report");
        let words: Vec<u64> = answer
            .split(' ')
            .map(|word| word.parse().unwrap())
            .collect();
        let [
            queued,
            dropped,
            received,
            missed,
            malformed,
            slow_closes,
            queued_bytes,
            inbound_bytes,
            is_up,
        ] = words.try_into().unwrap();
        Report {
            queued,
            dropped,
            received,
            missed,
            malformed,
            slow_closes,
            queued_bytes,
            inbound_bytes,
            is_up,
        }
    }

    /// Kills it, and returns its number.
    fn kill(self) -> u64 {
        self.number
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Breaks the connection for subscriptions of one node.
fn cut_a_subscriber(engine: &Engine) {
    let clients = engine.ask("CLIENT LIST TYPE pubsub").unwrap();
    let (_, client) = clients.split_once("id=").unwrap();
    let (id, _) = client.split_once(' ').unwrap();
    let killed = engine.ask(&format!("CLIENT KILL ID {id}")).unwrap();
    assert!(killed.starts_with(":1"), "{killed}");
}

/// Waits until all are linked and nothing waits.
async fn settle<R: Host>(nodes: &mut [Process]) {
    for _ in 0..300 {
        let is_settled = |node: &mut Process| {
            let report = node.report();
            // A question of the watchdog may be on its way.
            report.is_up == 1 && report.queued_bytes < 200 && report.inbound_bytes == 0
        };
        if nodes.iter_mut().all(is_settled) {
            R::sleep(SECOND / 2).await;
            return;
        }
        R::sleep(SECOND / 10).await;
    }
    panic!(
        "{:?}",
        nodes.iter_mut().map(Process::report).collect::<Vec<_>>()
    );
}

/// What the process of a node does. It ends with its standard input.
async fn be_a_node<R: Host>(url: &str) {
    let server: Server<R> = node(url).await;
    let number = std::env::var(NUMBER).unwrap().parse().unwrap();
    let publisher = Arc::new(Mutex::new(Publisher::new(server.cluster(), "room", number)));
    let publishes = Arc::new(AtomicBool::new(false));
    let (bursting, may_publish) = (Arc::clone(&publisher), Arc::clone(&publishes));
    thread::spawn(move || {
        loop {
            let mut publisher = bursting.lock().unwrap();
            if may_publish.load(Ordering::SeqCst) {
                (0..BURST).for_each(|_| publisher.publish());
            }
            drop(publisher);
            thread::sleep(Duration::from_millis(5));
        }
    });
    say(&server.local_addr().to_string());
    for order in stdin().lock().lines().map_while(Result::ok) {
        let mut publisher = publisher.lock().unwrap();
        match &*order {
            "publish" => publishes.store(true, Ordering::SeqCst),
            "halt" => publishes.store(false, Ordering::SeqCst),
            "publish one" => publisher.publish(),
            "report" => {
                say(&report(&server, publisher.queued));
                continue;
            }
            _ => panic!("{order}"),
        }
        say(&order);
    }
}

fn report<R: Host>(server: &Server<R>, queued: u64) -> String {
    let counters = server.cluster().counters();
    let words = [
        queued,
        counters.dropped,
        counters.received,
        counters.missed,
        counters.malformed,
        server.counters().slow_closes,
        u64::try_from(counters.queued_bytes).unwrap(),
        u64::try_from(counters.inbound_bytes).unwrap(),
        u64::from(server.cluster().health() == ClusterHealth::Up),
    ];
    words.map(|word| word.to_string()).join(" ")
}

#[expect(
    clippy::print_stdout,
    reason = "the process that started it reads it there"
)]
fn say(line: &str) {
    println!("{MARK}{line}");
}

fn len(numbers: &[u64]) -> u64 {
    u64::try_from(numbers.len()).unwrap()
}

on_each_runtime! {
    nodes_that_die_or_stand_still_cost_what_is_counted;
}
