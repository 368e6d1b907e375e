//! The runtimes that the tests run on.

use std::future::{Future, poll_fn};
use std::time::Duration;

use ws_async_std::AsyncStd;
use ws_driver::{Runtime, Timer};
use ws_smol::Smol;
use ws_tokio::Tokio;

pub(crate) trait Host: Runtime + Default {
    /// What [`on_each_runtime`] calls it.
    const NAME: &str;

    fn block_on<T>(future: impl Future<Output = T>) -> T;

    fn sleep(time: Duration) -> impl Future<Output = ()> + Send {
        async move {
            let runtime = Self::default();
            let mut timer = runtime.timer();
            timer.set(runtime.now() + time);
            poll_fn(|cx| timer.poll(cx)).await;
        }
    }
}

impl Host for Tokio {
    const NAME: &str = "tokio";

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }
}

impl Host for Smol {
    const NAME: &str = "smol";

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        smol::block_on(future)
    }
}

impl Host for AsyncStd {
    const NAME: &str = "async_std";

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        async_std::task::block_on(future)
    }
}

/// Makes a test on each runtime, from a function that is generic over it.
macro_rules! on_each_runtime {
    ($($(#[$attribute:meta])* $name:ident;)+) => {$(
        mod $name {
            $(#[$attribute])*
            #[test]
            #[ignore = "needs redis-server"]
            fn tokio() {
                <ws_tokio::Tokio as $crate::host::Host>::block_on(super::$name::<ws_tokio::Tokio>());
            }

            $(#[$attribute])*
            #[test]
            #[ignore = "needs redis-server"]
            fn smol() {
                <ws_smol::Smol as $crate::host::Host>::block_on(super::$name::<ws_smol::Smol>());
            }

            $(#[$attribute])*
            #[test]
            #[ignore = "needs redis-server"]
            fn async_std() {
                <ws_async_std::AsyncStd as $crate::host::Host>::block_on(
                    super::$name::<ws_async_std::AsyncStd>(),
                );
            }
        }
    )+};
}
pub(crate) use on_each_runtime;
