//! Ours, on tokio, as a node of a cluster on Redis.

use std::io;

use servers::MODES;
use support::Start;
use ws_tokio::{Redis, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let start = Start::new().expect(&MODES, false);
    let redis = Redis::new(start.redis()?).map_err(io::Error::other)?;
    servers::serve_with(Server::builder().backplane(redis), start.mode).await
}
