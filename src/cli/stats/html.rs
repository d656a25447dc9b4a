//! The page to show to people: one file, without script, and nothing fetched from anywhere.

use std::collections::BTreeMap;

use jiff::civil::Date;
use mailsplice::l10n::{Language, units};
use minijinja::{context, value::Serde};
use serde::Serialize;

use super::texts::{self, ReportTexts};
use crate::{
    envelope::Direction,
    ledger::statistics::{By, DOMAIN_MESSAGES_MIN, Month, Row, Sums, group, total},
    web,
};

/// Maximum number of months in the chart.
const CHART_MONTHS_MAX: usize = 24;

/// Width of the drawing, in its own units; the room for the labels is beside it.
const WIDTH: f64 = 640.0;
/// Height of the drawing, in its own units.
const HEIGHT: f64 = 200.0;

/// The subject of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    /// The operator whose mail it is about.
    pub(super) operator: &'a str,
    /// Its language.
    pub(super) language: Language,
    /// The first month that was asked for.
    pub(super) since: Option<Month>,
    /// The last one.
    pub(super) until: Option<Month>,
    /// The day on which it is made, in UTC.
    pub(super) today: Date,
}

/// A line of a table.
#[derive(Debug, Serialize)]
struct TableRow {
    label: String,
    messages: String,
    files: String,
    mailboxes: String,
    bytes: String,
    spared: String,
    /// Its share of the longest bar, in percent.
    percent: String,
}

#[derive(Debug, Default, Serialize)]
struct Chart {
    bars: Vec<Bar>,
    ticks: Vec<Tick>,
    label: String,
    /// A sentence for the case that months are missing.
    cut: Option<String>,
}

/// A month: the sent mail below, the received mail on top of it.
#[derive(Debug, Serialize)]
struct Bar {
    x: String,
    width: String,
    middle: String,
    sent: BarSegment,
    received: BarSegment,
    month: Option<&'static str>,
    year: Option<i16>,
    title: String,
}

#[derive(Debug, Serialize)]
struct BarSegment {
    y: String,
    height: String,
}

#[derive(Debug, Serialize)]
struct Tick {
    y: String,
    label: String,
}

/// Makes the page from folded rows.
pub(super) fn page(page: &Page<'_>, rows: &[Row]) -> String {
    let (t, sums) = (texts::of(page.language), total(rows));
    let writer = PageWriter { page, t };
    let months = writer.months(rows);
    let (big, unit) = writer.split_size(sums.spared);

    let environment = web::environment();
    let template = environment.template_from_str(include_str!("page.html"));
    let rendered = template.and_then(|template| {
        template.render(context! {
            t => Serde(t),
            operator => page.operator,
            period => writer.period(&months),
            empty => rows.is_empty(),
            big, unit,
            files => writer.number(sums.files),
            messages => writer.number(sums.messages),
            mailboxes => writer.number(sums.recipients),
            in_words => writer.in_words(&sums),
            chart => Serde(writer.chart(&months)),
            not_over => writer.not_over(&months),
            by_month => Serde(writer.lines(rows, By::Month)),
            by_direction => Serde(writer.lines(rows, By::Direction)),
            by_domain => Serde(writer.lines(rows, By::Domain)),
            total => Serde(writer.line(String::new(), sums, sums.spared)),
            counted => t.counted.iter().map(|text| writer.fill_least(text)).collect::<Vec<_>>(),
            made => t.made.replace("{date}", &units::date(page.today, page.language)),
        })
    });

    rendered.expect("the template is part of the program, and tested")
}

struct PageWriter<'a> {
    page: &'a Page<'a>,
    t: &'static ReportTexts,
}

