//! The leaf whose body is coming in, and what is kept of its header.

use std::borrow::Cow;

use super::message::Text;
use crate::{
    drop::FileDraft,
    mime::{Decoder, Head, TransferEncoding, scanner::PartId},
    names,
    rules::Why,
};

/// The longest name that is kept for a file, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The longest media type that is kept for a file, in bytes (RFC 6838, section 4.2: 127 for each
/// half).
const TYPE_BYTES_MAX: usize = 255;

/// The leaf whose body is coming in.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) part: PartId,
    pub(super) file: FileHead,
    pub(super) bytes: u64,
    /// Whether the last byte is a CR: MIME-tools takes it for a part of the line end behind it.
    pub(super) ends_in_cr: bool,
    pub(super) work: Work,
    /// The key of the `Content-ID` by which an HTML body may show it.
    pub(super) shown_by: Option<u64>,
    pub(super) text: Option<Box<Text>>,
}

/// What is done with a leaf's body.
#[derive(Debug)]
pub(super) enum Work {
    /// It stays.
    Stays(Why),
    /// It stays, and is decoded to see that it can be.
    Checked(Why, Decoder),
    /// It is an HTML body, decoded to find what it shows.
    Html(Decoder),
    /// A candidate: spooled like what stays, while its decoded bytes are counted.
    Counting(Decoder),
    /// It goes: decoded into the drop, kept nowhere else.
    Detaching(Decoder, Box<FileDraft>),
    /// It was going, and is not what its transfer encoding says.
    Spoiled,
}

/// What is kept of a leaf's header.
#[derive(Clone, Debug)]
pub(super) struct FileHead {
    /// Its name; one that is made from its type is made when it is asked for, since most parts'
    /// never are.
    declared: Option<String>,
    pub(super) media_type: Cow<'static, str>,
    pub(super) encoding: TransferEncoding,
}

impl Work {
    pub(super) fn decoder(&mut self) -> Option<&mut Decoder> {
        match self {
            Self::Stays(_) | Self::Spoiled => None,
            Self::Checked(_, decoder)
            | Self::Html(decoder)
            | Self::Counting(decoder)
            | Self::Detaching(decoder, _) => Some(decoder),
        }
    }
}

impl FileHead {
    pub(super) fn new(head: &Head) -> Self {
        let mut media_type = head.media.clone().into_text();
        if media_type.len() > TYPE_BYTES_MAX {
            media_type = "application/octet-stream".into();
        }
        let declared = match &head.file_name {
            Some(name) if name.len() > NAME_BYTES_MAX => {
                let name = names::or_from_type(Some(name), &media_type);
                Some(if name.len() > NAME_BYTES_MAX {
                    names::file(&name)
                } else {
                    name
                })
            }
            name => name.clone(),
        };
        Self {
            declared,
            media_type,
            encoding: head.encoding,
        }
    }

    /// The name, or one made from the type; not made safe.
    pub(super) fn name(&self) -> String {
        names::or_from_type(self.declared.as_deref(), &self.media_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::{Field, MediaType};

    #[test]
    fn what_is_kept_of_a_candidate_is_bounded() {
        for (len, kept) in [(245, 255), (246, 24)] {
            let value = format!("attached/y{}; name={}", "x".repeat(len), "z".repeat(4000));
            let field = Field {
                name: b"Content-Type".to_vec(),
                value: value.into_bytes(),
            };
            let head = Head::read(&[field], MediaType::new("text", "plain")).unwrap();
            let file = FileHead::new(&head);
            assert_eq!(file.media_type.len(), kept);
            assert!(file.name().len() <= NAME_BYTES_MAX);
        }
    }
}
