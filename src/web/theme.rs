//! The look of the pages: the templates, the style sheet with the operator's colours, the logo.
//!
//! All of it is read once. A template of the admin's replaces the one of the same name; it is tried
//! on every kind of page before anything is served, so that a mistake is found by
//! `depollueur check` and not by a reader.

use std::{fmt, path::PathBuf, sync::Arc};

use axum::http::HeaderValue;
use bytes::Bytes;
use minijinja::{
    AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value, escape_formatter,
};

use super::rehearsal;
use crate::{
    config::{Colour, Config, DOMAINS_DIRECTORY, WebConfig},
    loaded::{PageFileError, PageFiles},
};

/// The templates that are part of the program.
const TEMPLATES: [(&str, &str); 12] = [
    ("about.html", include_str!("templates/about.html")),
    ("gone.html", include_str!("templates/gone.html")),
    ("home.html", include_str!("templates/home.html")),
    ("icons.html", include_str!("templates/icons.html")),
    ("landing.html", include_str!("templates/landing.html")),
    ("layout.html", include_str!("templates/layout.html")),
    ("locked-row.html", include_str!("templates/locked-row.html")),
    ("message.html", include_str!("templates/message.html")),
    ("pages.html", include_str!("templates/pages.html")),
    ("report.html", include_str!("templates/report.html")),
    ("row.html", include_str!("templates/row.html")),
    ("unlock.html", include_str!("templates/unlock.html")),
];

const STYLE: &str = include_str!("style.css");

/// The look of the pages. Cheap to clone.
#[derive(Clone)]
pub struct Theme(Arc<ThemeAssets>);

struct ThemeAssets {
    templates: Environment<'static>,
    style: Bytes,
    logo: Option<Logo>,
    /// True if landing pages, and pages that browsers unlock, lead to further pages.
    paged: [bool; 2],
}

/// The operator's logo.
pub(super) struct Logo {
    pub(super) bytes: Bytes,
    pub(super) media_type: HeaderValue,
}

/// The reason why pages cannot look as configured.
#[derive(Debug, thiserror::Error)]
pub enum ThemeError {
    /// A file cannot be read, or is too large.
    #[error(transparent)]
    File(#[from] PageFileError),
    /// The logo is no image of a kind that we serve.
    #[error("web.logo = \"{}\": must be a PNG, SVG or WebP image", .0.display())]
    Logo(PathBuf),
    /// A template replaces none of ours.
    #[error("template \"{}\": there is none of this name; the names are {names}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The known names.
        names: String,
    },
    /// A template cannot be read or rendered.
    #[error("template \"{name}\", line {line}: {reason}")]
    Template {
        /// Its file, or its name if it is ours.
        name: String,
        /// The line.
        line: usize,
        /// The cause.
        reason: String,
    },
}

impl Theme {
    /// Reads the files that the configuration names, and tries all templates. Blocks.
    ///
    /// # Errors
    /// A file cannot be read or used; the message names it, and the line in a template.
    pub fn load(config: &WebConfig) -> Result<Self, ThemeError> {
        let PageFiles {
            templates: own,
            logo,
        } = PageFiles::read(config)?;
        let logo = logo.map(|bytes| Logo::new(bytes, config)).transpose()?;
        let at = |name: &str| config.templates.as_ref().map(|place| place.join(name));
        let is_known = |name: &String| TEMPLATES.iter().any(|(known, _)| known == name);
        if let Some((name, _)) = own.iter().find(|(name, _)| !is_known(name)) {
            let names: Vec<_> = TEMPLATES.iter().map(|(known, _)| *known).collect();
            return Err(ThemeError::Unknown {
                path: at(name).unwrap_or_default(),
                names: names.join(", "),
            });
        }

        let mut templates = environment();
        let file = |name: &str| at(name).filter(|_| own.iter().any(|(known, _)| known == name));
        for (name, source) in TEMPLATES {
            let replaced = own.iter().find(|(known, _)| known == name);
            let source = replaced.map_or(source.to_owned(), |(_, source)| source.clone());
            templates
                .add_template_owned(name, source)
                .map_err(|error| explain(&error, file))?;
        }

        rehearsal::run(&templates).map_err(|error| explain(&error, file))?;
        Ok(Self(Arc::new(ThemeAssets {
            paged: ["landing.html", "unlock.html"]
                .map(|name| rehearsal::is_paged(&templates, name)),
            templates,
            style: style(config).into(),
            logo,
        })))
    }

