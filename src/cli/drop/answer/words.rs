//! The words of an answer to an authority, in both languages.

use mailsplice::l10n::Language;

use crate::{
    drop::{Action, Actor, PackageState},
    envelope::Direction,
};

/// The words of a language.
#[derive(Debug)]
pub(super) struct AnswerTexts {
    language: Language,
    pub(super) title: &'static str,
    pub(super) made: &'static str,
    pub(super) times: &'static str,
    pub(super) caution: &'static str,
    pub(super) unknown: &'static str,
    pub(super) since: &'static str,
    pub(super) from: &'static str,
    pub(super) package: &'static str,
    pub(super) state: &'static str,
    pub(super) deposited: &'static str,
    pub(super) expires: &'static str,
    pub(super) login: &'static str,
    pub(super) sender: &'static str,
    pub(super) verified: &'static str,
    pub(super) unverified: &'static str,
    pub(super) client: &'static str,
    pub(super) message_id: &'static str,
    pub(super) queue_id: &'static str,
    pub(super) direction: &'static str,
    pub(super) recipients: &'static str,
    pub(super) uploader: &'static str,
    pub(super) held: &'static str,
    pub(super) files: &'static str,
    pub(super) bytes: &'static str,
    pub(super) downloads: &'static str,
    pub(super) sealed: &'static str,
    pub(super) history: &'static str,
}

static EN: AnswerTexts = AnswerTexts {
    language: Language::En,
    title: "Files deposited at",
    made: "Written by the depollueur software from its records on",
    times: "All times are UTC. Bytes are those of the files, before encryption.",
    caution: "The login is the account that authenticated. The envelope sender is what the client said; it is the \
        account's only where it is said to be verified. Downloads are counted when they are complete. Content, and \
        names and digests of files, are encrypted under a key that stands in the link alone.",
    unknown: "none, or not recorded",
    since: "since",
    from: "from",
    package: "Record:",
    state: "State:",
    deposited: "Deposited:",
    expires: "Offered until:",
    login: "Login:",
    sender: "Envelope sender:",
    verified: "verified:",
    unverified: "not verified",
    client: "IP address of the sending client:",
    message_id: "Message-ID:",
    queue_id: "Postfix queue id:",
    direction: "Direction:",
    recipients: "Recipients:",
    uploader: "Deposited by the mail server:",
    held: "Kept by order since:",
    files: "Files:",
    bytes: "bytes",
    downloads: "complete downloads:",
    sealed: "Their names and digests can be read with the link only.",
    history: "What was done:",
};

static FR: AnswerTexts = AnswerTexts {
    language: Language::Fr,
    title: "Fichiers déposés sur",
    made: "Établi par le logiciel depollueur d’après ses fiches le",
    times: "Toutes les heures sont en UTC. Les tailles sont celles des fichiers avant chiffrement.",
    caution: "L’identifiant est celui du compte qui s’est authentifié. L’expéditeur d’enveloppe est ce que le client a déclaré ; \
        il n’est celui du compte que s’il est dit vérifié. Un téléchargement est compté quand il est complet. Le contenu, les \
        noms et les empreintes des fichiers sont chiffrés sous une clé qui ne se trouve que dans le lien.",
    unknown: "aucun, ou non enregistré",
    since: "depuis le",
    from: "depuis",
    package: "Fiche :",
    state: "État :",
    deposited: "Dépôt :",
    expires: "Proposé jusqu’au :",
    login: "Identifiant :",
    sender: "Expéditeur d’enveloppe :",
    verified: "vérifié :",
    unverified: "non vérifié",
    client: "Adresse IP du client expéditeur :",
    message_id: "Message-ID :",
    queue_id: "Numéro de file de Postfix :",
    direction: "Sens :",
    recipients: "Destinataires :",
    uploader: "Déposé par le serveur de courrier :",
    held: "Conservé sur réquisition depuis le :",
    files: "Fichiers :",
    bytes: "octets",
    downloads: "téléchargements complets :",
    sealed: "Leurs noms et empreintes ne se lisent qu’avec le lien.",
    history: "Ce qui a été fait :",
};

impl AnswerTexts {
    pub(super) fn of(language: Language) -> &'static Self {
        match language {
            Language::En => &EN,
            Language::Fr => &FR,
        }
    }

    fn choose(&self, en: &'static str, fr: &'static str) -> &'static str {
        match self.language {
            Language::En => en,
            Language::Fr => fr,
        }
    }

    pub(super) fn of_state(&self, state: PackageState) -> &'static str {
        match state {
            PackageState::Live => self.choose("can be fetched", "téléchargeable"),
            PackageState::Expired => self.choose("expired", "expiré"),
            PackageState::Revoked => self.choose("withdrawn", "retiré"),
            PackageState::Blocked => self.choose("withdrawn and blocked", "retiré et bloqué"),
            PackageState::Held => self.choose(
                "withdrawn, kept by order",
                "hors ligne, conservé sur réquisition",
            ),
            PackageState::Destroyed => self.choose("destroyed", "détruit"),
        }
    }

    pub(super) fn of_direction(&self, direction: Direction) -> &'static str {
        match direction {
            Direction::Outgoing => self.choose(
                "sent by a user of this server",
                "envoyé par un utilisateur de ce serveur",
            ),
            Direction::Incoming => self.choose("received from outside", "reçu de l’extérieur"),
        }
    }

    pub(super) fn of_actor(&self, actor: Actor) -> &'static str {
        match actor {
            Actor::Mail => self.choose("by the mail server", "par le serveur de courrier"),
            Actor::Web => self.choose("by a reader", "par un lecteur"),
            Actor::Admin => self.choose("by an administrator", "par un administrateur"),
            Actor::Sweep => {
                self.choose("by the software itself", "automatiquement, par le logiciel")
            }
        }
    }

    pub(super) fn of_action(&self, action: Action) -> &'static str {
        match action {
            Action::Deposit => self.choose("deposit", "dépôt"),
            Action::Withdraw => self.choose("taken back by the mail server", "dépôt annulé"),
            Action::Download => self.choose("complete download", "téléchargement complet"),
            Action::Extend => self.choose("extended", "prolongation"),
            Action::Restore => self.choose("restored", "remise en ligne"),
            Action::Revoke => self.choose("withdrawn", "retrait"),
            Action::Report => self.choose("report", "signalement"),
            Action::Block => self.choose("a file blocked", "blocage d’un fichier"),
            Action::Unblock => self.choose("a file unblocked", "déblocage d’un fichier"),
            Action::Suspend => self.choose("login suspended", "identifiant suspendu"),
            Action::Resume => self.choose("login resumed", "identifiant rétabli"),
            Action::Refuse => self.choose("deposit refused", "dépôt refusé"),
            Action::Destroy => self.choose("files destroyed", "fichiers détruits"),
            Action::Hold => self.choose("kept by order", "conservation sur réquisition"),
            Action::Release => self.choose("kept no longer", "fin de la conservation"),
        }
    }
}
