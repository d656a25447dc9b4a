//! `Authentication-Results` (RFC 8601), as far as it says from which domain a message is. Pure.
//!
//! A field counts only if it begins with the authserv-id that the admin named: that of his own verifier, which must
//! remove what comes from outside under its name (RFC 8601, section 5). DMARC decides where it was asked, since it is
//! about the address that readers see. Otherwise SPF or DKIM must have passed for the domain of the envelope. If
//! results of one method differ, one of them is forged, and nothing is known.

use super::domain;
use crate::config::fold;

/// Bytes of fields that are read; those behind are ignored.
const BYTES_MAX: usize = 64 << 10;

/// The finding of one method.
#[derive(Debug, Default, PartialEq, Eq)]
struct MethodResult {
    method: String,
    passed: bool,
    failed: bool,
    /// `header.from`, `smtp.mailfrom`, … in lower case.
    properties: Vec<(String, String)>,
}

/// A piece of a field.
#[derive(Debug, PartialEq, Eq)]
enum Lexeme {
    Word(String),
    Equals,
    Semicolon,
}

/// The domain from which a message comes, by the fields of a trusted verifier.
pub(crate) fn genuine_domain<'a>(
    fields: impl Iterator<Item = &'a [u8]>,
    authserv_id: &str,
    sender: &str,
) -> Option<String> {
    let findings = findings_of(fields, authserv_id);
    let of = |method| findings.iter().filter(move |found| found.method == method);
    if of("dmarc").next().is_some() {
        return agreed(of("dmarc").map(|found| found.domain("header.from")));
    }
    let envelope = fold(domain(sender)?);
    let is_envelope = |found: &str| found == envelope;
    let mailfrom = of("spf").filter(|found| found.has("smtp.mailfrom"));
    let by_spf = agreed(mailfrom.map(|found| found.domain("smtp.mailfrom")));
    let mut by_dkim = of("dkim").filter_map(|found| found.domain("header.d"));
    let is_genuine = by_spf.as_deref().is_some_and(is_envelope) || by_dkim.any(is_envelope);
    is_genuine.then_some(envelope)
}

/// Returns true if a trusted verifier says that a message is not from the domain which readers see:
/// DMARC failed.
pub(crate) fn has_failed<'a>(fields: impl Iterator<Item = &'a [u8]>, authserv_id: &str) -> bool {
    findings_of(fields, authserv_id)
        .iter()
        .any(|found| found.method == "dmarc" && found.failed)
}

/// The domain on which all of them agree.
fn agreed<'a>(mut domains: impl Iterator<Item = Option<&'a str>>) -> Option<String> {
    let first = domains.next()??;
    let all = domains.all(|domain| domain == Some(first));
    all.then(|| first.to_owned())
}

impl MethodResult {
    fn has(&self, property: &str) -> bool {
        self.properties.iter().any(|(name, _)| name == property)
    }

    /// The domain in a property, if the method passed.
    fn domain(&self, property: &str) -> Option<&str> {
        let mut found = self.properties.iter().filter(|(name, _)| name == property);
        let (_, value) = found.next().filter(|_| self.passed)?;
        let bare = domain(value).unwrap_or(value).trim_end_matches('.');
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
        (bare.contains('.') && bare.chars().all(is_name)).then_some(bare)
    }
}

/// The findings in all fields of this authserv-id.
fn findings_of<'a>(fields: impl Iterator<Item = &'a [u8]>, authserv_id: &str) -> Vec<MethodResult> {
    let mut left = BYTES_MAX;
    let fits = |field: &&[u8]| {
        left = left.saturating_sub(field.len());
        left > 0
    };
    let fields = fields.take_while(fits);
    fields
        .flat_map(|field| findings(&String::from_utf8_lossy(field), authserv_id))
        .collect()
}

/// The findings in a field of this authserv-id; none in another's.
fn findings(field: &str, authserv_id: &str) -> Vec<MethodResult> {
    let tokens = tokens(field);
    let mut parts = tokens.split(|token| *token == Lexeme::Semicolon);
    let id = parts.next().and_then(|part| part.first());
    let is_ours = matches!(id, Some(Lexeme::Word(id)) if id.eq_ignore_ascii_case(authserv_id));
    if authserv_id.is_empty() || !is_ours {
        return Vec::new();
    }
    parts.filter_map(finding).collect()
}

fn finding(part: &[Lexeme]) -> Option<MethodResult> {
    let pair = |window: &[Lexeme]| match window {
        [Lexeme::Word(name), Lexeme::Equals, Lexeme::Word(value)] => {
            Some((fold(name), fold(value)))
        }
        _ => None,
    };
    let mut pairs = part.windows(3).filter_map(pair);
    let (method, result) = pairs.next()?;
    let method = method.split('/').next().unwrap_or_default().trim();
    Some(MethodResult {
        method: method.to_owned(),
        passed: result == "pass",
        failed: result == "fail",
        properties: pairs.collect(),
    })
}

