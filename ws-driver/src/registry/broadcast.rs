//! A message for many connections: compressed at most once, and offered to each.

use std::sync::Arc;

use ws_proto::PreparedMessage;

use super::Registry;
use crate::driver::shared_machine::SharedMachine;
use crate::id::ConnectionId;

/// A message for many connections. It is compressed once, for the first connection that compresses, because a
/// broadcast to connections that do not compress should not pay for it.
pub(crate) struct BroadcastMessage<'a> {
    registry: &'a Registry,
    pub(crate) message: PreparedMessage,
    is_compressed: bool,
}

impl<'a> BroadcastMessage<'a> {
    pub(crate) fn new(registry: &'a Registry, message: PreparedMessage) -> Self {
        Self {
            registry,
            message,
            is_compressed: false,
        }
    }

    /// Returns the message for one connection.
    pub(crate) fn for_one(&mut self, machine: &SharedMachine) -> &PreparedMessage {
        if machine.facts.compresses() && !self.is_compressed {
            self.message = self.registry.options.compress(self.message.clone());
            self.is_compressed = true;
        }
        &self.message
    }
}

/// Offers a message to each connection except one. Returns how many took it.
///
/// `machines` is the list of one moment, so that no lock of the registry is held while messages are sent. Therefore two
/// concurrent broadcasts can arrive in either order. An order would need one lock around all sending.
pub(crate) fn offer_all(
    registry: &Registry,
    machines: &[Arc<SharedMachine>],
    message: PreparedMessage,
    except: Option<ConnectionId>,
) -> usize {
    let policy = registry.options.slow_peer;
    let mut message = BroadcastMessage::new(registry, message);
    let meant = machines
        .iter()
        .filter(|machine| Some(machine.facts.id) != except)
        .filter(|machine| {
            let message = message.for_one(machine);
            machine.send_prepared_by_policy(message, policy).is_ok()
        });
    meant.count()
}
