//! Ours, on a tokio runtime of two worker threads.

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    servers::serve::<ws_tokio::Tokio>().await
}
