"""The table of states: legal moves, illegal moves, joint rules."""

import itertools

import pytest

from sync.flow import ALLOWED, ENDED, IN_FLIGHT, RE, RELEASE_TABLE, TABLE, D, E, IllegalMove, R, Standing, joint, step
from sync.flow import step_release as step_r


@pytest.mark.parametrize(("state", "event"), list(itertools.product(D, E)))
def test_every_move_is_in_the_table_or_refused(state: D, event: E) -> None:
    """A move the table does not have raises IllegalMove, whatever the release's state."""
    for release in R:
        if event in TABLE[state] and release in ALLOWED.get(event, frozenset(R)):
            assert TABLE[state][event] == step(state, event, release)
        else:
            with pytest.raises(IllegalMove):
                step(state, event, release)


@pytest.mark.parametrize("release", [state for state in R if state is not R.COMMITTED])
def test_nothing_is_sent_before_the_release_is_committed(release: R) -> None:
    """No other state of the release lets a delivery begin its release."""
    with pytest.raises(IllegalMove):
        step(D.PREPARED, E.RELEASE_BEGUN, release)


def test_every_state_can_reach_an_end() -> None:
    """No state is a trap: from each one some end can be reached."""
    reaching = set(ENDED)
    while True:
        more = {state for state, moves in TABLE.items() if set(moves.values()) & reaching} - reaching
        if not more:
            break
        reaching |= more
    assert set(D) == reaching


def test_a_persons_task_ends_by_their_word_or_by_what_readers_find() -> None:
    """Published, or not; of a removal, gone: by their word, or because nobody finds it any more."""
    assert D.RELEASED is step(D.ACCEPTED, E.SETTLED_PUBLIC, R.COMMITTED)
    assert D.FAILED is step(D.ACCEPTED, E.REFUSED, R.COMMITTED)
    assert D.ACCEPTED is step(D.WITHDRAWING, E.ACCEPTED, R.COMMITTED)
    assert {D.WITHDRAWN} == {step(D.ACCEPTED, event, R.COMMITTED) for event in (E.WITHDRAWN, E.SETTLED_GONE)}


def test_in_flight_states_are_left_only_with_evidence() -> None:
    """Cancelling, retrying or beginning anew is impossible while something may have happened."""
    without_evidence = {E.CANCELLED, E.RETRIED, E.PREPARE_BEGUN, E.RELEASE_BEGUN, E.DISCARD_BEGUN, E.STALE}
    for state in IN_FLIGHT:
        assert not without_evidence & set(TABLE[state])


def test_commit_needs_every_required_delivery_prepared() -> None:
    """One required delivery that is not prepared refuses the commit; an optional one does not."""
    ready = [Standing(D.PREPARED, True), Standing(D.PLANNED, False)]
    assert step_r(R.READY, RE.COMMITTED, ready) is R.COMMITTED
    with pytest.raises(IllegalMove):
        step_r(R.READY, RE.COMMITTED, [*ready, Standing(D.PREPARING, True)])


@pytest.mark.parametrize("state", [R.COMMITTED, R.RELEASED])
def test_a_committed_release_cannot_be_held_or_cancelled(state: R) -> None:
    """After the point of no return there is only forward."""
    for event in (RE.HELD, RE.CANCELLED, RE.RESUMED, RE.UNREADIED):
        assert event not in RELEASE_TABLE[state]


def test_joint_rule_follows_the_deliveries() -> None:
    """What the deliveries' states ask of the release, case by case."""
    prepared, failed = Standing(D.PREPARED, True), Standing(D.FAILED, True)
    optional_failed = Standing(D.FAILED, False)
    assert joint(R.OPEN, [prepared, prepared]) is RE.READIED
    assert joint(R.OPEN, [prepared, Standing(D.PREPARING, True)]) is None
    assert joint(R.OPEN, [prepared, failed]) is RE.HELD
    assert joint(R.READY, [prepared, optional_failed]) is None
    assert joint(R.READY, [Standing(D.RENDERED, True)]) is RE.UNREADIED
    assert joint(R.COMMITTED, [Standing(D.VERIFIED, True), Standing(D.RELEASED, True)]) is RE.COMPLETED
    assert joint(R.COMMITTED, [Standing(D.VERIFIED, True), Standing(D.UNRESOLVED, True)]) is None
    assert joint(R.HELD, [prepared]) is None
