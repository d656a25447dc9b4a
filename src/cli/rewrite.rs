//! The command `depollueur rewrite`.
//!
//! The same core as the milter, between two pipes. Standard input is first copied to an unlinked
//! file: if nothing is changed, or if the drop fails, the original goes out from there.
//!
//! Nothing is deposited unless `--deposit` asks for it: without it no drop is opened, and the link in
//! the output leads nowhere.

mod explain;
pub(super) mod header;

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek as _, Write},
    sync::Arc,
};

use clap::Args;

use self::header::HeaderBlock;
use super::{
    ConfigOptions,
    envelope::EnvelopeOptions,
    exit::{EX_NOINPUT, EX_TEMPFAIL, EX_UNAVAILABLE, Failure, complain, runtime},
    owner,
};
use crate::{
    config::{Config, OnFailure, RunMode},
    envelope::{Envelope, HeaderEdit},
    filter::{Filter, Message, PartDecision, Rewritten, Start, Verdict},
    loaded::Loaded,
    milter,
    policy::{self, Refusal},
    store::{StoreError, Stores},
};

/// Size of the chunks in which the body is pushed, in bytes; Postfix sends chunks of this size.
const CHUNK_BYTES: usize = 65_535;

#[derive(Args, Debug)]
pub(super) struct RewriteOptions {
    #[command(flatten)]
    config: ConfigOptions,
    #[command(flatten)]
    envelope: EnvelopeOptions,
    /// Says on standard error what was decided for each part, by which rule, and why
    #[arg(long)]
    explain: bool,
    /// Puts what is detached into the store, so that the link works; without it nothing is deposited
    #[arg(long)]
    deposit: bool,
    /// Explains in JSON
    #[arg(long, requires = "explain")]
    json: bool,
}

