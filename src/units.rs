//! The processes of the daemon, and the systemd units that run them.
//!
//! One process does everything (`depollueur run`). Or mail and the public have one each, so that what knocks over the one that
//! the public touches harms no message: `depollueur milter` and `depollueur web`, while a timer sweeps. Both forms work
//! on the same drop, and their units exclude each other. What is printed to be typed names the units of the form in
//! use, which is decided here alone.

use std::{process::Command, sync::OnceLock};

use serde::{Deserialize, Serialize};

/// The timer that starts the sweep in the split form.
pub(crate) const TIMER: &str = "depollueur-sweep.timer";

/// A part of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Taking mail in, from Postfix and from milters of other hosts.
    Mail,
    /// The pages for readers.
    Pages,
    /// The sweep for expired packages.
    Sweep,
}

/// A process of the daemon, by its service.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Service {
    /// All parts in one.
    #[default]
    Whole,
    /// The part that takes mail.
    Milter,
    /// The part that readers touch.
    Web,
    /// The sweep, which a timer starts.
    Sweep,
}

/// A way to run all parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One process for all.
    Whole,
    /// One process for each.
    Split,
}

/// The form of this process, or the one that systemd says is in use.
static IN_USE: OnceLock<Form> = OnceLock::new();

/// Returns the form in use: that of this process if it is of the daemon, else the one that systemd runs or would start.
pub(crate) fn in_use() -> Form {
    *IN_USE.get_or_init(ask)
}

/// Returns the name of the service that has this part, as systemctl takes it.
pub(crate) fn of(part: Part) -> &'static str {
    in_use().service(part).name()
}

impl Service {
    /// Records that this process is of this service.
    pub(crate) fn begin(self) {
        let form = match self {
            Self::Whole => Form::Whole,
            Self::Milter | Self::Web | Self::Sweep => Form::Split,
        };
        // Whoever asked before was told what systemd says.
        let _ = IN_USE.set(form);
    }

    /// Returns true if the process has this part.
    pub(crate) fn has(self, part: Part) -> bool {
        match self {
            Self::Whole => true,
            Self::Milter => part == Part::Mail,
            Self::Web => part == Part::Pages,
            Self::Sweep => part == Part::Sweep,
        }
    }

    /// Returns its name, as systemctl takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Whole => "depollueur",
            Self::Milter => "depollueur-milter",
            Self::Web => "depollueur-web",
            Self::Sweep => "depollueur-sweep",
        }
    }

    /// Returns the name of its unit.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Whole => "depollueur.service",
            Self::Milter => "depollueur-milter.service",
            Self::Web => "depollueur-web.service",
            Self::Sweep => "depollueur-sweep.service",
        }
    }
}

impl Form {
    /// Returns the other form.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Whole => Self::Split,
            Self::Split => Self::Whole,
        }
    }

    /// Returns the services of this form.
    pub(crate) fn services(self) -> &'static [Service] {
        match self {
            Self::Whole => &[Service::Whole],
            Self::Split => &[Service::Milter, Service::Web, Service::Sweep],
        }
    }

    /// Returns the services that run all the time.
    pub(crate) fn daemons(self) -> &'static [Service] {
        match self {
            Self::Whole => &[Service::Whole],
            Self::Split => &[Service::Milter, Service::Web],
        }
    }

    /// Returns the service that has this part.
    pub(crate) fn service(self, part: Part) -> Service {
        match (self, part) {
            (Self::Whole, _) => Service::Whole,
            (Self::Split, Part::Mail) => Service::Milter,
            (Self::Split, Part::Pages) => Service::Web,
            (Self::Split, Part::Sweep) => Service::Sweep,
        }
    }

    /// Returns the names of the services that run all the time, as systemctl takes them.
    pub(crate) fn names(self) -> &'static str {
        match self {
            Self::Whole => "depollueur",
            Self::Split => "depollueur-milter depollueur-web",
        }
    }

    /// Returns the unit of the milter's socket.
    pub(crate) fn socket(self) -> &'static str {
        match self {
            Self::Whole => "depollueur.socket",
            Self::Split => "depollueur-milter.socket",
        }
    }

    /// Returns the units of the milter: its socket, and the service that gets it.
    pub(crate) fn milter(self) -> &'static str {
        match self {
            Self::Whole => "depollueur.socket depollueur.service",
            Self::Split => "depollueur-milter.socket depollueur-milter.service",
        }
    }

    /// Returns the units that start with the machine, except for the socket.
    pub(crate) fn without_socket(self) -> &'static str {
        match self {
            Self::Whole => "depollueur.service",
            Self::Split => {
                "depollueur-milter.service depollueur-web.service depollueur-sweep.timer"
            }
        }
    }
}

