//! Decides which parts are detached, and for which reason. Pure.
//!
//! A leaf is a candidate when it has a file name, or is an attachment, or is not text; and when it
//! is not one of the kinds that stay whatever their size (see [`Why`]).

use mailsplice::mime::{Disposition, Head, Scanner, TransferEncoding};

/// The reason for which a part stays or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Text of the message itself.
    Text,
    /// Signed, encrypted, or a report: a change would break it.
    Protected,
    /// TNEF: it holds the formatted text and the files of the message, and only its reader's mail
    /// program opens it.
    Container,
    /// A calendar invitation: mail programs act on it.
    Calendar,
    /// A choice of `multipart/alternative`.
    Alternative,
    /// The root of a `multipart/related`.
    RelatedRoot,
    /// Shown in the text.
    Shown,
    /// A transfer encoding that is unknown, at least to some readers.
    Encoding,
    /// Part of a multipart of an unknown kind, which is one thing as a whole.
    Whole,
    /// The body is not what its transfer encoding says.
    Malformed,
    /// A rule keeps it.
    Rule,
    /// Its sender wants it kept.
    Wish,
    /// A user wants his mail left alone.
    Users,
    /// The virus scan found something in it.
    Infected,
    /// Fewer bytes than `detach.threshold`, or than the rule's own.
    UnderThreshold,
    /// At least `detach.threshold`.
    OverThreshold,
    /// Below that, but the message's attachments come to more than `detach.message_threshold`.
    OverMessageThreshold,
}

/// The judgement on a leaf before its body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It stays.
    Stays(Why),
    /// It goes if it is heavy.
    Candidate,
    /// It goes if it is heavy and no HTML body shows it by its `Content-ID`.
    CandidateUnlessShown,
    /// TNEF beside others: it goes if it is heavy, its files can be put beside it, and the message has
    /// a text of its own.
    Container,
}

/// The place of a leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeafPlace {
    /// Anywhere else, or the message itself.
    #[default]
    Free,
    /// A direct child of a `multipart/alternative`.
    Alternative,
    /// The first child of a `multipart/related`.
    RelatedRoot,
    /// Another child of a `multipart/related`.
    Related,
    /// One of the two halves of a Macintosh file (RFC 1740).
    AppleDouble,
    /// Anywhere in a multipart of an unknown kind.
    Unknown,
    /// Behind an `application/pgp-encrypted`: the second half of PGP/MIME. Exchange and mailing
    /// lists make a `multipart/mixed` of it, and mail programs still recognize it.
    BehindPgp,
}

impl Why {
    /// Returns a few words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text of the message",
            Self::Protected => "signed, encrypted, or a report",
            Self::Container => "holds text and files of the message",
            Self::Calendar => "calendar invitation",
            Self::Alternative => "alternative form of the text",
            Self::RelatedRoot => "text with embedded parts",
            Self::Shown => "shown in the text",
            Self::Encoding => "unusual transfer encoding",
            Self::Whole => "part of an unknown whole",
            Self::Malformed => "malformed body",
            Self::Rule => "kept by a rule",
            Self::Wish => "the sender's wish",
            Self::Users => "a user's choice",
            Self::Infected => "infected",
            Self::UnderThreshold => "below the threshold",
            Self::OverThreshold => "threshold reached",
            Self::OverMessageThreshold => "message threshold exceeded",
        }
    }
}

/// Checks that something can be detached below a top-level header; gives the reason if not.
pub fn may_detach(root: &Head) -> Result<(), Why> {
    if Scanner::enters(root) {
        return Ok(());
    }
    match judge(root, LeafPlace::Free) {
        Judgement::Stays(why) => Err(why),
        Judgement::Container => Err(Why::Container),
        Judgement::Candidate | Judgement::CandidateUnlessShown => Ok(()),
    }
}

/// Judges a leaf by its head and its place.
pub fn judge(head: &Head, place: LeafPlace) -> Judgement {
    match protected(head, place) {
        Some(Why::Container) if place == LeafPlace::Free => Judgement::Container,
        Some(why) => Judgement::Stays(why),
        None if head.content_id.is_some() && !is_only_linked(head) => {
            Judgement::CandidateUnlessShown
        }
        None => Judgement::Candidate,
    }
}

