//! The callbacks that tie a session to indymilter: the negotiation, and the arguments of each stage.

use std::{
    ffi::{CStr, CString},
    net::IpAddr,
    sync::Arc,
};

use indymilter::{
    Actions, Callbacks, Context, ContextActions as _, EomActions, EomContext, MacroStage, Macros,
    NegotiateContext, ProtoOpts, SetErrorReply, SocketInfo, Status,
};
use tracing::warn;

use super::{
    Shared, envelope,
    session::{Agreement, Answer, Gone, Replies, Session},
};

/// The actions that a rewritten message needs.
const ACTIONS: Actions = Actions::ADD_HEADER
    .union(Actions::CHANGE_HEADER)
    .union(Actions::REPLACE_BODY);

/// Further actions that may be needed.
const WISHED_ACTIONS: Actions = Actions::DELETE_RCPT;

/// The options that make the dialogue short. `NOREPLY_DATA` is not among them: a decision that
/// follows from the envelope is answered there, and over TCP, Postfix hands the connection from smtpd
/// to cleanup at this stage: without a reply here cleanup's first write waits 40 ms for a delayed
/// acknowledgement.
const OPTIONS: ProtoOpts = ProtoOpts::NOREPLY_HEADER
    .union(ProtoOpts::NOREPLY_BODY)
    .union(ProtoOpts::SKIP)
    .union(ProtoOpts::LEADING_SPACE);

/// The options that make it shorter over a unix socket. Over TCP each of Postfix's writes would wait
/// for the acknowledgement of the one before, which is delayed when it carries no reply.
const LOCAL_OPTIONS: ProtoOpts = ProtoOpts::NOREPLY_CONNECT
    .union(ProtoOpts::NOREPLY_MAIL)
    .union(ProtoOpts::NOREPLY_RCPT);

/// The macros of each stage. A list that we send replaces Postfix's own list of the stage.
const MACROS: [(MacroStage, &CStr); 6] = [
    (MacroStage::Connect, c"{daemon_name}"),
    (MacroStage::Mail, c"{auth_authen}"),
    (MacroStage::Rcpt, c"i {rcpt_host} {rcpt_mailer}"),
    (MacroStage::Data, c"i"),
    (MacroStage::Eoh, c"i"),
    (MacroStage::Eom, c"i"),
];

/// The callbacks of all sessions.
pub(super) fn make(shared: &Arc<Shared>) -> Callbacks<Session> {
    let shared = Arc::clone(shared);
    Callbacks::new()
        .on_negotiate(move |cx, actions, options| {
            let status = negotiate(cx, actions, options, &shared);
            Box::pin(async move { status })
        })
        .on_connect(|cx, _, socket| Box::pin(async move { connect(cx, &socket) }))
        .on_mail(|cx, arguments| Box::pin(async move { mail(cx, &arguments) }))
        .on_rcpt(|cx, arguments| Box::pin(async move { rcpt(cx, &arguments) }))
        .on_data(|cx| Box::pin(async move { data(cx) }))
        .on_header(|cx, name, value| Box::pin(async move { header(cx, name, value) }))
        .on_eoh(|cx| Box::pin(end_of_header(cx)))
        .on_body(|cx, chunk| Box::pin(async move { body(cx, &chunk).await }))
        .on_eom(|cx| Box::pin(end_of_message(cx)))
        .on_abort(|cx| Box::pin(async move { abort(cx) }))
}

/// Negotiates. Asks for no more than is offered: Postfix closes the connection otherwise.
fn negotiate(
    cx: &mut NegotiateContext<Session>,
    actions: Actions,
    options: ProtoOpts,
    shared: &Arc<Shared>,
) -> Status {
    cx.requested_actions = ACTIONS.union(WISHED_ACTIONS) & actions;
    let local = shared.is_local && options.contains(LOCAL_OPTIONS);
    let wished = if local {
        OPTIONS | LOCAL_OPTIONS
    } else {
        OPTIONS
    };

    cx.requested_opts = (cx.requested_opts | wished) & options;
    for (stage, names) in MACROS {
        cx.requested_macros.insert(stage, names.to_owned());
    }

    let agreement = Agreement {
        noreply_envelope: local,
        noreply_header: cx.requested_opts.contains(ProtoOpts::NOREPLY_HEADER),
        noreply_body: cx.requested_opts.contains(ProtoOpts::NOREPLY_BODY),
        skip: cx.requested_opts.contains(ProtoOpts::SKIP),
        leading_space: cx.requested_opts.contains(ProtoOpts::LEADING_SPACE),
        editable: actions.contains(ACTIONS),
        recipients: actions.contains(WISHED_ACTIONS),
    };

    if !agreement.editable {
        warn!("the mail server does not let mail be changed: all of it passes");
    }

    cx.data = Some(Session::new(Arc::clone(shared), agreement));
    Status::Continue
}

fn connect(cx: &mut Context<Session>, socket: &SocketInfo) -> Status {
    let daemon = text(&cx.macros, c"{daemon_name}");
    let session = cx.data.as_mut();
    status(session.map(|session| session.connect(address(socket), daemon)))
}

fn mail(cx: &mut Context<Session>, arguments: &[CString]) -> Status {
    let login = text(&cx.macros, c"{auth_authen}");
    let mut arguments = arguments.iter().map(|argument| argument.to_bytes());
    let sender = arguments.next().unwrap_or_default();
    let answer = cx
        .data
        .as_mut()
        .map(|session| session.mail(sender, arguments, login));
    status(answer)
}

