//! Turns: the number of messages in work at once is bounded, for all clients together and for one login.
//!
//! Without the second bound, one login (a stolen one, or a program that went mad) has all turns, and the mail of everybody
//! else waits for the end of its messages.
//!
//! Mail without a login has no such bound by client: a gateway before us, or a container's network, is one
//! client with the mail of everybody, and no setting names those that bring mail from outside. Postfix bounds
//! the connections of one client (`smtpd_client_connection_count_limit`), and knows whom to except.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{config::fold, lock::lock};

/// The turns that can be had.
#[derive(Debug)]
pub(super) struct Turns {
    all: Arc<Semaphore>,
    per_login: usize,
    /// The turns of the logins that have one, or wait for one.
    logins: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// The right of a message to be in work, for as long as this lives.
#[derive(Debug)]
#[must_use = "it ends when dropped"]
pub(super) struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_login: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub(super) fn new(all: usize, per_login: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            per_login,
            logins: Mutex::default(),
        }
    }

    /// The number of turns that nobody has.
    #[cfg(any(test, fuzzing))]
    pub(super) fn left(&self) -> usize {
        self.all.available_permits()
    }

    /// Waits for a turn, first among the messages of the login: a message that waits there keeps no
    /// other login from its turn.
    pub(super) async fn take(&self, login: Option<&str>) -> Turn {
        let of_login = match login {
            Some(login) => Some(permit(self.of(login)).await),
            None => None,
        };
        Turn {
            _of_all: permit(Arc::clone(&self.all)).await,
            _of_login: of_login,
        }
    }

    /// Returns the turns of a login, and forgets those of logins without a message.
    fn of(&self, login: &str) -> Arc<Semaphore> {
        let mut logins = lock(&self.logins);
        logins.retain(|_, turns| Arc::strong_count(turns) > 1);
        let turns = logins
            .entry(fold(login))
            .or_insert_with(|| Arc::new(Semaphore::new(self.per_login)));
        Arc::clone(turns)
    }
}

async fn permit(turns: Arc<Semaphore>) -> OwnedSemaphorePermit {
    turns.acquire_owned().await.expect("it is never closed")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_login_has_no_more_than_its_turns_and_keeps_none_from_others() {
        let turns = Turns::new(3, 2);
        let take = |login| turns.take(login).now_or_never();
        let one = take(Some("Alice")).unwrap();
        let _two = take(Some("alice")).unwrap();
        let mut third = Box::pin(turns.take(Some("ALICE")));
        assert!((&mut third).now_or_never().is_none(), "it waits");
        let other = take(Some("bob")).unwrap();
        assert!(take(None).is_none(), "all of them are taken");
        drop(other);
        let _stranger = take(None).unwrap();
        drop(one);
        assert!(third.now_or_never().is_some(), "one of its turns ended");
    }

    #[test]
    fn mail_without_a_login_has_all_turns() {
        let turns = Turns::new(3, 1);
        let taken: Vec<_> = (0..3).map(|_| turns.take(None).now_or_never()).collect();
        assert!(taken.iter().all(Option::is_some));
    }

    #[test]
    fn logins_without_a_message_are_forgotten() {
        let turns = Turns::new(10, 2);
        for number in 0..100 {
            let turn = turns.take(Some(&format!("user{number}"))).now_or_never();
            assert!(turn.is_some());
        }
        assert!(turns.logins.lock().unwrap().len() <= 1);
    }
}
