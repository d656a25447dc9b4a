//! The command `depollueur replay`.
//!
//! Saved mail passes through the filter in dry-run mode: nothing is changed, nothing is deposited, no
//! drop is opened. Files that cannot be read as a message are counted.

mod report;
mod source;

use std::{
    fs::File,
    io::{self, BufReader, Read as _, Seek as _, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
};

use clap::Args;

use self::report::{ReplayFate, ReplayReport};
use super::{
    ConfigOptions,
    envelope::EnvelopeOptions,
    exit::{EX_NOINPUT, Failure, complain, runtime},
    progress::Progress,
    rewrite::{header::HeaderBlock, push},
};
use crate::{
    config::Config,
    envelope::Envelope,
    filter::{Filter, Start, Verdict},
    loaded::Loaded,
    policy,
};

#[derive(Args, Debug)]
pub(super) struct ReplayOptions {
    #[command(flatten)]
    config: ConfigOptions,
    #[command(flatten)]
    envelope: EnvelopeOptions,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// A message, an mbox, a Maildir, or a directory of any of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Replays all mail below the paths.
pub(super) fn run(mut options: ReplayOptions) -> Result<(), Failure> {
    let (config, loaded) = std::mem::take(&mut options.config).load_with_files()?;
    for path in &options.paths {
        std::fs::metadata(path).map_err(|error| {
            let path = path.display();
            let advice = match error.kind() {
                io::ErrorKind::NotFound => {
                    "; name a message, an mbox or a directory of mail that is there, such as /home/zoe/Maildir"
                }
                io::ErrorKind::PermissionDenied => "; run this as root: sudo depollueur replay",
                _ => "",
            };
            Failure::new(
                EX_NOINPUT,
                format_args!("could not read \"{path}\": {error}{advice}"),
            )
        })?;
    }

    let runtime = runtime()?;
    let json = options.json;
    let report = runtime.block_on(Replay::new(options, config, loaded).run());

    let mut out = io::stdout().lock();
    let printed = if json {
        report.json(&mut out)
    } else {
        report.table(&mut out)
    };
    printed.map_err(|error| Failure::output(&error))
}

struct Replay {
    options: EnvelopeOptions,
    paths: Vec<PathBuf>,
    config: Config,
    filter: Filter,
    report: ReplayReport,
    progress: Progress,
}

impl Replay {
    fn new(options: ReplayOptions, mut config: Config, loaded: Loaded) -> Self {
        // A message is spooled in memory up to a limit, else in a file without a name.
        config
            .spool
            .directory
            .get_or_insert_with(std::env::temp_dir);
        Self {
            options: options.envelope,
            paths: options.paths,
            filter: Filter::trial(config.clone())
                .with_files(loaded)
                .explaining(),
            config,
            report: ReplayReport::default(),
            progress: Progress::new("looking for mail", None),
        }
    }

    async fn run(mut self) -> ReplayReport {
        let paths = std::mem::take(&mut self.paths);
        let files: Vec<_> = paths.iter().flat_map(|path| source::files(path)).collect();
        let bytes = |file: &PathBuf| std::fs::metadata(file).map_or(0, |found| found.len());
        self.progress = Progress::new("replaying", Some(files.iter().map(bytes).sum()));
        for file in files {
            self.file(&file).await;
        }
        self.report
    }

    /// Replays the messages of a file; one that cannot be read is counted and named.
    async fn file(&mut self, path: &Path) {
        let messages = match source::messages(path) {
            Ok(messages) => messages,
            Err(error) => return self.unreadable(path, &error),
        };
        for range in messages {
            self.progress.add(range.end - range.start);
            match self.message(path, range).await {
                Ok(()) => {}
                Err(error) => self.unreadable(path, &error),
            }
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.progress.aside(|| {
            complain(format_args!(
                "could not read \"{}\": {error}",
                path.display()
            ));
        });
        self.report.unreadable += 1;
    }

    async fn message(&mut self, path: &Path, range: Range<u64>) -> io::Result<()> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(range.start))?;
        let bytes = range.end - range.start;
        let mut input = BufReader::new(file).take(bytes);
        let Some(block) = HeaderBlock::read(&mut input)? else {
            self.report.message(bytes, ReplayFate::Malformed, &[]);
            return Ok(());
        };

        let fields = block.fields();
        let mut envelope = self.envelope(&fields, bytes);
        self.filter.ask(&mut envelope, &fields).await;

        match self.filter.begin(envelope, &fields, block.eol()) {
            Start::Pass(reason) | Start::Edit(_, reason) => {
                self.report
                    .message(bytes, ReplayFate::Kept(reason.label()), &[]);
            }
            Start::Refuse(refusal) => {
                let rule = policy::Source::Rule(refusal.rule).label(&self.config);
                self.report.message(bytes, ReplayFate::Refused(rule), &[]);
            }
            Start::Scan(mut message) => {
                push(&mut message, &mut input).await?;
                let verdict = message.end().await;
                let fate = match verdict {
                    Verdict::Pass(reason) if message.trial().parts == 0 => {
                        ReplayFate::Kept(reason.label())
                    }
                    Verdict::Pass(_) => ReplayFate::Rewritten,
                    Verdict::Rewrite(_) => ReplayFate::Rewritten,
                    Verdict::Fail(error) => return Err(io::Error::other(error)),
                };
                self.report.message(bytes, fate, message.explanation());
            }
        }

        Ok(())
    }

    /// Returns the envelope given by options; the header supplies the rest.
    fn envelope(&self, fields: &[mailsplice::mime::Field], bytes: u64) -> Envelope {
        let mut envelope = self.options.envelope(&self.config.milter);
        if !self.options.has_sender() {
            envelope.sender = source::sender(fields);
        }
        if envelope.recipients.is_empty() {
            envelope.recipients = source::recipients(fields);
        }
        envelope.size = Some(bytes);
        envelope
    }
}
