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
