//! Ours inside of TLS, on tokio.

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    tls::serve::<ws_tokio::Tokio>().await
}
