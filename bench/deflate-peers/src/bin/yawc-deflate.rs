//! yawc with compression at the level of the others, behind hyper. In its best form with the pool that shares compressors among
//! connections, and the buffers that its authors tune it with.

use std::io;

use peers::{echo, echo_batches, serve_upgrades};
use support::{Mode, Start};
use yawc::{CompressionLevel, DeflatePool, Frame, OpCode, Options, WebSocket};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let start = Start::new().expect(&[Mode::Echo], true);
    let pool = DeflatePool::new(16);
    serve_upgrades(&start, move |request| {
        let options = Options::default()
            .with_compression_level(CompressionLevel::new(6))
            .with_utf8()
            .with_limits(64 << 20, 128 << 20);
        let options = match start.batch {
            true => options
                .with_deflate_pool(pool.clone())
                .with_read_buffer_capacity(128 * 1024)
                .with_backpressure_boundary(64 * 1024),
            false => options,
        };
        let (response, upgrade) = WebSocket::upgrade_with_options(request, options).ok()?;
        let life = async move {
            let Ok(socket) = upgrade.await else {
                return;
            };
            match start.batch {
                true => echo_batches(socket, keep).await,
                false => echo(socket, keep).await,
            }
        };
        Some((response, life))
    })
    .await
}

fn keep(frame: Frame) -> Option<Frame> {
    Some(frame).filter(|one| matches!(one.opcode(), OpCode::Text | OpCode::Binary))
}
