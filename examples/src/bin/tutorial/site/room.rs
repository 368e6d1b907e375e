//! The rooms: who is there, and what they say. A room is a topic, and its people are those who show themselves in it.

use std::collections::BTreeSet;

use serde_json::json;
use tokio::sync::Mutex;
use ws_tokio::{CloseCode, Cluster, ClusterTopic, Connection};

use super::login::Guest;

pub struct Rooms {
    cluster: Cluster,
    /// Held while the people of a room are read and told. So the last list that is told is the last that was read.
    telling: Mutex<()>,
}

impl Rooms {
    pub fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            telling: Mutex::default(),
        }
    }

    /// Handles one connection, from its welcome to its end.
    pub async fn attend(&self, mut connection: Connection) {
        let Some(Guest { name, room }) = connection.extensions().get::<Guest>().cloned() else {
            return;
        };
        let topic = self.cluster.topic(format!("room/{room}"));
        if let Err(error) = connection.track(topic.name(), name) {
            let _ = connection
                .close_with(CloseCode::TRY_AGAIN, &error.to_string())
                .await;
            return;
        }
        self.tell_who_is_here(&topic).await;
        while let Some(message) = connection.recv().await {
            if let Some(text) = message.as_text() {
                let said = json!({"type": "said", "name": name, "text": text});
                topic.broadcast(said.to_string());
            }
        }
        connection.leave(topic.name());
        self.tell_who_is_here(&topic).await;
    }

    /// Tells all in a room who is in it.
    async fn tell_who_is_here(&self, topic: &ClusterTopic) {
        let _telling = self.telling.lock().await;
        let Ok(people) = topic.presence().await else {
            return;
        };
        // A set, because somebody can be there with two tabs.
        let names: BTreeSet<_> = people
            .iter()
            .map(|person| String::from_utf8_lossy(&person.data))
            .collect();
        topic.broadcast(json!({"type": "here", "names": names}).to_string());
    }
}
