"""Mail that goes on: what the guide says of signatures of outside senders."""

from mail import DAVE, pdf
from story import story

WAYS = {"alias": "outside@asso.example", "Sieve": "carol@asso.example", ".forward": "erwan@mail.asso.example"}


def treat(host, directions: str):
    host.must(f"""sed -i 's/^#\\?directions = .*/directions = "{directions}"/' /etc/depollueur/depollueur.toml
        systemctl reload depollueur""")
    host.until("curl -fsS http://127.0.0.1:8026/readyz")


@story(on="live")
def mail_that_is_forwarded_keeps_its_signature_when_outgoing_mail_only_is_treated(host):
    host.must(f"""echo '{WAYS["alias"]} {DAVE}' >>/etc/postfix/virtual && postmap /etc/postfix/virtual
        useradd -m erwan && echo {DAVE} >/home/erwan/.forward && chown erwan: /home/erwan/.forward""")
    host.write("/var/vmail/asso.example/carol/.dovecot.sieve", f'redirect "{DAVE}";\n', owner="vmail")
    valid = {}
    for directions in ("outgoing", "both"):
        treat(host, directions)
        for way, address in WAYS.items():
            got = host.outside(host.send("eve@dehors.example", [address], sign=True, files=[pdf(750_000)]), within=180)
            valid[directions, way] = any(one["valid"] and one["domain"] == "dehors.example" for one in got.dkim)
    assert valid == {(directions, way): directions == "outgoing" for directions in ("outgoing", "both") for way in WAYS}, valid
