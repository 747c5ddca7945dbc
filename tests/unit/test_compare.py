"""What a reader sees, and that every difference counts."""

from __future__ import annotations

import io
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from sync.compare import differences, normal, plain, recognise, tokens
from sync.model import Token, sha256


def values(html: str) -> list[tuple[str, str]]:
    return [(token.kind, token.value) for token in tokens(html, image=lambda source: source)]


def test_blocks_cells_links_and_pictures_come_in_reading_order() -> None:
    """Headings, paragraphs, nested lists, cells, links and pictures are found in the order a reader meets them."""
    html = """<h2>一</h2><p>甲<a href="http://x/">乙</a>丙<br>丁</p>裸文<ul><li>子<ul><li>孙</li></ul>尾</li></ul>
    <table><caption>表</caption><tr><th>1</th><td><p>x</p><p>y <a href="q">z</a></p></td><td></td></tr></table>
    <figure><img src="a" data-src="b"><figcaption>图</figcaption></figure>"""
    assert values(html) == [
        ("text", "一"),
        ("text", "甲乙丙 丁"),
        ("link", "http://x/"),
        ("text", "裸文"),
        ("text", "子"),
        ("text", "孙"),
        ("text", "尾"),
        ("text", "表"),
        ("cell", "1"),
        ("cell", "x y z"),
        ("link", "q"),
        ("cell", ""),
        ("image", "b"),
        ("text", "图"),
    ]


@pytest.mark.parametrize(
    ("html", "seen"),
    [
        ("", []),
        ("a\0b", [("text", "a\ufffdb")]),
        ("x</div></body></html><p>late", [("text", "x"), ("text", "late")]),
        ("<?xml version='1.0' encoding='gbk'?><p>中文", [("text", "中文")]),
        ("<meta charset=gbk><p>中文", [("text", "中文")]),
        ("<script>1</script><style>2</style><!-- 3 --><p hidden>4</p><template>5</template>6", [("text", "6")]),
        ("<p>H<sub>2</sub>O &amp; 10<sup>3</sup>", [("text", "H2O & 103")]),
        ("<p>a&nbsp; &#x3000;b\n c</p>", [("text", "a b c")]),
        ("<pre>a\n  b</pre>", [("text", "a b")]),
        ("<p>一<p>二", [("text", "一"), ("text", "二")]),
        ("\ud800x", [("text", "?x")]),
        ("<table><tr><td><table><tr><td>in</td></tr></table>out</td></tr></table>", [("cell", "in"), ("cell", "out")]),
    ],
)
def test_odd_html_is_read_as_a_browser_shows_it(html: str, seen: list[tuple[str, str]]) -> None:
    """NUL, text after the end, foreign encodings, hidden elements and unclosed tags lose nothing that is shown."""
    assert values(html) == seen


def test_without_an_image_reader_pictures_are_left_out() -> None:
    """Channels that compare no pictures see only the text."""
    assert tokens('<p>甲<img src="x">乙</p>') == (Token("text", "甲乙"),)


def test_normal_levels_only_nfc_and_white_space() -> None:
    """Composed forms are equal; full-width digits, zero-width characters and punctuation stay what they are."""
    assert normal("  e\u0301 \n x ") == "é x"
    assert normal("１２") != normal("12")
    assert normal("a\u200bb") != normal("ab")
    assert normal("，") != normal(",")


def test_plain_text_is_one_token_per_line() -> None:
    """Empty lines are no tokens."""
    assert plain("甲\n\n 乙 \r\n") == (Token("text", "甲"), Token("text", "乙"))


TABLE = "<p>第 12 路</p><table><tr><td>06:30</td><td>08:50</td></tr></table><p><a href='u'>看</a><img src='p'></p>"


@pytest.mark.parametrize(
    ("before", "after", "where"),
    [
        ("12 路", "13 路", "text"),
        ("08:50", "08:51", "cell"),
        ("<td>08:50</td>", "", "cell"),
        ("'u'", "'v'", "link"),
        ("'p'", "'q'", "image"),
        ("第 12 路", "第 12 路。", "text"),
    ],
)
def test_every_planted_change_is_a_problem_of_its_kind(before: str, after: str, where: str) -> None:
    """One digit, one cell, one address, one picture, one full stop: each alone is reported, and nothing else."""
    expected = tokens(TABLE, image=str)
    seen = tokens(TABLE.replace(before, after), image=str)
    assert [problem.where for problem in differences(expected, seen)] == [where]