/// Takes a field apart: comments are dropped, and a quoted string is one word.
fn tokens(field: &str) -> Vec<Lexeme> {
    let (mut tokens, mut word, mut depth, mut quoted) = (Vec::new(), None, 0_usize, false);
    let mut signs = field.chars();

    while let Some(sign) = signs.next() {
        // A quoted pair is the sign itself.
        let escaped = match sign {
            '\\' if quoted || depth > 0 => signs.next(),
            _ => None,
        };

        match (escaped, sign) {
            (Some(_), _) if depth > 0 => {}
            (Some(plain), _) => word.get_or_insert_with(String::new).push(plain),
            (_, '"') if depth == 0 => {
                quoted = !quoted;
                word.get_or_insert_with(String::new);
            }
            (_, plain) if quoted => word.get_or_insert_with(String::new).push(plain),
            (_, '(') => depth += 1,
            (_, ')') => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            (_, '=') => end(&mut tokens, &mut word, Some(Lexeme::Equals)),
            (_, ';') => end(&mut tokens, &mut word, Some(Lexeme::Semicolon)),
            (_, blank) if blank.is_whitespace() => end(&mut tokens, &mut word, None),
            (_, plain) => word.get_or_insert_with(String::new).push(plain),
        }
    }
    end(&mut tokens, &mut word, None);
    tokens
}

fn end(tokens: &mut Vec<Lexeme>, word: &mut Option<String>, then: Option<Lexeme>) {
    tokens.extend(word.take().map(Lexeme::Word));
    tokens.extend(then);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "mx.asso.example";

    fn found(fields: &[&str], sender: &str) -> Option<String> {
        genuine_domain(fields.iter().map(|field| field.as_bytes()), ID, sender)
    }

    #[test]
    fn a_domain_is_genuine_when_our_verifier_says_so() {
        let sender = "bounce@news.example";
        for (fields, expected) in [
            (
                &["mx.asso.example; dmarc=pass (p=NONE) header.from=shop.example"][..],
                Some("shop.example"),
            ),
            // Folded, with a version, comments and upper case.
            (
                &[
                    "MX.asso.example 1;\n\tspf=pass smtp.mailfrom=x@news.example;\n dmarc = Pass header.from=Shop.Example.",
                ],
                Some("shop.example"),
            ),
            (
                &[
                    "mx.asso.example; dmarc=fail header.from=shop.example; spf=pass smtp.mailfrom=news.example",
                ],
                None,
            ),
            (
                &["mx.asso.example; spf=pass smtp.mailfrom=news.example smtp.helo=a.example"],
                Some("news.example"),
            ),
            (
                &["mx.asso.example; spf=pass smtp.mailfrom=else.example"],
                None,
            ),
            (
                &["mx.asso.example; spf=softfail smtp.mailfrom=news.example"],
                None,
            ),
            (
                &[
                    "mx.asso.example; dkim=fail header.d=b.example; dkim/1=pass header.d=news.example header.b=AB==",
                ],
                Some("news.example"),
            ),
            (&["mx.asso.example; dkim=pass header.d=b.example"], None),
            (&["mx.asso.example; none"], None),
            (&["mx.asso.example"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(found(fields, sender).as_deref(), expected, "{fields:?}");
        }
        assert_eq!(
            found(&["mx.asso.example; dkim=pass header.d=a.example"], ""),
            None
        );
    }

    #[test]
    fn what_somebody_else_says_is_not_believed() {
        let forged = "dmarc=pass header.from=impots.example";
        for fields in [
            &[&*format!("mx.evil.example; {forged}")][..],
            &[&*format!("evil mx.asso.example; {forged}")],
            &[&*format!("mx.asso.example.evil; {forged}")],
            &[&*format!("(mx.asso.example;) evil; {forged}")],
            // Beside what our own verifier says, one of the two is forged.
            &[
                "mx.asso.example; dmarc=fail header.from=impots.example",
                &*format!("mx.asso.example; {forged}"),
            ],
            &[
                "mx.asso.example; dmarc=pass header.from=evil.example",
                &*format!("mx.asso.example; {forged}"),
            ],
            // A local part that plays the end of a finding.
            &[
                "mx.asso.example; spf=pass smtp.mailfrom=\"x; dmarc=pass header.from=impots.example\"@evil.example",
            ],
            &["mx.asso.example; spf=none (x\\) ; dmarc=pass header.from=impots.example)"],
        ] {
            assert_eq!(found(fields, "a@impots.example"), None, "{fields:?}");
        }
        let nobody = format!("; {forged}");
        assert_eq!(
            genuine_domain([nobody.as_bytes()].into_iter(), "", "a@b.example"),
            None
        );
    }

    #[test]
    fn only_so_many_bytes_are_read() {
        let long = |blanks: usize| {
            format!(
                "mx.asso.example;{}dmarc=pass header.from=shop.example",
                " ".repeat(blanks)
            )
        };
        let bare = long(0).len();
        let fits = long(BYTES_MAX - bare - 1);
        assert!(found(&[&fits], "").is_some());
        assert_eq!(found(&[&long(BYTES_MAX - bare)], ""), None);
    }

    #[test]
    fn only_our_verifier_says_that_dmarc_failed() {
        for (field, expected) in [
            (
                "mx.asso.example; dmarc=fail (p=REJECT) header.from=bank.example",
                true,
            ),
            (
                "mx.asso.example; spf=pass; dmarc=fail header.from=bank.example",
                true,
            ),
            (
                "mx.asso.example; dmarc=pass header.from=bank.example",
                false,
            ),
            (
                "mx.asso.example; dmarc=none; spf=fail smtp.mailfrom=a@bank.example",
                false,
            ),
            (
                "mx.other.example; dmarc=fail header.from=bank.example",
                false,
            ),
            ("mx.asso.example; spf=none (dmarc=fail)", false),
        ] {
            let fields = [field.as_bytes()];
            assert_eq!(has_failed(fields.into_iter(), ID), expected, "{field}");
            assert!(!has_failed(fields.into_iter(), ""), "{field}");
        }
    }
}