    /// Reads the looks of all domains that have settings of their own; returned by domain name.
    /// Blocks.
    ///
    /// # Errors
    /// As [`Theme::load`]; the message names the domain.
    pub(crate) fn load_domains(config: &Config) -> Result<Vec<(String, Self)>, String> {
        let load = |(domain, own): (&String, &Arc<Config>)| {
            let theme = Self::load(&own.web);
            let theme = theme.map_err(|why| format!("{DOMAINS_DIRECTORY}/{domain}.toml: {why}"))?;
            Ok((domain.clone(), theme))
        };
        config.domains.iter().map(load).collect()
    }

    pub(super) fn templates(&self) -> &Environment<'static> {
        &self.0.templates
    }

    /// Returns true if landing pages lead to further pages.
    pub(super) fn landing_is_paged(&self) -> bool {
        self.0.paged[0]
    }

    /// Returns true if pages that browsers unlock lead to further pages.
    pub(super) fn unlock_is_paged(&self) -> bool {
        self.0.paged[1]
    }

    pub(super) fn style(&self) -> Bytes {
        self.0.style.clone()
    }

    pub(super) fn logo(&self) -> Option<&Logo> {
        self.0.logo.as_ref()
    }
}

impl fmt::Debug for Theme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Theme").finish_non_exhaustive()
    }
}

impl Logo {
    fn new(bytes: Vec<u8>, config: &WebConfig) -> Result<Self, ThemeError> {
        let wrong = || ThemeError::Logo(config.logo.clone().unwrap_or_default());
        let media_type = image_type(&bytes).ok_or_else(wrong)?;
        Ok(Self {
            bytes: bytes.into(),
            media_type: HeaderValue::from_static(media_type),
        })
    }
}

/// Recognizes an image by its first bytes; the name of the file does not matter.
fn image_type(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Some("image/png");
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Some("image/webp");
    }
    let text = str::from_utf8(bytes).ok()?.trim_start_matches('\u{feff}');
    let markup = text.trim_start().starts_with('<') && text.contains("<svg");
    markup.then_some("image/svg+xml")
}

/// Makes the template engine. Everything is escaped, whatever a template is called, and a variable
/// that does not exist is a mistake.
pub(crate) fn environment() -> Environment<'static> {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    // Makes an error name the missing variable; without debug assertions it would not.
    templates.set_debug(true);
    templates.set_formatter(escape);
    templates
}

/// Makes an error of the template at fault, which may be one that another one includes.
fn explain(error: &Error, file: impl Fn(&str) -> Option<PathBuf>) -> ThemeError {
    let mut deepest = error;
    let mut source = std::error::Error::source(error);
    while let Some(next) = source {
        if let Some(next) = next.downcast_ref::<Error>().filter(|e| e.name().is_some()) {
            deepest = next;
        }
        source = next.source();
    }

    let name = deepest.name().unwrap_or_default();
    ThemeError::Template {
        name: file(name).map_or(name.to_owned(), |path| path.display().to_string()),
        line: deepest.line().unwrap_or_default(),
        reason: match deepest.detail() {
            Some(detail) => format!("{}: {detail}", deepest.kind()),
            None => deepest.kind().to_string(),
        },
    }
}

/// The style sheet, followed by the operator's colours.
fn style(config: &WebConfig) -> String {
    let (light, dark) = (config.accent, config.accent_dark);
    let colours = |accent: Colour, strong: Colour| {
        let on = accent.text_on();
        format!(":root {{ --accent: {accent}; --accent-strong: {strong}; --on-accent: {on}; }}\n")
    };
    let light_rule = colours(light, light.mixed(Colour::INK, 30));
    let dark_rule = colours(dark, dark.mixed(Colour::WHITE, 35));
    format!("{STYLE}\n{light_rule}@media (prefers-color-scheme: dark) {{ {dark_rule}}}\n")
}

