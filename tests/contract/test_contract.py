"""The contract that every channel keeps, shown against its sandbox: nothing early, nothing twice, nothing lost."""

from __future__ import annotations

from contextlib import suppress

import pytest

from sync.contract import (
    Accepted,
    Ambiguous,
    Correct,
    OutletError,
    Prepared,
    Receipt,
    Shot,
    TryLater,
    Unauthorised,
    Unsupported,
    Window,
)
from sync.model import Key, Rendition
from tests.contract.bench import CLOCK, Bench, unseen, window


def armed(bench: Bench, rendition: Rendition, key: Key) -> tuple[Prepared, Shot]:
    """Prepared and armed, each by a channel built anew, as in another process."""
    prepared = bench.channel().prepare(rendition, key)
    shot = bench.channel().arm(prepared, rendition, key)
    shot.check()
    return prepared, shot


def released(bench: Bench, rendition: Rendition, key: Key) -> Receipt:
    """The whole normal path."""
    _, shot = armed(bench, rendition, key)
    shot.send(window(), CLOCK.boottime)
    return bench.public(rendition, key, shot.settle())


def aimed(bench: Bench, rendition: Rendition, key: Key, replaces: Receipt) -> tuple[Prepared, Shot]:
    """A correction in place, prepared and armed."""
    prepared = bench.channel().prepare(rendition, key, replaces)
    shot = bench.channel().arm(prepared, rendition, key)
    shot.check()
    return prepared, shot


def corrected(bench: Bench, first: Key, replaces: Receipt) -> tuple[Key, Rendition, Receipt]:
    """The second edition takes the place of the first, by the way of this kind."""
    key = bench.key()
    if bench.channel().can.correct is Correct.EDIT:
        rendition = bench.render_corrected(key, first, replaces)
        _, shot = aimed(bench, rendition, key, replaces)
        shot.send(window(), CLOCK.boottime)
        receipt = bench.public(rendition, key, shot.settle(), replaces)
    else:
        rendition = bench.render_corrected(key, first, None)
        receipt = released(bench, rendition, key)
        assert bench.channel().verify(receipt, rendition).visible
        bench.channel().withdraw(replaces, key)
    return key, rendition, receipt


def test_check_accepts_the_edition(bench: Bench) -> None:
    """A sound edition has no fatal problem."""
    assert [] == [problem for problem in bench.channel().check(bench.edition) if problem.fatal]


def test_render_is_deterministic(bench: Bench) -> None:
    """The same edition and place give the same digest, from a channel built anew."""
    key = bench.key()
    assert bench.render(key).digest == bench.render(key).digest


def test_render_names_what_must_be_seen(bench: Bench) -> None:
    """A rendition promises something to the reader, and carries only files that the edition has."""
    rendition = bench.render(bench.key())
    assert rendition.shown
    assert set(rendition.files) <= set(bench.edition.assets)


def test_login_proves_the_credentials(bench: Bench) -> None:
    """Right credentials pass, and nothing is left behind."""
    bench.channel().login()
    assert 0 == bench.public_copies()
    assert 0 == bench.hidden_things()


@pytest.mark.needs(login=True)
def test_wrong_credentials_are_told_at_login_and_prepare(bench: Bench) -> None:
    """The operator hears of it, and nothing is public."""
    key = bench.key()
    rendition, wrong = bench.render(key), bench.wrong()
    with pytest.raises(Unauthorised):
        bench.channel(**wrong).login()
    with pytest.raises(Unauthorised):
        bench.channel(**wrong).prepare(rendition, key)
    assert 0 == bench.public_copies()


def test_prepare_makes_nothing_public(bench: Bench) -> None:
    """Everything in place, invisible, and arming changes nothing."""
    key = bench.key()
    _, shot = armed(bench, bench.render(key), key)
    shot.close()
    assert 0 == bench.public_copies()


def test_preparing_twice_is_safe(bench: Bench) -> None:
    """What a dead process had prepared does no harm: still one copy at the end."""
    key = bench.key()
    rendition = bench.render(key)
    bench.channel().prepare(rendition, key)
    released(bench, rendition, key)
    assert 1 == bench.public_copies()


@pytest.mark.needs(finds=True)
def test_send_publishes_exactly_one(bench: Bench) -> None:
    """Armed, sent and settled: one copy, which a probe finds again."""
    key = bench.key()
    rendition = bench.render(key)
    prepared, shot = armed(bench, rendition, key)
    shot.send(window(), CLOCK.boottime)
    receipt = bench.public(rendition, key, shot.settle())
    assert receipt.ref and receipt.url
    assert 1 == bench.public_copies()
    found = bench.channel().probe(rendition, key, prepared)
    assert isinstance(found, Receipt)
    assert (receipt.ref, receipt.url) == (found.ref, found.url)