def test_what_is_equal_has_no_problem() -> None:
    """The same page twice."""
    assert differences(tokens(TABLE, image=str), tokens(TABLE, image=str)) == ()


def test_a_message_quotes_both_sides_around_the_change() -> None:
    """An editor finds the place in a long paragraph."""
    long = "甲" * 100 + "12" + "乙" * 100
    (problem,) = differences((Token("text", long),), (Token("text", long.replace("12", "13")),))
    assert "12乙" in problem.message
    assert "13乙" in problem.message
    assert len(problem.message) < 200
    assert not problem.fatal


def test_swapped_order_is_a_difference() -> None:
    """Two paragraphs that changed places are not the approved text."""
    assert differences(plain("甲\n乙"), plain("乙\n甲"))


def test_very_many_differences_are_counted_and_bounded() -> None:
    """A wholly different long page gives forty problems and the number of the rest, quickly."""
    found = differences(
        tuple(Token("text", f"a{n}") for n in range(5_000)), tuple(Token("text", f"b{n}") for n in range(5_000))
    )
    assert len(found) == 41
    assert "4960" in found[-1].message


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
@settings(max_examples=200, deadline=None)
def test_no_difference_means_equal(one: list[str], other: list[str]) -> None:
    """There are problems exactly when the lists differ."""
    expected, seen = (tuple(Token("text", value) for value in values) for values in (one, other))
    assert (differences(expected, seen) == ()) == (expected == seen)


@given(st.text(max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_text_can_be_read(text: str) -> None:
    """No input makes the reader raise."""
    tokens(text, image=str)


def drawn(text: str, size: tuple[int, int] = (600, 400)) -> Image.Image:
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    line = random.Random(1)
    for _ in range(40):
        ends = [line.randrange(600), line.randrange(400), line.randrange(600), line.randrange(400)]
        draw.line(ends, fill=(line.randrange(255), line.randrange(255), line.randrange(255)), width=3)
    draw.text((250, 180), text, fill="black", font_size=28)
    return picture


def encoded(picture: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


ORIGINAL = encoded(drawn("06:30"))
CANDIDATES = {sha256(ORIGINAL): ORIGINAL, sha256(b"other"): encoded(drawn("x").rotate(180))}


@pytest.mark.parametrize(
    "seen",
    [
        ORIGINAL,
        encoded(drawn("06:30"), "JPEG", quality=60),
        encoded(drawn("06:30"), "WEBP", quality=70),
        encoded(drawn("06:30").resize((450, 300), Image.Resampling.BICUBIC), "JPEG", quality=80),
        encoded(drawn("06:30").quantize(255), "PNG"),
        encoded(drawn("06:30").convert("RGBA"), "PNG"),
    ],
)
def test_a_picture_is_known_again_after_the_outlet_stored_it_anew(seen: bytes) -> None:
    """Re-encoding, rescaling and another colour mode do not make it another picture."""
    assert recognise(seen, CANDIDATES) == sha256(ORIGINAL)


@pytest.mark.parametrize(
    "seen",
    [
        encoded(drawn("06:31")),
        encoded(drawn("06:31"), "JPEG", quality=80),
        encoded(drawn("06:30").crop((0, 0, 600, 380))),
        encoded(drawn("06:30").filter(ImageFilter.GaussianBlur(6))),
        encoded(drawn("06:30").convert("L")),
        b"",
        b"not a picture",
        ORIGINAL[:200],
    ],
)
def test_another_picture_is_not_taken_for_it(seen: bytes) -> None:
    """One other digit, a cut edge, a lost colour or broken bytes keep their own digest."""
    assert recognise(seen, CANDIDATES) == sha256(seen)


def test_a_decompression_bomb_is_not_decoded() -> None:
    """A small file that unpacks to a huge picture is answered by its digest at once."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    for side in (10_000, 60_000):
        head = side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
        bomb = (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", head)
            + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
            + chunk(b"IEND", b"")
        )
        assert recognise(bomb, CANDIDATES) == sha256(bomb)


def test_a_telephone_photo_is_recognised_after_re_encoding() -> None:
    """A JPEG with a preview behind it (MPO) is one picture, not an animation."""
    photo = Image.effect_noise((320, 240), 60).convert("RGB").resize((640, 480), Image.Resampling.BICUBIC)
    taken = io.BytesIO()
    photo.save(taken, "MPO", save_all=True, append_images=[photo.resize((160, 120))], quality=95)
    again = io.BytesIO()
    photo.save(again, "JPEG", quality=85)
    assert "photo" == recognise(again.getvalue(), {"photo": taken.getvalue()})
