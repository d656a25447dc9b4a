"""Which story types which command of our documents (commands.py takes them out), exactly as it is printed."""

# Topic and function of a story, and the commands that it types; the runner sees that it does.
TYPED_BY: dict[str, tuple[str, ...]] = {
    "cli.a_drop_that_became_roots_is_given_back_by_the_line_that_is_printed": ("chown -hR {name}: {shown} && chmod 0700 {shown}",),
    "units.a_spool_that_is_missing_is_made_by_the_line_that_is_printed": ("install -d -m 0700 -o {user} {shown}",),
    "amavis.our_example_for_amavis_scans_then_detaches_then_signs_and_doctor_finds_the_harmful_order": ("adduser postfix opendkim",),
    "backup.a_backup_that_is_restored_leaves_no_error_of_doctor_and_its_links_work": (
        "apt install sqlite3 rsync",
        "install -d -m 0700 -o depollueur -g depollueur /backup",
        'runuser -u depollueur -- sqlite3 /var/lib/depollueur/drop.sqlite3 ".backup /backup/drop.sqlite3"',
        "chmod 0600 /backup/drop.sqlite3",
        "rsync -a --delete /var/lib/depollueur/drop.key /var/lib/depollueur/blobs /backup/",
        "rsync -a --delete /etc/depollueur/ /backup/etc/",
        "systemctl stop depollueur.socket depollueur.service",
        "install -d -m 0700 -o depollueur -g depollueur /var/lib/depollueur",
        "rm -f /var/lib/depollueur/drop.sqlite3-wal /var/lib/depollueur/drop.sqlite3-shm",
        "install -m 0600 -o depollueur -g depollueur /backup/drop.sqlite3 /backup/drop.key /var/lib/depollueur/",
        "rsync -a --delete --chown=depollueur:depollueur /backup/blobs /var/lib/depollueur/",
        "rsync -a --chown=root:depollueur --chmod=D0750,F0640 /backup/etc/ /etc/depollueur/",
        "systemctl start depollueur.socket depollueur.service",
    ),
    "cli.root_who_types_the_guides_lines_leaves_nothing_of_roots_in_the_drop": ("depollueur drop audit",),
    "doctor.what_doctor_tells_to_type_mends_what_it_found": (
        "chmod 0700 {shown}",
        "chmod -R go= {shown}",
        "chmod g-w {shown}",
        "chmod o-w {shown}",
        "chown {uid}:{gid} {shown}",
        "postconf -X {parameter}",
    ),
    "documents.a_blocked_file_does_not_come_back": (
        "depollueur drop block --reason malware $(sha256sum < invoice.exe | cut -c-64)",
        "depollueur drop block --reason malware 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        "depollueur drop blocks",
    ),
    "documents.a_drop_that_was_blocked_elsewhere_takes_no_more_and_mail_goes_on": (
        """sed -i 's/^mode = .*/mode = "dry-run"/' /etc/depollueur/depollueur.toml""",
    ),
    "documents.a_link_that_is_complained_about_is_looked_at_ended_and_brought_back": (
        'depollueur drop audit --since "1 month" --json',
        "depollueur drop audit --json https://drop.example.org/mfrggzdfmztwq2lknnwg23tpoa",
        'depollueur drop list --login alice --since "1 month" --json',
        'depollueur drop restore --until "14 days" https://drop.example.org/mfrggzdfmztwq2lknnwg23tpoa',
        "depollueur drop revoke --reason phishing https://drop.example.org/mfrggzdfmztwq2lknnwg23tpoa",
        "depollueur drop show --json https://drop.example.org/mfrggzdfmztwq2lknnwg23tpoa",
        "depollueur drop show https://drop.example.org/mfrggzdfmztwq2lknnwg23tpoa",
    ),
    "documents.a_stolen_account_is_ended_from_the_hour_of_the_theft_and_honest_packages_stay": (
        'depollueur drop list --login alice --since "24/11/2026 18:00"',
        'depollueur drop restore --login alice --since "24/11/2026 18:00"',
        'depollueur drop revoke --login alice --since "24/11/2026 18:00"',
        'depollueur drop revoke --login alice --since "24/11/2026 18:00" --reason "compte volé"',
        'depollueur drop revoke --login alice --since "24/11/2026 18:00" --reason "stolen account"',
    ),
    "documents.a_suspended_login_has_nothing_in_the_drop_until_it_is_resumed": (
        'depollueur drop suspend --login alice --reason "compte volé"',
        'depollueur drop suspend --login alice --reason "stolen account"',
        "depollueur drop resume --login alice",
        "depollueur drop suspended",
    ),
    "documents.a_sweep_that_trusts_the_clock_ends_well": ("depollueur drop sweep --trust-clock",),
    "documents.a_token_for_the_other_host_is_made_and_only_the_daemon_reads_it": (
        'depollueur drop token add mail --quota-per-day "50 GB" --expires "1 year"',
        "depollueur drop token list",
        "install -o depollueur -g depollueur -m 0400 token /etc/depollueur/token",
        "systemctl edit depollueur",
    ),
    "documents.the_user_of_the_daemon_may_ask_the_maps_of_postfix": ("adduser depollueur postfix",),
    "documents.check_and_the_state_of_the_daemon_are_as_the_guide_says": (
        "curl http://127.0.0.1:8026/readyz",
        "depollueur check",
        "journalctl -u depollueur",
        "journalctl -u depollueur -p warning",
        "systemctl reload depollueur",
        "systemctl restart depollueur",
        "systemctl restart depollueur.socket depollueur.service",
        "systemctl start depollueur",
        "systemctl status depollueur",
    ),
    "documents.mail_that_is_there_is_tried_without_a_change_to_it_or_to_the_drop": (
        "depollueur replay --json /home/alice/Maildir",
        'depollueur replay --set detach.threshold="2 MB" /home/alice/Maildir',
    ),
    "documents.rewrite_shows_what_would_come_out_and_leaves_the_drop_to_its_owner": (
        "depollueur rewrite --deposit < message.eml > rewritten.eml",
        "depollueur rewrite --explain < message.eml > rewritten.eml",
    ),
    "documents.the_notice_in_ones_own_words_begins_with_the_examples": (
        "cp -r /usr/share/doc/depollueur/examples/notice /etc/depollueur/notice",
        "depollueur check --set notice.templates=/etc/depollueur/notice --quiet",
    ),
    "documents.what_is_kept_as_evidence_is_the_file": (
        "depollueur drop get https://drop.example.org/mfrggzdfmztwq2lknnwg23tpoa --into /root/evidence",
        "install -d -m 0700 /root/evidence",
    ),
    "documents.what_the_chapter_on_monitoring_asks_is_answered": (
        "curl -fsS http://127.0.0.1:8026/metrics",
        "curl -fsS http://127.0.0.1:8026/readyz",
        "systemctl is-active depollueur.socket depollueur.service",
    ),
    "documents.what_was_saved_is_told_as_text_and_as_a_page": ("depollueur stats", "depollueur stats --html report.html"),
    "first_link.the_drop_comes_behind_nginx_as_the_guide_says": (
        "cp /usr/share/doc/depollueur/examples/nginx/drop.conf /etc/nginx/sites-available/drop",
        "cp /usr/share/doc/depollueur/examples/nginx/http.conf /etc/nginx/sites-available/drop-http",
        "install -d /var/www/drop",
        "ln -s ../sites-available/drop /etc/nginx/sites-enabled/drop",
        "ln -s ../sites-available/drop-http /etc/nginx/sites-enabled/drop-http",
        "nginx -t",
        "systemctl reload nginx",
    ),
    "plug.what_was_changed_after_plug_stays_when_it_is_unplugged": ("depollueur plug --yes", "depollueur unplug"),
    "plug.who_is_asked_sees_the_difference_first_and_no_leaves_all_as_it_was": ("depollueur plug",),
    "package.a_removal_keeps_the_drop_and_a_purge_too": (
        "apt purge depollueur",
        "postfix reload",
    ),
    "package.an_upgrade_keeps_configuration_links_and_mail": ("apt install ./depollueur_*.deb", "depollueur doctor"),
    "package.the_units_are_enabled_as_the_program_says": (
        "systemctl enable depollueur.socket && systemctl restart depollueur.socket depollueur.service",
        "systemctl enable depollueur.socket depollueur.service && systemctl restart depollueur.socket depollueur.service",
        "systemctl disable --now depollueur.socket",
    ),
    "package.without_a_socket_unit_postfix_reaches_the_socket_by_the_group": (
        "adduser postfix depollueur",
        "adduser postfix depollueur && systemctl restart postfix",
    ),
    "people.each_association_has_its_own_name_on_its_page_and_in_its_links": ("depollueur check --domain association.example",),
    "people.a_table_that_cannot_be_asked_leaves_mail_alone_and_doctor_says_which": ("postmap {kind}:{name}",),
    "reports.a_report_of_a_reader_reaches_abuse_as_mail_and_doctor_sends_one": (
        "depollueur doctor --report",
        "systemctl restart depollueur.service",
    ),
    "units.a_command_for_reports_that_is_no_program_is_made_one_by_the_line_that_is_printed": ("chmod 0755 '{shown}'",),
    "units.a_daemon_whose_port_is_taken_is_named_with_its_last_words_and_comes_back": ("journalctl -u {SERVICE} -n 20",),
    "units.a_directory_that_the_unit_names_and_that_is_gone_is_made_by_the_line_that_is_printed": (
        "install -d -m 0700 -o {USER} -g {USER} '{place}'",
    ),
    "units.a_drop_on_a_disk_of_its_own_is_opened_by_the_lines_that_check_prints": (
        "install -d -m 0700 -o {name} -g {name} '{shown}'",
        "mkdir -p {directory}",
        "systemctl daemon-reload",
    ),
    "units.a_file_at_a_place_that_the_service_hides_is_moved_as_is_printed": (
        "cp -r '{shown}' /etc/depollueur/ && chgrp -R {name} '/etc/depollueur/{file}' && chmod -R g+rX '/etc/depollueur/{file}'",
    ),
    "units.a_file_that_the_daemon_cannot_read_is_opened_by_the_line_that_is_printed": (
        "chgrp -R {name} '{shown}' && chmod -R g+rX '{shown}'",
        "chgrp {name} '{closed}' && chmod g+rx '{closed}'",
    ),
    "units.doctor_names_what_is_wrong_with_a_unit_and_its_lines_mend_it": (
        "systemctl enable --now {SERVICE}",
        "systemctl enable {SERVICE}",
        "systemctl enable {SOCKET}",
    ),
    "units.doctor_quick_speaks_to_a_monitoring_system": ("depollueur doctor --quick",),
    "units.doctor_says_that_a_milter_listen_is_not_used_beside_the_socket_and_its_lines_make_it_so": (
        "systemctl disable --now {SOCKET}",
        "systemctl restart {SERVICE}",
    ),
    "units.root_is_told_by_mail_that_the_service_has_failed": (
        "install -m 0755 /usr/share/doc/depollueur/examples/on-failure /etc/depollueur/on-failure",
    ),
    "units.the_package_does_nothing_before_setup_and_says_so": ("systemctl enable depollueur.socket depollueur.service",),
}

