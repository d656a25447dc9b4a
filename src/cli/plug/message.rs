//! The test mail of a trial, and the properties checked when it comes out: the attachment, the signature.

use data_encoding::BASE64;
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator};
use tokio::runtime;

use super::plan::SenderKind;

/// The file that all virus scanners are to refuse, in two halves so that none refuses this program:
/// eicar.org, "Intended use".
pub(super) const EICAR: [&str; 2] = [
    r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR",
    "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*",
];

/// A message with one attachment.
#[derive(Debug)]
pub(super) struct TestMessage {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) text: String,
    id: String,
    file: String,
}

/// The validity of the sender domain's signatures in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// There is none.
    None,
    /// A signature is valid.
    Valid,
    /// No signature is valid, for this reason.
    Broken(String),
    /// The body matches the signature, but its key could not be fetched, for this reason.
    Unproven(String),
}

impl TestMessage {
    /// Builds a message from a user of the domain, or to one.
    pub(super) fn new(domain: &str, origin: SenderKind, number: usize, file: &[u8]) -> Self {
        let own = format!("postmaster@{domain}");
        let (from, to) = match origin {
            SenderKind::World => ("someone@example.net".to_owned(), own),
            SenderKind::User | SenderKind::Machine => (own, "someone@example.net".to_owned()),
        };
        let id = format!(
            "<{}.{number}.{}@depollueur.invalid>",
            std::process::id(),
            jiff::Timestamp::now().as_microsecond()
        );

        let encoded = BASE64.encode(file);
        let lines: Vec<&str> = (0..encoded.len())
            .step_by(76)
            .map(|at| &encoded[at..encoded.len().min(at + 76)])
            .collect();
        let file = lines.join("\r\n");

        let date = jiff::Zoned::now()
            .strftime("%a, %d %b %Y %H:%M:%S %z")
            .to_string();

        let text = format!(
            "From: {from}\r\nTo: {to}\r\nSubject: Test of depollueur\r\nDate: {date}\r\nMessage-ID: {id}\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"depollueur-plug\"\r\n\r\n\
             --depollueur-plug\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             This is a test of depollueur plug. It should not have left the machine.\r\n\
             --depollueur-plug\r\nContent-Type: application/octet-stream; name=\"test.bin\"\r\n\
             Content-Disposition: attachment; filename=\"test.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
             {file}\r\n--depollueur-plug--\r\n"
        );

        Self {
            from,
            to,
            text,
            id,
            file: lines
                .first()
                .map(|line| (*line).to_owned())
                .unwrap_or_default(),
        }
    }

    /// Returns true if `bytes` are this message, as it came out.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        contains(bytes, &self.id)
    }

    /// Returns true if the attachment was taken out.
    pub(super) fn is_detached(&self, bytes: &[u8]) -> bool {
        !contains(bytes, &self.file)
    }
}

impl Signature {
    /// Verifies the signatures of a message as a mailbox holds it; the keys are fetched from DNS.
    pub(super) fn of(bytes: &[u8], domain: &str) -> Self {
        let text = String::from_utf8_lossy(bytes)
            .replace("\r\n", "\n")
            .replace('\n', "\r\n");

        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let resolver = MessageAuthenticator::new_system_conf();
        let (Ok(runtime), Ok(resolver)) = (runtime, resolver) else {
            return Self::Unproven("DNS cannot be asked".to_owned());
        };
        let Some(message) = AuthenticatedMessage::parse(text.as_bytes()) else {
            return Self::Broken("the message cannot be read".to_owned());
        };

        let results = runtime.block_on(resolver.verify_dkim(&message));
        let is_ours = |signature: &str| aligned(signature, domain);
        let own = results.iter().filter(|result| {
            result
                .signature()
                .is_none_or(|signature| is_ours(&signature.d))
        });
        Self::best(own.map(|result| result.result()))
    }

    fn best<'a>(results: impl Iterator<Item = &'a DkimResult>) -> Self {
        let mut best = Self::None;
        for result in results {
            let one = match result {
                DkimResult::Pass => return Self::Valid,
                DkimResult::None => continue,
                DkimResult::TempError(error) | DkimResult::PermError(error) => {
                    Self::Unproven(error.to_string())
                }
                DkimResult::Neutral(error) | DkimResult::Fail(error) => {
                    Self::Broken(error.to_string())
                }
            };
            if !matches!(best, Self::Unproven(_)) {
                best = one;
            }
        }
        best
    }
}

/// Returns true under relaxed alignment, as in DMARC: equal, or one a subdomain of the other.
fn aligned(signer: &str, domain: &str) -> bool {
    let (signer, domain) = (signer.to_ascii_lowercase(), domain.to_ascii_lowercase());
    let below = |upper: &str, lower: &str| {
        lower
            .strip_suffix(upper)
            .is_some_and(|rest| rest.ends_with('.'))
    };
    signer == domain || below(&signer, &domain) || below(&domain, &signer)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_knows_itself_and_its_file() {
        let message = TestMessage::new(
            "a.example",
            SenderKind::User,
            1,
            &EICAR.concat().into_bytes(),
        );
        assert!(
            message.is_in(message.text.as_bytes()) && !message.is_detached(message.text.as_bytes())
        );
        assert!(message.text.contains("From: postmaster@a.example\r\n"));
        let changed = message.text.replace(&message.file, "a link");
        assert!(message.is_in(changed.as_bytes()) && message.is_detached(changed.as_bytes()));
        let other = TestMessage::new("a.example", SenderKind::World, 2, b"x");
        assert!(!other.is_in(message.text.as_bytes()));
        assert_eq!(other.to, "postmaster@a.example");
    }

    #[test]
    fn domains_are_aligned_as_dmarc_has_it() {
        for (signer, domain, yes) in [
            ("a.example", "A.example", true),
            ("a.example", "mail.a.example", true),
            ("mail.a.example", "a.example", true),
            ("ba.example", "a.example", false),
            ("b.example", "a.example", false),
        ] {
            assert_eq!(aligned(signer, domain), yes, "{signer} {domain}");
        }
    }

    #[test]
    fn a_message_without_a_signature_has_none_and_a_wrong_one_is_broken() {
        let message = TestMessage::new("a.example", SenderKind::User, 1, b"x");
        assert_eq!(
            Signature::of(message.text.as_bytes(), "a.example"),
            Signature::None
        );
        let header = "DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=s; c=relaxed/relaxed; h=from; \
                      bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n";
        let signed = format!("{header}{}", message.text);
        assert!(matches!(
            Signature::of(signed.as_bytes(), "a.example"),
            Signature::Broken(_)
        ));
    }
}
