"""The ledger of a mailing, and a round by it: each recipient once, whatever fails, and nobody forgotten."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as some

from channels import mailing
from channels.mailing import AGAIN, GIVEN_UP, Round, go_on, outcome
from sync.clock import SECOND
from sync.contract import Ambiguous, OutletError, Rejected, TryLater, Unauthorised
from sync.ledger import Ledger, Line, Reached

LIST = ("a", "b", "c", "d")


class Post:
    """A mail server by script, the clock, and what was kept."""

    def __init__(self, **scripts: list[OutletError | None]) -> None:
        self.time = 1_000 * SECOND
        self.scripts = scripts
        self.sent: list[str] = []
        self.kept: dict[str, str] = {}
        self.writes = 0
        self.open_after = 10**9  # writes after which nothing more may be begun

    def now(self) -> int:
        return self.time

    def send(self, part: str) -> None:
        self.time += SECOND
        script = self.scripts.get(part, [])
        fault = script.pop(0) if script else None
        if isinstance(fault, Ambiguous) or fault is None:
            self.sent.append(part)
        if fault is not None:
            raise fault

    def keep(self, notes: Mapping[str, str]) -> bool:
        self.kept, self.writes = dict(notes), self.writes + 1
        return self.writes <= self.open_after

    def round(self, *, stop: bool = False, lasts: int = 3_600) -> Round:
        until = self.time + lasts * SECOND
        found = go_on(Ledger.read(self.kept), LIST, self.send, self.keep, self.now, stop=stop, until=until)
        self.kept = found.ledger.notes()
        return found


def told(found: Round | Ledger) -> dict[str, str]:
    ledger = found.ledger if isinstance(found, Round) else found
    return {part: line.reached.name for part, line in ledger.lines.items()}


def test_each_recipient_once_in_order() -> None:
    post = Post()
    found = post.round()
    assert (list(LIST), None) == (post.sent, found.again_at)
    assert dict.fromkeys(LIST, "TAKEN") == told(found)
    assert len(LIST) == post.writes, "one write each"
    post.round()
    assert list(LIST) == post.sent


def test_it_ends_in_time_and_goes_on_where_it_was() -> None:
    """Rounds are short; between them the ledger is all that is known."""
    post = Post()
    first = post.round(lasts=2)
    assert (["a", "b"], post.time) == (post.sent, first.again_at)
    assert None is post.round().again_at
    assert list(LIST) == post.sent


def test_refused_for_now_is_tried_later_and_others_are_not_kept_waiting() -> None:
    """Greylisted twice: tried again by the schedule, not before; the rest goes on."""
    post = Post(b=[TryLater("451 4.7.1 later"), TryLater("450 later")])
    found = post.round()
    assert ({"a", "c", "d"}, "LATER") == (set(post.sent), told(found)["b"])
    assert found.again_at is not None
    assert AGAIN[0] * SECOND - 3 * SECOND <= found.again_at - post.time <= AGAIN[0] * SECOND
    assert found.again_at == post.round().again_at, "nothing is due"
    post.time = found.again_at
    second = post.round()
    assert "LATER" == told(second)["b"]
    post.time = second.again_at or 0
    assert (None, "TAKEN") == (post.round().again_at, told(Ledger.read(post.kept))["b"])
    assert 1 == post.sent.count("b")


def test_a_time_that_the_server_names_is_kept() -> None:
    post = Post(b=[TryLater("421 busy", 9_000 * SECOND)])
    assert 9_000 * SECOND == post.round().again_at


def test_after_five_days_it_is_given_up() -> None:
    post = Post(b=[TryLater("450 later")] * 99)
    found = post.round()
    while found.again_at is not None:
        post.time = found.again_at
        found = post.round()
    line = found.ledger.lines["b"]
    assert ("REFUSED", True) == (line.reached.name, line.why.startswith(mailing.NOT_TAKEN))
    assert GIVEN_UP <= post.time - 1_000 * SECOND <= GIVEN_UP + 5 * AGAIN[-1] * SECOND


def test_refused_for_good_is_never_tried_again_and_told_by_its_line() -> None:
    post = Post(b=[Rejected("550 5.1.1 <b@town.example> no such user")])
    found = post.round()
    said = outcome(found.ledger, "letters", lambda part: LIST.index(part) + 1)
    assert (None, True, True) == (found.again_at, "3 of 4" in said, "2 (550)" in said)
    assert "b@town.example" not in said + str(post.kept)
    post.round()
    assert 3 == len(post.sent)


def test_what_may_have_arrived_is_never_begun_again() -> None:
    """The others are; at the end a person is asked about that one."""
    post = Post(b=[Ambiguous("no answer")])
    found = post.round()
    assert ("DOUBTFUL", None) == (told(found)["b"], found.again_at)
    with pytest.raises(Ambiguous, match=r"3 of 4.*: 2"):
        outcome(found.ledger, "letters", lambda part: LIST.index(part) + 1)
    post.round()
    assert 1 == post.sent.count("b")


@pytest.mark.parametrize("sent", [False, True], ids=["before the first byte", "after the last"])
def test_who_was_begun_when_the_process_died_is_in_doubt(sent: bool) -> None:
    """And nobody else: the next process goes on with the others."""

    class Killed(BaseException):
        pass

    post = Post()

    def dying(part: str) -> None:
        if part == "b":
            if sent:
                post.send(part)
            raise Killed
        post.send(part)

    with pytest.raises(Killed):
        go_on(Ledger(), LIST, dying, post.keep, post.now, stop=False, until=post.time + 3_600 * SECOND)
    found = post.round()
    assert {"a": "TAKEN", "b": "DOUBTFUL", "c": "TAKEN", "d": "TAKEN"} == told(found)
    assert (1 if sent else 0) == post.sent.count("b")


def test_a_server_that_does_not_let_us_in_begins_nothing() -> None:
    """Wrong password in the midst: the recipient is as before, and no doubt is left."""
    post = Post(b=[Unauthorised("535 no")])
    with pytest.raises(Unauthorised):
        post.round()
    assert {"a": "TAKEN", "b": "NOT_YET", "c": "NOT_YET", "d": "NOT_YET"} == told(Ledger.read(post.kept))
    post.round()
    assert list(LIST) == post.sent


@pytest.mark.parametrize("how", ["told before", "told in the midst"])
def test_stopped_nothing_more_is_begun(how: str) -> None:
    post = Post()
    if how == "told before":
        post.round(lasts=2)
        found = post.round(stop=True)
    else:
        post.open_after = 2
        found = post.round()
    assert (["a", "b"], None) == (post.sent, found.again_at)
    assert {"a": "TAKEN", "b": "TAKEN", "c": "NOT_YET", "d": "NOT_YET"} == told(found)
    assert "2 of 4" in outcome(found.ledger, "letters", lambda part: 1)


def test_stopped_before_anybody_had_it_nobody_has_it() -> None:
    with pytest.raises(Rejected, match="nobody has it"):
        outcome(Post().round(stop=True).ledger, "letters", lambda part: 1)


def test_who_joins_the_list_meanwhile_is_not_of_this_mailing() -> None:
    """Nor is somebody who left it still written to."""
    post = Post()
    post.round(lasts=1)
    found = go_on(
        Ledger.read(post.kept), ("new", "c"), post.send, post.keep, post.now, stop=False, until=post.time + SECOND * 99
    )
    assert (["a", "c"], None) == (post.sent, found.again_at)


def test_a_persons_word_opens_what_was_in_doubt() -> None:
    """They found that nothing arrived: those are written to once more, and nobody else."""
    post = Post(b=[Ambiguous("no answer")], c=[Rejected("550 no")])
    found = post.round()
    post.kept = found.ledger.decided().notes()
    assert dict.fromkeys(LIST, "TAKEN") == told(post.round())
    assert [1, 2, 1, 1] == [post.sent.count(part) for part in LIST]


LINES = some.builds(
    Line, some.sampled_from(Reached), some.integers(0, 99), some.integers(0), some.integers(0), some.text(max_size=9)
)


@given(some.dictionaries(some.text("0123456789abcdef", min_size=1), LINES, max_size=5))
def test_what_is_kept_is_what_is_read(lines: Mapping[str, Line]) -> None:
    assert lines == Ledger.read(Ledger(lines).notes()).lines


@given(some.data())
def test_no_history_writes_to_anybody_twice(data: some.DataObject) -> None:
    """Whatever the server says and wherever processes die: at most one letter each, and an end for everybody."""
    faults: list[Callable[[], OutletError | None]] = [
        lambda: None,
        lambda: TryLater("450 later"),
        lambda: Rejected("550 no"),
        lambda: Ambiguous("no answer"),
        lambda: Unauthorised("535 no"),
    ]
    drawn = {part: [make() for make in data.draw(some.lists(some.sampled_from(faults), max_size=3))] for part in LIST}
    post = Post(**drawn)
    dies_at = data.draw(some.sets(some.integers(1, 12)))

    class Killed(BaseException):
        pass

    def keep(notes: Mapping[str, str]) -> bool:
        post.keep(notes)
        if post.writes in dies_at:
            raise Killed
        return True

    for _ in range(60):
        try:
            found = go_on(Ledger.read(post.kept), LIST, post.send, keep, post.now, stop=False, until=post.time + 10**9)
        except (Killed, Unauthorised):
            continue
        post.kept = found.ledger.notes()
        if found.again_at is None:
            break
        post.time = max(post.time, found.again_at)
    else:
        raise AssertionError("it never ends")
    assert all(post.sent.count(part) <= 1 for part in LIST)
    ends = {"TAKEN", "REFUSED", "DOUBTFUL"}
    assert ends >= set(told(found).values())
    assert {part for part, state in told(found).items() if state == "TAKEN"} <= set(post.sent)
