//! Codecs for the wishes of senders and users (tags, addresses, a field), and for the evidence that
//! makes them credible.

use super::{
    AddressFile, AddressLists, AddressPatterns, HeaderPattern,
    pattern::Bare,
    users::POSTFIX,
    value::{Codec, Written},
};

/// Maximum number of tags of one kind.
const TAGS_MAX: usize = 20;

/// Maximum number of fields in `detach.marked_by`.
const MARKS_MAX: usize = 50;

/// Maximum size of a tag, in bytes.
const TAG_BYTES_MAX: usize = 60;

/// Tags in subjects.
pub(super) struct Tags;

impl Codec for Tags {
    type Value = Vec<String>;

    fn parse(written: &Written) -> Option<Vec<String>> {
        let tags = written.texts()?;
        let is_tag = |tag: &String| {
            let trimmed = tag.trim() == tag && !tag.chars().any(char::is_control);
            trimmed && (2..=TAG_BYTES_MAX).contains(&tag.len())
        };
        (tags.len() <= TAGS_MAX && tags.iter().all(is_tag)).then_some(tags)
    }

    fn print(value: &Vec<String>) -> Written {
        Written::List(value.iter().cloned().map(Written::Text).collect())
    }

    fn allowed() -> String {
        format!(
            r#"a list of at most {TAGS_MAX} tags such as ["[NEPASDEPOLLUER]"], of 2 to {TAG_BYTES_MAX} bytes each"#
        )
    }
}

/// A list of patterns for addresses.
pub(super) struct Addresses;

impl Codec for Addresses {
    type Value = AddressPatterns;

    fn parse(written: &Written) -> Option<AddressPatterns> {
        let list = AddressPatterns::new(&written.texts()?, Bare::Refused).ok();
        // They are matched before anything can be looked up.
        list.filter(|list| list.tables().is_empty())
    }

    fn print(value: &AddressPatterns) -> Written {
        Written::List(value.written().iter().cloned().map(Written::Text).collect())
    }

    fn allowed() -> String {
        r#"a list of addresses such as ["keep@example.org", "keep-*@example.org"]"#.into()
    }
}

/// Addresses of mailing lists, or the files and tables that list them.
pub(super) struct Lists;

impl Codec for Lists {
    type Value = AddressPatterns;

    fn parse(written: &Written) -> Option<AddressPatterns> {
        AddressPatterns::new(&written.texts()?, Bare::Refused).ok()
    }

    fn print(value: &AddressPatterns) -> Written {
        Addresses::print(value)
    }

    fn allowed() -> String {
        r#"a list of addresses, files and tables such as ["@lists.example.org", "file:/etc/mail/lists", "hash:/etc/postfix/lists"]"#.into()
    }
}

/// Fields by which other filters of mail mark what they doubt.
#[derive(Clone, Debug)]
pub struct Marks {
    written: Vec<String>,
    fields: Vec<HeaderPattern>,
}

impl Marks {
    /// Those of rspamd, SpamAssassin, amavis and clamav-milter.
    pub(super) fn of_filters() -> Self {
        let written = [
            "X-Spam: yes",
            "X-Spam-Flag: yes",
            "X-Spam-Status: yes*",
            "X-Amavis-Alert: infected*",
            "X-Virus-Status: infected*",
        ];
        Self::new(written.map(str::to_owned).to_vec()).expect("they are patterns")
    }

    fn new(written: Vec<String>) -> Option<Self> {
        let fields = written.iter().map(|text| HeaderPattern::new(text).ok());
        let fields = fields.collect::<Option<Vec<_>>>()?;
        (fields.len() <= MARKS_MAX).then_some(Self { written, fields })
    }

    /// The fields with what must stand in them.
    pub fn fields(&self) -> &[HeaderPattern] {
        &self.fields
    }
}

/// Codec of `detach.marked_by`.
pub(super) struct MarkedBy;

impl Codec for MarkedBy {
    type Value = Marks;

    fn parse(written: &Written) -> Option<Marks> {
        Marks::new(written.texts()?)
    }

    fn print(value: &Marks) -> Written {
        Written::List(value.written.iter().cloned().map(Written::Text).collect())
    }

    fn allowed() -> String {
        format!(
            r#"a list of at most {MARKS_MAX} header fields such as ["X-Spam-Flag: yes", "X-Spam-Status: yes*"]"#
        )
    }
}

/// Domains that are ours.
#[derive(Clone, Debug)]
pub struct OwnDomains {
    list: AddressPatterns,
    asks_postfix: bool,
}

impl OwnDomains {
    /// Returns the domains for which Postfix accepts mail.
    pub(super) fn of_postfix() -> Self {
        Self {
            list: AddressPatterns::default(),
            asks_postfix: true,
        }
    }

    /// Returns true if a domain in lower case is named here.
    pub fn has(&self, folded: &str, lists: &AddressLists) -> bool {
        self.list.matches(&format!("@{folded}"), lists)
    }

    /// Returns true if the domains for which Postfix accepts mail are ours, too.
    pub fn asks_postfix(&self) -> bool {
        self.asks_postfix
    }

    pub(super) fn files(&self) -> &[AddressFile] {
        self.list.files()
    }
}

/// Codec of `sender.domains`.
pub(super) struct DomainList;

impl Codec for DomainList {
    type Value = OwnDomains;

    fn parse(written: &Written) -> Option<OwnDomains> {
        let texts = written.texts()?;
        let (postfix, named): (Vec<_>, Vec<_>) =
            texts.into_iter().partition(|text| text == POSTFIX);
        let is_domain = |text: &String| text.starts_with('@') || text.starts_with("file:");
        let list = AddressPatterns::new(&named, Bare::Refused).ok();
        Some(OwnDomains {
            list: list.filter(|_| named.iter().all(is_domain))?,
            asks_postfix: !postfix.is_empty(),
        })
    }

    fn print(value: &OwnDomains) -> Written {
        let postfix = value.asks_postfix.then(|| POSTFIX.to_owned());
        let all = postfix
            .into_iter()
            .chain(value.list.written().iter().cloned());
        Written::List(all.map(Written::Text).collect())
    }

    fn allowed() -> String {
        r#"a list such as ["postfix", "@example.org", "@.example.org", "file:/etc/mail/domains"]"#
            .into()
    }
}

/// The identifier of an authentication service (RFC 8601, section 2.5), or nothing.
pub(super) struct AuthservId;

impl Codec for AuthservId {
    type Value = String;

    fn parse(written: &Written) -> Option<String> {
        let id = written.text()?;
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
        (id.len() <= 255 && id.chars().all(is_plain)).then_some(id)
    }

    fn print(value: &String) -> Written {
        Written::Text(value.clone())
    }

    fn allowed() -> String {
        r#"the name with which the verifier's field begins, such as "mx.example.org", or empty"#
            .into()
    }
}

/// The name of a header field, or nothing.
pub(super) struct FieldName;

impl Codec for FieldName {
    type Value = String;

    fn parse(written: &Written) -> Option<String> {
        let name = written.text()?;
        let is_ours = name.is_empty()
            || name
                .get(..2)
                .is_some_and(|start| start.eq_ignore_ascii_case("x-"));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (is_ours && name.len() <= 60 && name.bytes().all(is_name)).then_some(name)
    }

    fn print(value: &String) -> Written {
        Written::Text(value.clone())
    }

    fn allowed() -> String {
        r#"the name of a header field that begins with "X-", or empty"#.into()
    }
}
