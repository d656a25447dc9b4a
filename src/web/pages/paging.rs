//! Packages of many files on several pages.

use mailsplice::l10n::Language;

use super::package::Extended;
use crate::web::{
    language::Wanted,
    texts::{Texts, fill},
    views::{PageLinkView, PagesView},
};

/// Maximum number of files on a page: some 90 kilobytes, up to 300 if all names are long and need
/// escapes.
pub(in crate::web) const FILES_PER_PAGE: usize = 100;

/// Maximum number of files that are seen at once: readers find the end of a page, and what stands there.
pub(super) const FILES_UNFOLDED: usize = 20;

/// Number of pages on each side of the present one that have a link of their own, beside the first
/// and the last.
const NEIGHBOURS: usize = 5;

/// The requests in the query of a package's page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct PageAsked {
    /// The outcome of the action before.
    pub(in crate::web) extended: Option<Extended>,
    /// The number of the page, from 1; the first if it is missing or not understood.
    number: usize,
}

/// A page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListPage {
    /// Its number, from 1.
    number: usize,
    files: usize,
    per_page: usize,
}

impl PageAsked {
    pub(in crate::web) fn of(query: &str) -> Self {
        let mut pairs = query.split('&');
        let number = pairs.find_map(|pair| pair.strip_prefix("page=")?.parse().ok());
        Self {
            extended: Extended::of(query),
            number: number.unwrap_or(1),
        }
    }

    /// The page that is meant, of a package with this many files; one past the last is the last.
    /// All files are on one page if the template shows no links to further pages.
    pub(super) fn leaf(self, files: usize, is_paged: bool) -> ListPage {
        let per_page = if is_paged { FILES_PER_PAGE } else { usize::MAX };
        ListPage {
            number: self.number.clamp(1, files.div_ceil(per_page).max(1)),
            files,
            per_page,
        }
    }
}

impl ListPage {
    /// The files that it shows, with their numbers from 1.
    pub(super) fn of<T>(self, files: &[T]) -> impl Iterator<Item = (usize, &T)> {
        let files = (1..).zip(files);
        files.skip(self.before()).take(self.per_page)
    }

    /// The number of files on the pages before it.
    pub(super) fn before(self) -> usize {
        (self.number - 1) * self.per_page.min(self.files)
    }

    /// The words behind which the files past [`FILES_UNFOLDED`] are; `None` if there are no more.
    pub(super) fn folded(self, t: &Texts) -> Option<String> {
        let shown = (self.files - self.before()).min(self.per_page);
        match shown.saturating_sub(FILES_UNFOLDED) {
            0 => None,
            1 => Some(t.one_more_file.to_owned()),
            more => Some(fill(t.more_files, &[("count", &more.to_string())])),
        }
    }

    /// The links to the other pages; `None` if there are none.
    pub(super) fn view(self, wanted: Wanted, t: &Texts) -> Option<PagesView> {
        let last = self.files.div_ceil(self.per_page);
        if last <= 1 {
            return None;
        }

        let near = self.number.saturating_sub(NEIGHBOURS)..=self.number + NEIGHBOURS;
        let shown = (1..=last).filter(|page| near.contains(page) || [1, last].contains(page));
        let first_file = (self.before() + 1).to_string();
        let last_file = (self.before() + self.per_page).min(self.files).to_string();
        let count = self.files.to_string();
        let values = [
            ("first", &*first_file),
            ("last", &*last_file),
            ("count", &*count),
        ];

        Some(PagesView {
            number: self.number,
            text: fill(t.files_shown, &values),
            previous: (self.number > 1).then(|| href(self.number - 1, wanted)),
            next: (self.number < last).then(|| href(self.number + 1, wanted)),
            links: shown
                .map(|page| PageLinkView {
                    href: href(page, wanted),
                    text: page.to_string(),
                    is_this: page == self.number,
                })
                .collect(),
        })
    }
}

/// A link to a page of the same package, in the same language.
fn href(page: usize, wanted: Wanted) -> String {
    match (wanted.asked, wanted.language) {
        (false, _) => format!("?page={page}"),
        (true, Language::Fr) => format!("?lang=fr&page={page}"),
        (true, Language::En) => format!("?lang=en&page={page}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_on_one_page() {
        for count in [0, 1, 99, 100, 101, 200, 201, 1000] {
            let files: Vec<usize> = (1..=count).collect();
            let pages = count.div_ceil(FILES_PER_PAGE).max(1);
            let mut shown = Vec::new();
            for page in 1..=pages {
                let leaf = PageAsked::of(&format!("page={page}")).leaf(count, true);
                let these: Vec<_> = leaf
                    .of(&files)
                    .map(|(number, file)| (number, *file))
                    .collect();
                assert!(these.len() <= FILES_PER_PAGE && these.iter().all(|(n, file)| n == file));
                shown.extend(these.into_iter().map(|(_, file)| file));
            }
            assert_eq!(shown, files);
        }
    }

    #[test]
    fn a_page_that_is_none_is_the_nearest() {
        for (query, number) in [
            ("", 1),
            ("page=0", 1),
            ("page=-1", 1),
            ("page=x", 1),
            ("lang=en&page=2", 2),
            ("page=3", 3),
            ("page=4", 3),
            ("page=99999999999999999999999999", 1),
        ] {
            assert_eq!(
                PageAsked::of(query).leaf(250, true).number,
                number,
                "{query}"
            );
        }
    }

    #[test]
    fn a_template_without_links_to_pages_gets_all_files() {
        let files = [(); 250];
        let leaf = PageAsked::of("page=2").leaf(250, false);
        assert_eq!((leaf.of(&files).count(), leaf.before()), (250, 0));
    }
}
