//! permessage-deflate (RFC 7692): messages are compressed, each on its own or with what went before in
//! mind. The seam is small: the frame codec lets a reserved bit pass, the assembler inflates what
//! arrives, the connection compresses what it sends. Without the feature `off.rs` stands in.

mod negotiate;
mod options;

pub use self::negotiate::DeflateTerms;
pub use self::options::Deflate;
