"""The way from a host without us to the first wanted link, as README and guide say it."""

from mail import ALICE, BOB, DAVE, pdf, virus
from story import story


@story(on="live", shared=True, short=True)
def a_heavy_file_becomes_a_link_that_serves_its_bytes_and_the_signature_holds_outside(host):
    file = pdf(700_000)
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file]))
    assert len(got.links) == 1 and got.links[0].startswith("https://drop.asso.example/") and not got.files, got.text
    assert got.dkim_valid, got.dkim
    assert host.download(got.links[0]) == {file.name: file.content}


@story(on="live", shared=True, short=True)
def an_infected_file_is_refused_as_before(host):
    for sent in (host.send(ALICE, [DAVE], login=ALICE, files=[virus()]), host.send(DAVE, [BOB], files=[virus()])):
        assert sent.code == 554 and "virus" in sent.text, sent


@story(on="dry-run")
def the_drop_comes_behind_nginx_as_the_guide_says(host):
    """With the certificate of this host in the place where certbot would put its own."""
    host.must("rm -f /etc/nginx/sites-enabled/* /etc/nginx/sites-available/drop*; systemctl restart nginx")
    host.documented("install -d /var/www/drop")
    host.documented("cp /usr/share/doc/depollueur/examples/nginx/http.conf /etc/nginx/sites-available/drop-http")
    host.documented("cp /usr/share/doc/depollueur/examples/nginx/drop.conf /etc/nginx/sites-available/drop")
    host.must("sed -i s/drop.example.org/drop.asso.example/ /etc/nginx/sites-available/drop*")
    host.documented("ln -s ../sites-available/drop-http /etc/nginx/sites-enabled/drop-http")
    host.documented("systemctl reload nginx")
    host.write("/var/www/drop/.well-known/acme-challenge/token", "of the authority")
    host.until("curl -fsS http://drop.asso.example/.well-known/acme-challenge/token")
    host.must("d=/etc/letsencrypt/live/drop.asso.example; mkdir -p $d; cp /etc/lab/tls.crt $d/fullchain.pem; cp /etc/lab/tls.key $d/privkey.pem")
    host.documented("ln -s ../sites-available/drop /etc/nginx/sites-enabled/drop")
    host.documented("nginx -t")
    host.documented("systemctl reload nginx")
    host.until("curl -fsS https://drop.asso.example/about")
    assert "https://" in host.must("curl -fsSI http://drop.asso.example/about | grep -i ^location")
