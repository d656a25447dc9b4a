//! A filter over a drop in a temporary directory, for tests: whole mails in, their fate out.

use std::sync::Arc;

use mailsplice::{mime::Field, rewrite::Eol};
use tempfile::TempDir;

use super::{Envelope, Filter, Start, Verdict};
use crate::{
    config::{Config, Sources},
    drop::FileDrop,
    loaded::Loaded,
    store::{Store, Stores},
};

/// A filter, its drop, and the drop's directory.
pub(super) struct Lab {
    pub(super) drop: FileDrop,
    pub(super) filter: Filter,
    pub(super) home: TempDir,
}

/// A mail with a text and a file.
#[derive(Clone)]
pub(super) struct Mail {
    pub(super) envelope: Envelope,
    pub(super) header: Vec<(&'static str, String)>,
    pub(super) text: &'static str,
    pub(super) name: &'static str,
    pub(super) file: Vec<u8>,
}

/// The fate of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LabFate {
    /// It went out as it came, for this reason.
    Kept(&'static str),
    /// It went out with this link; the package may be that of a copy.
    Link(String, bool),
    Refused,
}

/// A body that went through the filter.
pub(super) struct Sent {
    pub(super) verdict: Verdict,
    /// The reason of each part's decision.
    pub(super) reasons: Vec<String>,
    /// The reasons why files were refused.
    pub(super) refused: Vec<&'static str>,
    pub(super) body: Vec<u8>,
}

impl Lab {
    /// Makes a lab with a threshold of a thousand bytes.
    pub(super) fn new(settings: &[&str]) -> Self {
        Self::written("", settings)
    }

    /// Makes a lab with the settings of a file besides.
    pub(super) fn written(text: &str, settings: &[&str]) -> Self {
        let home = TempDir::new().unwrap();
        let file = home.path().join("depollueur.toml");
        std::fs::write(&file, text).unwrap();

        let drop = format!("drop.directory={}", home.path().join("drop").display());
        let usual = [
            drop.as_str(),
            "detach.threshold=1000",
            "quota.free_space_min=0",
        ];

        let settings = usual.iter().chain(settings).map(|one| (*one).to_owned());
        let config = Config::load(&Sources {
            file: Some(file),
            settings: settings.collect(),
            ..Sources::default()
        });
        let config = config.unwrap_or_else(|error| panic!("{error}"));

        let drop = FileDrop::of(&config).unwrap();
        let stores = Stores::of_drop(drop.clone(), &config.web.public_url);
        let loaded = Loaded::read(&config).unwrap_or_else(|error| panic!("{error}"));
        let filter = Filter::new(Arc::new(config), stores)
            .with_files(loaded)
            .remembering(drop.clone());
        Self { drop, filter, home }
    }

    /// Puts another store in place of the drop.
    pub(super) fn storing(mut self, store: impl Store + 'static) -> Self {
        let config = Arc::clone(&self.filter.config);
        let kind = config.store.kind;
        let loaded = self.filter.loaded.clone();
        let stores = Stores::only(kind, Arc::new(store));
        self.filter = Filter::new(config, stores).with_files(loaded);
        self
    }

    pub(super) async fn send(&self, mail: &Mail) -> LabFate {
        match self.verdict(mail).await {
            Ok(Verdict::Pass(reason)) => LabFate::Kept(reason.label()),
            Ok(Verdict::Rewrite(rewritten)) => LabFate::Link(rewritten.link, rewritten.is_copy),
            Ok(Verdict::Fail(error)) => panic!("{error}"),
            Err(fate) => fate,
        }
    }

    /// The verdict about a mail that is read; the fate of any other.
    pub(super) async fn verdict(&self, mail: &Mail) -> Result<Verdict, LabFate> {
        let header = mail.fields();
        let envelope = mail.envelope.clone();
        let mut message = match self.filter.judge_once(envelope, &header, Eol::CrLf).await {
            Start::Scan(message) => message,
            Start::Pass(reason) | Start::Edit(_, reason) => {
                return Err(LabFate::Kept(reason.label()));
            }
            Start::Refuse(_) => return Err(LabFate::Refused),
        };
        message.push(&mail.body()).await;
        Ok(message.end().await)
    }

    /// Sends a body in small pieces with the header and envelope of a mail, and reads the result. It must be worth
    /// a scan.
    pub(super) async fn send_body(&self, mail: &Mail, body: &[u8]) -> Sent {
        let begun = self
            .filter
            .begin(mail.envelope.clone(), &mail.fields(), Eol::CrLf);
        let Start::Scan(mut message) = begun else {
            panic!("it is heavy");
        };

        for piece in body.chunks(1000) {
            message.push(piece).await;
        }

        let mut verdict = message.end().await;
        let mut out = Vec::new();
        if let Verdict::Rewrite(rewritten) = &mut verdict {
            while let Some(piece) = rewritten.next_piece().await.unwrap() {
                out.extend_from_slice(&piece);
            }
        }

        let reasons = message.explanation().iter();
        Sent {
            reasons: reasons.map(|part| part.reason.to_string()).collect(),
            refused: message.refused().to_vec(),
            verdict,
            body: out,
        }
    }
}

impl Mail {
    /// A mail with this `Message-ID` and a file of two thousand bytes.
    pub(super) fn new(id: &str) -> Self {
        Self {
            envelope: Envelope {
                sender: "alice@example.org".into(),
                recipients: vec!["bob@example.com".into()],
                ..Envelope::default()
            },
            header: vec![("Message-ID", format!(" <{id}>"))],
            text: "Bonjour",
            name: "plan.pdf",
            file: vec![b'x'; 2000],
        }
    }

    pub(super) fn to(mut self, recipient: &str) -> Self {
        self.envelope.recipients = vec![recipient.to_owned()];
        self
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.header.push((name, format!(" {value}")));
        self
    }

    pub(super) fn fields(&self) -> Vec<Field> {
        let kind = ("Content-Type", " multipart/mixed; boundary=b".to_owned());
        let fields = self.header.iter().chain([&kind]);
        let field = |(name, value): &(&str, String)| Field {
            name: (*name).into(),
            value: value.clone().into(),
        };
        fields.map(field).collect()
    }

    pub(super) fn body(&self) -> Vec<u8> {
        let Self { text, name, .. } = self;
        let start = format!(
            "--b\r\n\r\n{text}\r\n--b\r\nContent-Type: application/pdf; name={name}\r\n\r\n"
        );
        [start.as_bytes(), &self.file, b"\r\n--b--\r\n"].concat()
    }
}
