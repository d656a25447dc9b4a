//! The part of a file that a request wants: preconditions and ranges (RFC 9110, sections 13 and
//! 14).

use std::ops::Range;

use axum::http::{HeaderMap, HeaderName, Method, header};
use http_range_header::{
    EndPosition, RangeUnsatisfiableError, StartPosition, SyntacticallyCorrectRange,
    parse_range_header,
};

/// The part to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConditionalResponse {
    /// Everything: 200.
    Whole,
    /// These bytes: 206.
    Range(Range<u64>),
    /// The client has the current version: 304.
    NotModified,
    /// The client wants another version: 412.
    PreconditionFailed,
    /// The range lies past the end: 416.
    Unsatisfiable,
}

/// Evaluates preconditions and range in the order of section 13.2.2. There is no date of
/// modification, so conditions on dates are void.
pub(crate) fn part(
    method: &Method,
    headers: &HeaderMap,
    etag: &str,
    len: u64,
) -> ConditionalResponse {
    if listed(headers, &header::IF_MATCH, |tag| tag == etag) == Some(false) {
        return ConditionalResponse::PreconditionFailed;
    }
    let weakly_equal = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag) == etag;
    if listed(headers, &header::IF_NONE_MATCH, weakly_equal) == Some(true) {
        return ConditionalResponse::NotModified;
    }

    // Section 14.2: a range is defined for GET only.
    if method != Method::GET || !may_have_range(headers, etag) {
        return ConditionalResponse::Whole;
    }
    match headers
        .get(header::RANGE)
        .map(|value| value.to_str().unwrap_or_default())
    {
        Some(value) => range(value, len),
        None => ConditionalResponse::Whole,
    }
}

/// `Some(true)` if a field that lists tags has one that `is_ours`, or is `*`; `None` without the
/// field.
fn listed(headers: &HeaderMap, name: &HeaderName, is_ours: impl Fn(&str) -> bool) -> Option<bool> {
    headers.contains_key(name).then(|| {
        let values = headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok());
        values
            .flat_map(|v| v.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || is_ours(tag))
    })
}

/// Returns true if a range may be sent: `If-Range` wants the very same bytes, a strong comparison
/// (section 13.1.5).
fn may_have_range(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get(header::IF_RANGE)
        .is_none_or(|value| value.as_bytes() == etag.as_bytes())
}

/// Reads the range. One that is not understood is ignored, and so are several ranges at once, as
/// section 14.2 allows: the answer is the whole file.
fn range(value: &str, len: u64) -> ConditionalResponse {
    match parse_range_header(value).map(|parsed| parsed.ranges) {
        Ok(ranges) => match ranges.as_slice() {
            [one] => resolve(one, len),
            _ => ConditionalResponse::Whole,
        },
        Err(RangeUnsatisfiableError::ZeroSuffix) => ConditionalResponse::Unsatisfiable,
        Err(_) => ConditionalResponse::Whole,
    }
}

/// Resolves a range against the length. The parser's own `validate` is not used: it refuses a
/// suffix longer than the file, which is the whole file (section 14.1.2), and does not distinguish
/// a reversed range from one past the end.
fn resolve(range: &SyntacticallyCorrectRange, len: u64) -> ConditionalResponse {
    let start = match range.start {
        StartPosition::Index(start) => start,
        StartPosition::FromLast(suffix) => len.saturating_sub(suffix),
    };
    let last = match range.end {
        EndPosition::Index(last) => last,
        EndPosition::LastByte => u64::MAX,
    };
    if last < start {
        return ConditionalResponse::Whole;
    }
    if start >= len {
        return ConditionalResponse::Unsatisfiable;
    }
    ConditionalResponse::Range(start..last.saturating_add(1).min(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"abc\"";

    fn get(fields: &[(HeaderName, &str)], len: u64) -> ConditionalResponse {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value.parse().unwrap());
        }
        part(&Method::GET, &headers, ETAG, len)
    }

    #[test]
    fn single_ranges_are_cut_to_the_file() {
        for (value, len, expected) in [
            ("bytes=0-0", 10, ConditionalResponse::Range(0..1)),
            ("bytes=3-", 10, ConditionalResponse::Range(3..10)),
            ("bytes=3-99", 10, ConditionalResponse::Range(3..10)),
            (
                "bytes=0-18446744073709551615",
                10,
                ConditionalResponse::Range(0..10),
            ),
            ("bytes=-4", 10, ConditionalResponse::Range(6..10)),
            ("bytes=-99", 10, ConditionalResponse::Range(0..10)),
            ("bytes=10-", 10, ConditionalResponse::Unsatisfiable),
            ("bytes=99-100", 10, ConditionalResponse::Unsatisfiable),
            ("bytes=-0", 10, ConditionalResponse::Unsatisfiable),
            ("bytes=0-", 0, ConditionalResponse::Unsatisfiable),
            ("bytes=-1", 0, ConditionalResponse::Unsatisfiable),
        ] {
            assert_eq!(get(&[(header::RANGE, value)], len), expected, "{value}");
        }
    }

    #[test]
    fn what_is_not_one_range_is_answered_with_the_whole() {
        for value in [
            "bytes=0-1,3-4",
            "bytes=5-3",
            "bytes=a-",
            "bytes=",
            "lines=1-2",
            "bytes=0-0,-1",
        ] {
            assert_eq!(
                get(&[(header::RANGE, value)], 10),
                ConditionalResponse::Whole,
                "{value}"
            );
        }
    }

    #[test]
    fn if_range_wants_the_very_same_bytes() {
        let range = (header::RANGE, "bytes=1-2");
        for (value, expected) in [
            (ETAG, ConditionalResponse::Range(1..3)),
            ("\"other\"", ConditionalResponse::Whole),
            ("W/\"abc\"", ConditionalResponse::Whole),
            ("Sun, 22 Nov 2026 09:04:00 GMT", ConditionalResponse::Whole),
        ] {
            assert_eq!(
                get(&[range.clone(), (header::IF_RANGE, value)], 10),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn if_none_match_compares_weakly_and_comes_before_the_range() {
        let range = (header::RANGE, "bytes=1-2");
        for value in [ETAG, "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            let fields = [range.clone(), (header::IF_NONE_MATCH, value)];
            assert_eq!(
                get(&fields, 10),
                ConditionalResponse::NotModified,
                "{value}"
            );
        }
        assert_eq!(
            get(&[(header::IF_NONE_MATCH, "\"x\"")], 10),
            ConditionalResponse::Whole
        );
    }

    #[test]
    fn if_match_of_another_version_fails() {
        assert_eq!(
            get(&[(header::IF_MATCH, "\"x\"")], 10),
            ConditionalResponse::PreconditionFailed
        );
        assert_eq!(
            get(&[(header::IF_MATCH, "W/\"abc\"")], 10),
            ConditionalResponse::PreconditionFailed
        );
        assert_eq!(
            get(&[(header::IF_MATCH, ETAG)], 10),
            ConditionalResponse::Whole
        );
        assert_eq!(
            get(&[(header::IF_MATCH, "*")], 10),
            ConditionalResponse::Whole
        );
    }

    #[test]
    fn head_knows_no_range() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, "bytes=99-".parse().unwrap());
        assert_eq!(
            part(&Method::HEAD, &headers, ETAG, 10),
            ConditionalResponse::Whole
        );
    }
}
