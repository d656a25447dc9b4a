//! The answers of the last moments, in two generations: when the young one holds half of the limit,
//! it becomes the old one, and answers that nobody asked for since then are dropped.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::config::Table;

/// Recent answers, including negative ones.
#[derive(Debug)]
pub(super) struct Cache {
    life: Duration,
    entries_max: usize,
    young: Generation,
    old: Generation,
}

type Generation = HashMap<(Table, String), (Option<String>, Instant)>;

impl Cache {
    pub(super) fn new(life: Duration, entries_max: usize) -> Self {
        Self {
            life,
            entries_max,
            young: Generation::new(),
            old: Generation::new(),
        }
    }

    /// Returns an answer that is recent enough.
    pub(super) fn get(&mut self, table: &Table, key: &str, now: Instant) -> Option<Option<String>> {
        let place = (table.clone(), key.to_owned());
        if let Some((answer, since)) = self.young.get(&place) {
            let is_fresh = now.duration_since(*since) < self.life;
            return is_fresh.then(|| answer.clone());
        }
        let (answer, since) = self.old.remove(&place)?;
        if now.duration_since(since) >= self.life {
            return None;
        }
        self.put_at(place, answer.clone(), since);
        Some(answer)
    }

    /// Keeps an answer.
    pub(super) fn put(&mut self, table: &Table, key: &str, answer: Option<String>, now: Instant) {
        if !self.life.is_zero() {
            self.put_at((table.clone(), key.to_owned()), answer, now);
        }
    }

    fn put_at(&mut self, place: (Table, String), answer: Option<String>, since: Instant) {
        if self.entries_max < 2 {
            return;
        }
        if self.young.len() >= self.entries_max / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, (answer, since));
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_hold_for_their_time_and_no_more_than_allowed_are_kept() {
        let (table, now) = (Table::of_postfix("hash:/t"), Instant::now());
        let mut cache = Cache::new(Duration::from_secs(60), 10);
        cache.put(&table, "a", Some("ok".into()), now);
        cache.put(&table, "b", None, now);
        let later = now + Duration::from_secs(59);
        assert_eq!(cache.get(&table, "a", later), Some(Some("ok".into())));
        assert_eq!(cache.get(&table, "b", later), Some(None));
        assert_eq!(cache.get(&table, "c", later), None);
        assert_eq!(cache.get(&table, "a", now + Duration::from_secs(60)), None);
        for n in 0..1000 {
            cache.put(&table, &n.to_string(), None, later);
            assert!(
                cache.get(&table, "b", later).is_some(),
                "who is asked for stays"
            );
            assert!(cache.len() <= 10, "{}", cache.len());
        }
        let mut none = Cache::new(Duration::ZERO, 10);
        none.put(&table, "a", None, now);
        assert_eq!(none.get(&table, "a", now), None);
    }
}
