//! `depollueur plug` and `unplug`: put depollueur into Postfix and take it out.
//!
//! `plug` shows what it would change, asks, and sends test mail before and after: mail that was
//! accepted is still accepted, a signature that was valid is still valid, a virus that was refused is
//! still refused. Otherwise everything is taken back. `unplug` restores the former files; in files
//! changed since, it takes out our entries only.
//!
//! * `plan` – the changes to make; pure
//! * `trial`, `message` – the test mail
//! * `postfix`, `rspamd` – the means to make the changes
//! * `record` – the former content of the files
//! * `interrupt`, `repair` – recovery from an end on the way: by a signal, or by the kernel

mod interrupt;
mod message;
mod plan;
mod postfix;
mod record;
mod repair;
mod rspamd;
mod trial;
mod verdict;

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use clap::Args;

pub(super) use self::repair::noticed;
use self::{
    plan::ChangePlan,
    postfix::Editor,
    record::{Backup, Return},
    rspamd::Parting,
    trial::{Bench, Milters},
};
use super::{
    ConfigOptions,
    doctor::{self, entry::MilterEntry, others::Others, postfix::Postfix},
    exit::{EX_CONFIG, EX_UNAVAILABLE, EX_USAGE, Failure},
};
use crate::{
    config::{Config, DEFAULT_FILE, RunMode},
    units,
};

/// Time limit for the milters that are there to answer.
const MILTER_PATIENCE: Duration = Duration::from_secs(15);

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Args, Debug, Default)]
pub(super) struct PlugOptions {
    #[command(flatten)]
    pub(super) config: ConfigOptions,
    /// Shows what would be changed, and changes nothing
    #[arg(long)]
    show: bool,
    /// Does not ask
    #[arg(long)]
    yes: bool,
    /// Domain of the sender in test mail, whose signature is verified [default: that of web.contact]
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// A file that the virus scanner of this host refuses [default: that of eicar.org]
    #[arg(long, value_name = "FILE")]
    virus: Option<PathBuf>,
    /// Directory of Postfix's main.cf, when it is not the usual one
    #[arg(long, value_name = "DIR")]
    pub(super) postfix_config: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct Out {
    #[command(flatten)]
    config: ConfigOptions,
    /// Directory of Postfix's main.cf, when it is not the usual one
    #[arg(long, value_name = "DIR")]
    postfix_config: Option<PathBuf>,
}

/// The parts of one change.
struct PlugJob<'a> {
    editor: Editor,
    plan: ChangePlan,
    parting: Parting,
    record: Backup,
    saved: PathBuf,
    options: &'a PlugOptions,
    config: &'a Config,
}

/// Shows the plan, asks, makes the changes, tries them, and takes them back if they fail.
pub(super) fn plug(options: &PlugOptions) -> Result<(), Failure> {
    let config = options.config.clone().load()?;
    let unavailable = |error: String| Failure::new(EX_UNAVAILABLE, error);
    let editor = Editor::new(options.postfix_config.as_deref()).map_err(unavailable)?;
    let saved = record_file(&options.config);

    let _alone = if options.show {
        if let Some(notice) = noticed(&saved) {
            say(&format!("{notice}\n"))?;
        }
        None
    } else {
        let alone = repair::lock(&saved).map_err(unavailable)?;
        repair::repair(&saved, &editor).map_err(unavailable)?;
        Some(alone)
    };

    let postfix = Postfix::read(options.postfix_config.as_deref()).map_err(unavailable)?;
    let parting = Parting::new();
    let local = editor.written("non_smtpd_milters").map_err(unavailable)?;
    let others = Others::of_this_machine();
    let plan = ChangePlan::new(&postfix, &config, &others, &parting.address(), &local);

    let shown = shown(&plan, &parting);
    say(&shown)?;
    if plan.changes.is_empty() {
        return say("Nothing is to be changed: depollueur has its place in Postfix.\n");
    }
    if options.show {
        return Ok(());
    }

    may_start(&config, &plan)?;
    if plan.parts_rspamd {
        parting.may_be(&others).map_err(unavailable)?;
    }

    if !options.yes && !agreed()? {
        return say("Nothing was changed.\n");
    }

    interrupt::hold("\nInterrupted: all is taken back …\n").map_err(unavailable)?;
    let record = Backup::load(&saved).map_err(unavailable)?;
    let mut work = PlugJob {
        editor,
        plan,
        parting,
        record,
        saved,
        options,
        config: &config,
    };
    work.run().map_err(unavailable)?;
    say("Done. depollueur is in the chain; \"depollueur unplug\" takes it out again.\n")
}

