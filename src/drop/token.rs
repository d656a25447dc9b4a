//! The secret in a link.

use std::{fmt, str::FromStr, sync::LazyLock};

use aws_lc_rs::rand;
use data_encoding::{Encoding, Specification};
use zeroize::{Zeroize, Zeroizing};

use crate::ledger::RecordId;

const TOKEN_BYTES: usize = 16;
/// Length of a token in characters: 128 bits, 5 a character; the last one holds 3 bits and 2 zeros.
const TOKEN_CHARS: usize = 26;

/// The alphabet: RFC 4648 base32 in lower case without padding. Letters of both cases are read; a last
/// character whose two spare bits are not zero is not, so that a token has one spelling.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification
        .symbols
        .push_str("abcdefghijklmnopqrstuvwxyz234567");
    specification
        .translate
        .from
        .push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    specification
        .translate
        .to
        .push_str("abcdefghijklmnopqrstuvwxyz");
    specification
        .encoding()
        .expect("the alphabet has 32 symbols")
});

/// The secret in a link: 128 random bits. Its `Debug` shows nothing; its `Display` is its form in the
/// link: 26 characters of lower-case base32.
#[derive(Clone)]
pub struct Token([u8; TOKEN_BYTES]);

/// The error for a text that is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token of {TOKEN_CHARS} base32 characters")]
pub struct TokenError;

impl Token {
    /// Makes a fresh token with the operating system's generator.
    pub fn random() -> Self {
        let mut bytes = [0; TOKEN_BYTES];
        rand::fill(&mut bytes).expect("the system gives random bytes");
        Self(bytes)
    }

    /// Returns the token under which nothing can be deposited: no text is read as it. It is looked up in
    /// place of a text that is no token, so that both take the same time.
    pub fn nowhere() -> Self {
        Self([0; TOKEN_BYTES])
    }

    /// Returns the id of this token's package, for places where the token must not stand: 32 hexadecimal
    /// digits.
    pub fn package_id(&self) -> String {
        RecordId::from(self).to_string()
    }

    /// Returns a stranger's text without the tokens in it, such as that of a link that he pasted.
    pub(super) fn conceal(text: &str) -> String {
        let is_symbol = |c: char| c.is_ascii_alphanumeric();
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(is_symbol) {
            let len = rest[start..]
                .find(|c| !is_symbol(c))
                .unwrap_or(rest.len() - start);
            let (before, run) = rest[..start + len].split_at(start);
            shown.push_str(before);
            shown.push_str(if run.parse::<Self>().is_ok() {
                "[…]"
            } else {
                run
            });
            rest = &rest[start + len..];
        }
        shown + rest
    }

    pub(super) fn as_bytes(&self) -> &[u8; TOKEN_BYTES] {
        &self.0
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        if text.len() != TOKEN_CHARS {
            return Err(TokenError);
        }
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        match BASE32.decode_mut(text.as_bytes(), &mut *bytes) {
            // All zeros are reserved for the token that leads nowhere.
            Ok(TOKEN_BYTES) if *bytes != [0; TOKEN_BYTES] => Ok(Self(*bytes)),
            _ => Err(TokenError),
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Zeroizing::new([0; TOKEN_CHARS]);
        BASE32.encode_mut(&self.0, &mut *text);
        f.pad(str::from_utf8(&*text).expect("base32 is ASCII"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_shown() {
        let token = Token::random();
        let text = token.to_string();
        assert_eq!(text.len(), TOKEN_CHARS);
        assert_eq!(text, text.to_lowercase());
        assert_eq!(text.parse::<Token>().unwrap().0, token.0);
        assert_eq!(
            text.to_uppercase().parse::<Token>().unwrap().to_string(),
            text
        );
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Token::random()), "Token(…)");
    }

    #[test]
    fn two_tokens_differ() {
        assert_ne!(Token::random().0, Token::random().0);
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        let least = "a".repeat(24) + "ae";
        assert!(least.parse::<Token>().is_ok());
        let wrong = [
            String::new(),
            "a".repeat(26), // 128 bits of nothing
            "a".repeat(25),
            "a".repeat(27),
            "a".repeat(25) + "b", // a spare bit is set
            "a".repeat(25) + "=",
            "a".repeat(25) + "1",
            "a".repeat(24) + "é",
            " ".to_owned() + &"a".repeat(25),
        ];
        for text in wrong {
            assert_eq!(text.parse::<Token>().unwrap_err(), TokenError, "{text:?}");
        }
    }

    #[test]
    fn tokens_are_concealed_in_texts() {
        let token = Token::random().to_string();
        let upper = token.to_uppercase();
        let id = super::super::RecordId::from(&Token::random());
        for (text, shown) in [
            (String::new(), String::new()),
            ("é a, b. ".to_owned(), "é a, b. ".to_owned()),
            (token.clone(), "[…]".to_owned()),
            (
                format!("see <https://d.example/{token}/1> – {upper}!"),
                "see <https://d.example/[…]/1> – […]!".to_owned(),
            ),
            (format!("/e/{id}#{token}"), format!("/e/{id}#[…]")),
            (format!("x{token}"), format!("x{token}")),
        ] {
            assert_eq!(Token::conceal(&text), shown);
        }
    }

    proptest! {
        #[test]
        fn a_token_has_one_spelling(text in "[a-z2-7A-Z]{26}") {
            if let Ok(token) = text.parse::<Token>() {
                prop_assert_eq!(token.to_string(), text.to_lowercase());
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _ = text.parse::<Token>();
        }
    }
}
