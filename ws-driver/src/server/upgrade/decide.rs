//! What an upgrade request is answered, whoever read it: the application is asked, the handshake is
//! told.

use ws_proto::hooks::PackedRequest;
use ws_proto::{Rejection, ServerHandshake, UpgradeRequest, Version};

use super::{Answer, Upgrade, Verdict};
use crate::observe::ConnectionInfo;
use crate::observe::rejected::Rejected;
use crate::runtime::Runtime;
use crate::server::shared::Shared;
use crate::util::panics;

/// What is known of an upgrade once it is accepted.
pub(crate) struct Ticket {
    pub(crate) head: PackedRequest,
    pub(crate) version: Version,
    pub(crate) subprotocol: Option<Box<str>>,
    pub(crate) extensions: ::http::Extensions,
}

/// What the application answers to a request, and what is to be kept of that.
pub(crate) struct Decision {
    head: PackedRequest,
    version: Version,
    /// What the options choose.
    selected: Option<Box<str>>,
    answer: Answer,
}

#[cfg(feature = "upgrade")]
impl Decision {
    /// Tells whether the application accepts, as far as can be told before the answer is given.
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self.answer.verdict, Ok(Verdict::Accept(_)))
    }

    /// Changes the answer.
    pub(crate) fn change(&mut self, change: impl FnOnce(Answer) -> Answer) {
        let answer = std::mem::replace(&mut self.answer, Answer::accept());
        self.answer = change(answer);
    }
}

/// Asks the application what to answer.
pub(crate) async fn decide<R: Runtime>(
    shared: &Shared<R>,
    request: UpgradeRequest,
    info: &ConnectionInfo,
) -> Decision {
    let head = PackedRequest::new(request.head());
    let version = request.version();
    let selected = request.subprotocol().map(Into::into);
    let answer = match &shared.options.on_upgrade {
        Some(decide) => {
            let upgrade = Upgrade::new(request, info);
            let failed = Answer::reject(500);
            panics::run(|| decide(upgrade)).await.unwrap_or(failed)
        }
        None => Answer::accept(),
    };
    Decision {
        head,
        version,
        selected,
        answer,
    }
}

/// Gives the application's answer to the handshake.
pub(crate) fn answer(
    handshake: &mut ServerHandshake,
    decision: Decision,
) -> Result<Ticket, Rejected> {
    let Decision {
        head,
        version,
        selected,
        answer,
    } = decision;
    let Answer {
        verdict,
        extensions,
    } = answer;
    let rejection = match verdict {
        Ok(Verdict::Accept(accept)) => {
            let subprotocol = accept.chosen_subprotocol(selected.as_deref());
            let subprotocol = subprotocol.map(Into::into);
            match handshake.accept(accept) {
                Ok(()) => {
                    return Ok(Ticket {
                        head,
                        version,
                        subprotocol,
                        extensions,
                    });
                }
                Err(error) => Err(error),
            }
        }
        Ok(Verdict::Reject(rejection)) => Ok(rejection),
        Err(error) => Err(error),
    };
    let rejection = rejection.unwrap_or_else(|error| {
        tracing::error!(target: "ws", "on_upgrade gave an answer that cannot be used: {error}");
        Rejection::new(::http::StatusCode::INTERNAL_SERVER_ERROR)
    });
    let status = rejection.status();
    if let Err(error) = handshake.reject(rejection) {
        tracing::error!(target: "ws", "on_upgrade gave an answer that cannot be used: {error}");
        let rejection = Rejection::new(::http::StatusCode::INTERNAL_SERVER_ERROR);
        handshake
            .reject(rejection)
            .expect("500 can reject a request that is pending");
    }
    Err(Rejected::Application { status })
}
