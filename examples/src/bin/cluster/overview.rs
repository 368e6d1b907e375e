//! How the cluster looks: its nodes, how many connections each has, and who is on which. One task of a node asks the engine,
//! for all of its pages.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::interval;
use ws_tokio::{BackplaneError, Cluster, ClusterTopic, Message, NodeId, Presence};

/// The time between two questions. What nodes store of who is there is about a second old.
const PERIOD: Duration = Duration::from_secs(1);

/// Makes the label of a node, which says where pages find it.
pub fn label(name: &str, addr: SocketAddr) -> String {
    format!("{name}@{addr}")
}

/// Watches the cluster while somebody has the receiver. Its value changes only if what it shows does.
pub fn watch(cluster: Cluster, room: ClusterTopic) -> watch::Receiver<Message> {
    let (sender, receiver) = watch::channel(unknown().to_string().into());
    tokio::spawn(async move {
        let mut tick = interval(PERIOD);
        while !sender.is_closed() {
            tick.tick().await;
            let seen = look(&cluster, &room).await.unwrap_or_else(|_| unknown());
            let seen = Message::from(seen.to_string());
            sender.send_if_modified(|shown| std::mem::replace(shown, seen.clone()) != seen);
        }
    });
    receiver
}

fn unknown() -> Value {
    json!({ "type": "cluster", "complete": false, "nodes": [] })
}

async fn look(cluster: &Cluster, room: &ClusterTopic) -> Result<Value, BackplaneError> {
    let (nodes, people) = tokio::try_join!(cluster.nodes(), room.presence())?;
    let is_complete = nodes.is_complete() && people.is_complete();
    let mut shown: Vec<_> = nodes
        .iter()
        .map(|node| {
            let (name, addr) = node.name.split_once('@').unwrap_or((&node.name, ""));
            json!({
                "name": name,
                "addr": addr,
                "connections": node.connections,
                "people": on_node(&people, node.id),
            })
        })
        .collect();
    // This node is first in the listing; all pages show the same order.
    shown.sort_by_key(|node| node["name"].to_string());
    Ok(json!({ "type": "cluster", "complete": is_complete, "nodes": shown }))
}

/// Returns the people whose connection is on a node.
fn on_node(people: &[Presence], node: NodeId) -> Vec<Value> {
    let here = people.iter().filter(|person| person.id.node == node);
    here.map(|person| {
        let name = String::from_utf8_lossy(&person.data);
        json!({ "id": person.id.to_string(), "name": name })
    })
    .collect()
}