/// Returns true if a `cid:` URL can only lead to a leaf and shows nothing of it, as with the archives to
/// which Apple Mail gives an icon in the text. An `application/octet-stream` may be a picture.
fn is_only_linked(head: &Head) -> bool {
    let sub = head.media.sub();
    let is_shown = match head.media.main() {
        "application" => sub == "octet-stream" || sub.contains("font"),
        "text" => matches!(sub, "html" | "css" | "xml"),
        "message" => false,
        _ => true,
    };
    head.disposition == Disposition::Attachment && !is_shown
}

/// Returns true if readers show a leaf in line as a text, unless its place says otherwise.
pub fn is_shown_text(head: &Head) -> bool {
    let is_text = head.media.main() == "text" && SHOWN_TEXTS.contains(&head.media.sub());
    is_text && head.disposition == Disposition::Inline
}

/// The kinds of text that people write their messages in; the others are data.
const SHOWN_TEXTS: [&str; 5] = ["plain", "html", "enriched", "richtext", "markdown"];

/// The size of an attachment that goes when the sum is too large, and the limit on that sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Decoded bytes.
    pub bytes: u64,
    /// It goes as long as the rest comes to more than this many bytes.
    pub sum_max: u64,
}

/// Chooses the attachments that go so that the rest comes to at most what each of them allows: the
/// largest first, and of equal ones the first. Returns indices.
pub fn largest_over(weights: &[Weight]) -> Vec<usize> {
    let mut rest: u128 = weights.iter().map(|weight| u128::from(weight.bytes)).sum();
    if weights
        .iter()
        .all(|weight| rest <= u128::from(weight.sum_max))
    {
        return Vec::new();
    }

    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(weights[index].bytes));

    let goes = |&index: &usize| {
        let over = rest > u128::from(weights[index].sum_max);
        if over {
            rest -= u128::from(weights[index].bytes);
        }
        over
    };
    order.into_iter().filter(goes).collect()
}

/// Returns the reason for which a leaf stays whatever its size.
fn protected(head: &Head, place: LeafPlace) -> Option<Why> {
    if head.encoding == TransferEncoding::Unknown {
        return Some(Why::Encoding);
    }
    by_type(head).or_else(|| by_place(head, place)).or_else(|| {
        let attached = head.file_name.is_some() || head.disposition == Disposition::Attachment;
        (!attached && head.media.main() == "text").then_some(Why::Text)
    })
}

fn by_type(head: &Head) -> Option<Why> {
    let sub = head.media.sub();
    match head.media.main() {
        "multipart" => Some(Why::Protected),
        "text" if sub == "calendar" => Some(Why::Calendar),
        "application" if sub == "ics" => Some(Why::Calendar),
        "application" if is_crypto(sub) || is_crypto_name(head) => Some(Why::Protected),
        "application" if is_tnef(head) => Some(Why::Container),
        // A message is one attachment. RFC 2046, section 5.2.1, allows it no encoding that would have to be
        // decoded. Many readers show nothing of a message that has one; behind the link it can be read.
        "message" if matches!(sub, "rfc822" | "global") => None,
        "message" => Some(Why::Protected),
        _ => None,
    }
}

fn by_place(head: &Head, place: LeafPlace) -> Option<Why> {
    match place {
        // A part that says `attachment` and is no text is a file to all readers, not a form of the text.
        LeafPlace::Alternative
            if head.disposition == Disposition::Inline || head.media.main() == "text" =>
        {
            Some(Why::Alternative)
        }
        LeafPlace::Unknown => Some(Why::Whole),
        LeafPlace::RelatedRoot if head.disposition == Disposition::Inline => Some(Why::RelatedRoot),
        LeafPlace::Related if head.content_location.is_some() => Some(Why::Shown),
        LeafPlace::BehindPgp if head.media.is("application", "octet-stream") => {
            Some(Why::Protected)
        }
        _ => None,
    }
}

/// Recognizes Outlook's `winmail.dat` by its type or, where that was lost, by its name.
fn is_tnef(head: &Head) -> bool {
    let by_name = |name: &str| {
        let name = name.to_ascii_lowercase();
        let is_winmail = name.starts_with("winmail") && name.ends_with(".dat");
        is_winmail || name == "win.dat" || name.ends_with(".tnef")
    };
    matches!(head.media.sub(), "ms-tnef" | "vnd.ms-tnef" | "x-ms-tnef")
        || head.file_name.as_deref().is_some_and(by_name)
}

