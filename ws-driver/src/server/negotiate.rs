//! What an upgrade request is answered, whoever read it: the application is asked, the handshake is
//! told.

use ws_proto::{Rejection, RequestHead, ServerHandshake, UpgradeRequest, Version};

use super::shared::Shared;
use super::upgrade::{Answer, Upgrade, Verdict};
use crate::observer::{ConnectionInfo, Rejected};
use crate::panics;
use crate::runtime::Runtime;

/// What is known of an upgrade once it is accepted.
pub(crate) struct Ticket {
    pub(crate) head: RequestHead,
    pub(crate) version: Version,
    pub(crate) subprotocol: Option<String>,
    pub(crate) extensions: ::http::Extensions,
}

/// Asks the application what to answer.
pub(crate) async fn decide<R: Runtime>(
    shared: &Shared<R>,
    request: UpgradeRequest,
    info: &ConnectionInfo,
) -> (UpgradeRequest, Answer) {
    let upgrade = Upgrade::new(request.clone(), info.id, info.peer_addr);
    let answer = match &shared.options.on_upgrade {
        Some(decide) => {
            let failed = upgrade.reject(500);
            panics::run(|| decide(upgrade)).await.unwrap_or(failed)
        }
        None => upgrade.accept(),
    };
    (request, answer)
}

/// Gives the application's answer to the handshake.
pub(crate) fn answer(
    handshake: &mut ServerHandshake,
    (request, answer): (UpgradeRequest, Answer),
) -> Result<Ticket, Rejected> {
    let Answer {
        verdict,
        extensions,
    } = answer;
    let rejection = match verdict {
        Ok(Verdict::Accept(accept)) => {
            let chosen = request.chosen_subprotocol(&accept).map(str::to_owned);
            match handshake.accept(accept) {
                Ok(()) => {
                    return Ok(Ticket {
                        version: request.version(),
                        subprotocol: chosen,
                        head: request.into_head(),
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
