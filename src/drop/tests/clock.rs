//! A clock that jumps destroys nothing before somebody could look.

use super::*;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

async fn sweep(drop: &Fixture, now: Timestamp) -> (u64, bool) {
    let swept = drop.swept(now, 10).await;
    (swept.packages, swept.held_until.is_some())
}

#[tokio::test]
async fn a_jump_ahead_holds_destruction_for_a_day() {
    let drop = fixture();
    let now = time("2026-01-01T00:00:00Z");
    drop.deposit(&[noise(10, 1)], now).await;
    assert_eq!(sweep(&drop, now).await, (0, false));
    let wrong = now + HOUR * (24 * 400);
    assert_eq!(sweep(&drop, wrong).await, (0, true));
    assert_eq!(sweep(&drop, wrong + HOUR * 23).await, (0, true));
    // Put right in time, nothing is lost, and the brake is taken off a day later.
    assert_eq!(sweep(&drop, now + HOUR * 24).await, (0, true));
    assert_eq!(sweep(&drop, now + HOUR * 49).await, (0, false));
    assert_eq!(drop.blobs().len(), 1);
    // A wrong clock that nobody puts right is believed in the end.
    assert_eq!(sweep(&drop, wrong).await, (0, true));
    assert_eq!(sweep(&drop, wrong + HOUR * 24).await, (1, false));
}

#[tokio::test]
async fn regular_sweeps_destroy_without_delay() {
    let drop = fixture();
    let mut now = time("2026-01-01T00:00:00Z");
    drop.deposit(&[noise(10, 1)], now).await;
    let destroyed = time("2026-02-08T00:00:00Z");
    while now < destroyed {
        assert_eq!(sweep(&drop, now).await, (0, false));
        now += HOUR * 48;
    }
    assert_eq!(sweep(&drop, destroyed).await, (1, false));
    // A second back is no jump.
    let back = destroyed - SignedDuration::from_secs(1);
    assert_eq!(sweep(&drop, back).await, (0, false));
}

#[tokio::test]
async fn an_admin_can_vouch_for_the_clock() {
    let drop = fixture();
    let now = time("2026-01-01T00:00:00Z");
    drop.deposit(&[noise(10, 1)], now).await;
    assert_eq!(sweep(&drop, now).await, (0, false));
    let later = now + HOUR * (24 * 400);
    assert_eq!(sweep(&drop, later).await, (0, true));
    drop.drop.trust_clock(later).await.unwrap();
    assert_eq!(sweep(&drop, later).await, (1, false));
}
