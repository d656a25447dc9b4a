//! The pages and files of packages that the server unlocks.

use std::sync::Arc;

use axum::{
    extract::{Extension, Path, State, rejection::PathRejection},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    EndedPackage, PackageRefusal, Site, SiteState, Visitor,
    download::Download,
    language::Wanted,
    pages::{ErrorPage, PageAsked},
};
use crate::drop::{Package, PackageLookup, Token, Unlock};

/// `/{token}` and `/{token}.json`.
pub(super) async fn package(
    State(site): SiteState,
    wanted: Wanted,
    uri: Uri,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let name = path.map(|Path(name)| name).unwrap_or_default();
    let (token, for_machines) = match name.strip_suffix(".json") {
        Some(token) => (token, true),
        None => (name.as_str(), false),
    };

    let now = Timestamp::now();
    let _turn = site.turn().await;
    match site.find(token, now).await {
        Ok((token, package)) if for_machines => site.manifest(&token, package, wanted),
        Ok((token, package)) => {
            let asked = PageAsked::of(uri.query().unwrap_or_default());
            let token = token.to_string();
            site.pages.landing(wanted, &token, &package, now, asked)
        }
        Err(refusal) => site.refuse(refusal, wanted, token),
    }
}

/// `/{token}/{number}`
pub(super) async fn file(
    State(site): SiteState,
    Extension(visitor): Extension<Visitor>,
    wanted: Wanted,
    method: Method,
    headers: HeaderMap,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Response {
    let (token, number) = path.map(|Path(pair)| pair).unwrap_or_default();
    let turn = site.turn().await;
    let (token, package) = match site.find(&token, Timestamp::now()).await {
        Ok(found) => found,
        Err(refusal) => return site.refuse(refusal, wanted, &token),
    };
    let Some(index) = index(&number).filter(|index| *index < package.files.len()) else {
        return site.pages.problem(wanted, ErrorPage::NotFound);
    };
    if let Some(page) = &package.files[index].page {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, page.clone())]).into_response();
    }
    let Ok(shelved) = site.shelf.shelve(&token, package) else {
        return site.pages.problem(wanted, ErrorPage::Crowded);
    };
    let download = Download::file(token, shelved, index, visitor, &site.state.zone);
    std::mem::drop(turn);
    download.answer(&site, &method, &headers, wanted).await
}

/// `/{token}/all.zip`
pub(super) async fn archive(
    State(site): SiteState,
    Extension(visitor): Extension<Visitor>,
    wanted: Wanted,
    method: Method,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let token = path.map(|Path(token)| token).unwrap_or_default();
    let turn = site.turn().await;
    let (token, package) = match site.find(&token, Timestamp::now()).await {
        Ok(found) => found,
        Err(refusal) => return site.refuse(refusal, wanted, &token),
    };
    if package.is_elsewhere() {
        return site.pages.problem(wanted, ErrorPage::NotFound);
    }
    let name = site.pages.archive_name(&package.origin, package.created);
    let Ok(shelved) = site.shelf.shelve(&token, package) else {
        return site.pages.problem(wanted, ErrorPage::Crowded);
    };
    let download = Download::archive(token, shelved, visitor, name, &site.state.zone);
    std::mem::drop(turn);
    download.answer(&site, &method, &headers, wanted).await
}

/// Reads the number in a path, from 1 and in its only valid spelling, as an index from 0.
pub(super) fn index(number: &str) -> Option<usize> {
    let index = number.parse::<usize>().ok()?.checked_sub(1)?;
    (number == (index + 1).to_string()).then_some(index)
}

impl Site {
    /// Waits for a turn to hold a whole package. No more packages are looked up and shown at once
    /// than there are threads that look: any others would be held in memory while they wait to be
    /// shown.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let turns = Arc::clone(&self.turns);
        turns.acquire_owned().await.ok()
    }

    /// The live package that the server unlocks with a token.
    pub(super) async fn find(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<(Token, Package), PackageRefusal> {
        let parsed = token.parse::<Token>();
        let is_token = parsed.is_ok();
        let token = parsed.unwrap_or_else(|_| Token::nowhere());

        match self.state.drop.find(&token, now).await {
            Ok(
                PackageLookup::Live(Package { unlock, .. }) | PackageLookup::Gone { unlock, .. },
            ) if unlock == Unlock::Browser => Err(PackageRefusal::Unknown),
            Ok(PackageLookup::Live(package)) if is_token => Ok((token, package)),
            Ok(PackageLookup::Gone {
                created,
                expired,
                origin,
                why,
                extendable,
                ..
            }) if is_token => Err(PackageRefusal::Gone(Box::new(EndedPackage {
                created,
                expired,
                origin,
                why,
                extendable,
            }))),
            Ok(_) => Err(PackageRefusal::Unknown),
            Err(err) => Err(PackageRefusal::failed(&err)),
        }
    }

    pub(super) fn refuse(&self, refusal: PackageRefusal, wanted: Wanted, token: &str) -> Response {
        match refusal {
            PackageRefusal::Unknown => self.pages.problem(wanted, ErrorPage::NotFound),
            PackageRefusal::Gone(gone) => self.pages.gone(wanted, token, &gone),
            PackageRefusal::Failed => self.pages.problem(wanted, ErrorPage::Failed),
        }
    }
}
