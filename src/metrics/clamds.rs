//! Availability of the scanning daemons, and the age of their signatures.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::scan::ClamdState;

/// Gauges of each daemon in `scan.clamd`; none if there is none.
#[derive(Debug, Default)]
pub(super) struct Clamds {
    up: Family<ClamdLabels, Gauge>,
    signatures: Family<ClamdLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClamdLabels {
    clamd: String,
}

impl Clamds {
    pub(super) fn set(&self, state: &ClamdState) {
        let labels = ClamdLabels {
            clamd: state.address.clone(),
        };
        self.up.get_or_create(&labels).set(state.answers.into());
        match state.signatures {
            Some(made) => {
                let gauge = self.signatures.get_or_create(&labels);
                gauge.set(made.as_second());
            }
            // While it is down, its signatures keep their last known time.
            None if !state.answers => {}
            None => {
                self.signatures.remove(&labels);
            }
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "1 while this clamd answers, else 0";
        registry.register("clamd_up", help, self.up.clone());
        let help = "When the signatures of this clamd were made, as it says";
        let made = self.signatures.clone();
        registry.register_with_unit("clamd_signatures_timestamp", help, Unit::Seconds, made);
    }
}
