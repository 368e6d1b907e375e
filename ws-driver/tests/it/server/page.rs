//! A page, requests for it, and answers that can be compared.

use http::{Request, Response};
use ws_driver::RequestBody;

pub(crate) const PLAIN: &str = "GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n";

/// Answers plain requests with what they asked for.
pub(crate) async fn page(request: Request<RequestBody>) -> Response<String> {
    Response::new(format!("you asked for {}", request.uri()))
}

/// Bytes as text that can be compared and read, less the one line of an answer that changes.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    match text.split_once("Date: ") {
        Some((before, after)) => {
            let (_, after) = after.split_once(r"\r\n").unwrap();
            format!("{before}{after}")
        }
        None => text,
    }
}
