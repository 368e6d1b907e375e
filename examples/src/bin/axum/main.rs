//! A notice board on axum: its page, its REST interface and its WebSocket are on one port. An open page
//! shows a new note at once, whether it was pinned by REST or by WebSocket.
//!
//! ```text
//! cargo run --release -p examples --bin axum -- --listen 127.0.0.1:8082
//! curl -H 'Content-Type: application/json' -d '{"text":"pinned by curl"}' http://127.0.0.1:8082/api/notes
//! ```

mod board;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRef, Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use clap::Parser;
use tokio::net::TcpListener;
use ws_tokio::axum::WebSocketUpgrade;
use ws_tokio::{Connection, OriginPolicy, Server};

use crate::board::{Board, Draft, Note, Refusal};

/// A notice board: page, REST and WebSocket on one port.
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 means any free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082")]
    listen: String,
}

/// Room for the longest note, each character written as two escapes (`\ud83d\udc4b`).
const MESSAGE_LIMIT: usize = 4 << 10;

/// Those who look at the board at the same time.
const CONNECTION_LIMIT: usize = 10_000;

/// How long clients may take to close when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// What the routes share. `WebSocketUpgrade` takes the server out of it.
#[derive(Clone)]
struct App {
    server: Server,
    board: Arc<Board>,
}

impl FromRef<App> for Server {
    fn from_ref(app: &App) -> Self {
        app.server.clone()
    }
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    // It has no port: axum has one, and hands the upgrades over.
    let server = Server::builder()
        .message_limit(MESSAGE_LIMIT)
        .connection_limit(CONNECTION_LIMIT)
        // The pages of others have no business here.
        .origins(OriginPolicy::SameHost)
        .build()
        .map_err(io::Error::other)?;
    let app = App {
        board: Arc::new(Board::new(server.clients())),
        server: server.clone(),
    };
    let router = Router::new()
        .route("/", get(page))
        .route("/board.css", get(style))
        .route("/board.js", get(script))
        .route("/api/notes", get(list).post(pin))
        .route("/api/notes/{id}", delete(unpin))
        .route("/live", get(live))
        .layer(DefaultBodyLimit::max(MESSAGE_LIMIT))
        .with_state(app);
    let listener = TcpListener::bind(&options.listen).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    // Without this a small message behind another one waits for the peer's acknowledgement, 40 ms.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    // Axum waits for its requests only; what was upgraded is ours.
    let stopped = async move {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
        let report = server.shutdown(GRACE).await;
        println!("stopped: {} connections closed", report.closed);
    };
    axum::serve(listener, router)
        .with_graceful_shutdown(stopped)
        .await
}

/// The page runs and loads nothing but what is its own, whatever anybody pins up.
async fn page() -> impl IntoResponse {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
                  connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'";
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, include_str!("page/index.html"))
}

async fn style() -> impl IntoResponse {
    let media_type = [(CONTENT_TYPE, "text/css; charset=utf-8")];
    (media_type, include_str!("page/board.css"))
}

async fn script() -> impl IntoResponse {
    let media_type = [(CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (media_type, include_str!("page/board.js"))
}

async fn list(State(app): State<App>) -> Json<Vec<Note>> {
    Json(app.board.notes())
}

async fn pin(State(app): State<App>, Json(draft): Json<Draft>) -> Result<Response, Refusal> {
    let note = app.board.pin(&draft)?;
    Ok((StatusCode::CREATED, Json(note)).into_response())
}

async fn unpin(State(app): State<App>, Path(id): Path<u64>) -> StatusCode {
    if app.board.unpin(id) {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}

async fn live(upgrade: WebSocketUpgrade, State(app): State<App>) -> Response {
    upgrade.on_upgrade(move |connection| watch(connection, app.board))
}

/// Tells a client what is on the board, and what changes; what it sends is pinned up.
async fn watch(mut connection: Connection, board: Arc<Board>) {
    let _seat = board.sit_down(&connection);
    while let Some(message) = connection.recv().await {
        let pinned = message
            .as_text()
            .ok_or(Refusal::NotJson)
            .and_then(|text| serde_json::from_str(text).map_err(|_| Refusal::NotJson))
            .and_then(|draft: Draft| board.pin(&draft));
        if let Err(refusal) = pinned {
            let told = connection.send(board::refused(refusal)).await;
            if told.is_err() {
                break;
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (StatusCode::UNPROCESSABLE_ENTITY, format!("{self}\n")).into_response()
    }
}
