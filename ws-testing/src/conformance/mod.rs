//! One list of tests that every adapter runs over real sockets of this host, so that the runtimes
//! cannot diverge. The cases are generic; an adapter names its runtime and how to block on a
//! future:
//!
//! ```ignore
//! ws_testing::conformance::run!(Tokio, |future| runtime().block_on(future));
//! ```
//!
//! Cases with names such as `option_..`, `event_..` or `server_..` cover the rows of the
//! table in docs/coming-from-node-websocket-server.md.
#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "these are tests, though the compiler cannot know"
)]

pub mod application_streams;
pub mod close;
pub mod cluster;
#[cfg(feature = "deflate")]
pub mod deflate;
pub mod echo;
pub mod foreign;
mod foreign_server;
pub mod fronts;
pub mod handles;
pub mod http;
#[cfg(feature = "conformance-all")]
pub mod http2;
#[cfg(feature = "conformance-all")]
pub mod http2_port;
pub mod kit;
pub mod limits;
pub mod misbehaviour;
pub mod observer;
#[cfg(feature = "conformance-all")]
pub mod proxy;
pub mod registry;
pub mod requests;
pub mod streams;
mod support;
pub mod time;
#[cfg(feature = "conformance-all")]
pub mod tls;
pub mod upgrade;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

pub use crate::__conformance as run;
#[cfg(feature = "conformance-all")]
pub use crate::__conformance_features as run_features;
pub use crate::__conformance_of_kit as run_kit;
use ws_driver::{Runtime, Timer};

/// What a case may take; most need some milliseconds, on a busy machine too.
pub const CASE_LIMIT: Duration = Duration::from_secs(30);

/// Runs a case, but for no longer than [`CASE_LIMIT`].
pub async fn bounded<R: Runtime + Default>(case: impl Future<Output = ()>) {
    let runtime = R::default();
    let mut timer = runtime.timer();
    timer.set(runtime.now() + CASE_LIMIT);
    let mut case = pin!(case);
    poll_fn(|cx| match case.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => {
            let is_late = timer.poll(cx).is_ready();
            assert!(!is_late, "the case takes longer than {CASE_LIMIT:?}");
            Poll::Pending
        }
    })
    .await;
}

