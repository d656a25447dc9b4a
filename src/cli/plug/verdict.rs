//! Judges a change: mail accepted, signed and refused before it must be so after it.

use super::{
    message::Signature,
    plan::{Route, SenderKind},
    trial::{TrialFate, TrialOutcome},
};

/// Compares the outcomes before and after, route by route.
///
/// # Errors
/// Returns one line for each route that is worse, with what to check.
pub(super) fn judge(
    routes: &[Route],
    before: &[TrialOutcome],
    after: &[TrialOutcome],
    must_change: bool,
) -> Result<(), String> {
    let ways = routes.iter().zip(before.iter().zip(after));
    let wrong: Vec<String> = ways
        .flat_map(|(route, (before, after))| worse(route, before, after, must_change))
        .collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}

/// Formats the outcome of a trial for people.
pub(super) fn shown(route: &Route, outcome: &TrialOutcome) -> String {
    let clean = match &outcome.clean {
        TrialFate::Delivered {
            signature: Signature::Valid,
            ..
        } => "accepted, its signature holds".to_owned(),
        TrialFate::Delivered {
            signature: Signature::None,
            ..
        } => "accepted, not signed".to_owned(),
        TrialFate::Delivered {
            signature: Signature::Broken(why),
            ..
        } => format!("accepted, its signature does not hold ({why})"),
        TrialFate::Delivered {
            signature: Signature::Unproven(why),
            ..
        } => {
            format!("accepted; whether its signature holds is unknown ({why})")
        }
        TrialFate::Refused(why) => format!("refused ({why})"),
        TrialFate::Lost(why) => why.clone(),
    };

    let virus = match &outcome.virus {
        TrialFate::Delivered { .. } => "accepted: no scanner of this way refuses it".to_owned(),
        TrialFate::Refused(why) => format!("refused ({why})"),
        TrialFate::Lost(_) => "taken out".to_owned(),
    };

    format!(
        "  {} ({}): test mail {clean}; virus {virus}",
        route.name,
        who(route.origin)
    )
}

fn worse(
    route: &Route,
    before: &TrialOutcome,
    after: &TrialOutcome,
    must_change: bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = format!("{} ({})", route.name, who(route.origin));
    match (&before.clean, &after.clean) {
        (
            TrialFate::Delivered { signature: old, .. },
            TrialFate::Delivered {
                detached,
                signature,
            },
        ) => {
            if let Some(why) = broken(old, signature) {
                wrong.push(format!(
                    "{name}: the signature of mail that depollueur changes does not hold ({why}): what signs must come after depollueur"
                ));
            }
            if must_change && !detached {
                wrong.push(format!(
                    "{name}: the attachment was not taken out, so that depollueur was not asked"
                ));
            }
        }
        (TrialFate::Delivered { .. }, TrialFate::Refused(why) | TrialFate::Lost(why)) => {
            wrong.push(format!(
                "{name}: test mail was accepted before, and is not any more: {why}"
            ));
        }
        _ => {}
    }

    if !matches!(before.virus, TrialFate::Delivered { .. })
        && matches!(after.virus, TrialFate::Delivered { .. })
    {
        wrong.push(format!(
            "{name}: a virus was refused before, and is not any more: what scans must come before depollueur"
        ));
    }
    wrong
}

/// Returns the reason why a signature is worse than before.
fn broken(before: &Signature, after: &Signature) -> Option<String> {
    match (before, after) {
        (Signature::Valid | Signature::Unproven(_) | Signature::None, Signature::Broken(why)) => {
            Some(why.clone())
        }
        (Signature::Valid | Signature::Unproven(_), Signature::None) => {
            Some("there is none".to_owned())
        }
        (Signature::Valid, Signature::Unproven(why)) => Some(why.clone()),
        _ => None,
    }
}

fn who(origin: SenderKind) -> &'static str {
    match origin {
        SenderKind::User => "as a user of ours",
        SenderKind::Machine => "as a program of this machine",
        SenderKind::World => "from outside",
    }
}
