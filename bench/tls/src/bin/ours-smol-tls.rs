//! Ours inside of TLS, on smol.

fn main() -> std::io::Result<()> {
    smol::block_on(tls::serve::<ws_smol::Smol>())
}