/// Makes a test of each case, for one runtime.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance {
    (@tests [$runtime:ty, $block_on:expr] $($file:ident { $($case:ident)+ })+) => {
        $($(
            #[test]
            fn $case() {
                let case = $crate::conformance::$file::$case::<$runtime>();
                let block_on = $block_on;
                block_on($crate::conformance::bounded::<$runtime>(case));
            }
        )+)+
    };
    // Without the limit, whose seconds pass at once in virtual time, which has a limit of its own.
    (@in_virtual_time [$runtime:ty, $in_virtual_time:expr] $($file:ident { $($case:ident)+ })+) => {
        $($(
            #[test]
            fn $case() {
                let in_virtual_time = $in_virtual_time;
                in_virtual_time($crate::conformance::$file::$case::<$runtime>());
            }
        )+)+
    };
    (@names [] $($file:ident { $($case:ident)+ })+) => {
        [$((stringify!($file), [$(stringify!($case)),+].as_slice())),+]
    };
    (@list $then:ident $args:tt) => {
        $crate::__conformance! { @$then $args
            echo {
                echo_server_in_every_version
                one_mebibyte_in_every_version
                binary_where_it_exists
                event_message
                connection_write
                connection_get_version
                a_connection_is_a_stream_and_a_sink
                several_tasks_send_on_one_connection
                a_busy_handler_still_sends_and_answers_pings
                fragments_are_put_together
                a_message_is_sent_part_by_part
                pings_and_pongs_are_events
                messages_are_counted
            }
            close {
                connection_close
                code_and_reason_reach_the_peer
                connection_event_close
                a_sender_closes_and_waits
                a_reason_that_is_too_long_closes_nothing
                a_reset_ends_one_connection
                an_end_without_a_close_is_not_clean
                a_dropped_connection_closes_with_1000
                a_panic_closes_with_1011
                server_close
                serve_can_be_dropped_and_called_again
                server_shutdown
                a_shutdown_aborts_at_the_end_of_its_grace
            }
            cluster {
                cluster_broadcast_reaches_all_nodes
                cluster_topics_reach_all_nodes_in_order
                join_wait_misses_nothing
                a_cluster_ends_with_its_servers
                cluster_sends_reach_one_connection
                cluster_presence
                cluster_logs
            }
            fronts {
                sockets_that_exist_are_served
                a_server_without_a_socket_does_not_listen
                a_unix_socket_is_served
                option_proxy_protocol
                option_forwarded_for
                option_address_limits
                a_stream_that_was_upgraded_elsewhere_is_a_connection
            }
            handles {
                a_flush_waits_until_all_is_written
                a_flush_that_cannot_be_done_fails
                a_sink_half_that_closes_takes_no_answer
            }
            observer {
                create_server
                server_listen
                server_listen_on_a_name
                accept_hands_out_connections
                event_listening
                event_stream
                event_connection
                event_state_change
                state_change_numbers
                event_close
                event_rejected
                event_shutdown
                a_client_has_observers
                histograms_count_on_both_sides
            }
            upgrade {
                option_version
                option_origin
                option_subprotocol
                option_debug
                connection_handshake
                connection_reject
                connect_errors
            }
            http {
                event_request
                without_a_service_a_request_gets_426
                a_service_that_panics_makes_it_a_500
                garbage_is_answered_with_400
                a_request_is_the_same_wherever_it_comes
                an_upload_that_nobody_reads_gets_its_answer
                a_head_over_a_limit_gets_431
                who_pipelines_requests_and_reads_no_answer_is_cut_off
                a_body_that_does_not_come_fails_in_time
                a_silent_stream_gives_its_place_back_in_time
            }
            registry {
                server_send_by_id
                server_broadcast
                broadcast_except
                manager_length_find_for_each
                ids_are_never_reused
                topics_reach_their_members
                a_slow_peer_is_closed_with_1013
                a_slow_peer_can_be_spared
                the_connection_limit_makes_streams_wait
                two_servers_share_a_port
            }
            limits {
                what_is_too_big_closes_with_1009
                a_broken_rule_fails_the_connection
                a_device_that_breaks_rules_is_served_by_option
                a_client_has_limits_too
                a_close_says_why_with_debug
                a_wait_of_zero_is_refused
                a_peer_that_sends_too_fast_waits
                a_rate_beyond_the_limit_closes_with_1008
                a_full_send_queue_waits_or_tells
                a_handler_that_does_not_receive_makes_the_peer_wait
            }
            misbehaviour {
                a_panic_at_any_place_ends_one_connection
                a_panic_is_told_to_those_who_wait_to_send
                a_panic_elsewhere_closes_what_it_held
                a_handler_that_blocks_its_thread_delays_and_harms_nobody
                a_handler_that_never_returns_keeps_no_connection
            }
            application_streams {
                a_stream_of_the_application_is_served
                plain_http_on_a_stream_of_the_application
                a_broadcast_reaches_streams_of_the_application
                the_limits_of_a_server_hold_for_streams_of_the_application
                a_shutdown_closes_streams_of_the_application
                connect_over_tells_what_went_wrong
                connect_over_is_told_its_peer
            }
            requests {
                a_client_takes_urls_and_requests
                a_client_looks_names_up_by_a_function
                a_zone_reaches_the_socket
            }
            foreign {
                requests_of_another_server_become_connections
                what_comes_behind_a_request_of_another_server_is_not_lost
                both_kinds_of_connections_are_in_one_registry
                requests_of_another_server_are_checked
                a_request_of_another_server_that_is_no_upgrade
                the_limits_of_a_server_hold_for_requests_of_another
                a_shutdown_closes_connections_of_another_server
                a_panic_behind_another_server_closes_with_1011
                a_handler_chooses_the_subprotocol
                who_waits_can_be_refused_after_all
                who_goes_away_before_the_upgrade_leaves_nothing
                another_server_that_gives_no_stream_up
                another_server_that_takes_too_long
            }
            time {
                half_a_handshake_is_gone_in_time
                an_on_upgrade_that_waits_too_long_is_a_503
                a_client_gives_up_in_time
                a_silent_peer_is_pinged
                a_dead_peer_is_closed
                a_peer_that_never_reads_is_given_up
                a_message_that_does_not_go_on_is_closed
                silence_does_not_close_a_live_connection
                a_ping_is_answered
                an_unanswered_close_is_over_in_time
                a_good_peer_is_heard_beside_a_flood
            }
        }
    };
    ($runtime:ty, $block_on:expr) => {
        $crate::__conformance! { @list tests [$runtime, $block_on] }
        $crate::__conformance_of_deflate! { tests [$runtime, $block_on] }
    };
}