NAMED = "a command is named in a sentence, and not told to be typed like this: with its arguments it stands above"
WITH_UNIT = "the program prints it with the unit behind it, and so it is typed for a masked service (stories/units.py)"
NO_NETWORK = "a booted host has no network"
NO_SYMPA = "no host here has Sympa; its example was tried by hand"
MISTAKE = "tests/mistakes has a row for which it is printed"
MEANT = "the answer to a command line of other habits: tests/mistakes has the rows"
OUTSIDE = "for who builds the package, not for a host: the harness packs with it, and tests/package.py"
CLAMD = "the clamd of these hosts is one of ours with one signature, not Debian's unit; tests/e2e/scan.py asks Debian's program"
CHECKOUT = "for who has the source: a step of tests/run"
E2E = "tests/e2e/doctor.py makes the fault and types it"

# Command: why no story types it.
NOT_TYPED: dict[str, str] = {
    "apt install clamav-daemon": NO_NETWORK,
    "apt install clamav-daemon clamav-freshclam": NO_NETWORK,
    "systemctl start clamav-freshclam": NO_NETWORK,
    "systemctl start clamav-daemon": CLAMD,
    "systemctl restart clamav-daemon": CLAMD,
    "journalctl -u clamav-daemon -n 20": CLAMD,
    "curl --mail-rcpt": "names what an admin's own program may use; hosts here have no other host to give mail to",
    "systemctl enable {}": WITH_UNIT,
    "systemctl unmask {}": WITH_UNIT,
    "systemctl enable depollueur.service": "setup prints it where Postfix is not chrooted; on hosts here it is, as Debian has it",
    "depollueur unplug. Now take it out of smtpd_milters and non_smtpd_milters (main.cf": NAMED,
    "postconf -e 'message_size_limit = 73400320'": "each host here has it (mailhost.py)",
    "postconf -e 'smtpd_sender_login_maps = hash:/etc/postfix/sender-logins'":
        "as doctor tells it; the table is the admin's, src/cli/doctor/settings.rs has the test",
    "postconf -P 'submission/inet/smtpd_sender_restrictions = reject_sender_login_mismatch'":
        "as doctor tells it; src/cli/doctor/settings.rs has the test",
    "chown {owner} {shown}": "for a key of somebody else; src/drop/tests/open.rs has the test",
    "depollueur why": NAMED,
    "depollueur why 4abCDe12xyz": "stories/cli.py asks with the queue ids, message ids and links of its own mail",
    "systemctl edit depollueur.service": "as systemctl edit depollueur, which a story types",
    "adduser postfix opendmarc": "as for opendkim, which a story types; no host here has opendmarc",
    "apt install nginx certbot": NO_NETWORK,
    "apt-get update && apt-get install postfix": NO_NETWORK,
    'certbot certonly --webroot -w /var/www/drop -d drop.example.org --deploy-hook "systemctl reload nginx"':
        "there is no certificate authority to ask: the story puts a certificate where certbot would",
    "apt install ./target/package/out/depollueur_*.deb": "the package is installed from the directory it is in, in each story",
    "packaging/build": OUTSIDE,
    "tests/demo": CHECKOUT,
    "tests/run": CHECKOUT,
    "chgrp {name} {shown} && chmod 0710 {shown}": E2E,
    "chgrp {name} {shown} && chmod g+x {shown}": E2E,
    "chmod -R u+rwX {shown}": E2E,
    "chown -hR {uid}:{gid} {shown}": E2E,
    "chmod go= {shown}": E2E,
    "install -d -m 0700 -o {name} -g {name} {shown}": "printed for a drop that root owns; src/cli/owner.rs has the test of when it is told",
    "journalctl -u depollueur -n 20": "as journalctl -u depollueur, which a story types",
    "chgrp depollueur": NAMED,
    "chown depollueur": NAMED,
    "ln -s": NAMED,
    "apt install postfix-{kind}": NO_NETWORK,
    "depollueur check --config FILE": MEANT,
    "depollueur rewrite < {word}": MEANT,
    "systemctl start depollueur (the daemon stays in the foreground": MEANT,
    "systemctl {word} depollueur": MEANT,
    "install -d": NAMED,
    "depollueur drop": NAMED,
    "postmap -q": NAMED,
    "depollueur drop block": NAMED,
    "depollueur drop extend": NAMED,
    "depollueur drop extend --until": NAMED,
    "depollueur drop list": NAMED,
    "depollueur drop rekey": "for a key that is lost; src/drop/tests/damage.rs loses it",
    "depollueur drop restore": NAMED,
    "depollueur drop revoke": NAMED,
    "depollueur drop suspend": NAMED,
    "depollueur drop token add NAME": NAMED,
    "depollueur drop token add mail": NAMED,
    "depollueur replay": NAMED,
    "depollueur rewrite --explain": NAMED,
    "depollueur setup": "each host here is configured by it, with the answers as flags (mailhost.py, first_link)",
    'depollueur run --set detach.threshold="1 MB"': "shows how --set is written; systemd runs the daemon",
    "postmap /etc/sympa/transport": NO_SYMPA,
    "rm -r $drop": "destroys the drop, as it says",
    "systemctl restart mailman3": 'the state "mailman" is made with it (listserver.py)',
    "systemctl restart sympa": NO_SYMPA,
    "chgrp depollueur '{path}' && chmod g+r '{path}'": "as chgrp -R for a file that the daemon cannot read, which a story types",
    "chgrp depollueur '{shown}' && chmod 0640 '{shown}'": "as chgrp -R for a file that the daemon cannot read, which a story types",
    "chmod o= '{shown}'": MISTAKE,
    "install -d -m 0750 -o depollueur -g postfix '{shown}'": MISTAKE,
    "install -m 0640 -g depollueur /dev/null '{path}'": MISTAKE,
    "install -m 0640 -g depollueur /dev/stdin '{shown}' (and give it what that prints": MISTAKE,
    "postconf -h config_directory": MISTAKE,
    "depollueur setup --directory /srv/drop": "tests/e2e/setup.py gives it; the lines that it prints are those of check, which a story types",
    "install -d -m 0700 -o depollueur -g depollueur {}": "the line that check prints for a drop elsewhere, which a story types",
    "systemctl restart": NAMED,
    "systemctl restart rspamd": "printed when rspamd does not let go of a port, to which it cannot be brought here",
    "timedatectl set-ntp true": "a host in namespaces cannot set the clock",
}

BY_STORY: dict[str, str] = {command: story for story, commands in TYPED_BY.items() for command in commands}