@pytest.mark.parametrize("opens_in", [0.5, -5.0], ids=["before", "after"])
def test_send_refuses_outside_its_window(bench: Bench, opens_in: float) -> None:
    """Too early and too late are both TryLater, and certainly nothing was sent."""
    key = bench.key()
    _, shot = armed(bench, bench.render(key), key)
    at = CLOCK.boottime() + opens_in
    with pytest.raises(TryLater):
        shot.send(Window(at, at + 2.0), CLOCK.boottime)
    with pytest.raises(TryLater):
        shot.settle()
    shot.close()
    assert 0 == bench.public_copies()


@pytest.mark.needs(finds=False)
def test_what_cannot_be_looked_up_is_sent_once_and_not_found(bench: Bench) -> None:
    """One copy; a probe knows of nothing before the shot, and never takes what was sent for an absence."""
    key = bench.key()
    rendition = bench.render(key)
    assert bench.channel().probe(rendition, key, None) is None
    prepared, shot = armed(bench, rendition, key)
    shot.send(window(), CLOCK.boottime)
    bench.public(rendition, key, shot.settle())
    assert 1 == bench.public_copies()
    with suppress(Unsupported):  # or it is still being worked on, as far as anybody knows
        assert isinstance(bench.channel().probe(rendition, key, prepared), Accepted)
    assert 1 == bench.public_copies()


@pytest.mark.needs(reads=False)
def test_what_nobody_can_read_says_so(bench: Bench) -> None:
    """There is no page of it: it is public by the outlet's word."""
    key = bench.key()
    rendition = bench.render(key)
    receipt = released(bench, rendition, key)
    with pytest.raises(Unsupported):
        bench.channel().verify(receipt, rendition)


@pytest.mark.needs(reads=True)
def test_verify_sees_an_exact_match(bench: Bench) -> None:
    """What an anonymous reader finds is what was approved."""
    key = bench.key()
    rendition = bench.render(key)
    sighting = bench.channel().verify(released(bench, rendition, key), rendition)
    assert sighting.visible
    assert () == sighting.problems
    assert sighting.began_at <= sighting.ended_at


@pytest.mark.needs(reads=True)
def test_verify_sees_an_absence(bench: Bench) -> None:
    """What was never public is not visible."""
    key = bench.key()
    rendition = bench.render(key)
    receipt = released(bench, rendition, key)
    nowhere = Receipt(receipt.ref + "9", receipt.url + "9", receipt.at, receipt.notes)
    assert not bench.channel().verify(nowhere, rendition).visible


@pytest.mark.needs(shown="kind")
@pytest.mark.parametrize("kind", ["digit", "cell", "picture"])
def test_a_planted_change_is_found(bench: Bench, kind: str) -> None:
    """One changed digit, one dropped cell, one swapped picture: each is a problem."""
    key = bench.key()
    rendition = bench.render(key)
    receipt = released(bench, rendition, key)
    bench.alter(kind)
    sighting = bench.channel().verify(receipt, rendition)
    assert sighting.visible
    assert sighting.problems


@pytest.mark.needs(phase="prepare")
@pytest.mark.parametrize("name", ["drop_answer", "drop_request", "answer_502"])
def test_doubt_while_preparing_makes_nothing_public(bench: Bench, name: str) -> None:
    """The attempt is unclear, a probe finds at most something hidden, and preparing again works."""
    bench.fault(name, "prepare")
    key = bench.key()
    rendition = bench.render(key)
    with pytest.raises(Ambiguous):
        bench.channel().prepare(rendition, key)
    assert 0 == bench.public_copies()
    assert isinstance(bench.channel().probe(rendition, key, None), Prepared | None)
    released(bench, rendition, key)
    assert 1 == bench.public_copies()


def _unanswered(bench: Bench, name: str) -> tuple[Key, Rendition, Prepared]:
    """A shot whose answer fails like that."""
    bench.fault(name, "release")
    key = bench.key()
    rendition = bench.render(key)
    prepared, shot = armed(bench, rendition, key)
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Ambiguous):
        shot.settle()
    return key, rendition, prepared


@pytest.mark.needs(phase="release", finds=False)
@pytest.mark.parametrize("name", ["drop_answer", "drop_request", "answer_502"])
def test_a_lost_answer_stays_in_doubt(bench: Bench, name: str) -> None:
    """Done or not: nobody can ask, and nothing says that it is absent."""
    key, rendition, prepared = _unanswered(bench, name)
    with pytest.raises(Unsupported):
        bench.channel().probe(rendition, key, prepared)


