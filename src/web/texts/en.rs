//! The sentences of the pages in English.

use super::Texts;

pub(super) static EN: Texts = Texts {
    lang: "en",
    other_lang: "fr",
    other_language: "Français",
    languages: "Language",
    skip: "Skip to content",
    footer: "This site",

    one_file_sent: "1 file sent by {sender}",
    many_files_sent: "{count} files sent by {sender}",
    one_file: "1 attached file",
    many_files: "{count} attached files",
    within: "in {message}",
    message_sent: "a message sent from {sender} on {date}",
    message_received: "a message received on {date} from an address at {sender}",
    message_dated: "a message of {date}",
    message_unverified: "a message received on {date}, sender not verified",
    until: "Available until",
    days_left: "{count} days left",
    until_tomorrow: "that is tomorrow",
    until_today: "that is today",
    files: "Files",
    files_shown: "Files {first} to {last} of {count}",
    pages: "Pages of the list",
    previous_page: "Previous",
    next_page: "Next",
    download: "Download",
    to_download: "To the download",
    download_all: "Download all",
    fingerprint: "File fingerprint",
    fingerprint_use: "SHA-256, to check that the file arrived intact:",
    fingerprints: "Fingerprints",
    in_all: "{size} in all",
    one_more_file: "One more file",
    more_files: "{count} more files",
    program_caution: "This is a program: open it only if you expected it from this person.",

    extend_why: "Need more time?",
    extend: "Keep until {date}",
    extended: "Done: the files can be downloaded until {moment} ({zone}).",
    extended_no: "The end date cannot be moved any further: these files can be downloaded until \
        {moment} ({zone}).",

    unlock_no_script: "These files are encrypted to the end: only your browser can open them, and for that it \
        needs JavaScript. Allow scripts for this site, or open the link in another browser. \
        This server has no key and cannot do it in your place.",
    unlock_working: "Your browser is opening the list of files…",
    unlock_insecure: "These files are encrypted to the end, and browsers decrypt only on pages that came \
        over a secure connection (https). Open the link as it stands in the message.",
    unlock_old: "This browser is too old to open these files, which are encrypted to the end. Update \
        it, or open the link in another one.",
    unlock_no_key: "The link is incomplete: its end, after the sign #, is the key to these files, and it \
        is missing. Open the link again from the message, or copy all of it into the address \
        bar.",
    unlock_wrong_key: "The key in this link is not the one of these files: some of its characters were \
        changed or lost. Open the link again from the message, or copy all of it into the \
        address bar.",
    unlock_damaged: "The data that came is not what was deposited. Nothing was saved. Try again; if it \
        happens again, tell the sender and whoever runs this site.",
    unlock_offline: "The connection broke. Nothing was saved. Try again in a moment.",
    unlock_busy: "Too many requests come from your network. Try again in a minute.",
    unlock_ended: "These files are no longer available. Load this page again to learn why.",
    unlock_too_large: "This browser, or its private mode, can decrypt files of up to 100 MB only. Open the \
        link in an ordinary window, or in another browser.",
    unlock_no_room: "There is not enough room left on this device to decrypt this file. Nothing was saved. \
        Make room, then try again.",
    unlock_failed: "Your browser could not do it. Nothing was saved. Try again, or open the link in \
        another browser.",
    unlock_progress: "Downloading and decrypting: {percent}%",
    unlock_saved: "Decrypted, complete and unaltered. It is in your downloads.",
    unlock_cancelled: "Cancelled. Nothing was saved.",
    unlock_cancel: "Cancel",
    unlock_why: "They are encrypted to the end: the key stands in the link after the sign #, a part \
        that browsers send to nobody, and your browser decrypts them. This server keeps and \
        gives out encrypted data alone. It knows from which domain they were sent, when, how \
        many and how large they are, but neither their names nor their contents.",
    unlock_caution: "Whoever has the whole link can open them. No virus scanner can look at them on \
        their way to you: open only those that you expect.",

    why: "Why this page?",
    why_outgoing: "The sender’s mail server takes heavy attachments out of messages and keeps them \
        once, instead of putting a copy into every mailbox.",
    why_incoming: "The mail server that received this message takes heavy attachments out and keeps \
        them once, instead of putting a copy into every mailbox.",
    privacy: "They are encrypted: without the link in the message nobody can read them, not even \
        the host; whoever has the link can download them. Nothing to install, no account, no \
        trackers.",
    elsewhere: "The files lie at",
    privacy_elsewhere: "That host can read them, and whoever has the link can download them there. \
        Nothing to install, no account.",
    caution: "The files are just as the sender attached them: open only those that you expect.",
    learn_more: "Learn more",

    report: "Report content",
    about: "About this service",
    legal: "Legal notice",
    contact: "Contact:",

    gone: "These files are no longer available",
    gone_within: "They were attached to {message}.",
    gone_until: "They could be downloaded until {moment} ({zone}).",
    gone_restore: "There is still time to bring them back.",
    restore: "Bring back until {date}",
    gone_what: "What can I do?",
    gone_ask: "Ask the person who wrote to you to send them again.",
    gone_ask_sender: "Ask the person who wrote to you, at {sender}, to send them again.",
    gone_operator: "If that is not possible, write to {operator} and include the full address of this \
        page: a file that expired a short time ago can sometimes be restored.",
    revoked: "These files were withdrawn",
    revoked_why: "{operator} withdrew them before their time was over.",
    revoked_ask: "If you know the sender, ask them in another way what these files were.",
    revoked_operator: "To learn why, write to {operator} and include the full address of this page.",

    report_title: "Report content",
    report_what: "You report to {operator} files that were attached to {message}.",
    report_then: "An administrator will read your report and can withdraw the files. It is not shown \
        to the sender.",
    report_kept: "Your report will be recorded. It is not shown to the sender.",
    report_reason: "What is it about?",
    reason_malware: "Virus or dangerous program",
    reason_fraud: "Phishing, fraud",
    reason_illegal: "Illegal content",
    reason_privacy: "Personal data, copyright",
    reason_other: "Something else",
    report_text: "What should be known?",
    report_text_hint: "Which file, and what is wrong with it.",
    report_contact: "Your mail address, if you want an answer",
    report_optional: "optional",
    report_share: "Include the link, so that the administrator can look at the files. Without it they \
        can be withdrawn, but not opened.",
    report_sealed: "The administrator can withdraw these files but not open them: only the whole link does \
        that. Do not put it here; send it by mail if you are asked for it.",
    report_send: "Send the report",
    report_back: "Back to the files",
    report_empty: "Choose what it is about and say in a few words what is wrong, then send again.",
    reported: "Thank you, your report is recorded",
    reported_what: "Its reference is {reference}. {operator} will read it and decide what to do.",
    reported_kept: "Its reference is {reference}. It is kept where {operator} can look it up.",

    not_found: "There is nothing at this address",
    not_found_why: "If you followed a link from a message, it is probably incomplete: a link cut at the \
        end of a line is the most common cause.",
    not_found_what: "Open it again from the message, or copy all of it into the address bar.",
    bad_form: "This form could not be read",
    bad_form_why: "It did not arrive as a whole, or in another form than expected.",
    bad_form_what: "Go back to the page before and send it again.",
    foreign: "This request does not come from this site",
    foreign_why: "Another site tried to act in your name. Nothing was done.",
    foreign_what: "Open the link from the message and use the buttons on the page.",
    method: "This address cannot be asked in this way",
    method_why: "Pages and files can be read here; nothing can be uploaded or changed.",
    too_large: "This is too long",
    too_large_why: "What you sent is more than this form takes.",
    too_large_what: "Go back to the page before and shorten the text.",
    too_many: "Too many requests",
    too_many_why: "Your network sent too many requests in a short time, or tried too many links that \
        lead nowhere.",
    too_many_what: "Try again in a minute. Your link and your files are unharmed.",
    crowded: "Many are reading at the moment",
    crowded_why: "This server has no room for one more answer just now.",
    crowded_what: "Try again in a moment. Your link and your files are unharmed.",
    failed: "A problem on our side",
    failed_what: "This page cannot be shown at the moment. Please try again in a few minutes.",

    home: "A drop for mail attachments",
    home_what: "{operator} keeps the heavy attachments of its mail here for a while, encrypted, \
        instead of leaving a copy in every mailbox.",
    home_how: "They are reached through the link in the message; there is nothing else to see here, \
        and nothing can be uploaded.",
    home_lost: "Looking for a file? Open the link from the message that you received.",

    about_intro: "For those who receive these links and want to know what is behind them, and those \
        who answer for a network or a mail server.",
    about_what: "What it is",
    about_what_text: "{operator} runs its mail through depollueur, a free software filter. It takes heavy \
        attachments out of messages, keeps them here encrypted for a limited time, and puts \
        a link in their place. There is no public upload: only that mail server can place \
        files here.",
    about_mail: "In the message",
    about_mail_text: "A message that was changed has a header field X-Depollueur and one link, with the \
        name, size and end date of each file. A signed or encrypted message (S/MIME, \
        OpenPGP) is never changed.",
    about_link: "The link",
    about_link_text: "It is {url} followed by 26 random letters and digits; no name, no address and no \
        content stands in it. Following it changes nothing and counts nothing, however often \
        a filter or a preview does so: only complete downloads are counted.",
    about_files: "The files",
    about_files_text: "They are served from {host} alone, without redirects, always as files to be saved \
        (application/octet-stream, attachment, CSP sandbox), never shown. Pages have no \
        cookie and no third-party resource, and but for one kind no script. The address of a page followed by \
        .json gives names, sizes and SHA-256 fingerprints to programs.",
    about_sealed: "Encryption to the end",
    about_sealed_text: "Some links have the sign # and 26 characters after it. That part is the key, and \
        browsers send it to nobody: the page’s own script fetches encrypted data from {host} \
        and decrypts it in the browser (HKDF and AES-256-GCM, by WebCrypto). It is the only \
        page with a script, and it connects to nothing else. The server still knows the \
        sender’s domain or address, the recipients’ number, the time, and the number and size \
        of the files, but not their names, types or contents, and no scanner can look at them. \
        The message carries the whole link: whoever reads the message can read the files, and \
        the mail server that made the link has seen them.",
    about_log: "What is logged",
    about_log_text: "The deposit (sender, message identifier, time), then each complete download, \
        extension, report and withdrawal with its time and, if the operator chose so, the IP \
        address. Neither the link nor the name or content of files. Entries are deleted \
        after the time that the operator set.",
    about_abuse: "Report, ask",
    about_abuse_text: "Each page of files has a link at its foot to report its content; an administrator \
        can withdraw it at once.",
};