/// Escapes text and quoted attributes. The default would write `/` as a reference too, which
/// protects nothing here and makes links hard to read in the source.
fn escape(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let plain = value.is_undefined() || value.is_safe();
    if plain || !matches!(state.auto_escape(), AutoEscape::Html) {
        return escape_formatter(out, state, value);
    }
    let printed;
    let mut rest = match value.as_str() {
        Some(text) => text,
        None if value.is_none() => "",
        None => {
            printed = value.to_string();
            &printed
        }
    };

    let is_special = |byte: u8| matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'');
    while let Some(at) = rest.bytes().position(is_special) {
        out.write_str(&rest[..at])?;
        out.write_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        })?;
        rest = &rest[at + 1..];
    }
    Ok(out.write_str(rest)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn with(files: &[(&str, &str)]) -> (TempDir, Result<Theme, ThemeError>) {
        let directory = TempDir::new().unwrap();
        for (name, contents) in files {
            fs::write(directory.path().join(name), contents).unwrap();
        }
        let theme = Theme::load(&WebConfig {
            templates: Some(directory.path().to_owned()),
            ..WebConfig::default()
        });
        (directory, theme)
    }

    fn refusal(name: &str, contents: &str) -> String {
        let (directory, theme) = with(&[(name, contents)]);
        let message = theme.unwrap_err().to_string();
        message.replace(directory.path().to_str().unwrap(), "DIR")
    }

    #[test]
    fn own_templates_can_be_read_and_rendered() {
        Theme::load(&WebConfig::default()).unwrap();
    }

    #[test]
    fn a_broken_template_is_refused_with_its_name_and_line() {
        for (contents, expected) in [
            (
                "a\nb {% if %}\n",
                "template \"DIR/home.html\", line 2: syntax error",
            ),
            (
                "a\n\n{{ site.operater }}",
                "template \"DIR/home.html\", line 3: undefined value",
            ),
            (
                "{{ nothing.here }}",
                "template \"DIR/home.html\", line 1: undefined value",
            ),
            (
                "{{ site|shout }}",
                "template \"DIR/home.html\", line 1: unknown filter",
            ),
            (
                "{% include 'x.html' %}",
                "template \"DIR/home.html\", line 1: template not found",
            ),
        ] {
            let message = refusal("home.html", contents);
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_mistake_in_a_part_is_blamed_on_that_part() {
        let message = refusal("layout.html", "<title>\n{{ page.titel }}</title>");
        assert!(
            message.starts_with("template \"DIR/layout.html\", line 2"),
            "{message}"
        );
    }

    #[test]
    fn a_template_that_replaces_none_is_refused() {
        let message = refusal("landig.html", "");
        assert!(
            message.contains("landig.html\": there is none of this name"),
            "{message}"
        );
        assert!(with(&[("README.txt", "{% if %}")]).1.is_ok());
    }

    #[test]
    fn replacements_escape_too() {
        let (_directory, theme) = with(&[("message.html", "<b>{{ page.title }}</b>{{ x or 1 }}")]);
        let theme = theme.unwrap();
        let context =
            minijinja::context! { page => minijinja::context! { title => "<i>'&\"" }, x => 0 };
        let shown = theme
            .templates()
            .get_template("message.html")
            .unwrap()
            .render(context);
        assert_eq!(shown.unwrap(), "<b>&lt;i&gt;&#39;&amp;&quot;</b>1");
    }

    #[test]
    fn colours_of_the_operator_come_last_in_the_style_sheet() {
        let config = WebConfig {
            accent: Colour([0x80, 0, 0]),
            ..WebConfig::default()
        };
        let style = style(&config);
        let own = style.find("--accent: #800000").unwrap();
        assert!(own > STYLE.len() && style[own..].contains("--on-accent: #ffffff"));
    }

    #[test]
    fn logos_are_known_by_their_first_bytes() {
        for (bytes, expected) in [
            (&b"\x89PNG\r\n\x1a\nrest"[..], Some("image/png")),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"<?xml version='1.0'?><svg/>", Some("image/svg+xml")),
            (b"\xef\xbb\xbf <svg xmlns='x'/>", Some("image/svg+xml")),
            (b"GIF89a", None),
            (b"<html><body>", None),
            (b"", None),
        ] {
            assert_eq!(image_type(bytes), expected);
        }
    }

    #[test]
    fn a_logo_that_is_missing_or_too_large_is_named() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("logo.png");
        let load = || {
            let config = WebConfig {
                logo: Some(path.clone()),
                ..WebConfig::default()
            };
            Theme::load(&config)
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        assert!(
            load()
                .unwrap_err()
                .contains("logo.png\": could not be read")
        );
        fs::write(&path, b"\x89PNG\r\n\x1a\n").unwrap();
        assert_eq!(load(), Ok(()));
        fs::write(&path, vec![0; 256 * 1024 + 1]).unwrap();
        assert!(load().unwrap_err().contains("larger than"));
        fs::write(&path, b"GIF89a").unwrap();
        assert!(load().unwrap_err().contains("must be a PNG"));
    }
}