@pytest.mark.needs(phase="release", finds=True)
@pytest.mark.parametrize("name", ["drop_answer", "answer_502"])
def test_a_lost_answer_is_ambiguous_and_the_probe_finds_it(bench: Bench, name: str) -> None:
    """It was done, and we were not told: the probe brings the receipt, and verify agrees."""
    key, rendition, prepared = _unanswered(bench, name)
    found = bench.channel().probe(rendition, key, prepared)
    assert isinstance(found, Receipt | Accepted)
    receipt = bench.public(rendition, key, found)
    assert 1 == bench.public_copies()
    assert () == bench.channel().verify(receipt, rendition).problems


@pytest.mark.needs(phase="release", finds=True)
@pytest.mark.parametrize("name", ["drop_request"])
def test_a_lost_request_is_ambiguous_and_can_be_sent_again(bench: Bench, name: str) -> None:
    """It was not done, and we were not told: the probe finds nothing public, and one more shot makes one copy."""
    key, rendition, prepared = _unanswered(bench, name)
    found = bench.channel().probe(rendition, key, prepared)
    assert isinstance(found, Prepared | None)
    again = bench.channel().arm(found or prepared, rendition, key)
    again.send(window(), CLOCK.boottime)
    bench.public(rendition, key, again.settle())
    assert 1 == bench.public_copies()


@pytest.mark.needs(finds=True)
def test_probe_of_an_unknown_key_finds_nothing(bench: Bench) -> None:
    """Neither of a delivery that never began, nor because another one is public."""
    first, other = bench.key(), bench.key()
    assert bench.channel().probe(bench.render(first), first, None) is None
    released(bench, bench.render(first), first)
    assert bench.channel().probe(bench.render(other), other, None) is None
    prepared = bench.channel().prepare(bench.render(other), other)
    assert isinstance(bench.channel().probe(bench.render(other), other, prepared), Prepared | None)
    bench.channel().discard(prepared, other)


def test_discard_leaves_nothing(bench: Bench) -> None:
    """What was prepared is gone, and discarding what is gone is success."""
    key = bench.key()
    prepared = bench.channel().prepare(bench.render(key), key)
    bench.channel().discard(prepared, key)
    assert 0 == bench.hidden_things()
    bench.channel().discard(prepared, key)
    assert 0 == bench.public_copies()


EDIT = (Correct.EDIT,)


@pytest.mark.needs(correct=(Correct.EDIT, Correct.REPLACE), finds=True)
def test_a_correction_leaves_one_copy_that_shows_the_new_text(bench: Bench) -> None:
    """In place at the same address, or anew with the old copy withdrawn: readers find the new edition, and it alone."""
    key = bench.key()
    rendition = bench.render(key)
    receipt = released(bench, rendition, key)
    again, newer, changed = corrected(bench, key, receipt)
    assert 1 == bench.public_copies()
    replaces = receipt if bench.channel().can.correct is Correct.EDIT else None
    sighting = bench.channel().verify(changed, newer, rendition if replaces else None)
    assert (True, ()) == (sighting.visible, sighting.problems)
    if replaces:
        assert receipt.url == changed.url
    else:
        assert unseen(bench.channel(), receipt, rendition)
    found = bench.channel().probe(newer, again, None, replaces)
    assert isinstance(found, Receipt)
    assert changed.url == found.url


@pytest.mark.needs(correct=EDIT, finds=True)
def test_a_prepared_correction_shows_nothing_of_itself(bench: Bench) -> None:
    """Until its shot the old edition is whole, and a probe finds no more than what is hidden."""
    key, again = bench.key(), bench.key()
    rendition = bench.render(key)
    receipt = released(bench, rendition, key)
    newer = bench.render_corrected(again, key, receipt)
    assert bench.channel().probe(newer, again, None, receipt) is None
    prepared, shot = aimed(bench, newer, again, receipt)
    assert () == bench.channel().verify(receipt, rendition).problems
    assert not bench.channel().verify(receipt, newer, rendition).visible
    assert isinstance(bench.channel().probe(newer, again, prepared, receipt), Prepared | None)
    shot.close()
    bench.channel().discard(prepared, again)
    sighting = bench.channel().verify(receipt, rendition)
    assert (True, ()) == (sighting.visible, sighting.problems)
    assert 1 == bench.public_copies()


@pytest.mark.needs(correct=EDIT, phase="correct")
@pytest.mark.parametrize("name", ["drop_answer", "answer_502"])
def test_a_correction_whose_answer_is_lost_is_found_by_the_probe(bench: Bench, name: str) -> None:
    """It was done, and we were not told: still one copy, and it shows the new edition."""
    key, again = bench.key(), bench.key()
    rendition = bench.render(key)
    receipt = released(bench, rendition, key)
    newer = bench.render_corrected(again, key, receipt)
    bench.fault(name, "correct")
    prepared, shot = aimed(bench, newer, again, receipt)
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Ambiguous):
        shot.settle()
    found = bench.channel().probe(newer, again, prepared, receipt)
    assert isinstance(found, Receipt | Accepted)
    changed = bench.public(newer, again, found, receipt)
    sighting = bench.channel().verify(changed, newer, rendition)
    assert (True, ()) == (sighting.visible, sighting.problems)
    assert 1 == bench.public_copies()