/// Plugs the daemon into Postfix at the end of setup; `yes` is for users who have agreed already.
pub(super) fn after_setup(
    config: ConfigOptions,
    postfix_config: Option<PathBuf>,
    yes: bool,
) -> Result<(), Failure> {
    plug(&PlugOptions {
        config,
        postfix_config,
        yes,
        ..PlugOptions::default()
    })
}

/// Returns the reason not to begin, if there is one.
fn may_start(config: &Config, plan: &ChangePlan) -> Result<(), Failure> {
    let url = &config.web.public_url;
    if config.detach.mode == RunMode::Live && !url.is_secure() {
        let message = format!(
            "detach.mode is live, and web.public_url = \"{url}\" would go into mail: set it to an https address, or mode = \"dry-run\", then: systemctl restart {}",
            units::in_use().names()
        );
        return Err(Failure::new(EX_CONFIG, message));
    }

    if let Err(error) = doctor::milter_answers(&config.milter.listen) {
        let socket = Path::new("/var/spool/postfix/depollueur/milter.sock").to_owned();
        let held = crate::config::ListenAddress::Unix(socket);
        if doctor::milter_answers(&held).is_err() {
            let (listen, both) = (&config.milter.listen, units::in_use().milter());
            let message = format!(
                "no milter answers at {listen}: {error}; type: systemctl enable {both} && systemctl restart {both}"
            );
            return Err(Failure::new(EX_UNAVAILABLE, message));
        }
    }

    if plan.routes.is_empty() && plan.changes.is_empty() {
        return Err(Failure::new(
            EX_UNAVAILABLE,
            "no service of Postfix takes mail in by SMTP",
        ));
    }
    Ok(())
}

