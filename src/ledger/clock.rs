//! The check of the clock before something is destroyed.
//!
//! Expiry is checked at each access, and comes back when a wrong clock is put right. Destruction does
//! not. So the time of the last sweep is kept in the database, and when the next one finds that more
//! than two days have passed, or that the clock went back by more than an hour, then nothing is
//! destroyed for one day of that clock, and a warning is logged: an admin has that time to look. A
//! daemon that was really down for days destroys one day later, which does no harm. A jump of less
//! than two days destroys nothing that was live as long as the grace period is two days or longer.

use jiff::{SignedDuration, Timestamp};

use super::{Books, LedgerError, records::Note};

/// A sweep dated this far after the previous one is not trusted at once.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(48);
/// A sweep dated this far before the previous one is not trusted either.
const BACK_MAX: SignedDuration = SignedDuration::from_hours(1);
/// Time for which nothing is destroyed then.
const HOLD: SignedDuration = SignedDuration::from_hours(24);
/// Minimum time between two notes of the last sweep.
const WRITE_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// The notes of sweeps, of whichever process did them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepNotes {
    /// The time of the last sweep, noted when it began.
    pub last: Option<Timestamp>,
    /// The time until which nothing is destroyed, which may have passed.
    pub held_until: Option<Timestamp>,
}

impl Books {
    /// Returns the time until which nothing may be destroyed, if the clock is in doubt. Remembers the time.
    pub(crate) fn doubt(&self, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        let last = self.time(Note::LastSweep)?;
        let passed = last.map_or(SignedDuration::ZERO, |last| now.duration_since(last));
        if passed > AHEAD_MAX || passed < -BACK_MAX {
            let until = now.saturating_add(HOLD).unwrap_or(Timestamp::MAX);
            tracing::warn!(
                last_sweep = last.map(tracing::field::display),
                %now,
                held_until = %until,
                "the clock jumped, or nothing was swept for days: nothing is destroyed for a day"
            );
            self.remember(now, until)?;
            return Ok(Some(until));
        }

        if last.is_none() || passed.abs() >= WRITE_INTERVAL {
            self.records
                .set_notes(&[(Note::LastSweep, now.as_second())])?;
        }
        Ok(self.time(Note::HeldUntil)?.filter(|until| now < *until))
    }

    /// Returns what is noted of sweeps.
    pub(crate) fn sweep_notes(&self) -> Result<SweepNotes, LedgerError> {
        Ok(SweepNotes {
            last: self.time(Note::LastSweep)?,
            held_until: self.time(Note::HeldUntil)?,
        })
    }

    /// Trusts the clock from now on.
    pub(crate) fn trust_clock(&self, now: Timestamp) -> Result<(), LedgerError> {
        self.remember(now, Timestamp::MIN)
    }

    fn remember(&self, now: Timestamp, until: Timestamp) -> Result<(), LedgerError> {
        self.records.set_notes(&[
            (Note::LastSweep, now.as_second()),
            (Note::HeldUntil, until.as_second()),
        ])
    }

    fn time(&self, note: Note) -> Result<Option<Timestamp>, LedgerError> {
        let seconds = self.records.note(note)?;
        Ok(seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()))
    }
}
