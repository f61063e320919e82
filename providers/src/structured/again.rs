//! The question that follows an answer which was not what was asked for.

use flow_core::action::Earlier;
use flow_core::provider::{Message, Part, Request, Role};

/// The most bytes of an answer that are sent back.
const LONGEST: usize = 64 << 10;

/// The request with its answer and what is wrong with that, where there was one.
pub(crate) fn once_more(mut request: Request, earlier: Option<&Earlier>) -> Request {
    let Some(Earlier { failure, reply: Some(reply) }) = earlier else { return request };
    let reply = reply.trim();
    let reply = match reply.len() > LONGEST {
        true => format!("{}…", &reply[..reply.floor_char_boundary(LONGEST)]),
        false => reply.to_owned(),
    };
    let wrong = format!(
        "That cannot be used: {}. Answer again with the whole JSON value, put right, and with nothing else.",
        failure.message
    );
    let said = |role, text| Message { role, parts: vec![Part::Text(text)] };
    request.messages.push(said(Role::Assistant, reply));
    request.messages.push(said(Role::User, wrong));
    request
}