/// Makes a test of each case about what features add, for one runtime.
#[cfg(feature = "conformance-all")]
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_features {
    (@list $then:ident $args:tt) => {
        $crate::__conformance! { @$then $args
            http2 {
                sockets_of_a_session_become_connections
                requests_in_http_2_are_checked
                a_socket_of_a_session_is_negotiated
                sockets_of_sessions_are_in_the_registry
                the_connection_limit_holds_for_sockets_of_a_session
                a_reset_stream_ends_one_socket
                a_peer_without_a_window_is_given_up
                a_request_in_http_2_that_is_no_websocket
            }
            http2_port {
                one_port_speaks_http_2_and_the_rest
                header_lines_of_http_2_are_those_of_http_1
                without_the_option_there_is_no_http_2
                http_2_is_chosen_by_alpn
                the_connection_limit_counts_a_session
                a_shutdown_ends_sessions
                a_shutdown_aborts_sessions
                an_idle_session_gives_its_place_back
                rapid_resets_end_a_session
                a_flood_of_continuations_ends_a_session
                who_takes_no_page_in_http_2_is_cut_off
                clients_of_a_session_count_while_they_ask
                empty_frames_end_a_session
                a_connect_with_a_body_ends_its_session
                a_socket_that_is_not_read_stops_no_other
            }
            proxy {
                a_proxy_opens_a_tunnel
                a_proxy_that_is_not_trusted_is_asked_nothing
                a_proxy_that_refuses_is_quoted
            }
            tls {
                every_version_speaks_over_tls
                one_port_has_it_all_inside_of_tls
                who_is_not_trusted_is_refused
                the_machine_trusts_no_stranger
                a_missing_client_certificate_is_an_error_of_tls
                a_client_has_an_identity
                a_client_shows_its_certificate
                a_certificate_is_exchanged_while_serving
                half_a_tls_handshake_is_gone_in_time
                who_reads_no_answer_over_tls_is_cut_off
                what_is_not_tls_is_turned_away
                an_end_is_judged_by_the_closing_handshake
                connect_timeout_says_how_far_it_got
                tls_over_a_stream_of_the_application
                tls_comes_behind_a_proxy_header
                a_full_send_queue_waits_over_tls
            }
        }
    };
    ($runtime:ty, $block_on:expr) => {
        $crate::__conformance_features! { @list tests [$runtime, $block_on] }
    };
}

/// Makes a test of each case about the test kit, for one runtime, in virtual time.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_of_kit {
    (@list $then:ident $args:tt) => {
        $crate::__conformance! { @$then $args
            kit {
                a_server_is_tested_without_a_port
                a_handler_reaches_other_clients
                an_upgrade_is_decided_by_the_server
                a_plain_request_is_answered
                a_client_can_be_bytes
                limits_apply_to_clients_of_the_kit
                an_address_is_what_it_is_on_a_port
                accept_takes_clients_of_the_kit
                a_handler_waits_in_virtual_time
                timeouts_pass_in_virtual_time
            }
        }
    };
    ($runtime:ty, $in_virtual_time:expr) => {
        $crate::__conformance_of_kit! { @list in_virtual_time [$runtime, $in_virtual_time] }
    };
}

/// The cases for which the feature must be on.
#[cfg(feature = "deflate")]
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_of_deflate {
    ($then:ident $args:tt) => {
        $crate::__conformance! { @$then $args
            deflate {
                option_deflate
                a_broadcast_is_compressed_for_those_who_agreed
                a_bomb_closes_with_1009
                deflate_is_chosen_for_one_upgrade
            }
        }
    };
}

/// None, as the feature is off.
#[cfg(not(feature = "deflate"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_of_deflate {
    ($then:ident $args:tt) => {};
}

#[cfg(test)]
mod tests {
    /// No case is written and then forgotten: the list names all of them.
    #[test]
    fn the_list_names_every_case() {
        let files = [
            ("echo", include_str!("echo.rs")),
            ("close", include_str!("close.rs")),
            ("cluster", include_str!("cluster.rs")),
            ("fronts", include_str!("fronts.rs")),
            ("handles", include_str!("handles.rs")),
            ("observer", include_str!("observer.rs")),
            ("upgrade", include_str!("upgrade.rs")),
            ("http", include_str!("http.rs")),
            ("registry", include_str!("registry.rs")),
            ("limits", include_str!("limits.rs")),
            ("misbehaviour", include_str!("misbehaviour.rs")),
            (
                "application_streams",
                include_str!("application_streams.rs"),
            ),
            ("requests", include_str!("requests.rs")),
            ("foreign", include_str!("foreign.rs")),
            ("time", include_str!("time.rs")),
        ];
        let list = crate::__conformance!(@list names []);
        assert_eq!(list.len(), files.len());
        let pairs = files.into_iter().zip(list);
        let [of_kit] = crate::__conformance_of_kit!(@list names []);
        let pairs = pairs.chain([(("kit", include_str!("kit.rs")), of_kit)]);
        #[cfg(feature = "conformance-all")]
        let pairs = {
            let files = [
                ("http2", include_str!("http2.rs")),
                ("http2_port", include_str!("http2_port.rs")),
                ("proxy", include_str!("proxy.rs")),
                ("tls", include_str!("tls.rs")),
            ];
            let list = crate::__conformance_features!(@list names []);
            assert_eq!(list.len(), files.len());
            pairs.chain(files.into_iter().zip(list))
        };
        #[cfg(feature = "deflate")]
        let pairs = {
            let [of_deflate] = crate::__conformance_of_deflate!(names []);
            pairs.chain([(("deflate", include_str!("deflate.rs")), of_deflate)])
        };
        for ((name, source), (listed, cases)) in pairs {
            let found = source
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn "));
            let found: Vec<_> = found.filter_map(|line| line.split('<').next()).collect();
            assert_eq!((name, &*found), (listed, cases));
        }
    }
}
