#!/bin/bash
# Makes a booted Debian the mail server of an association, as one finds them, without depollueur. The files of its
# configuration are there already; this makes keys and users, sets Postfix and starts all of it. Run inside, as root.
#
#   192.0.2.10      asso.example: Postfix on 25 and 587 (SASL, STARTTLS), Dovecot (IMAP, LMTP, Sieve), rspamd as the
#                   milter that scans (clamd, with one signature of ours), verifies and signs; a DNS of its own with
#                   DKIM, SPF and DMARC; certificates of its own authority. Users alice, bob, carol, password "secret".
#   198.51.100.20   dehors.example, the outside: a second Postfix, which keeps what it gets in /var/vmail-out/box.
set -euo pipefail
host=192.0.2.10 outside=198.51.100.20

echo "nameserver 127.0.0.1" >/etc/resolv.conf
echo "127.0.0.1 localhost" >/etc/hosts

# ---- keys for DKIM, and the DNS that publishes them
public() { grep -v -e '^-----' "$1" | tr -d '\n'; }
key() { # DOMAIN SELECTOR DIRECTORY FILE
  mkdir -p "$3"
  openssl genrsa -out "$3/$4" 2048 2>/dev/null
  openssl rsa -in "$3/$4" -pubout 2>/dev/null >"$3/$4.pub"
  # A string in DNS has 255 bytes.
  local text; text="v=DKIM1; k=rsa; p=$(public "$3/$4.pub")"
  echo "txt-record=$2._domainkey.$1,\"${text:0:200}\",\"${text:200}\""
}
cat >/etc/lab/dns.conf <<V
no-resolv
no-hosts
listen-address=127.0.0.1
bind-interfaces
local=/example/
address=/mail.asso.example/$host
address=/drop.asso.example/$host
address=/mx.dehors.example/$outside
ptr-record=10.2.0.192.in-addr.arpa,mail.asso.example
ptr-record=20.100.51.198.in-addr.arpa,mx.dehors.example
mx-host=asso.example,mail.asso.example,10
mx-host=dehors.example,mx.dehors.example,10
$(key asso.example mail /var/lib/rspamd/dkim asso.example.mail.key)
$(key dehors.example out /etc/lab dehors.example.out.key)
txt-record=asso.example,"v=spf1 ip4:$host -all"
txt-record=dehors.example,"v=spf1 ip4:$outside -all"
txt-record=_dmarc.asso.example,"v=DMARC1; p=reject"
txt-record=_dmarc.dehors.example,"v=DMARC1; p=reject"
V
chown -R _rspamd: /var/lib/rspamd/dkim

# ---- TLS, by an authority that this host trusts
cd /etc/lab
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 90 -subj "/CN=Lab CA" \
  -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout tls.key -out tls.csr -subj "/CN=mail.asso.example" 2>/dev/null
openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out tls.crt -days 90 2>/dev/null \
  -extfile <(printf '%s\n' subjectAltName=DNS:mail.asso.example,DNS:drop.asso.example basicConstraints=CA:FALSE \
  subjectKeyIdentifier=hash authorityKeyIdentifier=keyid)
cp ca.crt /usr/local/share/ca-certificates/lab.crt
update-ca-certificates >/dev/null

# ---- a virus scanner that knows one virus: a file that holds LAB-VIRUS-0123456789
mkdir -p /var/lib/lab-clamav
printf 'Lab.Virus:0:*:%s\n' "$(printf LAB-VIRUS-0123456789 | od -An -tx1 | tr -d ' \n')" >/var/lib/lab-clamav/lab.ndb

# ---- users
groupadd -f -g 5000 vmail
id vmail >/dev/null 2>&1 || useradd -u 5000 -g vmail -d /var/vmail -m vmail
mkdir -p /var/vmail/asso.example/carol /var/vmail-out
cat >/var/vmail/asso.example/carol/.dovecot.sieve <<V
require ["vacation"];
vacation :days 1 :subject "Absente" :addresses ["carol@asso.example"] "Je suis absente.";
V
chown -R vmail: /var/vmail /var/vmail-out

# ---- Postfix
postconf -e 'myhostname = mail.asso.example' 'mydestination = localhost, mail.asso.example' 'mynetworks = 127.0.0.1/32' \
  "inet_interfaces = 127.0.0.1, $host" 'inet_protocols = ipv4' "smtp_bind_address = $host" \
  'virtual_mailbox_domains = asso.example' 'virtual_transport = lmtp:unix:private/dovecot-lmtp' \
  'virtual_mailbox_maps = hash:/etc/postfix/vmailbox' 'virtual_alias_maps = hash:/etc/postfix/virtual' \
  'smtpd_sasl_type = dovecot' 'smtpd_sasl_path = private/auth' 'recipient_delimiter = +' \
  'smtpd_tls_cert_file = /etc/lab/tls.crt' 'smtpd_tls_key_file = /etc/lab/tls.key' 'smtpd_tls_security_level = may' \
  'smtpd_milters = inet:127.0.0.1:11332' 'non_smtpd_milters = $smtpd_milters' 'milter_default_action = accept' \
  'smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated reject_unauth_destination' \
  'maillog_file =' 'smtp_address_preference = ipv4' 'smtp_host_lookup = dns'
postmap /etc/postfix/vmailbox /etc/postfix/virtual
newaliases
postconf -M submission/inet='submission inet n - y - - smtpd'
postconf -P submission/inet/syslog_name=postfix/submission submission/inet/smtpd_tls_security_level=encrypt \
  submission/inet/smtpd_sasl_auth_enable=yes submission/inet/smtpd_client_restrictions=permit_sasl_authenticated,reject \
  submission/inet/milter_macro_daemon_name=ORIGINATING

# ---- the outside
install -d /etc/postfix-out /var/spool/postfix-out
install -d -o postfix /var/lib/postfix-out
cp /etc/postfix/postfix-files /etc/postfix-out/ 2>/dev/null || true
cp -r /etc/postfix/dynamicmaps.cf* /etc/postfix-out/
# Not in a chroot.
sed -E 's/^([a-z0-9]+ +(inet|unix|fifo) +[yn-] +[yn-] +)[y-]/\1n/' /usr/share/postfix/master.cf.dist >/etc/postfix-out/master.cf
cat >/etc/postfix-out/main.cf <<V
compatibility_level = 3.6
queue_directory = /var/spool/postfix-out
data_directory = /var/lib/postfix-out
myhostname = mx.dehors.example
mydestination =
inet_interfaces = $outside
inet_protocols = ipv4
smtp_bind_address = $outside
mynetworks = $host, $outside
virtual_mailbox_domains = dehors.example
virtual_mailbox_base = /var/vmail-out
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:5000
virtual_gid_maps = static:5000
message_size_limit = 0
mailbox_size_limit = 0
virtual_mailbox_limit = 0
V

# ---- all of it, now and at each boot
rm -f /etc/nginx/sites-enabled/default
systemctl daemon-reload
systemctl enable --quiet labdns labclamd laboutside redis-server rspamd dovecot postfix nginx
systemctl restart labdns labclamd redis-server dovecot rspamd nginx
systemctl restart postfix laboutside
