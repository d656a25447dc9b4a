//! The admin's templates, which take the place of the built-in notice.
//!
//! * `values` – the variables that a template is given
//! * `page` – its output: lines that fit into the author's part, and the judge
//! * `rehearsal` – each template is tried on hostile packages before it meets a mail
//!
//! Whatever a template says, names stay neutral, HTML stays escaped and closed, lines stay short,
//! and the link is there: any other output is an error, and then the built-in notice stands in.
//! Fuel bounds the cost of a template: [`FUEL`].

mod page;
mod rehearsal;
mod values;

use std::{collections::HashSet, fmt, path::Path};

use minijinja::{
    AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value, escape_formatter,
    syntax::SyntaxConfig,
};

use self::page::Flaw;
use super::{Notice, Setting, html, text};
use crate::{l10n::Language, names};

/// The fuel of a rendering: about as many steps, or 64 bytes for each (1 MiB).
const FUEL: u64 = 16_384;

/// Maximum nesting of templates.
const DEPTH_MAX: usize = 50;

/// The names that templates can have.
pub const TEMPLATES: [&str; 4] = ["fr.txt", "fr.html", "en.txt", "en.html"];

/// Filters that would let markup through, or show what is nobody's business.
const NO_FILTERS: [&str; 2] = ["safe", "pprint"];

/// Templates that were tried and found good; the built-in ones stand in for those that are missing.
pub struct Templates {
    text: Environment<'static>,
    html: Environment<'static>,
}

/// A template that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template \"{name}\"{}: {reason}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct TemplateError {
    /// Its file.
    pub name: String,
    /// Its line, unless it is about the whole.
    pub line: Option<usize>,
    /// The reason.
    pub reason: String,
}

impl Templates {
    /// Compiles templates, by their names among [`TEMPLATES`] and their sources, and tries each.
    ///
    /// # Errors
    /// Returns the first mistake.
    pub fn new(sources: &[(&str, String)]) -> Result<Self, TemplateError> {
        let mut templates = Self {
            text: environment(print),
            html: environment(escape),
        };
        templates.text.add_filter("wrap", text::wrapped);

        for (name, source) in sources {
            visible(name, source)?;
            let environment = match kind(name) {
                TemplateFormat::Text => &mut templates.text,
                TemplateFormat::Html => &mut templates.html,
            };
            environment
                .add_template_owned((*name).to_owned(), unix(source))
                .map_err(|error| explain(name, &error))?;
        }

        for (name, _) in sources {
            templates.check_variables(name)?;
            rehearsal::run(&templates, name)?;
        }
        Ok(templates)
    }

    /// Returns the lines of a notice as text, in its language; `None` where there is no template for it.
    pub(super) fn text(
        &self,
        notice: &Notice,
        setting: &Setting<'_>,
    ) -> Option<Result<Vec<String>, TemplateError>> {
        let name = name(notice.language, TemplateFormat::Text);
        self.text.get_template(name).ok()?;
        let rendered = self.render(name, values::of_text(notice, setting));
        Some(rendered.and_then(|text| {
            let flawed = |flaw: Flaw| flaw.of(name);
            page::judge_text(&text, &notice.link).map_err(flawed)?;
            Ok(page::text_lines(&text, notice, setting))
        }))
    }

    /// Returns the lines of a notice as HTML, in its language; `None` where there is no template for it.
    pub(super) fn html(&self, notice: &Notice) -> Option<Result<Vec<String>, TemplateError>> {
        let name = name(notice.language, TemplateFormat::Html);
        self.html.get_template(name).ok()?;
        let rendered = self.render(name, values::of_html(notice));
        Some(rendered.and_then(|html| {
            let flawed = |flaw: Flaw| flaw.of(name);
            page::judge_html(&html, &notice.link).map_err(flawed)?;
            Ok(page::html_lines(&html))
        }))
    }

    fn render(&self, name: &str, values: Value) -> Result<String, TemplateError> {
        let template = self.environment(name).get_template(name);
        template
            .and_then(|template| template.render(values))
            .map_err(|error| explain(name, &error))
    }

    fn environment(&self, name: &str) -> &Environment<'static> {
        match kind(name) {
            TemplateFormat::Text => &self.text,
            TemplateFormat::Html => &self.html,
        }
    }

    /// Checks that all variables are known, even in a branch that no rehearsal takes.
    fn check_variables(&self, name: &str) -> Result<(), TemplateError> {
        let environment = self.environment(name);
        let Ok(template) = environment.get_template(name) else {
            return Ok(());
        };

        let functions: HashSet<&str> = environment.globals().map(|(name, _)| name).collect();
        let mut unknown: Vec<String> = template
            .undeclared_variables(true)
            .into_iter()
            .filter(|path| !values::is_known(path) && !functions.contains(path.as_str()))
            .collect();
        unknown.sort_unstable();

        match unknown.first() {
            None => Ok(()),
            Some(path) => Err(TemplateError {
                name: name.to_owned(),
                line: Some(line_of(template.source(), path)),
                reason: format!("there is no variable \"{path}\""),
            }),
        }
    }
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = [&self.text, &self.html].into_iter();
        let names = known.flat_map(|environment| environment.templates());
        f.debug_set().entries(names.map(|(name, _)| name)).finish()
    }
}

