"""The pure parts of the WeChat channel: what an errcode means, how an article is rewritten, which pictures pass."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest
from PIL import Image

from channels.picture import Unusable, moves
from channels.wechat_account import secure
from channels.wechat_api import CODES, DEAD_TOKEN, Step, encoded, failure, next_china_midnight
from channels.wechat_article import as_seen, pictures, read_page, with_addresses, written
from channels.wechat_picture import BODY_LIMIT, COVER_SIZE, for_body, for_cover, plain_cover
from channels.wechat_rules import CONTENT_LIMIT, DIGEST_LIMIT, cut_digest, problems
from sync.clock import SECOND
from sync.compare import recognise
from sync.contract import Ambiguous, Misbehaved, OutletError, Rejected, TryLater, Unauthorised
from sync.model import Asset, AssetRole, Edition, Token, sha256
from sync.render import Templates

NOW = 1_795_450_000 * SECOND  # 2026-11-23 16:06:40 UTC


def refused(code: int, step: Step, errmsg: str = "x rid: 1-2-3") -> OutletError:
    error = failure({"errcode": code, "errmsg": errmsg}, "freepublish/submit", step, NOW)
    assert error is not None
    return error


def not_before(error: OutletError) -> int | None:
    assert isinstance(error, TryLater)
    return error.not_before


def picture(form: str = "PNG", size: tuple[int, int] = (320, 200), **options: object) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(out, form, **options)
    return out.getvalue()


def noise(size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(out, "PNG")
    return out.getvalue()


def edition(body: str = "<p>正文</p>", title: str = "标题", *assets: Asset, **metadata: str) -> Edition:
    return Edition("item", 1, title, body, metadata, assets)


def rewritten(body: str, canonical: str | None = None, **metadata: str) -> str:
    return written(edition(body, "标题", **metadata), Templates(), canonical)


def test_success_without_errcode() -> None:
    """Many calls leave errcode out when they succeed."""
    assert failure({"media_id": "x"}, "draft/add", Step.WRITE, NOW) is None
    assert failure({"errcode": 0, "errmsg": "ok"}, "draft/add", Step.WRITE, NOW) is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (-1, Ambiguous),
        (40164, Unauthorised),
        (48001, Unauthorised),
        (45009, TryLater),
        (45011, TryLater),
        (53501, TryLater),
        (53503, Rejected),
        (53505, Rejected),
        (48021, Rejected),
        (45166, Rejected),
        (45028, Unauthorised),
        (45066, Ambiguous),
        (45067, Rejected),
        (99999, Ambiguous),
    ],
)
def test_errcode_of_a_submission(code: int, kind: type[OutletError]) -> None:
    """After the submission only what certainly means "not published" is anything but Ambiguous."""
    assert type(refused(code, Step.SUBMIT)) is kind


def test_busy_elsewhere_is_try_later() -> None:
    """System busy is unclear only where something could have become public."""
    assert type(refused(-1, Step.WRITE)) is TryLater
    assert type(refused(-1, Step.READ)) is TryLater


@pytest.mark.parametrize("code", sorted({*CODES, 99999}))
def test_a_question_is_never_rejected(code: int) -> None:
    """Whatever a look is answered with, it never says that our content was refused."""
    assert not isinstance(refused(code, Step.READ), Rejected)


def test_unknown_codes_are_never_guessed() -> None:
    """An unknown code stops a write, leaves a submission open, and teaches a look nothing."""
    assert type(refused(99999, Step.WRITE)) is Rejected
    assert type(refused(99999, Step.READ)) is Misbehaved


def test_quotas_name_when_they_begin_anew() -> None:
    """45009 waits for midnight in China, 45011 for the next minute, 53501 for some minutes."""
    assert not_before(refused(45009, Step.WRITE)) == 1_795_536_000 * SECOND == next_china_midnight(NOW)
    assert not_before(refused(45011, Step.READ)) == 1_795_450_020 * SECOND
    calm = not_before(refused(53501, Step.SUBMIT))
    assert calm is not None and 120 * SECOND <= calm - NOW <= 180 * SECOND


def test_china_midnight_is_sixteen_hours_utc() -> None:
    """One microsecond before midnight in China the next one is a microsecond away; at midnight a day."""
    midnight = next_china_midnight(NOW)
    assert midnight % (24 * 3600 * SECOND) == 16 * 3600 * SECOND
    assert next_china_midnight(midnight - 1) == midnight
    assert next_china_midnight(midnight) == midnight + 24 * 3600 * SECOND


def test_the_message_names_code_and_mend() -> None:
    """Who has to act reads the code, what to do, and WeChat's request id."""
    said = str(refused(40164, Step.READ, "invalid ip 1.2.3.4 rid: 61b0b623"))
    assert "40164" in said and "白名单" in said and "rid: 61b0b623" in said


def test_every_dead_token_code_is_known() -> None:
    """Codes that ask for a new token stand in the table as the operator's, for when that does not help."""
    assert all(type(refused(code, Step.WRITE)) is Unauthorised for code in DEAD_TOKEN)


