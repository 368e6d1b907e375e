//! The page, over plain HTTP: four files that are built into the program.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Request, Response, StatusCode};
use ws_tokio::RequestBody;

/// Answers a request for one of the files.
pub async fn answer(request: Request<RequestBody>) -> Response<String> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/") => file("text/html", include_str!("page/index.html")),
        (&Method::GET | &Method::HEAD, "/style.css") => {
            file("text/css", include_str!("page/style.css"))
        }
        (&Method::GET | &Method::HEAD, "/chat.js") => {
            file("text/javascript", include_str!("page/chat.js"))
        }
        (&Method::GET | &Method::HEAD, "/log.js") => {
            file("text/javascript", include_str!("page/log.js"))
        }
        (&Method::GET | &Method::HEAD, _) => {
            let mut response = file("text/plain", "404 Not Found\n\nThe chat is at /\n");
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
        _ => {
            let mut response = file("text/plain", "405 Method Not Allowed\n");
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            let methods = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, methods);
            response
        }
    }
}

fn file(media_type: &str, content: &str) -> Response<String> {
    Response::builder()
        .header(CONTENT_TYPE, format!("{media_type}; charset=utf-8"))
        // No validators are sent, so a browser asks for the whole file each time; they are small.
        .header(CACHE_CONTROL, "no-cache")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .body(content.to_owned())
        .expect("headers of our own are well-formed")
}
