//! Part 2 of the tutorial: rooms for people who have logged in, and who is in them.
//!
//! ```text
//! cargo run -p examples --bin tutorial-rooms
//! ```

mod site;

use std::env;
use std::error::Error;
use std::sync::Arc;

use ws_tokio::{OriginPolicy, Server};

use crate::site::login::Login;
use crate::site::room::Rooms;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = env::args().nth(1).unwrap_or("127.0.0.1:8080".to_owned());
    let login = Login::new("");
    let server = Server::builder()
        .on_request(login.router())
        .on_upgrade(move |upgrade| login.clone().decide(upgrade))
        .origins(OriginPolicy::SameHost)
        .message_limit(4 << 10)
        .bind(&addr)
        .await?;
    println!("listening on http://{}/", server.local_addr());
    let rooms = Arc::new(Rooms::new(server.cluster()));
    let handler = move |connection| {
        let rooms = Arc::clone(&rooms);
        async move { rooms.attend(connection).await }
    };
    server.serve(handler).await?;
    Ok(())
}
