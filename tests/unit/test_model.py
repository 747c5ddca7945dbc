"""The nouns: digests that depend on what was written and on nothing else, and values that cannot be edited."""

from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.model import (
    Asset,
    AssetRole,
    BadInput,
    Edition,
    Key,
    Outlet,
    Problem,
    Rendition,
    Sighting,
    Token,
    canonical_bytes,
    sha256,
)

ROUTE = Asset("a" * 64, "image/png", 9, "route.png", AssetRole.IMAGE, "线路图")
TABLE = Asset("b" * 64, "application/pdf", 7, "table.pdf", AssetRole.ATTACHMENT)
EDITION = Edition(
    "item-1", 1, "开通公交环线", "<p>首班 06:30。</p>", {"column": "通知", "keywords": ("公交", "环线")}, (ROUTE, TABLE)
)
RENDITION = Rendition("开通公交环线", "<p>首班 06:30。</p>", {"author": "清溪镇"}, (ROUTE,), (Token("title", "开通"),))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_sha256_is_lower_case_hexadecimal() -> None:
    """Of the empty bytes, as everybody knows it."""
    assert "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" == sha256(b"")


def test_canonical_bytes_have_one_form() -> None:
    """Sorted keys, no blanks, UTF-8 as it is."""
    assert '{"a":[1,true,null],"公":"交"}'.encode() == canonical_bytes({"公": "交", "a": (1, True, None)})


@given(st.dictionaries(st.text(), JSON))
def test_the_order_of_keys_does_not_count(value: dict[str, object]) -> None:
    """The same content in another order gives the same bytes."""
    assert canonical_bytes(value) == canonical_bytes(dict(reversed(value.items())))


@given(JSON, JSON)
def test_different_values_have_different_bytes(one: object, other: object) -> None:
    """Except where JSON knows no difference: a tuple is a list, and 1 is not true."""
    if canonical_bytes(one) == canonical_bytes(other):
        assert repr(one) == repr(other) or one == other


@pytest.mark.parametrize("value", [0.5, [1.0], {"a": {"b": 0.1}}, (1, (2, 3.0))])
def test_a_float_is_refused(value: object) -> None:
    """However deep: two writers may print it differently."""
    with pytest.raises(TypeError, match="no float"):
        canonical_bytes(value)


@pytest.mark.parametrize(
    "changed",
    [
        replace(EDITION, title="开通公交环线 "),
        replace(EDITION, body="<p>首班 06:31。</p>"),
        replace(EDITION, metadata={**EDITION.metadata, "column": "公告"}),
        replace(EDITION, metadata={"keywords": ("公交", "环线")}),
        replace(EDITION, metadata={**EDITION.metadata, "keywords": ("环线", "公交")}),
        replace(EDITION, assets=(TABLE, ROUTE)),
        replace(EDITION, assets=(ROUTE,)),
        *(
            replace(EDITION, assets=(replace(ROUTE, **{part: value}), TABLE))  # type: ignore[arg-type]
            for part, value in (("digest", "c" * 64), ("name", "r.png"), ("alt", ""), ("role", AssetRole.COVER))
        ),
    ],
)
def test_whatever_was_written_counts_in_the_digest(changed: Edition) -> None:
    """A blank, a digit, a key, an order, a picture's alt text: each makes another edition."""
    assert EDITION.digest != changed.digest


def test_who_and_when_do_not_count_in_the_digest() -> None:
    """The same content as another item or a later revision is the same content."""
    assert EDITION.digest == replace(EDITION, item="item-2", revision=7).digest
    shuffled = dict(reversed(list(EDITION.metadata.items())))
    assert EDITION.digest == replace(EDITION, metadata=shuffled).digest


def test_what_json_stored_has_the_same_digest() -> None:
    """Lists come back for tuples; that makes no other edition."""
    stored = {key: list(value) if isinstance(value, tuple) else value for key, value in EDITION.metadata.items()}
    assert EDITION.digest == replace(EDITION, metadata=stored).digest  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed",
    [
        replace(RENDITION, title="另"),
        replace(RENDITION, content=""),
        replace(RENDITION, fields={}),
        replace(RENDITION, files=()),
        replace(RENDITION, shown=()),
        replace(RENDITION, shown=(Token("text", "开通"),)),
        replace(RENDITION, files=(replace(ROUTE, alt="另"),)),
    ],
)
def test_every_part_of_a_rendition_counts(changed: Rendition) -> None:
    """What is handed over and what must be seen: equal digests mean byte for byte alike."""
    assert RENDITION.digest != changed.digest


def test_metadata_as_text() -> None:
    """Lists are joined the Chinese way; what is missing is the default."""
    assert "公交、环线" == EDITION.text("keywords")
    assert "通知" == EDITION.text("column")
    assert ("", "无") == (EDITION.text("source"), EDITION.text("source", "无"))


def test_an_asset_is_found_by_its_digest() -> None:
    """One that the edition does not have is an error, not a guess."""
    assert TABLE == EDITION.asset("b" * 64)
    with pytest.raises(KeyError):
        EDITION.asset("c" * 64)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (EDITION, "title"), (ROUTE, "alt"), (RENDITION, "content"), (Token("title", "a"), "value"),
        (Key("i", "d"), "delivery"), (Problem("title", "a"), "fatal"), (Sighting(True, 1, 2), "visible"),
        (Outlet("a", "u", "memory", {}), "live"),
    ],
)  # fmt: skip
def test_values_cannot_be_edited(value: object, part: str) -> None:
    """What was approved and hashed stays what it was."""
    with pytest.raises(FrozenInstanceError):
        setattr(value, part, "another")


def test_a_key_names_one_delivery() -> None:
    """Thirty-two hexadecimal characters; another installation, delivery or split of the two is another key."""
    token = Key("installation", "delivery").token
    assert 32 == len(token)
    assert int(token, 16) >= 0
    others = (Key("installation", "delivery2"), Key("installation2", "delivery"), Key("installationd", "elivery"))
    assert 4 == len({token, *(other.token for other in others)})
    assert token == Key("installation", "delivery").token


def test_an_outlet_never_shows_its_secrets() -> None:
    """Neither in a message nor in a trace."""
    outlet = Outlet("a", "u", "memory", {"base_url": "https://a.example"}, {"password": "hunter2"})
    assert "hunter2" not in repr(outlet)
    assert "hunter2" not in f"{outlet}"


def test_bad_input_says_where_what_and_how_to_mend_it() -> None:
    """All three in its text, and each by itself."""
    error = BadInput("--at", "in the past", "use a later time")
    assert ("--at", "in the past", "use a later time") == (error.where, error.message, error.mend)
    assert "--at: in the past — use a later time" == str(error)