impl PageWriter<'_> {
    /// Returns the bytes spared in each month, sent and received, without gaps.
    fn months(&self, rows: &[Row]) -> Vec<(Month, [u64; 2])> {
        let mut found = BTreeMap::<Month, [u64; 2]>::new();
        for row in rows {
            let received = usize::from(row.direction == Direction::Incoming);
            let spared = &mut found.entry(row.month).or_default()[received];
            *spared = spared.saturating_add(row.sums.spared);
        }

        let (Some(first), Some(last)) = (found.keys().next(), found.keys().next_back()) else {
            return Vec::new();
        };

        let this = Month::of(self.page.today);
        // A clock may have been wrong: no gap of centuries is drawn.
        let first = self.page.since.unwrap_or(*first).min(*first);
        let last = self.page.until.unwrap_or(this).min(this).max(*last);

        let mut months = Vec::new();
        let mut month = last;
        while month >= first && months.len() < 12 * 100 {
            months.push((month, found.get(&month).copied().unwrap_or_default()));
            if month == month.before() {
                break;
            }
            month = month.before();
        }

        months.reverse();
        months
    }

    fn period(&self, months: &[(Month, [u64; 2])]) -> Option<String> {
        let (first, last) = (months.first()?.0, months.last()?.0);
        if first == last {
            return Some(capital(&self.month(first)));
        }
        let first = capital(&self.month(first));
        Some(format!("{first} – {}", self.month(last)))
    }

    fn not_over(&self, months: &[(Month, [u64; 2])]) -> Option<String> {
        let last = months.last()?.0;
        let open = last == Month::of(self.page.today);
        open.then(|| {
            self.t
                .not_over
                .replace("{month}", &capital(&self.month(last)))
        })
    }

    fn in_words(&self, sums: &Sums) -> String {
        let [messages, files, recipients] = self.t.nouns;
        let values = [
            ("{files}", self.count(sums.files, files)),
            ("{messages}", self.count(sums.messages, messages)),
            ("{mailboxes}", self.count(sums.recipients, recipients)),
            ("{bytes}", self.size(sums.bytes)),
            ("{spared}", self.size(sums.spared)),
        ];
        let fill = |text: String, (name, value): &(&str, String)| text.replace(name, value);
        values.iter().fold(self.t.in_words.to_owned(), fill)
    }

    fn lines(&self, rows: &[Row], by: By) -> Vec<TableRow> {
        let groups = group(rows, by, |row| self.label(row, by));
        let most = groups.iter().map(|(_, sums)| sums.spared).max();
        let line = |(label, sums)| self.line(label, sums, most.unwrap_or(0));
        let mut lines: Vec<_> = groups.into_iter().map(line).collect();
        if by == By::Month {
            // People look for the last one first.
            lines.reverse();
        }
        lines
    }

    fn label(&self, row: &Row, by: By) -> String {
        match (by, row.direction) {
            (By::Month, _) => capital(&self.month(row.month)),
            (By::Direction, Direction::Outgoing) => self.t.outgoing.to_owned(),
            (By::Direction, Direction::Incoming) => self.t.incoming.to_owned(),
            (By::Domain, _) if row.domain.is_empty() => self.fill_least(self.t.others),
            (By::Domain, _) => row.domain.clone(),
        }
    }

    fn line(&self, label: String, sums: Sums, most: u64) -> TableRow {
        TableRow {
            label,
            messages: self.number(sums.messages),
            files: self.number(sums.files),
            mailboxes: self.number(sums.recipients),
            bytes: self.size(sums.bytes),
            spared: self.size(sums.spared),
            percent: format!("{:.1}", 100.0 * sums.spared as f64 / most.max(1) as f64),
        }
    }

    fn chart(&self, months: &[(Month, [u64; 2])]) -> Chart {
        let shown = &months[months.len().saturating_sub(CHART_MONTHS_MAX)..];
        let sum =
            |&(month, [sent, received]): &(Month, [u64; 2])| (sent.saturating_add(received), month);
        let Some((most, best)) = shown.iter().map(sum).max() else {
            return Chart::default();
        };

        let (top, step) = scale(most);
        let tick = |n: u64| Tick {
            y: place(HEIGHT - HEIGHT * (n * step) as f64 / top as f64),
            label: self.size(n * step),
        };

        let label = self.t.chart_label.replace("{month}", &self.month(best));
        let cut = self
            .t
            .chart_cut
            .replace("{shown}", &shown.len().to_string());

        Chart {
            bars: self.bars(shown, top),
            ticks: (1..=top / step).map(tick).collect(),
            label: label.replace("{size}", &self.size(most)),
            cut: (shown.len() < months.len()).then_some(cut),
        }
    }

    fn bars(&self, months: &[(Month, [u64; 2])], top: u64) -> Vec<Bar> {
        let pitch = WIDTH / months.len().max(6) as f64;
        let width = (pitch * 0.68).min(48.0);
        // Labels that would touch each other are left out.
        let every = months.len().div_ceil(13);
        let high = |bytes: u64| HEIGHT * bytes as f64 / top as f64;

        let bar = |(index, &(month, [sent, received])): (usize, &(Month, [u64; 2]))| {
            let day = month.first_day();
            let middle = pitch * (index as f64 + 0.5);
            let named = (months.len() - 1 - index).is_multiple_of(every);
            let first = index < every;
            let new_year = usize::from(day.month().unsigned_abs()) <= every;
            Bar {
                x: place(middle - width / 2.0),
                width: place(width),
                middle: place(middle),
                sent: block(HEIGHT - high(sent), high(sent)),
                received: block(HEIGHT - high(sent) - high(received), high(received)),
                month: named.then(|| self.t.months[usize::from(day.month().unsigned_abs()) - 1]),
                year: (named && (first || new_year)).then(|| day.year()),
                title: format!(
                    "{} : {}",
                    self.month(month),
                    self.size(sent.saturating_add(received))
                ),
            }
        };
        months.iter().enumerate().map(bar).collect()
    }

    fn month(&self, month: Month) -> String {
        units::month_of_year(month.first_day(), self.page.language)
    }

    fn size(&self, bytes: u64) -> String {
        units::size(bytes, self.page.language)
    }

    /// Splits a size into the number and its unit.
    fn split_size(&self, bytes: u64) -> (String, String) {
        let size = self.size(bytes);
        let (number, unit) = size.split_once('\u{a0}').unwrap_or((&size, ""));
        (number.to_owned(), unit.to_owned())
    }

    fn number(&self, number: u64) -> String {
        let digits = number.to_string();
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(self.t.thousands);
            }
            text.push(digit);
        }
        text
    }

    /// Joins a number and its noun, which do not part at the end of a line.
    fn count(&self, number: u64, [one, many]: [&str; 2]) -> String {
        let noun = if number == 1 { one } else { many };
        format!("{}\u{a0}{noun}", self.number(number))
    }

    fn fill_least(&self, text: &str) -> String {
        text.replace("{least}", &DOMAIN_MESSAGES_MIN.to_string())
    }
}

