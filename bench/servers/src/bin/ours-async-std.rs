//! Ours, on async-std; `ASYNC_STD_THREAD_COUNT=1` keeps it on one thread.

fn main() -> std::io::Result<()> {
    async_std::task::block_on(servers::serve::<ws_async_std::AsyncStd>())
}
