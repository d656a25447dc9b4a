//! The name of a package in a path: its token, or the id of one that browsers unlock.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use jiff::Timestamp;

use super::{EndedPackage, PackageRefusal, Site};
use crate::{
    drop::{Door, PackageLookup, RecordId, SealedPackage, Token},
    envelope::Origin,
};

/// The name of a package in a path.
#[derive(Clone, Debug)]
pub(super) enum PackageKey {
    /// `/{token}`
    Token(Token),
    /// `/e/{id}`
    Id(RecordId),
}

/// The key in a path. An invalid one stands for a key that nobody has, so that both take the same
/// time.
#[derive(Clone, Debug)]
pub(super) struct RequestedKey {
    pub(super) key: PackageKey,
    /// True if the path has a valid key.
    pub(super) is_key: bool,
}

impl PackageKey {
    /// Its part of the path, without slashes around it.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Token(token) => token.to_string(),
            Self::Id(id) => format!("e/{id}"),
        }
    }

    pub(super) fn door(&self) -> Door {
        match self {
            Self::Token(token) => token.into(),
            Self::Id(id) => Door::sealed(*id),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestedKey {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let found = RawPathParams::from_request_parts(parts, state).await;
        let found = found.as_ref().ok();
        let named = |wanted: &str| {
            let mut pairs = found.into_iter().flatten();
            pairs.find_map(|(name, value)| (name == wanted).then_some(value))
        };
        let of_path = parts.uri.path().starts_with("/e/");
        Ok(match (named("id"), named("token")) {
            (Some(id), _) => Self::id(id),
            (None, Some(token)) => Self::token(token),
            // A path that is not UTF-8 has no parameters.
            (None, None) if of_path => Self::id(""),
            (None, None) => Self::token(""),
        })
    }
}

impl RequestedKey {
    fn token(text: &str) -> Self {
        let parsed = text.parse::<Token>();
        Self {
            is_key: parsed.is_ok(),
            key: PackageKey::Token(parsed.unwrap_or_else(|_| Token::nowhere())),
        }
    }

    fn id(text: &str) -> Self {
        let parsed = text.parse::<RecordId>();
        Self {
            is_key: parsed.is_ok(),
            key: PackageKey::Id(parsed.unwrap_or_else(|_| RecordId::from(&Token::nowhere()))),
        }
    }
}

impl Site {
    /// Finds the live package that a path names and that browsers unlock.
    pub(super) async fn find_sealed(
        &self,
        asked: &RequestedKey,
        now: Timestamp,
    ) -> Result<SealedPackage, PackageRefusal> {
        let PackageKey::Id(id) = asked.key else {
            return Err(PackageRefusal::Unknown);
        };

        let found = self.state.drop.find_sealed(id, now).await;
        match found.map_err(|err| PackageRefusal::failed(&err))? {
            _ if !asked.is_key => Err(PackageRefusal::Unknown),
            PackageLookup::Live(package) => Ok(package),
            PackageLookup::Gone {
                created,
                expired,
                origin,
                why,
                extendable,
                ..
            } => Err(PackageRefusal::Gone(Box::new(EndedPackage {
                created,
                expired,
                origin,
                why,
                extendable,
            }))),
            PackageLookup::Unknown => Err(PackageRefusal::Unknown),
        }
    }

    /// The origin of a package and the time of its deposit, live or not.
    pub(super) async fn origin(
        &self,
        asked: &RequestedKey,
    ) -> Result<(Origin, Timestamp), PackageRefusal> {
        let now = Timestamp::now();
        let found = match &asked.key {
            PackageKey::Token(_) if !asked.is_key => self.find("", now).await.map(live),
            PackageKey::Token(token) => self.find(&token.to_string(), now).await.map(live),
            PackageKey::Id(_) => {
                let sealed = self.find_sealed(asked, now).await;
                sealed.map(|package| (package.origin, package.created))
            }
        };

        match found {
            Err(PackageRefusal::Gone(gone)) => Ok((gone.origin, gone.created)),
            found => found,
        }
    }
}

fn live((_, package): (Token, crate::drop::Package)) -> (Origin, Timestamp) {
    (package.origin, package.created)
}
