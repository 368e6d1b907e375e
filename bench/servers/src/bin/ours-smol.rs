//! Ours, on smol.

fn main() -> std::io::Result<()> {
    smol::block_on(servers::serve::<ws_smol::Smol>())
}
