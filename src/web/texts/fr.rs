//! The sentences of the pages in French.

use super::Texts;

pub(super) static FR: Texts = Texts {
    lang: "fr",
    other_lang: "en",
    other_language: "English",
    languages: "Langue",
    skip: "Aller au contenu",
    footer: "Ce site",

    one_file_sent: "1 fichier envoyé par {sender}",
    many_files_sent: "{count} fichiers envoyés par {sender}",
    one_file: "1 fichier joint",
    many_files: "{count} fichiers joints",
    within: "dans {message}",
    message_sent: "un message envoyé depuis {sender} le {date}",
    message_received: "un message reçu le {date} d’une adresse en @{sender}",
    message_dated: "un message du {date}",
    message_unverified: "un message reçu le {date}, expéditeur non vérifié",
    until: "À télécharger jusqu’au",
    days_left: "encore {count} jours",
    until_tomorrow: "c’est-à-dire demain",
    until_today: "c’est-à-dire aujourd’hui",
    files: "Fichiers",
    files_shown: "Fichiers {first} à {last} sur {count}",
    pages: "Pages de la liste",
    previous_page: "Précédente",
    next_page: "Suivante",
    download: "Télécharger",
    to_download: "Vers le téléchargement",
    download_all: "Tout télécharger",
    fingerprint: "Empreinte du fichier",
    fingerprint_use: "SHA-256, pour vérifier que le fichier est arrivé intact\u{a0}:",
    fingerprints: "Empreintes",
    in_all: "{size} en tout",
    one_more_file: "Un autre fichier",
    more_files: "{count} autres fichiers",
    program_caution: "C’est un programme\u{a0}: ne l’ouvrez que si vous l’attendiez de cette personne.",

    extend_why: "Besoin de plus de temps\u{a0}?",
    extend: "Garder jusqu’au {date}",
    extended: "C’est fait\u{a0}: les fichiers peuvent être téléchargés jusqu’au {moment} ({zone}).",
    extended_no: "La date de fin ne peut plus être repoussée\u{a0}: ces fichiers peuvent être \
        téléchargés jusqu’au {moment} ({zone}).",

    unlock_no_script: "Ces fichiers sont chiffrés de bout en bout\u{a0}: seul votre navigateur peut les ouvrir, et \
        il lui faut pour cela JavaScript. Autorisez les scripts pour ce site, ou ouvrez le \
        lien dans un autre navigateur. Ce serveur n’a pas la clé et ne peut pas le faire à \
        votre place.",
    unlock_working: "Votre navigateur ouvre la liste des fichiers…",
    unlock_insecure: "Ces fichiers sont chiffrés de bout en bout, et un navigateur ne déchiffre que sur une \
        page reçue par une connexion sécurisée (https). Ouvrez le lien tel qu’il figure dans le \
        message.",
    unlock_old: "Ce navigateur est trop ancien pour ouvrir ces fichiers, qui sont chiffrés de bout en \
        bout. Mettez-le à jour, ou ouvrez le lien dans un autre.",
    unlock_no_key: "Le lien est incomplet\u{a0}: sa fin, après le signe #, est la clé de ces fichiers, et elle \
        manque. Ouvrez de nouveau le lien depuis le message, ou copiez-le en entier dans la \
        barre d’adresse.",
    unlock_wrong_key: "La clé de ce lien n’est pas celle de ces fichiers\u{a0}: des caractères ont été modifiés ou \
        perdus. Ouvrez de nouveau le lien depuis le message, ou copiez-le en entier dans la \
        barre d’adresse.",
    unlock_damaged: "Les données reçues ne sont pas celles qui ont été déposées. Rien n’a été enregistré. \
        Réessayez\u{a0}; si cela se reproduit, prévenez l’expéditeur et l’exploitant de ce site.",
    unlock_offline: "La connexion a été interrompue. Rien n’a été enregistré. Réessayez dans un instant.",
    unlock_busy: "Trop de demandes viennent de votre réseau. Réessayez dans une minute.",
    unlock_ended: "Ces fichiers ne sont plus disponibles. Rechargez cette page pour savoir pourquoi.",
    unlock_too_large: "Ce navigateur, ou son mode privé, ne peut déchiffrer que des fichiers de 100\u{a0}Mo au \
        plus. Ouvrez le lien dans une fenêtre ordinaire, ou dans un autre navigateur.",
    unlock_no_room: "Il n’y a plus assez de place sur cet appareil pour déchiffrer ce fichier. Rien n’a été \
        enregistré. Faites de la place, puis réessayez.",
    unlock_failed: "Votre navigateur n’a pas pu le faire. Rien n’a été enregistré. Réessayez, ou ouvrez le \
        lien dans un autre navigateur.",
    unlock_progress: "Téléchargement et déchiffrement\u{a0}: {percent}\u{a0}%",
    unlock_saved: "Fichier déchiffré, complet et intact. Il est dans vos téléchargements.",
    unlock_cancelled: "Annulé. Rien n’a été enregistré.",
    unlock_cancel: "Annuler",
    unlock_why: "Elles sont chiffrées de bout en bout\u{a0}: la clé se trouve dans le lien après le signe #, \
        une partie que les navigateurs n’envoient à personne, et c’est votre navigateur qui \
        les déchiffre. Ce serveur ne garde et ne donne que des données chiffrées. Il sait de \
        quel domaine elles ont été envoyées, quand, combien il y en a et de quelle taille, \
        mais ni leurs noms ni leur contenu.",
    unlock_caution: "Quiconque a le lien complet peut les ouvrir. Aucun antivirus ne peut les examiner en \
        chemin\u{a0}: n’ouvrez que celles que vous attendez.",

    why: "Pourquoi cette page\u{a0}?",
    why_outgoing: "Le serveur de courrier de l’expéditeur retire les pièces jointes lourdes des \
        messages et les conserve en un seul exemplaire, au lieu d’en envoyer une copie \
        dans chaque boîte.",
    why_incoming: "Le serveur de courrier qui a reçu ce message en retire les pièces jointes lourdes et \
        les conserve en un seul exemplaire, au lieu d’en déposer une copie dans chaque boîte.",
    privacy: "Elles sont chiffrées\u{a0}: sans le lien du message, personne ne peut les lire, pas \
        même l’hébergeur\u{a0}; qui a le lien peut les télécharger. Rien à installer, aucun \
        compte, aucun traceur.",
    elsewhere: "Les fichiers se trouvent chez",
    privacy_elsewhere: "Cet hébergeur peut les lire, et qui a le lien peut les y télécharger. Rien à \
        installer, aucun compte.",
    caution: "Les fichiers sont tels que l’expéditeur les a joints\u{a0}: n’ouvrez que ceux que \
        vous attendez.",
    learn_more: "En savoir plus",

    report: "Signaler un contenu",
    about: "À propos de ce service",
    legal: "Mentions légales",
    contact: "Contact\u{a0}:",

    gone: "Ces fichiers ne sont plus disponibles",
    gone_within: "Ils étaient joints à {message}.",
    gone_until: "Ils pouvaient être téléchargés jusqu’au {moment} ({zone}).",
    gone_restore: "Il est encore temps de les rétablir.",
    restore: "Rétablir jusqu’au {date}",
    gone_what: "Que faire\u{a0}?",
    gone_ask: "Demandez à la personne qui vous a écrit de vous les envoyer de nouveau.",
    gone_ask_sender: "Demandez à la personne qui vous a écrit, chez {sender}, de vous les envoyer de \
        nouveau.",
    gone_operator: "Si ce n’est pas possible, écrivez à {operator} en indiquant l’adresse complète de \
        cette page\u{a0}: un fichier expiré depuis peu peut parfois être rétabli.",
    revoked: "Ces fichiers ont été retirés",
    revoked_why: "{operator} les a retirés avant la date de fin prévue.",
    revoked_ask: "Si vous connaissez l’expéditeur, demandez-lui par une autre voie de quoi il s’agissait.",
    revoked_operator: "Pour savoir pourquoi, écrivez à {operator} en indiquant l’adresse complète de cette \
        page.",

    report_title: "Signaler un contenu",
    report_what: "Vous signalez à {operator} des fichiers joints à {message}.",
    report_then: "Un administrateur lira votre signalement et peut retirer les fichiers. Il ne sera \
        pas montré à l’expéditeur.",
    report_kept: "Votre signalement sera enregistré. Il ne sera pas montré à l’expéditeur.",
    report_reason: "De quoi s’agit-il\u{a0}?",
    reason_malware: "Virus ou programme dangereux",
    reason_fraud: "Hameçonnage, escroquerie",
    reason_illegal: "Contenu illicite",
    reason_privacy: "Données personnelles, droits d’auteur",
    reason_other: "Autre chose",
    report_text: "Que faut-il savoir\u{a0}?",
    report_text_hint: "Quel fichier, et ce qui ne va pas.",
    report_contact: "Votre adresse de courriel, si vous voulez une réponse",
    report_optional: "facultatif",
    report_share: "Joindre le lien, pour que l’administrateur puisse regarder les fichiers. Sans lui, \
        il peut les retirer, mais pas les ouvrir.",
    report_sealed: "L’administrateur peut retirer ces fichiers, mais pas les ouvrir\u{a0}: il lui faudrait le \
        lien complet. Ne l’écrivez pas ici\u{a0}; envoyez-le par courriel si on vous le demande.",
    report_send: "Envoyer le signalement",
    report_back: "Revenir aux fichiers",
    report_empty: "Choisissez de quoi il s’agit et dites en quelques mots ce qui ne va pas, puis envoyez de \
        nouveau.",
    reported: "Merci, votre signalement est enregistré",
    reported_what: "Il porte la référence {reference}. {operator} le lira et décidera des suites à donner.",
    reported_kept: "Il porte la référence {reference}. {operator} pourra le consulter.",

    not_found: "Il n’y a rien à cette adresse",
    not_found_why: "Si vous venez d’un lien reçu par courriel, il est sans doute incomplet\u{a0}: un \
        lien coupé en fin de ligne est la cause la plus fréquente.",
    not_found_what: "Ouvrez-le de nouveau depuis le message, ou copiez-le en entier dans la barre \
        d’adresse.",
    bad_form: "Ce formulaire n’a pas pu être lu",
    bad_form_why: "Il n’est pas arrivé en entier, ou sous une autre forme que celle attendue.",
    bad_form_what: "Revenez à la page précédente et envoyez-le de nouveau.",
    foreign: "Cette demande ne vient pas de ce site",
    foreign_why: "Un autre site a voulu agir en votre nom. Rien n’a été fait.",
    foreign_what: "Ouvrez le lien depuis le message et utilisez les boutons de la page.",
    method: "Cette adresse ne s’utilise pas ainsi",
    method_why: "Ici, les pages et les fichiers se lisent seulement\u{a0}; rien ne peut être déposé ni \
        modifié.",
    too_large: "C’est trop long",
    too_large_why: "Ce que vous avez envoyé dépasse ce que ce formulaire accepte.",
    too_large_what: "Revenez à la page précédente et raccourcissez le texte.",
    too_many: "Trop de demandes",
    too_many_why: "Votre réseau a envoyé en peu de temps trop de demandes, ou essayé trop de liens qui \
        ne mènent à rien.",
    too_many_what: "Réessayez dans une minute. Votre lien et vos fichiers restent intacts.",
    crowded: "Beaucoup de monde en ce moment",
    crowded_why: "Ce serveur n’a pas de place pour une réponse de plus à cet instant.",
    crowded_what: "Réessayez dans un instant. Votre lien et vos fichiers sont intacts.",
    failed: "Un problème de notre côté",
    failed_what: "Cette page ne peut pas être affichée pour le moment. Réessayez dans quelques \
        minutes.",

    home: "Un dépôt de pièces jointes",
    home_what: "{operator} conserve ici quelque temps les pièces jointes lourdes de son courrier, \
        chiffrées, au lieu d’en laisser une copie dans chaque boîte.",
    home_how: "On y accède par le lien qui se trouve dans le message\u{a0}; il n’y a rien d’autre à \
        voir ici, ni rien à y déposer.",
    home_lost: "Vous cherchez un fichier\u{a0}? Ouvrez le lien depuis le message que vous avez reçu.",

    about_intro: "Pour qui reçoit ces liens et veut savoir ce qu’il y a derrière, et pour qui répond \
        d’un réseau ou d’un serveur de courrier.",
    about_what: "Ce que c’est",
    about_what_text: "{operator} fait passer son courrier par un filtre libre, depollueur. Il retire des \
        messages les pièces jointes lourdes, les conserve ici, chiffrées, pour une durée \
        limitée et met un lien à leur place. Ce n’est pas un dépôt public\u{a0}: seul ce serveur de courrier peut \
        y placer des fichiers.",
    about_mail: "Dans le message",
    about_mail_text: "Un message modifié porte un champ X-Depollueur dans son en-tête et un seul lien, \
        suivi du nom, de la taille et de la date de fin de chaque fichier. Un message signé \
        ou chiffré (S/MIME, OpenPGP) n’est jamais modifié.",
    about_link: "Le lien",
    about_link_text: "Il se compose de {url} et de 26 lettres et chiffres tirés au hasard\u{a0}; ni nom, \
        ni adresse, ni contenu n’y figurent. Le suivre ne change rien et n’est pas \
        compté, même si un filtre ou un aperçu le suit plusieurs fois\u{a0}: seuls les \
        téléchargements complets sont comptés.",
    about_files: "Les fichiers",
    about_files_text: "Ils sont servis depuis {host} seul, sans redirection, toujours comme pièces \
        à enregistrer (application/octet-stream, attachment, CSP sandbox), jamais affichés. \
        Les pages sont sans cookie, sans ressource de tiers et, à une exception près, sans script. L’adresse de la page \
        suivie de .json donne aux programmes noms, tailles et empreintes SHA-256.",
    about_sealed: "Chiffrement de bout en bout",
    about_sealed_text: "Certains liens portent le signe # suivi de 26 caractères. Cette partie est la clé, et \
        les navigateurs ne l’envoient à personne\u{a0}: le script de la page va chercher des \
        données chiffrées chez {host} et les déchiffre dans le navigateur (HKDF et \
        AES-256-GCM, par WebCrypto). C’est la seule page qui ait un script, et il ne se \
        connecte à rien d’autre. Le serveur connaît encore le domaine ou l’adresse de \
        l’expéditeur, le nombre des destinataires, l’heure, le nombre et la taille des \
        fichiers, mais ni leurs noms, ni leurs types, ni leur contenu, et aucun antivirus ne \
        peut les examiner. Le message porte le lien en entier\u{a0}: qui lit le message peut lire \
        les fichiers, et le serveur de courrier qui a fait le lien les a vus.",
    about_log: "Ce qui est consigné",
    about_log_text: "Le dépôt (expéditeur, identifiant du message, heure), puis chaque téléchargement \
        complet, prolongation, signalement et retrait avec son heure et, si l’exploitant l’a \
        choisi, l’adresse IP. Ni le lien, ni le nom, ni le contenu des fichiers. Ces entrées \
        sont effacées après la durée fixée par l’exploitant.",
    about_abuse: "Signaler, demander",
    about_abuse_text: "Chaque page de fichiers porte en bas un lien pour signaler son contenu\u{a0}; un \
        administrateur peut le retirer aussitôt.",
};
