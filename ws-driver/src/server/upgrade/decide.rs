//! The answer to an upgrade request, whoever has read the request: asks the application, and passes its answer to the
//! handshake.

use ws_proto::hooks::{PackedRequest, PackedUpgrade};
use ws_proto::{Rejection, ServerHandshake, Version};

use super::{Answer, Upgrade, Verdict};
use crate::observe::ConnectionInfo;
use crate::observe::rejected::Rejected;
use crate::runtime::Runtime;
use crate::server::shared::SharedServer;
use crate::util::panics;

/// An accepted upgrade: the facts that the connection keeps of it.
pub(crate) struct AcceptedUpgrade {
    pub(crate) head: PackedRequest,
    pub(crate) version: Version,
    pub(crate) subprotocol: Option<Box<str>>,
    pub(crate) extensions: ::http::Extensions,
}

/// The answer of the application, and the facts of the request that the connection keeps if it is accepted.
pub(crate) struct Decision {
    head: PackedRequest,
    version: Version,
    /// The subprotocol that the server's options choose.
    selected: Option<Box<str>>,
    answer: Answer,
}

impl Decision {
    /// Accepts a request, because there is no application to ask.
    pub(crate) fn accept(request: PackedUpgrade) -> Self {
        Self {
            version: request.version(),
            selected: request.subprotocol().map(Into::into),
            head: request.into_head(),
            answer: Answer::accept(),
        }
    }
}

#[cfg(feature = "upgrade")]
impl Decision {
    /// Returns whether the application accepts. The handshake can still refuse the answer as unusable.
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self.answer.verdict, Ok(Verdict::Accept(_)))
    }

    /// Changes the answer.
    pub(crate) fn change(&mut self, change: impl FnOnce(Answer) -> Answer) {
        let answer = std::mem::replace(&mut self.answer, Answer::accept());
        self.answer = change(answer);
    }
}

/// Asks the application, if it wants to be asked, what to answer.
pub(crate) async fn decide<R: Runtime>(
    shared: &SharedServer<R>,
    request: PackedUpgrade,
    info: &ConnectionInfo,
) -> Decision {
    let Some(decide) = &shared.settings.on_upgrade else {
        return Decision::accept(request);
    };
    // A copy, because the application may keep its own for longer or shorter than the connection lives.
    let mut decision = Decision::accept(request.clone());
    let upgrade = Upgrade::new(request.unpack(), info);
    // A panic in `on_upgrade` costs this request and not the task, so that the peer gets an answer.
    let answer = panics::run(|| decide(upgrade)).await;
    decision.answer = answer.unwrap_or_else(|_| Answer::reject(500));
    decision
}

/// Passes the application's answer to the handshake.
pub(crate) fn answer(
    handshake: &mut ServerHandshake,
    decision: Decision,
) -> Result<AcceptedUpgrade, Rejected> {
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
                    return Ok(AcceptedUpgrade {
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
    // An unusable answer becomes a 500. The details are in the log only, because the peer is not to learn them.
    let rejection = rejection.unwrap_or_else(|error| {
        tracing::error!(target: "ws", "on_upgrade gave an answer that cannot be used: {error}");
        Rejection::new(::http::StatusCode::INTERNAL_SERVER_ERROR)
    });
    // A status such as 101 is found only here. The second rejection is ours and always valid.
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
