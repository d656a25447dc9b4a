//! The meaning that a mail client gives to an element with its start tag.

/// Number of bytes of an attribute's value that are looked at.
const VALUE_BYTES_MAX: usize = 1024;

/// The meaning of an element in a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Encloses quoted text or introduces it.
    Quote,
    /// Stands before a mail that is quoted to its end.
    Rest,
    /// The author's signature.
    Signature,
}

/// Classes of elements that quote or introduce a quote.
const QUOTE_CLASSES: &[&[u8]] = &[
    b"gmail_quote", // K-9 and Thunderbird for Android, too
    b"gmail_quote_container",
    b"moz-cite-prefix",
    b"protonmail_quote",
    b"tutanota_quote",
    b"yahoo_quoted",
];

const SIGNATURE_CLASSES: &[&[u8]] = &[
    b"gmail_signature",
    b"gmail_signature_prefix",
    b"k9mail-signature",
    b"moz-signature",
    b"protonmail_signature_block",
    b"tutanota_signature",
    b"ymail_android_signature",
];

const SIGNATURE_IDS: &[&[u8]] = &[
    b"_rc_sig", // Roundcube
    b"applemailsignature",
    b"linebreakatbeginningofsignature", // Mail on iOS
    b"ms-outlook-mobile-body-separator-line",
    b"ms-outlook-mobile-signature",
    b"signature", // Outlook on the web
];

/// Identifiers of elements above a mail that is quoted as a whole.
const REST_IDS: &[&[u8]] = &[
    b"appendonsend",
    b"divrplyfwdmsg",
    b"mail-editor-reference-message-container", // Outlook for Android, iOS, Mac
    b"stopspelling",
    b"zwchr", // Zimbra
];

/// A start tag, as far as it matters.
#[derive(Debug, Default)]
pub(super) struct Tag {
    /// Offset of its start.
    pub(super) start: usize,
    /// Its name, in lower case.
    pub(super) name: Vec<u8>,
    attribute: Vec<u8>,
    class: Vec<u8>,
    id: Vec<u8>,
    style: Vec<u8>,
    kind: Vec<u8>,
    marker: Vec<u8>,
    has_attributes: bool,
    has_cite: bool,
    is_hidden: bool,
    /// GMX and WEB.DE: `<div name="quote">`
    is_named_quote: bool,
}

impl Tag {
    /// Begins a tag; the one before is forgotten.
    pub(super) fn begin(&mut self, start: usize, name: &[u8]) {
        self.start = start;
        replace(&mut self.name, name);
        if !self.has_attributes {
            return;
        }

        self.has_attributes = false;
        (self.has_cite, self.is_hidden, self.is_named_quote) = (false, false, false);
        for value in [
            &mut self.attribute,
            &mut self.class,
            &mut self.id,
            &mut self.style,
            &mut self.kind,
            &mut self.marker,
        ] {
            value.clear();
        }
    }

    /// Begins the next attribute; its name is in lower case.
    pub(super) fn attribute(&mut self, name: &[u8]) {
        self.has_attributes = true;
        self.has_cite |= name == b"cite";
        self.is_hidden |= name == b"hidden";
        replace(&mut self.attribute, name);
    }

    /// Sets the value of the attribute.
    pub(super) fn value(&mut self, value: &[u8]) {
        self.has_attributes = true;
        let value = &value[..value.len().min(VALUE_BYTES_MAX)];
        let kept = match &*self.attribute {
            b"class" => &mut self.class,
            b"data-marker" => &mut self.marker,
            b"id" => &mut self.id,
            b"name" => {
                self.is_named_quote = value == b"quote";
                return;
            }
            b"style" => &mut self.style,
            b"type" => &mut self.kind,
            _ => return,
        };
        replace(kept, value);
        kept.make_ascii_lowercase();
    }

    /// Returns the meaning that the client gives to this element; none without attributes.
    pub(super) fn mark(&self) -> Option<Mark> {
        if !self.has_attributes {
            None
        } else if self.is_quote() {
            Some(Mark::Quote)
        } else if self.is_signature() {
            Some(Mark::Signature)
        } else {
            self.starts_rest().then_some(Mark::Rest)
        }
    }

    /// Returns true if the element shows nothing of its content.
    pub(super) fn hides(&self) -> bool {
        self.has_attributes && self.hides_by_attributes()
    }

    fn hides_by_attributes(&self) -> bool {
        self.is_hidden || hides(&self.style)
    }

    /// Returns true if the element is a place of quotes in the HTML of some webmails (Nextcloud
    /// Mail), and much else elsewhere.
    pub(super) fn may_quote(&self) -> bool {
        self.has_attributes && self.name == b"div" && self.has_class(&[b"quote"])
    }

    /// Returns its `id`.
    pub(super) fn id(&self) -> &[u8] {
        &self.id
    }