/// Recognizes the types of S/MIME (RFC 8551) and OpenPGP (RFC 3156), and Autocrypt's.
fn is_crypto(sub: &str) -> bool {
    let prefixes = ["pkcs7-", "x-pkcs7-", "pgp-"];
    prefixes.iter().any(|prefix| sub.starts_with(prefix)) || sub == "autocrypt-setup"
}

/// Recognizes by their names S/MIME parts whose type was lost (RFC 8551, section 3.2.1), the encrypted
/// bodies of OpenPGP's plug-ins for Outlook, and those that Exchange took apart.
fn is_crypto_name(head: &Head) -> bool {
    let is_crypto = |name: &str| {
        let name = name.to_ascii_lowercase();
        let ends = |extension: &&str| name.ends_with(*extension);
        let whole = [
            "encrypted.asc",
            "openpgp_encrypted_message.asc",
            "gpgol_mime_structure.mime",
            "gpgol_mime_structure.txt",
            "pgpexch.htm.asc",
            "pgpexch.htm.pgp",
        ];
        [".p7m", ".p7s", ".p7c", ".p7z"].iter().any(ends) || whole.contains(&name.as_str())
    };
    head.file_name.as_deref().is_some_and(is_crypto)
}

#[cfg(test)]
mod tests {
    use mailsplice::mime::{Field, MediaType};

    use super::*;

