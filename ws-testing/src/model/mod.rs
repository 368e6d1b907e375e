//! A second, slow model of the protocol, and its comparison with `ws_proto`.

pub mod agreement;
pub mod compressor;
pub mod decision;
pub mod endpoint;
pub mod op;
pub mod peer;
pub mod request;
pub mod script;
pub mod view;

/// Bytes as a failing case shows them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}