    fn is_quote(&self) -> bool {
        let is_cite =
            self.name == b"blockquote" && (self.kind == b"cite" || self.has_cite || self.has_bar());
        is_cite
            || self.has_class(QUOTE_CLASSES)
            || self.id == b"reply-intro" // Roundcube
            || self.id.starts_with(b"yahoo_quoted")
            || self.is_named_quote && self.has_bar()
    }

    fn is_signature(&self) -> bool {
        let is_yahoo = |class: &[u8]| class.starts_with(b"ydp") && class.ends_with(b"signature");
        self.has_class(SIGNATURE_CLASSES)
            || SIGNATURE_IDS.contains(&&*self.id)
            || self.classes().any(is_yahoo)
            || self.marker.starts_with(b"__sig_") // Zimbra
    }

    fn starts_rest(&self) -> bool {
        REST_IDS.contains(&&*self.id)
            || self.has_class(&[b"moz-forward-container"])
            || self.name == b"div" && self.is_outlook_rule()
            || self.name == b"hr" && self.is_outlook_line()
    }

    /// Returns its classes.
    pub(super) fn classes(&self) -> impl Iterator<Item = &[u8]> {
        self.class.split(u8::is_ascii_whitespace)
    }

    fn has_class(&self, names: &[&[u8]]) -> bool {
        self.classes().any(|class| names.contains(&class))
    }

    /// Returns the declarations of its style, without their blanks.
    fn declarations(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        declarations(&self.style)
    }

    /// Returns true for a line on the left, with which webmails quote. (Some indent with a
    /// `blockquote` without one.)
    fn has_bar(&self) -> bool {
        self.declarations().any(|(property, value)| {
            property == b"border-left" && !value.starts_with(b"none") && !value.starts_with(b"0")
        })
    }

    /// Returns true for `border-top:solid #E1E1E1 1.0pt`, which Outlook puts above the quoted
    /// header; older ones have `#B5C4DF`. With prefixes for quoted lines it is in a blue bar.
    fn is_outlook_rule(&self) -> bool {
        self.declarations().any(|(property, value)| {
            let starts: &[&[u8]] = match property {
                b"border-top" => &[b"solid #e1e1e1", b"solid #b5c4df"],
                b"border-left" => &[b"solid blue"],
                _ => return false,
            };
            starts.iter().any(|start| value.starts_with(start))
        })
    }

    /// Returns true for the line that Outlook on phones and the web draws above the quoted header.
    fn is_outlook_line(&self) -> bool {
        let has = |wanted: (&[u8], &[u8])| self.declarations().any(|found| found == wanted);
        has((b"display", b"inline-block")) && has((b"width", b"98%"))
    }
}

/// Returns true if a style in lower case shows nothing of the element.
pub(super) fn hides(style: &[u8]) -> bool {
    declarations(style).any(|(property, value)| match property {
        b"display" => value.starts_with(b"none"),
        b"visibility" => value.starts_with(b"hidden"),
        b"mso-hide" => value.starts_with(b"all"),
        b"max-height" | b"opacity" => {
            value.starts_with(b"0") && !value.iter().any(|b| matches!(b, b'1'..=b'9'))
        }
        _ => false,
    })
}

fn declarations(style: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    style.split(|&b| b == b';').filter_map(|declaration| {
        let colon = memchr::memchr(b':', declaration)?;
        let (property, value) = declaration.split_at(colon);
        Some((property.trim_ascii(), value[1..].trim_ascii()))
    })
}

fn replace(text: &mut Vec<u8>, with: &[u8]) {
    text.clear();
    text.extend_from_slice(with);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn div(attribute: &str, value: &str) -> Tag {
        let mut tag = Tag::default();
        tag.begin(0, b"div");
        tag.attribute(attribute.as_bytes());
        tag.value(value.as_bytes());
        tag
    }

    fn is_hiding(style: &str) -> bool {
        div("style", style).hides()
    }

    #[test]
    fn yahoo_is_known_by_class_and_by_id_alone() {
        for (attribute, value, mark) in [
            ("class", "ydp5e6f7a8b yahoo_quoted", Some(Mark::Quote)),
            ("id", "yahoo_quoted_1234567890", Some(Mark::Quote)),
            ("class", "ydp1a2b3c4dsignature", Some(Mark::Signature)),
            ("class", "ydp1a2b3c4dyahoo-style-wrap", None),
            ("class", "mysignature", None),
            ("id", "my_yahoo_quoted", None),
            ("title", "yahoo_quoted", None),
        ] {
            assert_eq!(div(attribute, value).mark(), mark, "{attribute}={value}");
        }
    }

    #[test]
    fn what_hides_a_preheader_is_known() {
        for style in [
            "display:none",
            "color:#fff; DISPLAY : none !important",
            "visibility:hidden",
            "mso-hide:all",
            "max-height:0px;overflow:hidden",
            "opacity:0.0",
        ] {
            assert!(is_hiding(style), "{style}");
        }
        for style in [
            "",
            "display:block",
            "opacity:0.8",
            "max-height:50px",
            "font-size:0",
        ] {
            assert!(!is_hiding(style), "{style}");
        }
    }
}