    fn head(fields: &[(&str, &str)]) -> Head {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| Field {
                name: (*name).into(),
                value: (*value).into(),
            })
            .collect();
        Head::read(&fields, MediaType::new("text", "plain")).unwrap()
    }

    fn of_type(value: &str) -> Judgement {
        judge(&head(&[("Content-Type", value)]), LeafPlace::Free)
    }

    #[test]
    fn names_dispositions_and_types_make_candidates() {
        for value in [
            "application/pdf",
            "image/png",
            "text/plain; name=a.txt",
            "message/rfc822",
        ] {
            assert_eq!(of_type(value), Judgement::Candidate, "{value}");
        }
        let attached = head(&[("Content-Disposition", "attachment")]);
        assert_eq!(judge(&attached, LeafPlace::Free), Judgement::Candidate);
    }

    #[test]
    fn tnef_is_known_by_type_and_by_name() {
        for value in [
            "application/ms-tnef",
            "application/vnd.ms-tnef; name=ATT0001.dat",
            "APPLICATION/MS-TNEF; name=winmail.dat",
            "application/octet-stream; name=winmail.dat",
            "application/octet-stream; name=\"WINMAIL (2).DAT\"",
            "application/x-unknown; name=win.dat",
            "application/octet-stream; name=message.tnef",
        ] {
            assert_eq!(of_type(value), Judgement::Container, "{value}");
            let stays = Judgement::Stays(Why::Container);
            for place in [
                LeafPlace::Alternative,
                LeafPlace::Unknown,
                LeafPlace::AppleDouble,
            ] {
                let head = head(&[("Content-Type", value)]);
                assert_eq!(judge(&head, place), stays, "{value}");
            }
        }
        for value in [
            "application/octet-stream; name=winmail.dat.zip",
            "application/octet-stream; name=data.dat",
            "image/png; name=winmail.dat",
        ] {
            assert_eq!(of_type(value), Judgement::Candidate, "{value}");
        }
        let root = head(&[("Content-Type", "application/ms-tnef")]);
        assert_eq!(may_detach(&root), Err(Why::Container));
    }

    #[test]
    fn protected_kinds_stay() {
        let table = [
            ("text/plain", Why::Text),
            ("text/html", Why::Text),
            (
                "text/calendar; method=REQUEST; name=invite.ics",
                Why::Calendar,
            ),
            ("application/ics; name=invite.ics", Why::Calendar),
            ("application/pkcs7-mime; name=smime.p7m", Why::Protected),
            (
                "application/x-pkcs7-signature; name=smime.p7s",
                Why::Protected,
            ),
            ("application/octet-stream; name=SMIME.P7M", Why::Protected),
            (
                "application/octet-stream; name=encrypted.asc",
                Why::Protected,
            ),
            (
                "application/octet-stream; name=GpgOL_MIME_structure.mime",
                Why::Protected,
            ),
            ("application/pgp-encrypted", Why::Protected),
            (
                "application/autocrypt-setup; name=setup.html",
                Why::Protected,
            ),
            ("multipart/signed; boundary=b", Why::Protected),
            ("multipart/report; boundary=b", Why::Protected),
            ("message/partial; id=x", Why::Protected),
            ("message/external-body; access-type=URL", Why::Protected),
            ("message/delivery-status", Why::Protected),
        ];
        for (value, why) in table {
            assert_eq!(of_type(value), Judgement::Stays(why), "{value}");
        }
    }

    #[test]
    fn a_place_can_protect() {
        let pdf = head(&[("Content-Type", "application/pdf")]);
        assert_eq!(
            judge(&pdf, LeafPlace::Alternative),
            Judgement::Stays(Why::Alternative)
        );
        let choice = |value| {
            let fields = [
                ("Content-Type", value),
                ("Content-Disposition", "attachment"),
            ];
            judge(&head(&fields), LeafPlace::Alternative)
        };
        assert_eq!(choice("application/pdf"), Judgement::Candidate);
        assert_eq!(choice("text/html"), Judgement::Stays(Why::Alternative));
        assert_eq!(choice("text/calendar"), Judgement::Stays(Why::Calendar));
        assert_eq!(
            judge(&pdf, LeafPlace::Unknown),
            Judgement::Stays(Why::Whole)
        );
        assert_eq!(judge(&pdf, LeafPlace::AppleDouble), Judgement::Candidate);
        let html = head(&[("Content-Type", "text/html; name=body.html")]);
        assert_eq!(
            judge(&html, LeafPlace::RelatedRoot),
            Judgement::Stays(Why::RelatedRoot)
        );
        let image = head(&[("Content-Type", "image/png"), ("Content-ID", "<i@x>")]);
        assert_eq!(
            judge(&image, LeafPlace::Related),
            Judgement::CandidateUnlessShown
        );
        let pgp = head(&[("Content-Type", "application/octet-stream")]);
        assert_eq!(
            judge(&pgp, LeafPlace::BehindPgp),
            Judgement::Stays(Why::Protected)
        );
        assert_eq!(judge(&pdf, LeafPlace::BehindPgp), Judgement::Candidate);
        let located = head(&[("Content-Type", "image/png"), ("Content-Location", "i.png")]);
        assert_eq!(
            judge(&located, LeafPlace::Related),
            Judgement::Stays(Why::Shown)
        );
    }

    #[test]
    fn an_encoded_message_goes_and_an_unknown_encoding_stays() {
        let judged = |value, encoding| {
            let fields = [
                ("Content-Type", value),
                ("Content-Transfer-Encoding", encoding),
            ];
            judge(&head(&fields), LeafPlace::Free)
        };
        let stays = Judgement::Stays;
        for (value, encoding, expected) in [
            ("message/rfc822", "base64", Judgement::Candidate),
            ("message/global", "quoted-printable", Judgement::Candidate),
            ("image/png", "x-uuencode", stays(Why::Encoding)),
            ("message/rfc822", "x-uuencode", stays(Why::Encoding)),
            ("image/png", "base64 ", stays(Why::Encoding)),
        ] {
            assert_eq!(judged(value, encoding), expected, "{value} {encoding}");
        }
    }

    #[test]
    fn the_largest_go_until_the_rest_fits() {
        let over = |sizes: &[u64], sum_max| {
            let weight = |&bytes: &u64| Weight { bytes, sum_max };
            largest_over(&sizes.iter().map(weight).collect::<Vec<_>>())
        };
        assert_eq!(over(&[10, 30, 20], 60), Vec::<usize>::new());
        assert_eq!(over(&[10, 30, 20], 59), [1]);
        assert_eq!(over(&[10, 30, 20], 30), [1]);
        assert_eq!(over(&[10, 30, 20], 29), [1, 2]);
        assert_eq!(over(&[10, 30, 20], 0), [1, 2, 0]);
        assert_eq!(over(&[u64::MAX, u64::MAX], 5), [0, 1]);
    }

    #[test]
    fn each_allows_its_own_sum() {
        let weight = |bytes, sum_max| Weight { bytes, sum_max };
        let weights = [weight(30, 100), weight(20, 40), weight(10, 29)];
        assert_eq!(largest_over(&weights), [1, 2]);
        // At what it allows exactly, nothing goes; of equal ones the first goes.
        assert_eq!(largest_over(&[weight(30, 60), weight(30, 59)]), [1]);
        assert_eq!(largest_over(&[weight(30, 59), weight(30, 59)]), [0]);
    }
}