impl TemplateError {
    /// Names the file together with its directory.
    pub fn in_directory(mut self, directory: &Path) -> Self {
        self.name = directory.join(&self.name).display().to_string();
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TemplateFormat {
    Text,
    Html,
}

fn kind(name: &str) -> TemplateFormat {
    if name.ends_with(".html") {
        TemplateFormat::Html
    } else {
        TemplateFormat::Text
    }
}

fn language(name: &str) -> Language {
    if name.starts_with("fr.") {
        Language::Fr
    } else {
        Language::En
    }
}

fn name(language: Language, kind: TemplateFormat) -> &'static str {
    match (language, kind) {
        (Language::Fr, TemplateFormat::Text) => "fr.txt",
        (Language::Fr, TemplateFormat::Html) => "fr.html",
        (Language::En, TemplateFormat::Text) => "en.txt",
        (Language::En, TemplateFormat::Html) => "en.html",
    }
}

type Formatter = fn(&mut Output, &mut State, &Value) -> Result<(), Error>;

/// Makes an engine with our syntax, limits and filters.
fn environment(formatter: Formatter) -> Environment<'static> {
    let mut environment = Environment::new();

    // Captured HTML counts as escaped, and it is: the formatter always escapes.
    environment.set_auto_escape_callback(|name| match kind(name) {
        TemplateFormat::Html => AutoEscape::Html,
        TemplateFormat::Text => AutoEscape::None,
    });

    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Lets an error name the variable that is not there, even without debug assertions.
    environment.set_debug(true);

    environment.set_formatter(formatter);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH_MAX);
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .expect("the usual delimiters"),
    );

    for filter in NO_FILTERS {
        environment.remove_filter(filter);
    }
    environment.remove_global("debug");
    environment.add_filter("ucfirst", html::capitalized);
    environment
}

/// Prints a value as text, which has nothing to escape; `none` is nothing.
fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value {
        value if value.is_none() => Ok(()),
        value if value.is_undefined() => escape_formatter(out, state, value),
        value => Ok(out.write_str(&value.to_string())?),
    }
}

/// Escapes a value whatever the block around it says, as the built-in notice does.
fn escape(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value {
        value if value.is_safe() => Ok(out.write_str(value.as_str().unwrap_or_default())?),
        value if value.is_none() || value.is_undefined() => print(out, state, value),
        value => Ok(out.write_str(&html::escape(&value.to_string()))?),
    }
}

/// Refuses a character that cannot be seen: neither the admin nor we would know what it does.
fn visible(name: &str, source: &str) -> Result<(), TemplateError> {
    let odd = |c: &char| names::is_invisible(*c) && !matches!(c, '\n' | '\r' | '\t');
    let found = source.char_indices().find(|(_, c)| odd(c));
    match found {
        None => Ok(()),
        Some((at, c)) => Err(TemplateError {
            name: name.to_owned(),
            line: Some(line_at(source, at)),
            reason: format!("the character U+{:04X} cannot be seen", u32::from(c)),
        }),
    }
}

/// Converts line ends to those that the engine expects.
fn unix(source: &str) -> String {
    source.replace("\r\n", "\n").replace('\r', "\n")
}

/// Returns the first line on which a path (`contact.href`) is used.
fn line_of(source: &str, path: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let alone = |&(at, _): &(usize, &str)| {
        !source[..at].ends_with(is_part) && !source[at + path.len()..].starts_with(is_part)
    };
    let found = source.match_indices(path).find(alone);
    found.map_or(1, |(at, _)| line_at(source, at))
}

fn line_at(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at]
        .iter()
        .filter(|b| **b == b'\n')
        .count()
}

fn explain(name: &str, error: &Error) -> TemplateError {
    let kind = match error.kind() {
        minijinja::ErrorKind::OutOfFuel => "takes too much: it is to say a few lines".to_owned(),
        kind => kind.to_string(),
    };
    TemplateError {
        name: error.name().unwrap_or(name).to_owned(),
        line: error.line(),
        reason: match error.detail() {
            Some(detail) => format!("{kind}: {detail}"),
            None => kind,
        },
    }
}

#[cfg(test)]
mod tests;
