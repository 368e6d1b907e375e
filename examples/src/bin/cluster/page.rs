//! The page and the counters, over plain HTTP.

use examples::{dashboard, prometheus};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use ws_tokio::{RequestBody, Server};

/// The page loads nothing but its own files, and talks to nodes on other ports.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src ws: wss:; base-uri 'none'";

/// Answers a request. The server is there once it is bound.
pub fn answer(request: &Request<RequestBody>, server: Option<&Server>) -> Response<String> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if let (true, Some(page)) = (is_read, dashboard::page(request)) {
        return page;
    }
    match (request.uri().path(), server) {
        ("/", _) if is_read => file("text/html; charset=utf-8", include_str!("page/index.html")),
        ("/style.css", _) if is_read => file("text/css", include_str!("page/style.css")),
        ("/chat.js", _) if is_read => file("text/javascript", include_str!("page/chat.js")),
        ("/metrics", Some(server)) if is_read => file(prometheus::MEDIA_TYPE, &metrics(server)),
        _ => {
            let mut response = file("text/plain", "there is a page at /\n");
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}

fn file(media_type: &'static str, content: &str) -> Response<String> {
    let mut response = Response::new(content.to_owned());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

fn metrics(server: &Server) -> String {
    let cluster = server.cluster();
    let clients = prometheus::render(&server.clients().counters());
    clients + &prometheus::render_cluster(&cluster.health(), &cluster.counters())
}