impl PlugJob<'_> {
    fn run(&mut self) -> Result<(), String> {
        let domain = self.domain()?;
        let virus = match &self.options.virus {
            Some(path) => fs::read(path)
                .map_err(|error| format!("could not read \"{}\": {error}", path.display()))?,
            None => message::EICAR.concat().into_bytes(),
        };

        self.await_milters()?;
        // Saved before anything is changed: neither a power cut nor kill -9 loses the former files.
        self.note_files()?;

        let done = self.try_and_change(&domain, virus);
        if let Err(reason) = done {
            let back = self.take_back();
            let end = match back {
                Ok(()) => "all was taken back".to_owned(),
                Err(error) => format!("and it could not be taken back: {error}"),
            };
            return Err(format!("{reason}; {end}"));
        }

        self.record.after()?;
        self.record.end();
        self.record.save(&self.saved)
    }

    fn try_and_change(&self, domain: &str, virus: Vec<u8>) -> Result<(), String> {
        let mut bench = Bench::new(&self.editor, domain, virus)?;
        step("Test mail through the milters of today …")?;
        let today = bench.run(&self.plan.routes, Milters::Before)?;
        for (route, outcome) in self.plan.routes.iter().zip(&today) {
            step(&verdict::shown(route, outcome))?;
        }
        self.change(&mut bench, &today)
    }

    /// Waits for the milters: one that is about to start must not look as if it let all mail pass.
    fn await_milters(&self) -> Result<(), String> {
        let queue = PathBuf::from(self.editor.written("queue_directory")?.trim());
        let lists = self.plan.routes.iter().map(|route| &route.before);

        for entry in lists.flat_map(|list| MilterEntry::list(list)) {
            let Some(address) = entry.address(&queue) else {
                continue;
            };
            let begun = Instant::now();
            while let Err(error) = doctor::milter_answers(&address) {
                interrupt::none_yet()?;
                if begun.elapsed() > MILTER_PATIENCE {
                    let name = &entry.text;
                    return Err(format!(
                        "the milter {name} does not answer ({error}): start it, or take it out of the lists"
                    ));
                }
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    fn note_files(&mut self) -> Result<(), String> {
        let mut files = self.editor.files().to_vec();
        if self.plan.parts_rspamd {
            files.extend(self.parting.files());
        }
        self.record.begin(&files)?;
        for file in files {
            self.record.before(&file)?;
        }
        self.record.save(&self.saved)
    }

    fn change(&self, bench: &mut Bench, today: &[trial::TrialOutcome]) -> Result<(), String> {
        if self.plan.parts_rspamd {
            step("A second milter of rspamd that only signs …")?;
            self.parting.add()?;
        }

        step("Test mail with depollueur in its place …")?;
        let tried = bench.run(&self.plan.routes, Milters::StandIn)?;
        verdict::judge(&self.plan.routes, today, &tried, true)?;

        for change in &self.plan.changes {
            interrupt::none_yet()?;
            self.editor.set(change)?;
        }
        self.editor.reload()?;
        if self.plan.parts_rspamd {
            self.parting.part()?;
        }

        step("Test mail through the milters as they are …")?;
        let now = bench.run(&self.plan.routes, Milters::Planned)?;
        for (route, outcome) in self.plan.routes.iter().zip(&now) {
            step(&verdict::shown(route, outcome))?;
        }
        verdict::judge(&self.plan.routes, today, &now, false)?;
        interrupt::none_yet()
    }

    fn take_back(&mut self) -> Result<(), String> {
        self.record.roll_back()?;
        if self.plan.parts_rspamd {
            rspamd::reload()?;
        }
        self.editor.reload()?;
        self.record.after()?;
        self.record.end();
        self.record.save(&self.saved)
    }

    fn domain(&self) -> Result<String, String> {
        let contact = self
            .config
            .web
            .contact
            .rsplit_once('@')
            .map(|(_, domain)| domain.to_owned());
        match self
            .options
            .domain
            .clone()
            .or(contact)
            .filter(|domain| !domain.is_empty())
        {
            Some(domain) => Ok(domain),
            None => Ok(self.editor.written("mydomain")?.trim().to_owned()),
        }
    }
}

/// Takes us out of Postfix.
pub(super) fn unplug(options: &Out) -> Result<(), Failure> {
    let unavailable = |error: String| Failure::new(EX_UNAVAILABLE, error);
    let saved = record_file(&options.config);
    let config = options.config.clone().load().unwrap_or_default();
    let editor = Editor::new(options.postfix_config.as_deref()).map_err(unavailable)?;
    let _alone = repair::lock(&saved).map_err(unavailable)?;
    interrupt::hold("\nInterrupted: this is done first, for mail would not pass half way …\n")
        .map_err(unavailable)?;

    let repaired = repair::repair(&saved, &editor).map_err(unavailable)?;
    let mut record = Backup::load(&saved).map_err(unavailable)?;
    let files = rspamd::files(Path::new("/etc/rspamd"));
    let mut touched = editor.files().to_vec();
    touched.extend(files.iter().filter(|file| record.knows(file)).cloned());
    record.begin(&touched).map_err(unavailable)?;
    record.save(&saved).map_err(unavailable)?;

    let is_ours = |record: &Backup| files.iter().any(|file| record.knows(file));
    let parted = is_ours(&record);
    let whole = editor.files().iter().all(|file| record.is_untouched(file))
        && files.iter().all(|file| record.is_untouched(file));
    // The first milter must sign again before Postfix stops asking the second one.
    if parted && whole {
        record
            .adopting(&files, || rspamd::join(Path::new("/etc/rspamd")))
            .map_err(unavailable)?;
    }

    let mut changed = false;
    for file in editor.files() {
        changed |= record.restore(&file).map_err(unavailable)? == Return::Done;
    }

    let postfix = Postfix::read(options.postfix_config.as_deref()).map_err(unavailable)?;
    let taken = take_out(&editor, &postfix, &config).map_err(unavailable)?;
    let second = rspamd::second(Path::new("/etc/rspamd")).filter(|_| parted);
    let is_kept = second.is_some_and(|second| editor.names(second));
    if parted && !whole && !is_kept {
        // Nobody asks the second milter any more: the first must sign.
        record
            .adopting(&files, || rspamd::join(Path::new("/etc/rspamd")))
            .map_err(unavailable)?;
    }

    if !changed && !taken {
        record.end();
        record.save(&saved).map_err(unavailable)?;
        if repaired {
            return say("Done. Postfix is as it was before.\n");
        }
        return say("Nothing is to be changed: no list of Postfix has depollueur.\n");
    }

    editor.reload().map_err(unavailable)?;
    if parted && whole {
        for file in &files {
            record.restore(file).map_err(unavailable)?;
        }
        rspamd::reload().map_err(unavailable)?;
    }

    for file in editor.files() {
        record.forget(&file);
    }
    record.end();
    record.save(&saved).map_err(unavailable)?;

    let how = if taken {
        "taken out of the lists, and all else was left as it is"
    } else {
        "as it was before"
    };
    say(&format!(
        "Done. Postfix is {how}; \"depollueur plug\" puts depollueur in again.\n"
    ))?;
    match second {
        Some(second) if is_kept => say(&format!(
            "rspamd keeps its second milter at {second}, which signs: lists that were changed since still have it.\n"
        )),
        Some(_) if !whole => say(
            "rspamd signs where it scans, as before; what was changed since in /etc/rspamd stays as it is, and depollueur.conf there with it.\n",
        ),
        Some(second) if !rspamd::has_left(second) => say(&format!(
            "Something still listens at {second}, where rspamd had its second milter; to end it, type: systemctl restart rspamd\n"
        )),
        _ => Ok(()),
    }
}

/// Takes our entries out of all lists that still have them.
fn take_out(editor: &Editor, postfix: &Postfix, config: &Config) -> Result<bool, String> {
    let mut taken = false;
    for name in ["smtpd_milters", "non_smtpd_milters"] {
        let services: Vec<_> = postfix.smtpd().chain(postfix.cleanup()).collect();
        let main = postfix.get(name).unwrap_or_default();
        let left = services
            .iter()
            .find_map(|service| plan::without_us(postfix, config, service, main));
        // A value that refers to another list is mended along with that list.
        if let Some(left) =
            left.filter(|_| !editor.written(name).is_ok_and(|text| text.contains('$')))
        {
            editor.set(&plan::ParameterChange {
                service: None,
                name,
                before: None,
                after: left,
            })?;
            taken = true;
        }

        for service in services {
            let Some(list) = service.overrides.get(name) else {
                continue;
            };
            let Some(left) = plan::without_us(postfix, config, service, list) else {
                continue;
            };
            if left
                == plan::without_us(postfix, config, service, main)
                    .unwrap_or_else(|| main.to_owned())
            {
                editor.unset_own(&service.id, name)?;
            } else {
                editor.set_own(&service.id, name, &left)?;
            }
            taken = true;
        }
    }
    Ok(taken)
}

/// Returns the path of the record, which lies beside the configuration.
pub(super) fn record_file(options: &ConfigOptions) -> PathBuf {
    let config = options
        .config
        .clone()
        .unwrap_or_else(|| DEFAULT_FILE.into());
    config.with_file_name("plugged.json")
}

fn shown(plan: &ChangePlan, parting: &Parting) -> String {
    let mut text = String::new();
    let mut place = None;
    for change in &plan.changes {
        let file = change
            .service
            .as_ref()
            .map_or("main.cf".to_owned(), |id| format!("master.cf, {id}"));
        if place.as_ref() != Some(&file) {
            text += &format!("{file}\n");
            place = Some(file);
        }
        if let Some(before) = &change.before {
            text += &format!("-{} = {before}\n", change.name);
        }
        text += &format!("+{} = {}\n", change.name, change.after);
    }

    if plan.parts_rspamd && !plan.changes.is_empty() {
        text += &parting.shown();
    }

    for remark in &plan.remarks {
        text += &format!("note: {remark}\n");
    }
    text
}

/// Asks the user; without a terminal that is an error.
fn agreed() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            EX_USAGE,
            "nobody can be asked here: give --yes, or --show",
        ));
    }
    say("Change this, and send test mail that stays on this machine? [y/N] ")?;
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::output(&error))?;
    Ok(["y", "yes", "o", "oui"].contains(&answer.trim().to_lowercase().as_str()))
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    said.map_err(|error| Failure::output(&error))
}

/// Prints the next step, unless a signal came.
fn step(text: &str) -> Result<(), String> {
    interrupt::none_yet()?;
    say_line(text)
}

fn say_line(text: &str) -> Result<(), String> {
    say(&format!("{text}\n")).map_err(|error| error.to_string())
}
