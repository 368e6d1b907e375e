//! Connects, and with `--reconnect` again, after a wait that grows and is drawn anew each time.
//!
//! It knows what a failure is worth: another attempt cannot help against wrong options, a certificate that is
//! not trusted, or a server that refuses.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use ws_tokio::{Backoff, CloseCode, ConnectConfig, connect_with};

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
pub struct Retries {
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
    retries: Option<&Retries>,
) -> Result<(), Failure> {
    // Begins with the first connection, so that nothing is taken from a pipe for nobody.
    let mut input = None;
    let longest = retries.map_or(FIRST_WAIT, |retries| retries.longest);
    let (mut backoff, mut attempt) = (Backoff::new(FIRST_WAIT, longest), 0);
    loop {
        let began = Instant::now();
        let ended = once(target, framing, &mut input, output, terms).await;
        let Some(retries) = retries else {
            return ended?.check();
        };
        let has_more = input.as_ref().is_none_or(|input| !input.has_ended());
        if !has_more || !can_pass(&ended) {
            return ended?.check();
        }
        // Only then: otherwise a server that closes at once would be asked for ever.
        if backoff.note_ended(began.elapsed()) {
            attempt = 0;
        }
        if attempt == retries.attempts {
            say(format_args!(
                "not connecting again after {attempt} attempts"
            ));
            return ended?.check();
        }
        if let Err(failure @ Failure::Connect { .. }) = &ended {
            say(format_args!("error: {failure}"));
        }
        let wait = backoff.next_pause(random());
        attempt += 1;
        say(format_args!(
            "connecting again in {:.3} s, attempt {attempt} of {}",
            wait.as_secs_f64(),
            retries.attempts
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

/// The longest first wait. Each further one can be twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// A random number: the keys of each `RandomState` are others.
fn random() -> u32 {
    let [a, b, c, d, ..] = RandomState::new().hash_one(()).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
