//! A proxy between a node and its engine, which cuts connections, stands still, keeps answers back, or talks nonsense.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    mode: Arc<Mutex<Mode>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Pass,
    /// Nothing moves, and nothing ends.
    Stall,
    /// What the node sends arrives, and no answer does.
    KeepAnswers,
    /// So many bytes pass in a second, each way of each connection.
    Slow(u32),
    /// No connection is taken.
    Refuse,
    /// A new connection gets these bytes, and then nothing.
    Talk(&'static [u8]),
    /// A new connection gets these bytes, and so many zeros behind them.
    Flood(&'static [u8], usize),
}

impl Proxy {
    /// Listens, and passes on to a port.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            mode: Arc::default(),
            streams: Arc::default(),
        };
        let passing = proxy.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                passing.pass(client.unwrap(), port);
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// Breaks all connections.
    pub(crate) fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Sends these bytes to all nodes, in between of what the engine says.
    pub(crate) fn interject(&self, bytes: &[u8]) {
        // Those of nodes and of the engine alternate.
        for stream in self.streams.lock().unwrap().iter_mut().step_by(2) {
            let _ = stream.write_all(bytes);
        }
    }

    fn pass(&self, client: TcpStream, port: u16) {
        let mode = *self.mode.lock().unwrap();
        match mode {
            Mode::Refuse => return,
            Mode::Talk(bytes) => return talk(client, bytes, 0),
            Mode::Flood(bytes, zeros) => return talk(client, bytes, zeros),
            Mode::Pass | Mode::Stall | Mode::KeepAnswers | Mode::Slow(_) => {}
        }
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
            return;
        };
        let mut streams = self.streams.lock().unwrap();
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
            streams.push(stream.try_clone().unwrap());
        }
        drop(streams);
        let (client_too, server_too) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let (there, back) = (self.clone(), self.clone());
        thread::spawn(move || there.copy(client, server, Mode::Stall));
        thread::spawn(move || back.copy(server_too, client_too, Mode::KeepAnswers));
    }

    /// Copies bytes, but none in this mode, or while all stands still.
    fn copy(&self, mut from: TcpStream, mut to: TcpStream, kept_in: Mode) {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let len = match from.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(len) => len,
            };
            loop {
                let mode = *self.mode.lock().unwrap();
                if mode != Mode::Stall && mode != kept_in {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
            if let Mode::Slow(rate) = *self.mode.lock().unwrap() {
                let len = u32::try_from(len).unwrap();
                thread::sleep(Duration::from_secs_f64(f64::from(len) / f64::from(rate)));
            }
            if to.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

/// Sends bytes and zeros to a node, and waits until it ends the connection.
fn talk(mut client: TcpStream, bytes: &'static [u8], zeros: usize) {
    thread::spawn(move || {
        let block = vec![0; 64 << 10];
        let mut sent = client.write_all(bytes);
        for _ in 0..zeros / block.len() {
            sent = sent.and_then(|()| client.write_all(&block));
        }
        let _ = client.read_to_end(&mut Vec::new());
    });
}
