"""The host itself: what the stories stand on."""

from mail import ALICE, BOB, DAVE, pdf, virus
from story import story


@story(on="living", shared=True, short=True)
def mail_of_a_user_arrives_outside_with_a_valid_signature(host):
    file = pdf(200_000)
    got = host.outside(host.send(ALICE, [DAVE], login=ALICE, files=[file]))
    assert got.dkim_valid and got.dkim[0]["domain"] == "asso.example", got.dkim
    assert got.files == {file.name: file.content} and not got.links


@story(on="living", shared=True)
def mail_from_outside_is_verified_and_arrives(host):
    got = host.inbox(BOB, host.send(DAVE, [BOB], sign=True, files=[pdf(200_000)]))
    results = got.header("Authentication-Results")
    assert "dkim=pass" in results and "spf=pass" in results and "dmarc=pass" in results, results


@story(on="living", shared=True)
def an_infected_file_is_refused_in_both_directions(host):
    for sent in (host.send(ALICE, [DAVE], login=ALICE, files=[virus()]), host.send(DAVE, [BOB], files=[virus()])):
        assert sent.code == 554 and "virus" in sent.text, sent


@story(on="living", shared=True)
def mail_of_a_program_of_the_host_arrives_outside_signed(host):
    got = host.outside(host.send(ALICE, [DAVE], pickup=True))
    assert got.dkim_valid, got.dkim