def test_json_is_raw_utf8() -> None:
    """WeChat stores \\u escapes literally, so there are none."""
    assert encoded({"title": "标题"}) == '{"title":"标题"}'.encode()


def test_outside_links_become_text_with_their_address() -> None:
    """A link out of WeChat would be refused (45166); its address is not lost."""
    assert "官网（https://x.gov.cn/?a=1&amp;b=2）" in rewritten(
        '<p><a href="https://x.gov.cn/?a=1&amp;b=2">官网</a></p>'
    )
    assert "<a" not in rewritten('<p><a href="https://x.gov.cn/">https://x.gov.cn/</a></p>')
    assert "（" not in rewritten('<p><a href="https://x.gov.cn/">https://x.gov.cn/</a></p>')
    assert "<b>官网</b>（https://x.gov.cn/）" in rewritten('<p><a href="https://x.gov.cn/"><b>官网</b></a></p>')


def test_links_to_articles_inside_wechat_stay() -> None:
    """Links to mp.weixin.qq.com are allowed."""
    assert '<a href="https://mp.weixin.qq.com/s/x">旧文</a>' in rewritten(
        '<a href="https://mp.weixin.qq.com/s/x" class="c">旧文</a>'
    )


def test_wechats_own_addresses_are_read_over_https() -> None:
    """It hands out http:// for articles and pictures; any other host's address stays as it is."""
    assert secure("http://mp.weixin.qq.com/s?__biz=a&sn=1") == "https://mp.weixin.qq.com/s?__biz=a&sn=1"
    assert secure("http://mmbiz.qpic.cn/a/0?wx_fmt=png") == "https://mmbiz.qpic.cn/a/0?wx_fmt=png"
    assert secure("http://127.0.0.1:1/s/a") == "http://127.0.0.1:1/s/a"


def test_tables_stay_tables() -> None:
    """Cells, spans and order of a table survive."""
    body = '<table><tr><th colspan="2">项</th></tr><tr><td>甲</td><td>1</td></tr></table>'
    seen = [token for token in as_seen("", rewritten(body), str) if token.kind == "cell"]
    assert seen == [Token("cell", "项"), Token("cell", "甲"), Token("cell", "1")]
    assert 'colspan="2"' in rewritten(body)


def test_looks_are_inline_and_nothing_else_remains() -> None:
    """Classes, scripts and frames would be dropped by WeChat, so they do not leave the house."""
    content = rewritten(
        '<p class="a" onclick="x()">甲<script>x()</script>乙</p><iframe src="x"></iframe><style>p{}</style>'
    )
    assert 'style="margin' in content and "甲乙" in content
    assert not any(word in content for word in ("class", "onclick", "script", "iframe", "<style"))


def test_elements_that_the_editor_does_not_know_keep_their_text() -> None:
    """Code blocks, figures and definition lists are rewritten as blocks of their own."""
    content = rewritten("<pre>a\nb</pre><dl><dt>甲</dt><dd>乙</dd></dl><figure><figcaption>图</figcaption></figure>")
    assert [token.value for token in as_seen("", content, str)[1:]] == ["a b", "甲", "乙", "图"]


def test_text_is_escaped() -> None:
    """Angle brackets in the text or in the metadata never become markup."""
    content = rewritten("<p>1 &lt; 2 &amp; 3</p>", source="<b>某局</b>")
    assert "1 &lt; 2 &amp; 3" in content and "&lt;b&gt;某局&lt;/b&gt;" in content


def test_attachments_are_named_and_point_to_the_original() -> None:
    """WeChat carries no attachments; their names stay, and the way to them where there is one."""
    file = Asset("d", "application/pdf", 1, "附件一.pdf", AssetRole.ATTACHMENT)
    item = edition("<p>见附件</p>", "标题", file)
    with_original, without = (written(item, Templates(), place) for place in ("https://x.gov.cn/1", None))
    assert "1. 附件一.pdf" in with_original and "附件请点击“阅读原文”查看。" in with_original
    assert "1. 附件一.pdf" in without and "阅读原文" not in without


def test_pictures_get_their_uploaded_addresses() -> None:
    """Every occurrence of a picture is replaced; an unknown one is an error, not a hole."""
    content = rewritten('<img src="asset:aa"><p><img src="asset:bb"><img src="asset:aa"></p>')
    assert pictures(content) == ("asset:aa", "asset:bb")
    assert pictures(with_addresses(content, {"aa": "http://m/a/0", "bb": "http://m/b/0"})) == (
        "http://m/a/0",
        "http://m/b/0",
    )
    with pytest.raises(KeyError):
        with_addresses(content, {"aa": "http://m/a/0"})


