//! Codecs for the look and the texts of pages: legible colours, texts of several lines.

use std::{fmt, str::FromStr};

use super::value::{Codec, Written};

/// Minimum contrast of text to its background for readers with low vision (WCAG 2.2, 1.4.3, AA).
pub const CONTRAST_MIN: f64 = 4.5;

/// A colour of sRGB, `#rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

impl Colour {
    /// White.
    pub const WHITE: Self = Self([0xff; 3]);
    /// The ground of light pages, the darker of their two surfaces.
    pub const LIGHT_GROUND: Self = Self([0xf2, 0xf4, 0xf7]);
    /// The paper of dark pages, the lighter of their two surfaces.
    pub const DARK_PAPER: Self = Self([0x19, 0x21, 0x2c]);
    /// The ink of light pages, nearly black.
    pub const INK: Self = Self([0x0b, 0x12, 0x1a]);

    /// Returns the contrast ratio of two colours, from 1 to 21 (WCAG 2.2, "contrast ratio").
    pub fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance() + 0.05, other.luminance() + 0.05);
        a.max(b) / a.min(b)
    }

    /// Returns white or ink, whichever is easier to read on this colour.
    pub fn text_on(self) -> Self {
        if self.contrast(Self::WHITE) >= self.contrast(Self::INK) {
            Self::WHITE
        } else {
            Self::INK
        }
    }

    /// Returns this colour mixed with `percent` % of another one.
    pub fn mixed(self, other: Self, percent: u8) -> Self {
        let percent = u16::from(percent.min(100));
        let mix = |a: u8, b: u8| {
            let sum = u16::from(a) * (100 - percent) + u16::from(b) * percent;
            (sum / 100) as u8
        };
        Self(std::array::from_fn(|i| mix(self.0[i], other.0[i])))
    }

    /// Returns the relative luminance (WCAG 2.2, "relative luminance").
    fn luminance(self) -> f64 {
        let linear = |channel: u8| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// The error for text that is not a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a colour of the form #rrggbb")]
pub struct ColourError;

impl FromStr for Colour {
    type Err = ColourError;

    fn from_str(text: &str) -> Result<Self, ColourError> {
        let digits = text.strip_prefix('#').ok_or(ColourError)?;
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
        let channels = bytes.ok().and_then(|bytes| bytes.try_into().ok());
        channels.map(Self).ok_or(ColourError)
    }
}

/// Codec of `web.accent`: a colour that is legible on light pages.
pub(super) struct LightAccent;

impl Codec for LightAccent {
    type Value = Colour;

    fn parse(written: &Written) -> Option<Colour> {
        readable(written, Colour::LIGHT_GROUND)
    }

    fn print(value: &Colour) -> Written {
        Written::Text(value.to_string())
    }

    fn allowed() -> String {
        allowed(Colour::LIGHT_GROUND, "light", "#0b6450")
    }
}

/// Codec of `web.accent_dark`: a colour that is legible on dark pages.
pub(super) struct DarkAccent;

impl Codec for DarkAccent {
    type Value = Colour;

    fn parse(written: &Written) -> Option<Colour> {
        readable(written, Colour::DARK_PAPER)
    }

    fn print(value: &Colour) -> Written {
        Written::Text(value.to_string())
    }

    fn allowed() -> String {
        allowed(Colour::DARK_PAPER, "dark", "#62d2b7")
    }
}

fn readable(written: &Written, ground: Colour) -> Option<Colour> {
    let colour: Colour = written.text()?.parse().ok()?;
    (colour.contrast(ground) >= CONTRAST_MIN).then_some(colour)
}

fn allowed(ground: Colour, scheme: &str, example: &str) -> String {
    format!(
        "a colour such as {example:?} that can be read on the {scheme} pages ({ground}): contrast at least {CONTRAST_MIN} (WCAG AA)"
    )
}

/// Text that may have several lines.
pub(super) struct Prose;

impl Codec for Prose {
    type Value = String;

    fn parse(written: &Written) -> Option<String> {
        let text = written.text()?;
        let plain = !text.chars().any(|c| c.is_control() && c != '\n');
        (plain && text.len() <= 20_000).then_some(text)
    }

    fn print(value: &String) -> Written {
        Written::Text(value.clone())
    }

    fn allowed() -> String {
        "text of at most 20000 bytes; an empty line begins a paragraph".into()
    }
}

/// Codec of a command: the path of a program and its arguments, or nothing.
pub(super) struct CommandLine;

impl Codec for CommandLine {
    type Value = Vec<String>;

    fn parse(written: &Written) -> Option<Vec<String>> {
        let Written::List(_) = written else {
            return None;
        };
        let words = written.texts()?;
        let plain = words.iter().all(|word| !word.contains('\0'));
        let absolute = words.first().is_none_or(|program| program.starts_with('/'));
        (plain && absolute).then_some(words)
    }

    fn print(value: &Vec<String>) -> Written {
        Written::List(value.iter().cloned().map(Written::Text).collect())
    }

    fn allowed() -> String {
        r#"a list such as ["/usr/local/lib/depollueur/report"] that begins with the path of a program, or []"#.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Written {
        Written::Text(text.into())
    }

    #[test]
    fn contrast_is_that_of_wcag() {
        let black = Colour([0; 3]);
        assert!((Colour::WHITE.contrast(black) - 21.0).abs() < 1e-9);
        // The lightest grey that passes on white, and the next one, which does not.
        let grey = |level| Colour([level; 3]).contrast(Colour::WHITE);
        assert!(grey(0x76) >= CONTRAST_MIN && grey(0x77) < CONTRAST_MIN);
    }

    #[test]
    fn colours_that_cannot_be_read_are_refused() {
        for (light, good) in [("#0b6450", true), ("#62d2b7", false), ("#777777", false)] {
            assert_eq!(LightAccent::parse(&text(light)).is_some(), good, "{light}");
        }
        for (dark, good) in [("#62d2b7", true), ("#0b6450", false)] {
            assert_eq!(DarkAccent::parse(&text(dark)).is_some(), good, "{dark}");
        }
        for wrong in ["", "#", "red", "0b6450", "#0b645", "#0b64500", "#0b645g"] {
            assert!(wrong.parse::<Colour>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn text_on_any_colour_can_be_read() {
        for red in (0..=255).step_by(15) {
            for green in (0..=255).step_by(15) {
                let colour = Colour([red, green, 128]);
                let contrast = colour.contrast(colour.text_on());
                assert!(contrast >= 4.3, "{colour} {contrast}");
            }
        }
    }

    #[test]
    fn printed_colours_parse_to_themselves() {
        let colour = Colour([0x0b, 0x64, 0x50]);
        assert_eq!(colour.to_string().parse(), Ok(colour));
        assert_eq!("#0B6450".parse(), Ok(colour));
    }

    #[test]
    fn command_begins_with_a_path() {
        let list = |words: &[&str]| {
            let items = words.iter().map(|word| text(word)).collect();
            CommandLine::parse(&Written::List(items))
        };
        assert_eq!(list(&[]), Some(Vec::new()));
        assert!(list(&["/bin/true", "a b"]).is_some());
        assert!(list(&["sendmail"]).is_none() && list(&["/bin/true", "\0"]).is_none());
        assert!(CommandLine::parse(&text("/bin/true")).is_none());
    }

    #[test]
    fn prose_has_lines_and_no_other_control() {
        assert!(Prose::parse(&text("a\n\nb")).is_some());
        assert!(Prose::parse(&text("a\u{1b}[2J")).is_none());
        assert!(Prose::parse(&text(&"x".repeat(20_001))).is_none());
    }
}