/// Returns the height of a chart and the distance of its lines: 1, 2 or 5 times a power of ten, at
/// most five lines.
fn scale(most: u64) -> (u64, u64) {
    let steps = (0..19).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
    let step = steps
        .into_iter()
        .find(|step| most.div_ceil(*step) <= 5)
        .unwrap_or(u64::MAX / 5);
    (most.div_ceil(step).max(1).saturating_mul(step), step)
}

fn block(y: f64, height: f64) -> BarSegment {
    BarSegment {
        y: place(y),
        height: place(height),
    }
}

fn place(at: f64) -> String {
    format!("{at:.1}")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(language: Language) -> Page<'static> {
        Page {
            operator: "Les <Amis> & Co",
            language,
            since: None,
            until: None,
            today: jiff::civil::date(2026, 11, 23),
        }
    }

    fn row(month: &str, direction: Direction, domain: &str, spared: u64) -> Row {
        Row {
            month: month.parse().unwrap(),
            direction,
            domain: domain.into(),
            sums: Sums {
                messages: 1200,
                files: 3456,
                bytes: spared / 2,
                recipients: 2400,
                spared,
            },
        }
    }

    #[test]
    fn a_page_says_what_was_spared_and_fetches_nothing() {
        let rows = [
            row("2026-08", Direction::Incoming, "<b>.example", 1_000_000_000),
            row("2026-11", Direction::Outgoing, "", 3_000_000_000),
        ];
        let french = page(&about(Language::Fr), &rows);
        for text in [
            "<html lang=\"fr\">",
            "Les &lt;Amis&gt; &amp; Co",
            "&lt;b&gt;.example",
            "Août\u{a0}2026 – novembre\u{a0}2026",
            "6\u{202f}912",
            "4\u{a0}Go",
            "Novembre\u{a0}2026 n’est pas terminé.",
        ] {
            assert!(french.contains(text), "{text}\n{french}");
        }
        for text in ["http", "<script", "src=", "{files}", "{least}", "NaN"] {
            assert!(!french.replace("xmlns=\"http", "").contains(text), "{text}");
        }
        assert_eq!(french.matches("<g class=\"bar\"").count(), 4);
        assert!(page(&about(Language::En), &rows).contains("6,912"));
    }

    #[test]
    fn a_page_about_nothing_says_so() {
        assert!(page(&about(Language::En), &[]).contains("No attachment was set aside"));
    }

    #[test]
    fn numbers_without_bound_and_wrong_clocks_are_drawn() {
        let rows = [
            row("0000-01", Direction::Incoming, "", u64::MAX),
            row("9999-12", Direction::Incoming, "", u64::MAX),
            row("9999-12", Direction::Outgoing, "", 0),
        ];
        page(&about(Language::Fr), &rows);
    }

    #[test]
    fn a_scale_has_round_steps() {
        for (most, expected) in [
            (0, (1, 1)),
            (1, (1, 1)),
            (5, (5, 1)),
            (6, (6, 2)),
            (10, (10, 2)),
            (11, (15, 5)),
            (2_600_000_000, (3_000_000_000, 1_000_000_000)),
        ] {
            assert_eq!(scale(most), expected, "{most}");
        }
        scale(u64::MAX);
    }
}
