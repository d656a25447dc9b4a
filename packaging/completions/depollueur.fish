# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_depollueur_global_optspecs
    string join \n h/help V/version
end

function __fish_depollueur_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_depollueur_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_depollueur_using_subcommand
    set -l cmd (__fish_depollueur_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c depollueur -n "__fish_depollueur_needs_command" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_needs_command" -s V -l version -d 'Print version'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "run" -d 'Runs the milter, the web server and the sweeper until SIGTERM'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "milter" -d 'Runs the part that takes mail alone, until SIGTERM'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "web" -d 'Runs the part that readers touch alone, until SIGTERM'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "rewrite" -d 'Rewrites one message from standard input to standard output'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "replay" -d 'Says what would become of saved mail: files, directories, Maildirs, mboxes'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "reload" -d 'Has the running daemon read its configuration again, and says what came of it'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "check" -d 'Checks the configuration and prints the values that hold'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "doctor" -d 'Looks at the living system and says what is wrong with it, and what to type'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "setup" -d 'Asks a few questions and writes a configuration'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "why" -d 'Says what was decided of a message and what became of it, by queue id, Message-ID or link'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "plug" -d 'Puts the milter into Postfix: shows the change, tries it with test mail, takes back what does not hold'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "unplug" -d 'Takes the milter out of Postfix, which is then as it was before'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "stats" -d 'Says what was kept out of mailboxes'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "drop" -d 'Looks into the file drop'
complete -c depollueur -n "__fish_depollueur_needs_command" -f -a "completions" -d 'Prints what makes a shell complete commands and options'
complete -c depollueur -n "__fish_depollueur_using_subcommand run" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand run" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand run" -l ends-with -d 'Ends when this process, which started it, ends' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand run" -l takeover -d 'Takes the sockets of a running daemon over, which should then be stopped: it ends its open sessions, and no mail is refused in between'
complete -c depollueur -n "__fish_depollueur_using_subcommand run" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand milter" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand milter" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand milter" -l ends-with -d 'Ends when this process, which started it, ends' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand milter" -l takeover -d 'Takes the sockets of a running daemon over, which should then be stopped: it ends its open sessions, and no mail is refused in between'
complete -c depollueur -n "__fish_depollueur_using_subcommand milter" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand web" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand web" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand web" -l ends-with -d 'Ends when this process, which started it, ends' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand web" -l takeover -d 'Takes the sockets of a running daemon over, which should then be stopped: it ends its open sessions, and no mail is refused in between'
complete -c depollueur -n "__fish_depollueur_using_subcommand web" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand rewrite" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand rewrite" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand rewrite" -l sender -d 'Envelope sender' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand rewrite" -l recipient -d 'Envelope recipient; may be given many times' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand rewrite" -l login -d 'The login name of a client that authenticated' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand rewrite" -l client -d 'The IP address of the client' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand rewrite" -l daemon -d 'The name of the service of Postfix that took the message in' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand rewrite" -l direction -d 'Which way the message goes; without it, what login, client and daemon say' -r -f -a "incoming\t'From outside to our users'
outgoing\t'From our users'"
complete -c depollueur -n "__fish_depollueur_using_subcommand rewrite" -l explain -d 'Says on standard error what was decided for each part, by which rule, and why'
complete -c depollueur -n "__fish_depollueur_using_subcommand rewrite" -l deposit -d 'Puts what is detached into the store, so that the link works; without it nothing is deposited'
complete -c depollueur -n "__fish_depollueur_using_subcommand rewrite" -l json -d 'Explains in JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand rewrite" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c depollueur -n "__fish_depollueur_using_subcommand replay" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand replay" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand replay" -l sender -d 'Envelope sender' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand replay" -l recipient -d 'Envelope recipient; may be given many times' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand replay" -l login -d 'The login name of a client that authenticated' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand replay" -l client -d 'The IP address of the client' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand replay" -l daemon -d 'The name of the service of Postfix that took the message in' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand replay" -l direction -d 'Which way the message goes; without it, what login, client and daemon say' -r -f -a "incoming\t'From outside to our users'
outgoing\t'From our users'"
complete -c depollueur -n "__fish_depollueur_using_subcommand replay" -l json -d 'Prints JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c depollueur -n "__fish_depollueur_using_subcommand reload" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand reload" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand reload" -l pid -d 'The daemon\'s process, when it must be this one' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand reload" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand check" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand check" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand check" -l domain -d 'Prints what holds for mail of this domain, with what domains.d has for it' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand check" -l quiet -d 'Prints warnings only'
complete -c depollueur -n "__fish_depollueur_using_subcommand check" -l tables -d 'Says of which tables of Postfix nothing can be asked, and nothing else'
complete -c depollueur -n "__fish_depollueur_using_subcommand check" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand doctor" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand doctor" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand doctor" -l postfix-config -d 'Directory of Postfix\'s main.cf, when it is not the usual one' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand doctor" -l resolve -d 'Where to connect to for the public URL, instead of where DNS leads: an address, or one with a port' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand doctor" -l json -d 'Prints the findings as JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand doctor" -l quick -d 'For a monitoring system: puts nothing into the drop, asks nothing over the network, and prints one line; exit status 0 is well, 1 a warning, 2 critical, 3 unknown'
complete -c depollueur -n "__fish_depollueur_using_subcommand doctor" -l report -d 'Sends a test to those who read reports (web.report_to)'
complete -c depollueur -n "__fish_depollueur_using_subcommand doctor" -l deposit -d 'Puts a package into the store, prints its link, takes it back at the end of standard input'
complete -c depollueur -n "__fish_depollueur_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -l config -d 'File to write [default: /etc/depollueur/depollueur.toml]' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -l domain -d 'The mail domain; with it, nothing is asked' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -l public-url -d 'The address of the drop in links [default: https://drop.DOMAIN/]' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -l threshold -d 'The size from which attachments are detached [default: 500 kB]' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -l expiry -d 'How long files can be fetched [default: 1 month]' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -l language -d 'The language of the notice, fr or en [default: fr]' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -l directory -d 'Directory of the drop, such as one on a disk of its own [default: /var/lib/depollueur]' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -l postfix-config -d 'Directory of Postfix\'s main.cf, when it is not the usual one' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -l force -d 'Writes over a configuration that is there'
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -l lists -d 'Mailing lists run on this host: treats outgoing mail only, and writes rules for the list server'
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -l forwarding -d 'Mail is forwarded from this host to others: treats outgoing mail only'
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -l outgoing -d 'Treats outgoing mail only: strangers put no files on this host'
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -l plug -d 'Starts the daemon and puts it into Postfix, as depollueur plug --yes does'
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -l no-plug -d 'Does not offer to start the daemon and to put it into Postfix'
complete -c depollueur -n "__fish_depollueur_using_subcommand setup" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand why" -l mail-log -d 'Postfix\'s log, where it is neither /var/log/mail.log nor in the journal' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand why" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand why" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand why" -l json -d 'Writes JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand why" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand plug" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand plug" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand plug" -l domain -d 'Domain of the sender in test mail, whose signature is verified [default: that of web.contact]' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand plug" -l virus -d 'A file that the virus scanner of this host refuses [default: that of eicar.org]' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand plug" -l postfix-config -d 'Directory of Postfix\'s main.cf, when it is not the usual one' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand plug" -l show -d 'Shows what would be changed, and changes nothing'
complete -c depollueur -n "__fish_depollueur_using_subcommand plug" -l yes -d 'Does not ask'
complete -c depollueur -n "__fish_depollueur_using_subcommand plug" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand unplug" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand unplug" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand unplug" -l postfix-config -d 'Directory of Postfix\'s main.cf, when it is not the usual one' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand unplug" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand stats" -l since -d 'From this month on: 2026-01' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand stats" -l until -d 'Until the end of this month' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand stats" -l by -d 'What has a line of its own' -r -f -a "month\t''
direction\t''
domain\t''"
complete -c depollueur -n "__fish_depollueur_using_subcommand stats" -l html -d 'Writes a page to show to people; - is standard output' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand stats" -l language -d 'The language of the page, fr or en; without it that of the notice' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand stats" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand stats" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand stats" -l json -d 'Writes JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand stats" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "get" -d 'Fetches the files behind a link'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "list" -d 'Lists packages, those deposited last first'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "show" -d 'Shows all that is known of a package'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "audit" -d 'Shows what was done with packages, oldest first'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "extend" -d 'Lets a live package be fetched for longer'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "restore" -d 'Brings back packages that expired or were revoked, until their files are destroyed'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "revoke" -d 'Ends packages at once'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "takedown" -d 'Takes what is complained about off the net, with its copies, and keeps it from coming back'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "answer" -d 'Writes who sent packages, when and from where, and who fetched them, for an authority that asks'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "hold" -d 'Keeps packages by order of an authority: nobody fetches them, and nothing destroys them'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "release" -d 'Keeps packages no longer'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "suspend" -d 'Takes nothing of a login from now on, and ends the packages that it has'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "resume" -d 'Takes what a login sends again, and brings back what ended with its suspension'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "suspended" -d 'Lists the logins that are suspended'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "block" -d 'Refuses a file from now on, and ends the packages that hold it'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "unblock" -d 'Takes a file again'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "blocks" -d 'Lists the files that are refused'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "rekey" -d 'Makes a key in place of drop.key, when that is lost; what is blocked stays so'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "sweep" -d 'Destroys what is past its expiry and grace period, and left-overs'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and not __fish_seen_subcommand_from get list show audit extend restore revoke takedown answer hold release suspend resume suspended block unblock blocks rekey sweep token" -f -a "token" -d 'Lets milters of other hosts deposit, each with a token of its own'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from get" -l into -d 'Directory to write the files into; made if it is missing' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from get" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from get" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from get" -l ended -d 'Also what readers cannot fetch any more, until it is destroyed'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from get" -l opened -d 'Also the files that were read out of a winmail.dat, which is written in any case'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -l login -d 'All packages of this login' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -l sender -d 'All packages of this envelope sender, or of a domain: @example.org' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -l uploader -d 'All packages that were deposited with the token of this name' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -l message -d 'All packages of the message with this queue id' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -l digest -d 'All packages that hold the file with this SHA-256, 64 hexadecimal digits' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -l since -d 'Of these, those deposited at this time or later: a date, a time, or how long ago' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -l before -d 'Of these, those deposited before this time' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -l state -d 'Of these, those in this state' -r -f -a "live\t''
expired\t''
revoked\t''
blocked\t''
held\t''
destroyed\t''"
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -l until -d 'The same as --before' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -l limit -d 'So many at most' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -l json -d 'Writes JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -l full -d 'Cuts nothing in a table, however wide it becomes'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from show" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from show" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from show" -l json -d 'Writes JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from show" -l full -d 'Cuts nothing in a table, however wide it becomes'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from audit" -l since -d 'Done at this time or later: a date, a time, or how long ago' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from audit" -l head -d 'The head of the log as it was noted elsewhere, which must stand in it still' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from audit" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from audit" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from audit" -l verify -d 'Says whether entries were changed, or cut out'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from audit" -l json -d 'Writes JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from audit" -l full -d 'Cuts nothing in a table, however wide it becomes'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from audit" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from extend" -l until -d 'Until when: a date, a time, or how long from now' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from extend" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from extend" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from extend" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from restore" -l login -d 'All packages of this login' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from restore" -l sender -d 'All packages of this envelope sender, or of a domain: @example.org' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from restore" -l uploader -d 'All packages that were deposited with the token of this name' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from restore" -l message -d 'All packages of the message with this queue id' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from restore" -l digest -d 'All packages that hold the file with this SHA-256, 64 hexadecimal digits' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from restore" -l since -d 'Of these, those deposited at this time or later: a date, a time, or how long ago' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from restore" -l before -d 'Of these, those deposited before this time' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from restore" -l state -d 'Of these, those in this state' -r -f -a "live\t''
expired\t''
revoked\t''
blocked\t''
held\t''
destroyed\t''"
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from restore" -l until -d 'Until when: a date, a time, or how long from now; without it, until it would have expired' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from restore" -l revoked-since -d 'Of these, those revoked at this time or later' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from restore" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from restore" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -l login -d 'All packages of this login' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -l sender -d 'All packages of this envelope sender, or of a domain: @example.org' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -l uploader -d 'All packages that were deposited with the token of this name' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -l message -d 'All packages of the message with this queue id' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -l digest -d 'All packages that hold the file with this SHA-256, 64 hexadecimal digits' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -l since -d 'Of these, those deposited at this time or later: a date, a time, or how long ago' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -l before -d 'Of these, those deposited before this time' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -l state -d 'Of these, those in this state' -r -f -a "live\t''
expired\t''
revoked\t''
blocked\t''
held\t''
destroyed\t''"
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -l reason -d 'Why; it stands in the audit log' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -l destroy -d 'Destroys the files at once: they cannot be restored, and running downloads end'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -l json -d 'Writes JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -l full -d 'Cuts nothing in a table, however wide it becomes'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -l login -d 'All packages of this login' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -l sender -d 'All packages of this envelope sender, or of a domain: @example.org' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -l uploader -d 'All packages that were deposited with the token of this name' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -l message -d 'All packages of the message with this queue id' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -l digest -d 'All packages that hold the file with this SHA-256, 64 hexadecimal digits' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -l since -d 'Of these, those deposited at this time or later: a date, a time, or how long ago' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -l before -d 'Of these, those deposited before this time' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -l state -d 'Of these, those in this state' -r -f -a "live\t''
expired\t''
revoked\t''
blocked\t''
held\t''
destroyed\t''"
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -l reason -d 'Why, with the number of the case; it stands in the audit log' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -l answer -d 'Writes the answer to an authority, in this language: fr or en' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -l destroy -d 'Destroys the files at once: they cannot be restored, and running downloads end'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -l json -d 'Writes JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from takedown" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from answer" -l login -d 'All packages of this login' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from answer" -l sender -d 'All packages of this envelope sender, or of a domain: @example.org' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from answer" -l uploader -d 'All packages that were deposited with the token of this name' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from answer" -l message -d 'All packages of the message with this queue id' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from answer" -l digest -d 'All packages that hold the file with this SHA-256, 64 hexadecimal digits' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from answer" -l since -d 'Of these, those deposited at this time or later: a date, a time, or how long ago' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from answer" -l before -d 'Of these, those deposited before this time' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from answer" -l state -d 'Of these, those in this state' -r -f -a "live\t''
expired\t''
revoked\t''
blocked\t''
held\t''
destroyed\t''"
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from answer" -l language -d 'The language of the answer, fr or en' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from answer" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from answer" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from answer" -l json -d 'Writes JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from answer" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from hold" -l login -d 'All packages of this login' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from hold" -l sender -d 'All packages of this envelope sender, or of a domain: @example.org' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from hold" -l uploader -d 'All packages that were deposited with the token of this name' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from hold" -l message -d 'All packages of the message with this queue id' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from hold" -l digest -d 'All packages that hold the file with this SHA-256, 64 hexadecimal digits' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from hold" -l since -d 'Of these, those deposited at this time or later: a date, a time, or how long ago' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from hold" -l before -d 'Of these, those deposited before this time' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from hold" -l state -d 'Of these, those in this state' -r -f -a "live\t''
expired\t''
revoked\t''
blocked\t''
held\t''
destroyed\t''"
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from hold" -l reason -d 'By whose order, under which number; it stands in the record and in the audit log' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from hold" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from hold" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from hold" -l json -d 'Writes JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from hold" -l full -d 'Cuts nothing in a table, however wide it becomes'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from hold" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from release" -l login -d 'All packages of this login' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from release" -l sender -d 'All packages of this envelope sender, or of a domain: @example.org' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from release" -l uploader -d 'All packages that were deposited with the token of this name' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from release" -l message -d 'All packages of the message with this queue id' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from release" -l digest -d 'All packages that hold the file with this SHA-256, 64 hexadecimal digits' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from release" -l since -d 'Of these, those deposited at this time or later: a date, a time, or how long ago' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from release" -l before -d 'Of these, those deposited before this time' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from release" -l state -d 'Of these, those in this state' -r -f -a "live\t''
expired\t''
revoked\t''
blocked\t''
held\t''
destroyed\t''"
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from release" -l reason -d 'Why; it stands in the audit log' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from release" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from release" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from release" -l json -d 'Writes JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from release" -l full -d 'Cuts nothing in a table, however wide it becomes'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from release" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from suspend" -l login -d 'The login, as the mail server knows it' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from suspend" -l reason -d 'Why; it stands in the list of suspensions and in the audit log' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from suspend" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from suspend" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from suspend" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from resume" -l login -d 'The login, as drop suspended shows it' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from resume" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from resume" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from resume" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from suspended" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from suspended" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from suspended" -l json -d 'Writes JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from suspended" -l full -d 'Cuts nothing in a table, however wide it becomes'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from suspended" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from block" -l reason -d 'Why; it stands in the list of blocks and in the audit log' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from block" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from block" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from block" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from unblock" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from unblock" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from unblock" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from blocks" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from blocks" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from blocks" -l json -d 'Writes JSON'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from blocks" -l full -d 'Cuts nothing in a table, however wide it becomes'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from blocks" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from rekey" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from rekey" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from rekey" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from sweep" -l config -d 'Configuration file; without it /etc/depollueur/depollueur.toml, if that exists' -r -F
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from sweep" -l set -d 'Sets one value over file and environment: --set detach.threshold="1 MB"' -r
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from sweep" -l trust-clock -d 'Destroys at once though the clock jumped, or nothing was swept for days'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from sweep" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from token" -s h -l help -d 'Print help'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from token" -f -a "add" -d 'Makes a token and prints it, this once'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from token" -f -a "list" -d 'Shows who may deposit, and what each deposited today'
complete -c depollueur -n "__fish_depollueur_using_subcommand drop; and __fish_seen_subcommand_from token" -f -a "remove" -d 'Refuses a token from now on. What was deposited with it stays'
complete -c depollueur -n "__fish_depollueur_using_subcommand completions" -s h -l help -d 'Print help'
