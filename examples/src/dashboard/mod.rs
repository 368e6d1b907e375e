//! A dashboard: the counters of a server, each second, on a page of the server itself. The page gets them over a
//! WebSocket of the same server.
//!
//! It is a module and no program, because the counters are those of the process that serves: the examples `metrics` and
//! `cluster` have it beside their `/metrics`. Samples are taken also while nobody looks, so that a page that is opened
//! during an incident shows its beginning.

mod sample;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use ws_tokio::{Answer, Connection, Message, RequestBody, Server, Upgrade};

/// The path of the WebSocket.
pub const FEED: &str = "/dashboard/feed";

/// The time between two samples. Each takes the lock of each connection once.
const PERIOD: Duration = Duration::from_secs(1);

/// How many samples are kept: five minutes.
const HISTORY: usize = 300;

/// The time between two looks at topics and other nodes, while a page is open.
const SURVEY_PERIOD: Duration = Duration::from_secs(2);

/// The page loads nothing but its own files.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
                      connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'";

/// What the pages of one server show.
pub struct Dashboard {
    begin: Instant,
    /// The last samples, the oldest first; at most [`HISTORY`] of them.
    history: Mutex<VecDeque<String>>,
    /// The newest message. A page that reads slowly misses the ones between, so nothing queues up for it.
    news: watch::Sender<Message>,
    /// The last look at topics and other nodes, as JSON.
    survey: Mutex<String>,
}

impl Dashboard {
    /// Begins to watch a server, until nobody has the dashboard any more.
    pub fn watch(server: &Server) -> Arc<Self> {
        let dashboard = Arc::new(Self {
            begin: Instant::now(),
            history: Mutex::default(),
            news: watch::Sender::new(Message::from("{}")),
            survey: Mutex::new("null".to_owned()),
        });
        tokio::spawn(take_samples(Arc::downgrade(&dashboard), server.clone()));
        tokio::spawn(survey(Arc::downgrade(&dashboard), server.clone()));
        dashboard
    }

    /// Sends a page the last five minutes, and then each sample, until it leaves.
    pub async fn attend(&self, mut connection: Connection) {
        // Subscribed first: a sample between the two comes twice, and the page knows its time.
        let mut news = self.news.subscribe();
        if connection.send(self.history()).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                // A page has nothing to say.
                message = connection.recv() => if message.is_none() { return },
                changed = news.changed() => {
                    let newest = news.borrow_and_update().clone();
                    if changed.is_err() || connection.send(newest).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn history(&self) -> String {
        let samples = Vec::from_iter(lock(&self.history).iter().cloned()).join(",");
        let period = PERIOD.as_millis();
        format!(r#"{{"type":"history","period":{period},"samples":[{samples}]}}"#)
    }

    fn add(&self, sample: String) {
        let survey = lock(&self.survey).clone();
        let message = format!(r#"{{"type":"now","sample":{sample},"survey":{survey}}}"#);
        let mut history = lock(&self.history);
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back(sample);
        drop(history);
        self.news.send_replace(message.into());
    }
}

async fn take_samples(dashboard: std::sync::Weak<Dashboard>, server: Server) {
    let mut tick = interval(PERIOD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        let Some(dashboard) = dashboard.upgrade() else {
            return;
        };
        let sample = sample::sample(dashboard.begin.elapsed(), &server);
        dashboard.add(sample.to_string());
    }
}

/// A task of its own, because other nodes can take seconds to answer.
async fn survey(dashboard: std::sync::Weak<Dashboard>, server: Server) {
    let mut tick = interval(SURVEY_PERIOD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        let is_watched = dashboard.upgrade().map(|it| it.news.receiver_count() > 0);
        let survey = match is_watched {
            None => return,
            Some(true) => sample::survey(&server).await.to_string(),
            // An old one would be shown to the next page as if it were new.
            Some(false) => "null".to_owned(),
        };
        if let Some(dashboard) = dashboard.upgrade() {
            *lock(&dashboard.survey) = survey;
        }
    }
}

/// Answers a request for one of the files of the page; `None` if it is for something else.
pub fn page(request: &Request<RequestBody>) -> Option<Response<String>> {
    let (media_type, content) = match request.uri().path() {
        "/dashboard" => ("text/html; charset=utf-8", include_str!("page/index.html")),
        "/dashboard/style.css" => ("text/css", include_str!("page/style.css")),
        "/dashboard/charts.js" => ("text/javascript", include_str!("page/charts.js")),
        "/dashboard/page.js" => ("text/javascript", include_str!("page/page.js")),
        _ => return None,
    };
    let mut response = Response::new(content.to_owned());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Some(response)
}

/// Decides on an upgrade to the feed. A browser lets the script of any page open a WebSocket to any server, so the
/// page has to come from this one; programs send no origin. `OriginPolicy::SameHost` is for all paths of a server, and the pages of a
/// cluster open theirs on other nodes.
pub fn decide(upgrade: &Upgrade) -> Answer {
    let host = upgrade.header("host").unwrap_or_default();
    let origin_host = upgrade.origin().and_then(|it| it.split_once("://"));
    match (upgrade.origin(), origin_host) {
        (None, _) => upgrade.accept(),
        (Some(_), Some((_, from))) if from.eq_ignore_ascii_case(host) => upgrade.accept(),
        (Some(_), _) => upgrade
            .reject(403)
            .body("the feed of the dashboard is for its own page\n"),
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is whole at any time.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
