"""Mail that goes on: what the guide says of signatures of outside senders."""

from mail import DAVE, pdf
from mailhost import CONFIG, READY
from story import story

# "both" spares what an alias sends on; "treat" is both without that.
CHOICES = {"outgoing": ("outgoing", "spare"), "both": ("both", "spare"), "treat": ("both", "treat")}
WAYS = {"alias": "outside@asso.example", "Sieve": "carol@asso.example", ".forward": "erwan@mail.asso.example"}


def treat(host, directions: str, forwarded: str):
    host.must(f"""sed -i -e 's/^#\\?directions = .*/directions = "{directions}"/' -e 's/^#\\?forwarded = .*/forwarded = "{forwarded}"/' {CONFIG}
        grep -q '^forwarded = "{forwarded}"' {CONFIG} && systemctl reload depollueur""")
    host.until(READY)


@story(on="live")
def mail_that_is_forwarded_keeps_its_signature_when_outgoing_mail_only_is_treated_and_by_an_alias(host):
    host.must(f"""echo '{WAYS["alias"]} {DAVE}' >>/etc/postfix/virtual && postmap /etc/postfix/virtual
        useradd -m erwan && echo {DAVE} >/home/erwan/.forward && chown erwan: /home/erwan/.forward""")
    host.write("/var/vmail/asso.example/carol/.dovecot.sieve", f'redirect "{DAVE}";\n', owner="vmail")
    valid = set()
    for choice, values in CHOICES.items():
        treat(host, *values)
        for way, address in WAYS.items():
            got = host.outside(host.send("eve@dehors.example", [address], sign=True, files=[pdf(750_000)]), within=180)
            if any(one["valid"] and one["domain"] == "dehors.example" for one in got.dkim):
                valid.add((choice, way))
    assert valid == {("both", "alias"), *(("outgoing", way) for way in WAYS)}, valid
