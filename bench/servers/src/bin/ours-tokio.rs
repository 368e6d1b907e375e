//! Ours, on tokio.

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    servers::serve::<ws_tokio::Tokio>().await
}