fn rcpt(cx: &mut Context<Session>, arguments: &[CString]) -> Status {
    let recipient = arguments
        .first()
        .map(|argument| argument.to_bytes())
        .unwrap_or_default();
    let transport = text(&cx.macros, c"{rcpt_mailer}");
    let next_hop = text(&cx.macros, c"{rcpt_host}");
    let route = envelope::route(transport.as_deref(), next_hop.as_deref());
    status(
        cx.data
            .as_mut()
            .map(|session| session.rcpt(recipient, route)),
    )
}

fn data(cx: &mut Context<Session>) -> Status {
    let queue_id = text(&cx.macros, c"i");
    let Some(session) = &mut cx.data else {
        return Status::Continue;
    };
    let answer = session.data(queue_id);
    answer_with(&mut cx.reply, session, answer)
}

fn header(cx: &mut Context<Session>, name: CString, value: CString) -> Status {
    let field = (name.into_bytes(), value.into_bytes());
    status(
        cx.data
            .as_mut()
            .map(|session| session.header(field.0, field.1)),
    )
}

async fn end_of_header(cx: &mut Context<Session>) -> Status {
    let queue_id = text(&cx.macros, c"i").unwrap_or_default();
    let Some(session) = &mut cx.data else {
        return Status::Accept;
    };
    let answer = session.end_of_header(queue_id).await;
    answer_with(&mut cx.reply, session, answer)
}

async fn body(cx: &mut Context<Session>, chunk: &[u8]) -> Status {
    match &mut cx.data {
        Some(session) => status(Some(session.body(chunk).await)),
        None => Status::Accept,
    }
}

async fn end_of_message(cx: &mut EomContext<Session>) -> Status {
    let Some(session) = &mut cx.data else {
        return Status::Accept;
    };
    let answer = session.finish(&PostfixReplies(&cx.actions)).await;
    answer_with(&mut cx.reply, session, answer)
}

fn abort(cx: &mut Context<Session>) -> Status {
    if let Some(session) = &mut cx.data {
        session.abort();
    }
    Status::Continue
}

/// The status of an answer. Without a session nothing was negotiated, and the mail goes its way.
fn status(answer: Option<Answer>) -> Status {
    match answer {
        Some(Answer::Continue) => Status::Continue,
        Some(Answer::Silence) => Status::Noreply,
        Some(Answer::Skip) => Status::Skip,
        Some(Answer::Accept) | None => Status::Accept,
        Some(Answer::Tempfail | Answer::Refuse) => Status::Tempfail,
    }
}

/// The status of an answer, with the line that the client gets.
fn answer_with(reply: &mut impl SetErrorReply, session: &Session, answer: Answer) -> Status {
    match (answer, session.refusal()) {
        (Answer::Refuse, Some(refusal)) => {
            let (code, class) = if refusal.for_good {
                ("550", "5.7.1")
            } else {
                ("451", "4.7.1")
            };

            // Postfix takes a lone `%` away.
            let set = reply.set_error_reply(code, Some(class), [refusal.text.replace('%', "%%")]);
            debug_assert!(set.is_ok(), "the configuration allows no other text");

            if refusal.for_good {
                Status::Reject
            } else {
                Status::Tempfail
            }
        }
        _ => {
            set_reply(reply, answer);
            status(Some(answer))
        }
    }
}

/// Sets the line for a failure. The sender's server sees it, and so may the sender. Postfix takes a
/// lone `%` away.
fn set_reply(reply: &mut impl SetErrorReply, answer: Answer) {
    if answer == Answer::Tempfail {
        let line = "depollueur: attachments cannot be stored at the moment, try again later";
        let set = reply.set_error_reply("451", Some("4.3.0"), [line.replace('%', "%%")]);
        debug_assert!(set.is_ok(), "the reply is well-formed");
    }
}

fn text(macros: &Macros, name: &CStr) -> Option<String> {
    let value = macros.get(name)?.to_string_lossy();
    (!value.is_empty()).then(|| value.into_owned())
}

fn address(socket: &SocketInfo) -> Option<IpAddr> {
    match socket {
        SocketInfo::Inet(address) => Some(address.ip()),
        SocketInfo::Unix(_) | SocketInfo::Unknown => None,
    }
}

/// The end of a message as indymilter offers it. An action fails only when the connection does.
struct PostfixReplies<'a>(&'a EomActions);

impl Replies for PostfixReplies<'_> {
    async fn progress(&self) -> Result<(), Gone> {
        self.0.progress().await.map_err(|_| Gone)
    }

    async fn change(&self, name: &str, value: Option<&str>) -> Result<(), Gone> {
        self.0
            .change_header(c_string(name), 1, value.map(c_string))
            .await
            .map_err(|_| Gone)
    }

    async fn change_one(&self, name: &str, index: u32, value: Option<&[u8]>) -> Result<(), Gone> {
        let value = value.map(c_bytes);
        self.0
            .change_header(c_string(name), index as i32, value)
            .await
            .map_err(|_| Gone)
    }

    async fn remove_recipient(&self, address: &str) -> Result<(), Gone> {
        self.0
            .delete_recipient(c_string(&format!("<{address}>")))
            .await
            .map_err(|_| Gone)
    }

    async fn append(&self, name: &str, value: &str) -> Result<(), Gone> {
        self.0
            .add_header(c_string(name), c_string(value))
            .await
            .map_err(|_| Gone)
    }

    async fn body(&self, piece: &[u8]) -> Result<(), Gone> {
        self.0.replace_body(piece).await.map_err(|_| Gone)
    }
}

/// Makes a C string. Text of our own making holds no NUL; were there one, the text would end before it.
fn c_string(text: &str) -> CString {
    c_bytes(text.as_bytes())
}

fn c_bytes(text: &[u8]) -> CString {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}
