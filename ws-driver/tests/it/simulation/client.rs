//! A peer that is a client of ours: the same code as the server's at the other end. Draft-76 is left to
//! the raw peers, as its keys are random and of any length, and would make every run another.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use ws_driver::ClientConfig;
use ws_driver::ws_proto::{CloseCause, Version};

use super::compression::{self, Wish};
use super::gate::Gate;
use super::handlers::{self, Manners};
use super::ledger::{Ledger, PEER};
use ws_testing::sim::{Rng, Sim};

/// Opens a connection, talks, listens, closes.
pub(crate) async fn live(
    ledger: Ledger,
    addr: SocketAddr,
    number: u32,
    manners: Manners,
    mut rng: Rng,
    over: Gate,
) {
    let version = rng.pick(&[Version::Draft75, Version::Rfc6455]);
    let behaviour = rng.pick(handlers::BEHAVIOURS);
    let sim = ledger.sim().clone();
    let url = format!("ws://{addr}/{number}/{behaviour}");
    let wish = rng.once_in(2).then(|| Wish::draw(&mut rng));
    let config = compression::wish_of_client(ClientConfig::new().version(version), wish);
    let mut connecting = pin!(ws_driver::connect_with::<Sim>(&url, &config));
    let mut is_first = true;
    let mut ending = pin!(over.wait());
    let connected = poll_fn(|cx| {
        let polled = connecting.as_mut().poll(cx);
        if std::mem::take(&mut is_first) {
            // It has opened its stream, the last that there is, if anybody listens.
            let links = sim.network().links();
            let local = links
                .last()
                .map(|(local, _)| *local)
                .filter(|_| polled.is_pending());
            ledger.tell(|| format!("client {number} from {local:?}: {version} {behaviour}"));
            ledger.with(number, |record| {
                record.what = format!("client of ours in {version}, {behaviour}");
                record.addr = local;
                // What it has not written yet, nobody knows.
                record.is_writing = true;
            });
        }
        match ending.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => polled.map(Some),
        }
    });
    let mut connection = match connected.await {
        Some(Ok(connection)) => connection,
        Some(Err(error)) => return ledger.tell(|| format!("client {number}: {error}")),
        None => return,
    };
    for seq in 1..=u32::try_from(rng.within(0..=20)).expect("a few") {
        let until = rng.millis(0..=3000);
        while let Some(Some(message)) = sim.within(until, connection.recv()).await {
            ledger.receive(number, message.as_bytes(), true);
        }
        let message = handlers::next(manners, &mut rng, number, PEER, seq, version);
        match sim.within(until, connection.send(message)).await {
            Some(Ok(())) => ledger.with(number, |record| record.said = seq),
            Some(Err(_)) | None => break,
        }
    }
    if over.is_open() || rng.once_in(4) {
        return ledger.with(number, |record| record.is_hurt = true);
    }
    if rng.once_in(2) {
        // Closes, and goes on to listen.
        ledger.with(number, |record| record.peer_closed = true);
        let closing = connection
            .sender()
            .begin_close(rng.pick(&[1000, 4000]).try_into().expect("codes"), "");
        ledger.tell(|| format!("client {number}: closes: {closing:?}"));
    }
    loop {
        let mut ending = pin!(over.wait());
        let next = {
            let mut receiving = pin!(connection.recv());
            poll_fn(|cx| match ending.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => receiving.as_mut().poll(cx),
            })
            .await
        };
        let Some(message) = next else { break };
        ledger.receive(number, message.as_bytes(), true);
    }
    let closed = connection.closed();
    ledger.tell(|| format!("client {number}: ends: {closed:?}"));
    let is_clean =
        closed.is_some_and(|closed| closed.clean && closed.cause == CloseCause::Handshake);
    ledger.with(number, |record| record.saw_close = is_clean);
}
