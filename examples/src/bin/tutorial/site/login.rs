//! The login: a name and a password become a session, and a cookie holds it. The same cookie comes with the request of the
//! WebSocket, because a browser sends it to this host with every request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use ws_tokio::{Answer, Upgrade};

/// Who may come in. A real program keeps hashes of passwords (argon2), in a database.
const USERS: [(&str, &str); 2] = [("ana", "tulip"), ("bo", "walnut")];

/// The most sessions. Beyond it nobody can log in until the program starts again; a real program lets them expire.
const SESSION_LIMIT: usize = 10_000;

const ROOM_NAME_LIMIT: usize = 32;

#[derive(Clone)]
pub struct Login {
    /// The name of each user who is logged in, by their token.
    sessions: Arc<Mutex<HashMap<String, &'static str>>>,
    /// More attributes for the cookie.
    attributes: &'static str,
}

#[derive(Deserialize)]
struct Form {
    name: String,
    password: String,
}

/// Somebody who may enter a room: the handler finds it in the extensions of their connection.
#[derive(Clone)]
pub struct Guest {
    pub name: &'static str,
    pub room: String,
}

impl Login {
    pub fn new(attributes: &'static str) -> Self {
        Self {
            sessions: Arc::default(),
            attributes,
        }
    }

    /// The pages of the site.
    pub fn router(&self) -> Router {
        Router::new()
            .route(
                "/",
                get(|| async { Html(include_str!("../page/rooms.html")) }),
            )
            .route("/login", post(log_in))
            .route("/me", get(me))
            .with_state(self.clone())
    }

    /// Decides on a WebSocket. The server has compared the origin already.
    pub async fn decide(self, upgrade: Upgrade) -> Answer {
        let Some(room) = upgrade.path().strip_prefix("/rooms/") else {
            return upgrade.reject(404).body("the rooms are at /rooms/NAME\n");
        };
        if room.is_empty() || room.len() > ROOM_NAME_LIMIT {
            return upgrade
                .reject(404)
                .body("the name of a room has 1 to 32 bytes\n");
        }
        match self.name(upgrade.header("cookie")) {
            Some(name) => upgrade.accept().extension(Guest {
                name,
                room: room.to_owned(),
            }),
            None => upgrade.reject(401).body("log in first\n"),
        }
    }

    /// Returns the name that belongs to the token in a header `Cookie`.
    fn name(&self, cookies: Option<&str>) -> Option<&'static str> {
        let mut cookies = cookies?.split("; ");
        let token = cookies.find_map(|cookie| cookie.strip_prefix("session="))?;
        let sessions = self.sessions.lock();
        let sessions = sessions.unwrap_or_else(PoisonError::into_inner);
        sessions.get(token).copied()
    }
}

/// Says who is logged in. The page asks, because no browser tells it why a WebSocket was refused.
async fn me(State(login): State<Login>, headers: HeaderMap) -> Response {
    let cookies = headers.get(COOKIE).and_then(|value| value.to_str().ok());
    match login.name(cookies) {
        Some(name) => name.into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn log_in(State(login): State<Login>, Json(form): Json<Form>) -> Response {
    let user = USERS.iter().find(|(name, _)| *name == form.name);
    let Some((name, _)) = user.filter(|(_, password)| *password == form.password) else {
        return (StatusCode::UNAUTHORIZED, "wrong name or password\n").into_response();
    };
    let (Ok(high), Ok(low)) = (getrandom::u64(), getrandom::u64()) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let token = format!("{high:016x}{low:016x}");
    // HttpOnly: no script can read it. SameSite=Strict: a browser does not send it for a page of
    // another site.
    let cookie = format!(
        "session={token}; Path=/; HttpOnly; SameSite=Strict{}",
        login.attributes
    );
    let sessions = login.sessions.lock();
    let mut sessions = sessions.unwrap_or_else(PoisonError::into_inner);
    if sessions.len() >= SESSION_LIMIT {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many sessions\n").into_response();
    }
    sessions.insert(token, name);
    ([(SET_COOKIE, cookie)], "welcome\n").into_response()
}
