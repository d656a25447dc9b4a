#!/bin/bash
# docker-data/dms/config/user-patches.sh: docker-mailserver runs it in its container at each start, after it has made
# Postfix's and rspamd's configuration and before they run. It places the milter depollueur: what scans and verifies comes
# before it, what signs comes after it. If it cannot be placed so, nothing is changed, and the log says why.
#
# Who has a user-patches.sh already calls this one from it: bash /tmp/docker-mailserver/depollueur.sh
# Variables of Postfix and of rspamd stay as they are.
# shellcheck disable=SC2016
set -euo pipefail

ours="{ inet:${DEPOLLUEUR_MILTER:-depollueur:8895}, default_action=tempfail }"
signer='inet:localhost:11331'
postfix=${POSTFIX_CONFIG:-/etc/postfix}
rspamd=${RSPAMD_CONFIG:-/etc/rspamd}

refuse() { printf 'depollueur: not placed, mail goes without it: %s\n' "$1" >&2; exit 1; }

conf() { postconf -c "$postfix" "$@" 2>/dev/null; }

# The entries of a list, one a line, without ours and that of the milter that only signs.
others() {
  conf -h "$1" | tr '\n' ' ' | { grep -oE '\{[^}]*\}|[^ ,{}]+' || true; } | grep -vxF -e "$ours" -e "$signer" || true
}

# What an entry is: docker-mailserver names its own by a variable, and an admin may have written the address.
kind() {
  case $1 in
    *'$dkim_milter'* | *:8891*) echo opendkim ;;
    *'$dmarc_milter'* | *:8893*) echo opendmarc ;;
    *'$rspamd_milter'* | *:11332*) echo rspamd ;;
    *) echo other ;;
  esac
}

# The entries of a list that are of these kinds, in their order.
those() {
  local list=$1 entry
  shift
  others "$list" | while read -r entry; do
    [[ " $* " != *" $(kind "$entry") "* ]] || printf '%s ' "$entry"
  done
}

# amavis looks at mail after the queue and gets what depollueur has left: the link instead of the virus.
content_filter() {
  conf -h content_filter
  conf -P '*/*/content_filter' '*/*/smtpd_proxy_filter' | sed -n 's/^[^=]*= *//p'
}

# The second milter of rspamd, that does nothing but sign, and the end of signing by the first.
part_rspamd() {
  [ -d "$rspamd" ] || refuse "\"$rspamd\" is missing"
  if ! grep -qxF '.include "$LOCAL_CONFDIR/depollueur.conf"' "$rspamd/rspamd.conf.local" 2>/dev/null; then
    printf '%s\n' '.include "$LOCAL_CONFDIR/depollueur.conf"' >>"$rspamd/rspamd.conf.local"
  fi
  cat >"$rspamd/depollueur.conf" <<'CONF'
# Written by depollueur's user-patches.sh.
worker "rspamd_proxy" {
  bind_socket = "127.0.0.1:11331";
  milter = yes;
  timeout = 120s;
  upstream "local" {
    default = yes;
    self_scan = yes;
    settings_id = "depollueur-sign";
  }
}
lua = "$LOCAL_CONFDIR/depollueur.lua";
CONF
  # Settings stand in this file alone: a second section of that name would make both void.
  mkdir -p "$rspamd/local.d"
  if ! grep -qs '^depollueur-sign {' "$rspamd/local.d/settings.conf"; then
    cat >>"$rspamd/local.d/settings.conf" <<'CONF'

depollueur-sign {
  id = "depollueur-sign";
  apply { symbols_enabled = ["DKIM_SIGNED"]; }
}
CONF
  fi
  cat >"$rspamd/depollueur.lua" <<'LUA'
-- Written by depollueur's user-patches.sh: only the milter of depollueur.conf signs, for it comes after depollueur.
local sign = require("lua_settings").numeric_settings_id("depollueur-sign")
rspamd_config:add_condition("DKIM_SIGNED", function(task)
  return task:get_settings_id() == sign
end)
LUA
}

filter=$(content_filter | tr -d '[:space:]')
[ -z "$filter" ] ||
  refuse "\"$filter\" scans after the queue and would see links instead of attachments: set ENABLE_AMAVIS=0 and ENABLE_RSPAMD=1"

sign=''
if [ -n "$(those smtpd_milters rspamd)" ]; then
  part_rspamd
  sign=$signer
fi
verifiers=$(those smtpd_milters opendkim opendmarc)
scanners=$(those smtpd_milters rspamd other)
values=("smtpd_milters = $verifiers$scanners$ours $sign" "depollueur_outgoing_milters = $scanners$ours $verifiers$sign")

# What programs of the container send; rspamd does not look at it, and who does not sign it does not here either.
local_signers=$(those non_smtpd_milters opendkim opendmarc)
local_scanners=$(those non_smtpd_milters rspamd other)
if [ -n "$local_signers$local_scanners" ]; then
  values+=("non_smtpd_milters = $local_scanners$ours $local_signers${local_scanners:+$sign}")
fi
conf -e "${values[@]}"

# The services on which users authenticate.
conf -P '*/inet/smtpd_sasl_auth_enable' | sed -n 's|/smtpd_sasl_auth_enable *= *yes$||p' | while read -r service; do
  conf -P "$service/smtpd_milters=\$depollueur_outgoing_milters"
done
echo "depollueur: placed; Postfix asks $(conf -hx smtpd_milters)"