@pytest.mark.needs(correct=EDIT, phase="correct")
@pytest.mark.parametrize("name", ["drop_request"])
def test_a_correction_that_was_lost_can_be_sent_again(bench: Bench, name: str) -> None:
    """It was not done: readers and the probe find the old edition; one more shot changes it."""
    key, again = bench.key(), bench.key()
    rendition = bench.render(key)
    receipt = released(bench, rendition, key)
    newer = bench.render_corrected(again, key, receipt)
    bench.fault(name, "correct")
    prepared, shot = aimed(bench, newer, again, receipt)
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Ambiguous):
        shot.settle()
    assert not bench.channel().verify(receipt, newer, rendition).visible
    found = bench.channel().probe(newer, again, prepared, receipt)
    assert isinstance(found, Prepared | None)
    once_more = bench.channel().arm(found or prepared, newer, again)
    once_more.send(window(), CLOCK.boottime)
    changed = bench.public(newer, again, once_more.settle(), receipt)
    assert () == bench.channel().verify(changed, newer, rendition).problems
    assert 1 == bench.public_copies()


@pytest.mark.needs(withdraw=True, finds=True)
def test_a_withdrawn_copy_is_gone(bench: Bench) -> None:
    """No copy, nothing for a reader; withdrawing again is success."""
    key = bench.key()
    rendition = bench.render(key)
    receipt = released(bench, rendition, key)
    bench.channel().withdraw(receipt, bench.key())
    assert unseen(bench.channel(), receipt, rendition)
    assert 0 == bench.public_copies()
    bench.channel().withdraw(receipt, bench.key())
    assert 0 == bench.public_copies()
    assert not isinstance(bench.channel().probe(rendition, key, None), Receipt)
    assert not bench.channel().verify(receipt, rendition).visible


@pytest.mark.needs(correct=EDIT, withdraw=True, finds=True)
def test_a_corrected_copy_is_withdrawn_by_its_own_receipt(bench: Bench) -> None:
    """What the correction's receipt names is the copy that is public."""
    key = bench.key()
    receipt = released(bench, bench.render(key), key)
    _, newer, changed = corrected(bench, key, receipt)
    bench.channel().withdraw(changed, bench.key())
    assert unseen(bench.channel(), changed, newer)
    assert 0 == bench.public_copies()


@pytest.mark.needs(withdraw=True, phase="withdraw")
@pytest.mark.parametrize("name", ["drop_answer", "drop_request", "answer_502"])
def test_a_withdrawal_in_doubt_is_repeated(bench: Bench, name: str) -> None:
    """Done or not, we were not told: asking again removes it, or finds it removed."""
    key = bench.key()
    rendition = bench.render(key)
    receipt = released(bench, rendition, key)
    bench.fault(name, "withdraw")
    withdrawing = bench.key()
    with pytest.raises(OutletError):
        bench.channel().withdraw(receipt, withdrawing)
    bench.channel().withdraw(receipt, withdrawing)
    assert unseen(bench.channel(), receipt, rendition)
    assert 0 == bench.public_copies()


@pytest.mark.needs(correct=EDIT, withdraw=True, finds=True)
@pytest.mark.parametrize("armed_before", [True, False], ids=["armed", "prepared"])
def test_a_withdrawn_copy_does_not_come_back_with_a_late_correction(bench: Bench, armed_before: bool) -> None:
    """A correction that waited while its copy was withdrawn makes nothing public, and says so."""
    key, again = bench.key(), bench.key()
    receipt = released(bench, bench.render(key), key)
    newer = bench.render_corrected(again, key, receipt)
    prepared = bench.channel().prepare(newer, again, receipt)
    shot = bench.channel().arm(prepared, newer, again) if armed_before else None
    bench.channel().withdraw(receipt, bench.key())
    with pytest.raises(OutletError):
        shot = shot or bench.channel().arm(prepared, newer, again)
        shot.send(window(), CLOCK.boottime)
        shot.settle()
    assert 0 == bench.public_copies()
    assert unseen(bench.channel(), receipt, newer)


@pytest.mark.needs(withdraw=False)
def test_what_cannot_be_withdrawn_is_said(bench: Bench) -> None:
    """An outlet without such an act says so, and the copy stays."""
    key = bench.key()
    receipt = released(bench, bench.render(key), key)
    with pytest.raises(Unsupported):
        bench.channel().withdraw(receipt, bench.key())
    assert 1 == bench.public_copies()
