//! Connects, and with `--reconnect` again, after a wait that grows and is drawn anew each time.
//!
//! It knows what a failure is worth: another attempt cannot help against wrong options, a certificate that is
//! not trusted, or a server that refuses.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use ws_tokio::{CloseCode, ConnectConfig, connect_with};

use crate::exit::{self, Failure};
use crate::input::{Framing, Input};
use crate::output::{Output, say};
use crate::session::{self, End, Terms};

/// Where to connect to, and how.
pub struct Target {
    pub url: String,
    pub connect: ConnectConfig,
}

/// How often and how soon to connect again.
pub struct Backoff {
    /// How many attempts in a row.
    pub attempts: u32,
    /// The longest wait.
    pub longest: Duration,
}

/// Talks with a server until everything is done, or no attempt is left. Without a framing, the standard
/// input is not read.
pub async fn run(
    target: &Target,
    framing: Option<Framing>,
    output: &mut Output,
    terms: &Terms,
    backoff: Option<&Backoff>,
) -> Result<(), Failure> {
    // Begins with the first connection, so that nothing is taken from a pipe for nobody.
    let mut input = None;
    let mut attempt = 0;
    loop {
        let began = Instant::now();
        let ended = once(target, framing, &mut input, output, terms).await;
        let Some(backoff) = backoff else {
            return ended?.check();
        };
        let has_more = input.as_ref().is_none_or(|input| !input.has_ended());
        if !has_more || !can_pass(&ended) {
            return ended?.check();
        }
        // Otherwise a server that closes at once would be asked for ever.
        if began.elapsed() >= STABLE {
            attempt = 0;
        }
        if attempt == backoff.attempts {
            say(format_args!(
                "not connecting again after {attempt} attempts"
            ));
            return ended?.check();
        }
        if let Err(failure @ Failure::Connect { .. }) = &ended {
            say(format_args!("error: {failure}"));
        }
        let wait = backoff.draw(attempt);
        attempt += 1;
        say(format_args!(
            "connecting again in {:.3} s, attempt {attempt} of {}",
            wait.as_secs_f64(),
            backoff.attempts
        ));
        sleep(wait).await;
    }
}

async fn once(
    target: &Target,
    framing: Option<Framing>,
    input: &mut Option<Input>,
    output: &mut Output,
    terms: &Terms,
) -> Result<End, Failure> {
    let url = &target.url;
    let connected = connect_with(url, &target.connect).await;
    let mut connection = connected.map_err(|error| Failure::Connect {
        url: url.clone(),
        error,
    })?;
    if let Some(framing) = framing.filter(|_| input.is_none()) {
        let started = Input::start(framing);
        *input = Some(started.map_err(|error| Failure::Stdio(error.to_string()))?);
    }
    session::run(&mut connection, input.as_mut(), output, terms).await
}

/// Returns whether another attempt can end better.
fn can_pass(ended: &Result<End, Failure>) -> bool {
    match ended {
        Ok(end) => {
            let closed = &end.closed;
            // A server that goes away is about to come back.
            let is_over = exit::is_normal(closed) && closed.code != CloseCode::GOING_AWAY.get();
            !(end.is_sent || end.is_enough || is_over)
        }
        Err(Failure::Connect { error, .. }) => error.is_transient(),
        Err(Failure::Usage(_) | Failure::Listen(_) | Failure::Closed(_) | Failure::Stdio(_)) => {
            false
        }
    }
}

/// How long a connection has to last until the attempts before it do not count any more.
const STABLE: Duration = Duration::from_secs(5);

/// The longest first wait. Each further one can be twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);

impl Backoff {
    /// Draws a wait between nothing and the longest one of this attempt. With such a full jitter, clients that lost
    /// their connections at the same moment do not come back at the same moment.
    fn draw(&self, attempt: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt);
        let longest = FIRST_WAIT.saturating_mul(doubled).min(self.longest);
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        // The keys of each `RandomState` are others.
        let drawn = RandomState::new().hash_one(attempt);
        Duration::from_millis(drawn % longest.saturating_add(1))
    }
}