def test_an_article_page_is_read_without_its_furniture() -> None:
    """Title and content count; banners, names and dialogues around them do not."""
    page = read_page(
        '<html><body><p>广告</p><h1 id="activity-name">\n 标题 &amp; </h1><div id="js_content"><section><p>正文</p>'
        '<img data-src="u"></section></div><p>微信扫一扫</p></body></html>'
    )
    assert page.title == "标题 &"
    assert as_seen(page.title, page.content or "", str) == (
        Token("title", "标题 &"),
        Token("text", "正文"),
        Token("image", "u"),
    )


@pytest.mark.parametrize("html", ["", "<html></html>", '<div class="weui-msg"><h2>该内容已被发布者删除</h2></div>'])
def test_a_notice_page_has_no_content(html: str) -> None:
    """Deleted and blocked articles answer 200; what tells them apart is that the content is not there."""
    page = read_page(html)
    assert page.content is None
    assert page.notice == ("该内容已被发布者删除" if "删除" in html else "")


def test_pictures_within_the_limits_are_left_alone() -> None:
    """A JPEG or PNG below 1 MB is handed over byte for byte."""
    assert for_body(picture(), "image/png").content == picture()
    assert for_cover(picture("GIF"), "image/gif").content == picture("GIF")


@pytest.mark.parametrize("form", ["GIF", "BMP", "WEBP"])
def test_other_types_are_converted_and_recognised(form: str) -> None:
    """What uploadimg does not take is re-encoded so that read-back still knows it."""
    original = picture(form)
    ready = for_body(original, f"image/{form.lower()}")
    assert ready.media_type == "image/png"
    assert recognise(ready.content, {"it": original}) == "it"


def test_large_pictures_are_reduced_and_recognised() -> None:
    """Above 1 MB a picture is made smaller; a reader sees the same."""
    original = noise((1400, 900))
    ready = for_body(original, "image/png")
    assert len(original) > BODY_LIMIT > len(ready.content)
    assert recognise(ready.content, {"it": original}) == "it"


def test_a_telephones_picture_is_no_animation() -> None:
    """A JPEG with a preview behind it is reduced to its first picture."""
    photo = Image.effect_noise((1400, 900), 90).convert("RGB")
    out = io.BytesIO()
    photo.save(out, "MPO", save_all=True, append_images=[photo.resize((140, 90))], quality=95)
    ready = for_body(out.getvalue(), "image/jpeg")
    assert len(out.getvalue()) > BODY_LIMIT > len(ready.content)
    assert ready.media_type == "image/jpeg"


def test_what_is_no_still_picture_is_unusable() -> None:
    """Animation and rubbish are refused instead of being published as something else."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    assert moves(out.getvalue()) and not moves(picture("GIF")) and not moves(b"rubbish")
    with pytest.raises(Unusable):
        for_body(out.getvalue(), "image/gif")
    with pytest.raises(Unusable):
        for_body(b"rubbish", "image/webp")


def test_a_cover_can_be_made_from_the_title() -> None:
    """An item without pictures gets a plain cover, the same for the same title."""
    cover = plain_cover("标题")
    assert cover == plain_cover("标题") != plain_cover("另一标题")
    assert Image.open(io.BytesIO(cover.content)).size == COVER_SIZE


def found(item: Edition, blobs: Mapping[str, bytes] | None = None) -> dict[str, bool]:
    return {problem.where: problem.fatal for problem in problems(item, Templates(), (blobs or {}).__getitem__)}


def test_title_limits() -> None:
    """Above the documented 32 a warning, above the 64 of older accounts fatal, none at all fatal."""
    assert found(edition(title="标" * 32)) == {}
    assert found(edition(title="标" * 33)) == {"title": False}
    assert found(edition(title="标" * 64)) == {"title": False}
    assert found(edition(title="标" * 65)) == {"title": True}
    assert found(edition(title=" ")) == {"title": True}


def test_other_text_limits() -> None:
    """A long author cannot be sent, a long summary is cut and said so."""
    assert found(edition(author="作" * 16, summary="摘" * 128)) == {}
    assert found(edition(author="作" * 17)) == {"author": True}
    assert found(edition(summary="摘" * 129)) == {"summary": False}
    assert len(cut_digest("摘" * 200)) == DIGEST_LIMIT and cut_digest("摘" * 200).endswith("…")


def test_content_limit() -> None:
    """20,000 characters with markup are too many."""
    assert found(edition(f"<p>{'字' * (CONTENT_LIMIT - 400)}</p>")) == {}
    assert found(edition(f"<p>{'字' * CONTENT_LIMIT}</p>")) == {"body": True}


def test_picture_problems() -> None:
    """Foreign pictures vanish silently at WeChat, so they are fatal here; large ones are reduced."""
    content = noise((1200, 900))
    large = Asset(sha256(content), "image/png", len(content), "大.png", AssetRole.IMAGE)
    assert found(edition('<img src="https://x.gov.cn/a.png">')) == {"body": True}
    assert found(edition(f'<img src="asset:{large.digest}">', "标题", large)) == {"images": False}
    drawing = Asset("d", "image/svg+xml", 1, "图.svg", AssetRole.IMAGE)
    assert found(edition("<p>字</p>", "标题", drawing)) == {"images": True}
