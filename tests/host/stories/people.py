"""Who is meant: those who want their mail left alone, and associations of which each has a name of its own."""

from mail import ALICE, BOB, CONTACT, DAVE, pdf
from mailhost import CONFIG
from stories.doctor import type_told
from stories.units import READY, set_value
from story import story

OPT_OUT = "/etc/postfix/opt-out"
AMIS, CHORALE = "bureau@amis.example", "bureau@chorale.example"
LINKS = {AMIS: "https://fichiers.amis.example/", CHORALE: "https://depot.chorale.example/"}


def opted_out(host, *people: str):
    """These people stand in a table of Postfix, and the daemon is told of it."""
    host.write(OPT_OUT, "".join(f"{who} x\n" for who in people))
    host.must(f"postmap {OPT_OUT}")
    set_value(host, "users.opt_out", f'"hash:{OPT_OUT}"')
    host.must("depollueur check --quiet && systemctl restart depollueur")
    host.until(READY)


def is_kept(got) -> bool:
    """The mail has its file; else it has a link in its place, and nothing between the two."""
    assert bool(got.files) != bool(got.links), got.text
    return not got.links


@story(on="live", short=True)
def opt_out_holds_with_an_extension_for_an_alias_and_in_both_directions(host):
    opted_out(host, ALICE)
    news, file = ALICE.replace("@", "+news@"), pdf(700_000)
    kept = {to: is_kept(host.inbox(ALICE, host.send(DAVE, [to], files=[file]))) for to in (ALICE, news, CONTACT)}
    kept[BOB] = is_kept(host.inbox(BOB, host.send(DAVE, [BOB], files=[file])))
    assert kept == {ALICE: True, news: True, CONTACT: True, BOB: False}, kept
    ways = ((ALICE, ALICE), (news, ALICE), (BOB, ALICE), (BOB, BOB))
    sent = {(who, login): is_kept(host.outside(host.send(who, [DAVE], login=login, files=[file]))) for who, login in ways}
    assert sent == {way: way != (BOB, BOB) for way in ways}, sent


@story(on="live")
def who_leaves_the_table_of_postfix_is_treated_again_without_a_word_to_the_daemon(host):
    set_value(host, "lookup.cache", '"1 s"')
    opted_out(host, ALICE)
    assert is_kept(host.inbox(ALICE, host.send(DAVE, [ALICE], files=[pdf(700_000)])))
    host.write(OPT_OUT, f"{BOB} x\n")
    host.must(f"postmap {OPT_OUT}; sleep 2")
    assert not is_kept(host.inbox(ALICE, host.send(DAVE, [ALICE], files=[pdf(700_000)])))
    assert is_kept(host.inbox(BOB, host.send(DAVE, [BOB], files=[pdf(700_000)])))


@story(on="live")
def a_table_that_cannot_be_asked_leaves_mail_alone_and_doctor_says_which(host):
    opted_out(host, ALICE)
    host.must(f"rm {OPT_OUT}.db")
    assert is_kept(host.inbox(BOB, host.send(DAVE, [BOB], files=[pdf(700_000)])))
    said = host.run("depollueur doctor").stdout
    assert f"do: postmap hash:{OPT_OUT}" in said, said
    type_told(host, f"postmap hash:{OPT_OUT}")
    # A table that failed is not asked again for so long.
    host.must("sleep 5")
    assert not is_kept(host.inbox(BOB, host.send(DAVE, [BOB], files=[pdf(700_000)])))


def associations(host):
    """Two more domains on the host, each with a name for its links, behind the same proxy."""
    names = [link.split("/")[2] for link in LINKS.values()]
    domains = [address.partition("@")[2] for address in LINKS]
    host.must(f"""echo 192.0.2.10 {" ".join(names)} >>/etc/hosts
        postconf -e 'virtual_alias_domains = {" ".join(domains)}'
        printf '%s\\n' '{AMIS} {ALICE}' '{CHORALE} {BOB}' >>/etc/postfix/virtual && postmap /etc/postfix/virtual && postfix reload
        cd /etc/lab && openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out tls.crt -days 90 \
          -extfile <(echo subjectAltName=DNS:mail.asso.example,DNS:drop.asso.example,{",".join(f"DNS:{name}" for name in names)}
            echo authorityKeyIdentifier=keyid) 2>/dev/null
        sed -i 's/server_name .*;/server_name drop.asso.example {" ".join(names)};/' /etc/nginx/sites-available/drop
        nginx -t && systemctl reload nginx""")


@story(on="live")
def each_association_has_its_own_name_on_its_page_and_in_its_links(host):
    associations(host)
    example = host.read("/usr/share/doc/depollueur/examples/domains.d/association.example.toml")
    place = "/etc/depollueur/domains.d"
    for (address, link), operator in zip(LINKS.items(), ("Les Amis", "La Chorale")):
        domain = address.partition("@")[2]
        mine = example.replace("https://fichiers.association.example/", link).replace("Les Amis de l'exemple", operator)
        host.write(f"{place}/{domain}.toml", mine.replace("association.example", domain), mode=0o640)
        host.must(f"chgrp depollueur {place}/{domain}.toml")
        said = host.documented("depollueur check --domain association.example", **{"association.example": domain})
        assert operator in said and link in said, said
    host.documented("systemctl reload depollueur")
    host.until(READY)
    big, small = pdf(3_000_000), pdf(1_500_000)
    for (address, link), operator, inside in zip(LINKS.items(), ("Les Amis", "La Chorale"), (ALICE, BOB)):
        out = host.outside(host.send(address, [DAVE], login=ALICE, files=[big]))
        into = host.inbox(inside, host.send(DAVE, [address], files=[big]))
        for got in (out, into):
            assert len(got.links) == 1 and got.links[0].startswith(link), (address, got.text)
            assert operator in host.must(f"curl -fsS {got.links[0]}")
            assert host.download(got.links[0]) == {big.name: big.content}
        assert is_kept(host.outside(host.send(address, [DAVE], login=ALICE, files=[small])))
    ours = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[small]))
    assert ours.links[0].startswith("https://drop.asso.example/"), ours.links
    page = host.must(f"curl -fsS {ours.links[0]}")
    assert "Les Amis" not in page and "La Chorale" not in page
    both = host.inbox(ALICE, host.send(DAVE, [AMIS, CHORALE], files=[big]))
    assert both.links[0].startswith("https://drop.asso.example/"), both.links
