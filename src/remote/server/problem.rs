//! Refusals, in the form of RFC 9457.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use tracing::error;

use super::code::ProblemCode;
use crate::{
    drop::DropError,
    ledger::LedgerError,
    remote::wire::ProblemBody,
    scan::{Objection, ScanFinding},
};

/// The refusal of a request.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: ProblemCode,
    detail: String,
    retry_after: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: ProblemCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            status,
            code,
            detail,
            retry_after: None,
        }
    }

    /// A refusal: the request itself is malformed.
    pub(super) fn bad(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// A refusal: the request is readable but asks for something impossible.
    pub(super) fn unsound(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// A refusal: the request conflicts with the present state.
    pub(super) fn conflict(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    pub(super) fn unknown() -> Self {
        let detail = "this package was not begun here, or was given up";
        Self::new(StatusCode::NOT_FOUND, ProblemCode::UnknownPackage, detail)
    }

    /// A refusal: there is too much at once; later there may be room.
    pub(super) fn too_much(code: ProblemCode, detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail);
        Self {
            retry_after: Some(60),
            ..problem
        }
    }

    /// A refusal: today's quota is used up.
    pub(super) fn over_quota(uploader: &str) -> Self {
        let detail = format!("the quota of \"{uploader}\" for today is used up");
        let now = Timestamp::now().as_second();
        Self {
            retry_after: u64::try_from(86_400 - now.rem_euclid(86_400)).ok(),
            ..Self::new(StatusCode::INSUFFICIENT_STORAGE, ProblemCode::Quota, detail)
        }
    }
}

/// Maps an error of the drop to a refusal. Its cause is for the admin's log; the uploader is told
/// what it means.
impl From<DropError> for Problem {
    fn from(error: DropError) -> Self {
        if let Some(allotment) = error.allotment() {
            // The drop logs it, once a day.
            return Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                allotment.into(),
                error.to_string(),
            );
        }

        error!("could not take a deposit: {error}");
        match error {
            error if error.is_full() => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                ProblemCode::Full,
                "no space is left in the drop",
            ),
            DropError::Ledger(LedgerError::Quota { .. }) => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                ProblemCode::DropQuota,
                error.to_string(),
            ),
            DropError::Ledger(LedgerError::Blocked) => {
                Self::unsound(ProblemCode::Blocked, error.to_string())
            }
            DropError::Scan(objection) => objection.into(),
            DropError::Ledger(LedgerError::Suspended) => {
                Self::unsound(ProblemCode::Suspended, error.to_string())
            }
            _ => Self {
                retry_after: Some(60),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    ProblemCode::Failed,
                    "the drop failed; its log says why",
                )
            },
        }
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        DropError::from(error).into()
    }
}

/// Maps an objection of the virus scan to a refusal. A finding is told; the reason for a missing
/// scan goes to the log.
impl From<Objection> for Problem {
    fn from(objection: Objection) -> Self {
        let finding = objection.finding();
        match finding {
            ScanFinding::Infected | ScanFinding::Oversize => {
                Self::unsound(finding.into(), objection.to_string())
            }
            ScanFinding::Unscanned => Self {
                retry_after: Some(60),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    finding.into(),
                    "a file could not be scanned; the log of the drop says why",
                )
            },
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            title: self.status.canonical_reason().unwrap_or_default().into(),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code.word().into(),
        };
        let body = serde_json::to_string(&body).expect("strings and numbers are JSON");
        let mut response = (self.status, body).into_response();

        let headers = response.headers_mut();
        let media_type = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, media_type);
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"deposit\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
