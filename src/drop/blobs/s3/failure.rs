//! What went wrong between us and the bucket: the true cause, and what to do about it.

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use object_store::client::{HttpError, HttpErrorKind};

use super::service::ServiceRefusal;
use crate::untrusted::Untrusted;

/// Number of characters kept of the service's own words.
const WORDS_CHARS_MAX: usize = 300;

/// The failure of a request.
#[derive(Debug)]
pub(super) enum Failure {
    /// The service took no byte, or gave no answer, for too long.
    Stalled(Duration),
    /// There is no connection, or it broke.
    Broken(String),
    /// The service refused.
    Refused {
        status: u16,
        code: String,
        message: String,
        /// The difference of its clock to ours.
        ahead: Option<SignedDuration>,
    },
    /// The answer is none of S3.
    Senseless(String),
}

impl Failure {
    /// Finds the cause of an error. `patience` is the time that was waited.
    pub(super) fn of(error: &(dyn Error + 'static), patience: Duration) -> Self {
        let chain = || std::iter::successors(Some(error), |&error| error.source());
        if let Some(refusal) = chain().find_map(|cause| cause.downcast_ref::<ServiceRefusal>()) {
            return Self::refused(refusal);
        }
        match chain().find_map(|cause| cause.downcast_ref::<HttpError>()) {
            Some(broken) if broken.kind() == HttpErrorKind::Timeout => Self::Stalled(patience),
            Some(broken) => Self::Broken(innermost(broken)),
            None => Self::Senseless(innermost(error)),
        }
    }

    fn refused(refusal: &ServiceRefusal) -> Self {
        let now = Timestamp::now();
        let words = Untrusted(&*refusal.message).to_string();
        Self::Refused {
            status: refusal.status,
            code: Untrusted(&*refusal.code).to_string(),
            message: words.chars().take(WORDS_CHARS_MAX).collect(),
            ahead: refusal.date.map(|date| date.duration_since(now)),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Stalled(_) => ErrorKind::TimedOut,
            Self::Broken(_) => ErrorKind::NotConnected,
            Self::Senseless(_) => ErrorKind::InvalidData,
            Self::Refused { status, code, .. } => match (status, code.as_str()) {
                (_, "NoSuchBucket") => ErrorKind::Other,
                (_, "QuotaExceeded" | "InsufficientStorage") | (507, _) => ErrorKind::StorageFull,
                (404, _) => ErrorKind::NotFound,
                (416, _) => ErrorKind::UnexpectedEof,
                (401 | 403, _) => ErrorKind::PermissionDenied,
                _ => ErrorKind::Other,
            },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled(patience) => write!(
                f,
                "the service did nothing for {} s (s3.timeout)",
                patience.as_secs()
            ),
            Self::Broken(why) => write!(f, "no connection to s3.endpoint: {why}"),
            Self::Senseless(why) => write!(
                f,
                "the answer makes no sense: {why}; does s3.endpoint speak S3?"
            ),
            Self::Refused {
                status,
                code,
                message,
                ahead,
            } => {
                let ahead = ahead.unwrap_or_default();
                write!(f, "{}", advice(*status, code, ahead))?;
                match (code.as_str(), message.as_str()) {
                    ("", _) => write!(f, " (status {status})"),
                    (code, "") => write!(f, " ({code})"),
                    (code, message) => write!(f, " ({code}: {message})"),
                }
            }
        }
    }
}

impl Error for Failure {}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind(), failure)
    }
}

/// Returns the meaning of a refusal for an admin, and what to do. The codes are those of
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>; Garage has a few of them.
fn advice(status: u16, code: &str, ahead: SignedDuration) -> String {
    let text = match (status, code) {
        (_, "RequestTimeTooSkewed") => {
            return format!(
                "the clocks of this host and of the service are {} s apart; set the one that is wrong, timedatectl shows this one",
                ahead.as_secs().abs()
            );
        }
        (_, "SignatureDoesNotMatch") => {
            "the secret in s3.secret_key_file is not the one of s3.access_key_id"
        }
        (_, "InvalidAccessKeyId") => "the service does not know the key of s3.access_key_id",
        (_, "NoSuchBucket") => {
            "the service has no bucket of this name: make it, or correct s3.bucket"
        }
        (_, "AuthorizationHeaderMalformed") => "s3.region is not the region of the service",
        (_, "SlowDown" | "ServiceUnavailable") => "the service has too much to do",
        (_, "QuotaExceeded" | "InsufficientStorage") | (507, _) => "the service has no room left",
        (401 | 403, _) => {
            "the key of s3.access_key_id may not do that in this bucket, or its secret, s3.region or the clock of this host is wrong"
        }
        (404, _) => "it is missing",
        (300..=399, _) => {
            "the service wants another address: correct s3.endpoint, s3.region or s3.path_style"
        }
        _ => "the service refused",
    };
    text.to_owned()
}

/// Returns the last cause of an error, in its own words: the ones around it say no more.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let last = std::iter::successors(Some(error), |&error| error.source()).last();
    let words = last.unwrap_or(error).to_string();
    Untrusted(words.chars().take(WORDS_CHARS_MAX).collect::<String>()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, code: &str) -> io::Error {
        let refusal = ServiceRefusal {
            status,
            code: code.into(),
            message: "said\n\u{1b}[31m so".into(),
            date: None,
        };
        let error = HttpError::new(HttpErrorKind::Decode, refusal);
        Failure::of(&error, Duration::from_secs(1)).into()
    }

    #[test]
    fn each_cause_is_told_apart() {
        use ErrorKind::{NotFound, Other, PermissionDenied, StorageFull};
        for (status, code, kind, says) in [
            (
                403,
                "RequestTimeTooSkewed",
                PermissionDenied,
                "the clocks of",
            ),
            (
                403,
                "SignatureDoesNotMatch",
                PermissionDenied,
                "s3.secret_key_file",
            ),
            (
                403,
                "InvalidAccessKeyId",
                PermissionDenied,
                "does not know the key",
            ),
            (403, "AccessDenied", PermissionDenied, "may not do that"),
            (403, "", PermissionDenied, "(status 403)"),
            (404, "NoSuchBucket", Other, "s3.bucket"),
            (404, "NoSuchKey", NotFound, "it is missing"),
            (404, "", NotFound, "it is missing"),
            (400, "AuthorizationHeaderMalformed", Other, "s3.region"),
            (301, "PermanentRedirect", Other, "s3.endpoint"),
            (503, "SlowDown", Other, "too much to do"),
            (507, "", StorageFull, "no room left"),
            (502, "", Other, "refused (status 502)"),
        ] {
            let error = failure(status, code);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn words_of_the_service_are_one_harmless_line() {
        let error = failure(403, "AccessDenied").to_string();
        assert!(!error.contains(['\n', '\u{1b}']), "{error}");
        assert!(
            error.ends_with(r"(AccessDenied: said\n\u{1b}[31m so)"),
            "{error}"
        );
    }
}