/// The outcome for the message.
enum RewriteOutcome {
    /// The original goes out, with these changes to its header.
    Original(Vec<HeaderEdit>),
    /// Its header, with these changes, and this body go out.
    Rewritten(Vec<HeaderEdit>, Box<Rewritten>),
    /// A rule refuses it.
    Refused(Refusal),
    /// A file in it is blocked or infected, and it must not go out.
    Rejected(&'static str),
    /// Our own processing failed with this error; the message is treated as configured.
    Failed(String, OnFailure),
}

/// The decisions on the message, for `--explain`.
#[derive(Debug, Default)]
struct Explanation {
    reason: String,
    /// The rule that refused the message, or would have.
    rule: Option<String>,
    parts: Vec<PartDecision>,
}

/// Rewrites the message on standard input.
pub(super) fn run(mut options: RewriteOptions) -> Result<(), Failure> {
    let (config, loaded) = std::mem::take(&mut options.config).load_with_files()?;
    if options.deposit && config.uses_drop() {
        owner::become_owner(&config.drop.directory)?;
    }
    let original = keep_input(&config)?;
    let runtime = runtime()?;
    runtime.block_on(rewrite(&options, (Arc::new(config), loaded), original))
}

/// A configuration, with the contents of the files that it names.
type Configured = (Arc<Config>, Loaded);

async fn rewrite(
    options: &RewriteOptions,
    read: Configured,
    original: File,
) -> Result<(), Failure> {
    let mut input = BufReader::with_capacity(CHUNK_BYTES, original);
    let block = HeaderBlock::read(&mut input).map_err(|error| lost(&error))?;
    let mut explanation = Explanation::default();
    let outcome = match &block {
        Some(block) => scan(options, read, block, &mut input, &mut explanation).await?,
        None => {
            explanation.reason = "malformed-header".into();
            RewriteOutcome::Original(Vec::new())
        }
    };

    if options.explain {
        let deposits = options.deposit && matches!(outcome, RewriteOutcome::Rewritten(..));
        explain::print(&explanation, deposits, options.json);
    }

    match (outcome, block) {
        (RewriteOutcome::Rewritten(edits, rewritten), Some(mut block)) => {
            block.edit(&edits, rewritten.eol);
            send(*rewritten, block).await?;
            if !options.deposit && !options.json {
                complain("nothing was deposited: the link leads nowhere; --deposit deposits");
            }
            Ok(())
        }
        (RewriteOutcome::Refused(refusal), _) => {
            let code = if refusal.for_good {
                EX_UNAVAILABLE
            } else {
                EX_TEMPFAIL
            };
            Err(Failure::new(code, refusal.text))
        }
        (RewriteOutcome::Rejected(text), _) => Err(Failure::new(EX_UNAVAILABLE, text)),
        (RewriteOutcome::Original(edits), Some(block)) if !edits.is_empty() => {
            copy_edited(input.into_inner(), block, &edits)
        }
        (RewriteOutcome::Failed(error, OnFailure::Tempfail), _) => {
            Err(Failure::new(EX_TEMPFAIL, error))
        }
        (RewriteOutcome::Failed(error, OnFailure::Deliver), _) => {
            complain(format_args!(
                "warning: {error}; the message goes out as it came"
            ));
            copy(input.into_inner())
        }
        _ => copy(input.into_inner()),
    }
}

/// Passes the message through the filter.
async fn scan(
    options: &RewriteOptions,
    (config, loaded): Configured,
    block: &HeaderBlock,
    body: &mut impl Read,
    explanation: &mut Explanation,
) -> Result<RewriteOutcome, Failure> {
    let envelope = options.envelope.envelope(&config.milter);
    let stores = match stores(options, &config, &envelope) {
        Ok(stores) => stores,
        Err(error) => {
            explanation.reason = "drop".into();
            return Ok(RewriteOutcome::Failed(
                error.to_string(),
                config.detach.on_failure,
            ));
        }
    };

    let filter = match &stores {
        Some(stores) => Filter::new(config, stores.clone()),
        None if options.deposit => Filter::trial(Config::clone(&config)),
        None => Filter::preview(Config::clone(&config)),
    };
    let filter = filter.with_files(loaded).explaining();

    let outcome = pass(&filter, envelope, block, body, explanation).await;
    if let Some(stores) = stores {
        stores.settle().await;
    }
    outcome
}

async fn pass(
    filter: &Filter,
    mut envelope: Envelope,
    block: &HeaderBlock,
    body: &mut impl Read,
    explanation: &mut Explanation,
) -> Result<RewriteOutcome, Failure> {
    filter.ask(&mut envelope, &block.fields()).await;
    let start = filter.begin(envelope, &block.fields(), block.eol());
    if let Start::Pass(reason) | Start::Edit(_, reason) = &start {
        explanation.parts = reason.in_header().into_iter().collect();
    }

    match start {
        Start::Pass(reason) => {
            explanation.reason = reason.label().into();
            Ok(RewriteOutcome::Original(Vec::new()))
        }
        Start::Edit(edits, reason) => {
            explanation.reason = reason.label().into();
            Ok(RewriteOutcome::Original(edits.header))
        }
        Start::Refuse(refusal) => {
            explanation.reason = "refused".into();
            let rule = policy::Source::Rule(refusal.rule).label(filter.config());
            explanation.rule = Some(rule.to_owned());
            Ok(RewriteOutcome::Refused(refusal))
        }
        Start::Scan(mut message) => {
            push(&mut message, body)
                .await
                .map_err(|error| lost(&error))?;
            let verdict = message.end().await;
            explanation.parts = message.explanation().to_vec();
            let edits = message.edits().header.clone();
            Ok(conclude(verdict, filter.config(), edits, explanation))
        }
    }
}

/// Opens the stores for files; mail that is not treated, and a dry-run, need none.
fn stores(
    options: &RewriteOptions,
    config: &Config,
    envelope: &Envelope,
) -> Result<Option<Stores>, StoreError> {
    let is_treated = policy::is_among(config.detach.directions, envelope.direction);
    let deposits = options.deposit && config.detach.mode == RunMode::Live && is_treated;
    deposits.then(|| Stores::open(config)).transpose()
}

pub(super) async fn push(message: &mut Message, body: &mut impl Read) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    while !message.is_settled() {
        match body.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => message.push(&chunk[..length]).await,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn conclude(
    verdict: Verdict,
    config: &Config,
    edits: Vec<HeaderEdit>,
    explanation: &mut Explanation,
) -> RewriteOutcome {
    match verdict {
        Verdict::Pass(reason) => {
            explanation.reason = reason.label().into();
            match milter::rejection(reason, config) {
                Some(text) => RewriteOutcome::Rejected(text),
                None => RewriteOutcome::Original(edits),
            }
        }
        Verdict::Rewrite(rewritten) => {
            explanation.reason = "detached".into();
            RewriteOutcome::Rewritten(edits, Box::new(rewritten))
        }
        Verdict::Fail(error) => {
            let (reason, on_failure) = milter::failure(&error, config);
            explanation.reason = reason.into();
            RewriteOutcome::Failed(error.to_string(), on_failure)
        }
    }
}

/// Writes the rewritten message. If the spool fails on the way, the output so far is not a message,
/// and the exit code says so.
async fn send(mut rewritten: Rewritten, mut block: HeaderBlock) -> Result<(), Failure> {
    block.edit(&rewritten.header_edits, rewritten.eol);
    let mut out = BufWriter::new(io::stdout().lock());
    block
        .write(&mut out)
        .map_err(|error| Failure::output(&error))?;
    while let Some(piece) = rewritten.next_piece().await.map_err(|error| lost(&error))? {
        out.write_all(&piece)
            .map_err(|error| Failure::output(&error))?;
    }
    out.flush().map_err(|error| Failure::output(&error))
}

/// Writes the original with its header changed.
fn copy_edited(
    mut original: File,
    mut block: HeaderBlock,
    edits: &[HeaderEdit],
) -> Result<(), Failure> {
    let body = io::SeekFrom::Start(block.len());
    block.edit(edits, block.eol());
    original.seek(body).map_err(|error| lost(&error))?;
    let mut input = BufReader::with_capacity(CHUNK_BYTES, original);
    let mut out = io::stdout().lock();
    block
        .write(&mut out)
        .and_then(|()| io::copy(&mut input, &mut out))
        .and_then(|_| out.flush())
        .map_err(|error| Failure::output(&error))
}

fn copy(mut original: File) -> Result<(), Failure> {
    original.rewind().map_err(|error| lost(&error))?;
    let mut input = BufReader::with_capacity(CHUNK_BYTES, original);
    let mut out = io::stdout().lock();
    io::copy(&mut input, &mut out)
        .and_then(|_| out.flush())
        .map_err(|error| Failure::output(&error))
}

/// Copies standard input to a file without a name.
fn keep_input(config: &Config) -> Result<File, Failure> {
    let directory = config
        .spool
        .directory
        .clone()
        .unwrap_or_else(std::env::temp_dir);
    let mut file = tempfile::tempfile_in(&directory).map_err(|error| {
        let directory = directory.display();
        Failure::new(
            EX_TEMPFAIL,
            format_args!("no temporary file in \"{directory}\": {error}"),
        )
    })?;

    let mut stdin = io::stdin().lock();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match stdin.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => file
                .write_all(&chunk[..length])
                .map_err(|error| lost(&error))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let message = format!("could not read standard input: {error}");
                return Err(Failure::new(EX_NOINPUT, message));
            }
        }
    }

    file.rewind().map_err(|error| lost(&error))?;
    Ok(file)
}

/// Creates the failure to write the temporary file or read it back.
fn lost(error: &io::Error) -> Failure {
    Failure::new(
        EX_TEMPFAIL,
        format_args!("could not keep the message: {error}"),
    )
}