fn ask() -> Form {
    let shown = Command::new("systemctl")
        .args([
            "show",
            "--no-pager",
            "--property=Id,ActiveState,UnitFileState",
        ])
        .args([Service::Whole, Service::Milter, Service::Web].map(Service::unit))
        .output();
    let text = shown.map(|shown| String::from_utf8_lossy(&shown.stdout).into_owned());
    form_of(&text.unwrap_or_default())
}

/// Decides by the output of `systemctl show`: what runs counts, then what would start with the machine.
fn form_of(shown: &str) -> Form {
    let any = |form: Form, states: &[&str]| {
        shown.split("\n\n").any(|unit| {
            let has = |line: &str| unit.lines().any(|other| other == line);
            let is_of_form = |service: &Service| has(&format!("Id={}", service.unit()));
            form.daemons().iter().any(is_of_form) && states.iter().any(|state| has(state))
        })
    };

    let runs = [
        "ActiveState=active",
        "ActiveState=activating",
        "ActiveState=reloading",
    ];
    let starts = ["UnitFileState=enabled", "UnitFileState=enabled-runtime"];
    for states in [&runs[..], &starts] {
        if any(Form::Whole, states) {
            return Form::Whole;
        }
        if any(Form::Split, states) {
            return Form::Split;
        }
    }
    Form::Whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_that_run_decide_then_those_that_are_enabled() {
        let unit = |name: &str, active: &str, enabled: &str| {
            format!("Id={name}.service\nActiveState={active}\nUnitFileState={enabled}\n")
        };
        for (whole, milter, web, form) in [
            (
                "active enabled",
                "inactive disabled",
                "inactive disabled",
                Form::Whole,
            ),
            (
                "active disabled",
                "inactive enabled",
                "inactive enabled",
                Form::Whole,
            ),
            (
                "inactive enabled",
                "active disabled",
                "active disabled",
                Form::Split,
            ),
            (
                "inactive disabled",
                "failed enabled",
                "failed enabled",
                Form::Split,
            ),
            (
                "failed disabled",
                "inactive disabled",
                "activating enabled",
                Form::Split,
            ),
            (
                "failed enabled",
                "failed disabled",
                "failed disabled",
                Form::Whole,
            ),
            (
                "inactive disabled",
                "inactive disabled",
                "inactive disabled",
                Form::Whole,
            ),
        ] {
            let named = [
                ("depollueur", whole),
                ("depollueur-milter", milter),
                ("depollueur-web", web),
            ];
            let shown = named.map(|(name, states)| {
                let (active, enabled) = states.split_once(' ').unwrap();
                unit(name, active, enabled)
            });
            assert_eq!(form_of(&shown.join("\n")), form, "{shown:?}");
        }
        assert_eq!(form_of(""), Form::Whole);
    }

    #[test]
    fn each_form_has_each_part_once() {
        for form in [Form::Whole, Form::Split] {
            for part in [Part::Mail, Part::Pages, Part::Sweep] {
                let with: Vec<_> = form
                    .services()
                    .iter()
                    .filter(|service| service.has(part))
                    .collect();
                assert_eq!(with, [&form.service(part)], "{form:?} {part:?}");
            }
            let names: Vec<_> = form
                .daemons()
                .iter()
                .map(|service| service.name())
                .collect();
            assert_eq!(form.names(), names.join(" "));
        }
    }
}
