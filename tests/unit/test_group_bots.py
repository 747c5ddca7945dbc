"""Robots of chat groups: what a message says, how it is signed, what their codes mean; no network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from markdown_it import MarkdownIt

from channels import dingtalk, feishu
from channels.dingtalk import DingtalkChannel
from channels.feishu import FeishuChannel
from channels.group_bot import GroupBot
from channels.names import marker_of
from channels.wecom import WecomChannel
from sync.answer import Answer
from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Ambiguous,
    Egress,
    Misbehaved,
    OutletError,
    Place,
    Prepared,
    Receipt,
    Rejected,
    Response,
    Shot,
    Tools,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.model import BadInput, Edition, Key, Outlet, Rendition
from sync.render import Templates

NOW = 1_793_491_200_123_456  # µs
KEY = Key("unit", "delivery-1")
PAGE = "https://county.example/2026/11/12.html"
KINDS: tuple[Any, ...] = (DingtalkChannel, FeishuChannel, WecomChannel)
EDITION = Edition(
    item="item-1",
    revision=1,
    title="关于开通12路乡村公交环线的通告",
    body="<p>自12月1日起，12路试运行。</p>",
    metadata={"summary": "自12月1日起试运行。首班06:30。"},
)


class Answered(Shot):
    def __init__(self, answer: Response, settle: Callable[[Response], Receipt | Accepted]) -> None:
        self._answer, self._settle = answer, settle

    def _fire(self) -> None: ...

    def settle(self) -> Receipt | Accepted:
        return self._settle(self._answer)


@dataclass
class Platform:
    """An egress that answers always the same and keeps what it was asked."""

    told: object = field(default_factory=dict)
    status: int = 200
    asked: list[tuple[str, bytes]] = field(default_factory=list)

    def _answer(self, url: str, body: bytes) -> Answer:
        self.asked.append((url, body))
        return Answer(self.status, {}, json.dumps(self.told).encode())

    def call(self, method: str, url: str, *, body: bytes, **_: object) -> Response:
        return self._answer(url, body)

    def shot(
        self, method: str, url: str, *, body: bytes, settle: Callable[[Response], Receipt | Accepted], **_: object
    ) -> Shot:
        return Answered(self._answer(url, body), settle)


def channel(made: Any, http: Any = None, own: Path | None = None, **settings: str) -> Any:
    """On its sandbox twin's settings and secrets."""
    outlet = made.twin(Outlet("town", "unit", made.kind, settings), "http://127.0.0.1:1", "")
    return made(
        outlet,
        Tools(
            http if http is not None else cast(Egress, Platform()), lambda digest: b"", Templates(own=own), lambda: NOW
        ),
    )


def rendered(bot: GroupBot, edition: Edition = EDITION, replaces: Receipt | None = None) -> Rendition:
    return bot.render(edition, Place(KEY, PAGE, replaces))


def settled(made: Any, told: object, status: int = 200) -> Receipt | Accepted:
    bot = channel(made, Platform(told, status))
    shot: Shot = bot.arm(Prepared(""), rendered(bot), KEY)
    return shot.settle()


# What it says


@pytest.mark.parametrize("made", KINDS)
def test_a_message_is_title_sentences_address_and_mark(made: Any) -> None:
    """And nothing is promised to be found by anybody else."""
    found = rendered(channel(made))
    mark = marker_of(KEY)[:8]
    assert EDITION.title in found.content
    assert "自12月1日起试运行。首班06:30。" in found.content
    assert PAGE in found.content
    assert found.content.endswith(f"编号 {mark}")
    assert {"canonical": PAGE, "mark": mark} == found.fields


@pytest.mark.parametrize("made", KINDS)
def test_another_delivery_has_another_mark(made: Any) -> None:
    bot = channel(made)
    other = bot.render(EDITION, Place(Key("unit", "delivery-2"), PAGE))
    assert rendered(bot).fields["mark"] != other.fields["mark"]


@pytest.mark.parametrize("made", KINDS)
def test_a_correction_says_so(made: Any) -> None:
    """Whatever notification was there before."""
    bot = channel(made)
    assert rendered(bot, replaces=Receipt("", "", NOW)).content.lstrip("# ").startswith("【更正】关于开通")
    assert "更正" not in rendered(bot).content


@pytest.mark.parametrize("made", KINDS)
def test_without_a_page_to_lead_to_there_is_no_message(made: Any) -> None:
    with pytest.raises(Unsupported):
        channel(made).render(EDITION, Place(KEY, None))


@pytest.mark.parametrize("made", KINDS)
def test_as_many_whole_sentences_as_fit(made: Any) -> None:
    """Within 2,048 bytes, and the address stays."""
    sentences = [f"第{number}条：本条说明试运行期间的安排。" for number in range(100)]
    edition = replace(EDITION, metadata={"summary": "".join(sentences)})
    text = rendered(channel(made), edition).content
    assert PAGE in text
    assert 1_950 < len(text.encode()) <= 2_048
    said = [one for one in sentences if one in text]
    assert sentences[: len(said)] == said
    assert f"第{len(said)}条" not in text


@pytest.mark.parametrize("made", KINDS)
def test_a_body_stays_below_what_platforms_take(made: Any) -> None:
    """However many paragraphs of one letter there are: each costs Feishu another 35 bytes."""
    edition = replace(EDITION, body="<p>a.</p>" * 1_000, metadata={})
    bot = channel(made)
    found = rendered(bot, edition)
    assert "a." in found.content
    assert len(json.dumps(bot._message(found.title, found.content), ensure_ascii=False).encode()) <= 19_500


@pytest.mark.parametrize("made", KINDS)
def test_a_title_that_is_too_long_or_missing_is_told_to_the_editor(made: Any) -> None:
    bot = channel(made)
    assert [] == bot.check(EDITION)
    assert ["title"] == [one.where for one in bot.check(replace(EDITION, title="长" * 700)) if one.fatal]
    assert ["title"] == [one.where for one in bot.check(replace(EDITION, title=" ")) if one.fatal]


@pytest.mark.parametrize("made", [DingtalkChannel, FeishuChannel])
def test_the_keyword_is_added_only_where_the_words_lack_it(made: Any) -> None:
    assert "公交" in rendered(channel(made, keyword="公交")).content
    assert rendered(channel(made)).content == rendered(channel(made, keyword="公交")).content
    assert rendered(channel(made, keyword="县政府")).content.splitlines()[-1].startswith("县政府 · 编号 ")


@pytest.mark.parametrize(
    ("made", "template"), [(DingtalkChannel, "{{ title }} {{ link }}"), (FeishuChannel, "{{ title }} {{ keyword }}")]
)
def test_a_template_that_leaves_out_address_or_keyword_is_refused(made: Any, template: str, tmp_path: Path) -> None:
    own = tmp_path / made.template
    own.parent.mkdir()
    own.write_text(template)
    with pytest.raises(Unsupported):
        rendered(channel(made, own=tmp_path, keyword="县政府"))


@pytest.mark.parametrize("made", KINDS)
def test_an_installation_has_its_own_template(made: Any, tmp_path: Path) -> None:
    own = tmp_path / made.template
    own.parent.mkdir()
    own.write_text("县里通知：{{ title }} {{ link }}")
    assert f"县里通知：{EDITION.title} {PAGE}" == rendered(channel(made, own=tmp_path)).content


@pytest.mark.parametrize(
    "title",
    [
        "a*b*c",
        "_a_ __b__",
        "[a](https://else.example)",
        "<b>a</b> <https://a.example>",
        "`a` ~~b~~",
        r"\*a",
        "&lt; &amp; a&b",
        "# a #",
        "a ##",
        "1. a",
        "- a",
        "![a](b)",
        "a|b",
    ],
)
def test_dingtalk_shows_marks_as_text(title: str) -> None:
    """In the title and at the beginning of each line of the sentences, as a Markdown reader of another make has it."""
    edition = replace(EDITION, title=title, metadata={"summary": ""}, body=f"<p>x</p><p>{_html(title)}</p>")
    text = rendered(channel(DingtalkChannel), edition).content
    blocks = MarkdownIt("commonmark", {"html": True}).parse(text)
    lines = [_shown(one.children or []) for one in blocks if one.type == "inline"]
    assert [title, "x", title, "查看原文"] == lines[:4]
    assert {"heading_open", "paragraph_open"} == {one.type for one in blocks if one.type.endswith("_open")}


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _shown(parts: list[Any]) -> str:
    assert {one.type for one in parts} <= {"text", "link_open", "link_close", "text_special", "softbreak"}
    return "".join(one.content for one in parts)


def test_dingtalk_links_to_an_address_with_parentheses() -> None:
    bot = channel(DingtalkChannel)
    text = bot.render(EDITION, Place(KEY, "https://county.example/a(1).html")).content
    links = [part for one in MarkdownIt().parse(text) for part in one.children or [] if part.type == "link_open"]
    assert ["https://county.example/a%281%29.html"] == [one.attrs["href"] for one in links]


def test_feishu_is_told_plain_texts_and_one_link() -> None:
    """So no mark in them can be taken for one."""
    bot = channel(FeishuChannel)
    found = rendered(bot, replace(EDITION, title="a*b [c](d)"))
    post = bot._message(found.title, found.content)["content"]["post"]["zh_cn"]
    assert "a*b [c](d)" == post["title"]
    assert all(post["content"]), "no paragraph is empty"
    parts = [part for line in post["content"] for part in line]
    assert [{"tag": "a", "text": PAGE, "href": PAGE}] == [one for one in parts if one["tag"] != "text"]


@pytest.mark.parametrize("page", ["https://county.example/公告/一.html", "https://county.example/it's"])
def test_feishu_links_to_an_address_of_any_letters(page: str) -> None:
    bot = channel(FeishuChannel)
    edition = replace(EDITION, metadata={"summary": "详见https://else.example/a。"})
    found = bot.render(edition, Place(KEY, page))
    lines = bot._message(found.title, found.content)["content"]["post"]["zh_cn"]["content"]
    assert ["https://else.example/a", page] == [one["href"] for line in lines for one in line if one["tag"] == "a"]
    assert ["详见https://else.example/a。", page] == ["".join(one["text"] for one in line) for line in lines[:2]]


# How it is signed and addressed


def test_dingtalk_signs_milliseconds_and_secret_with_the_secret() -> None:
    """The expected value was made with openssl."""
    told = dingtalk.signature("SECabc123", NOW)
    assert {"timestamp": "1793491200123", "sign": "7FYza5hQe9K4ga79jlbPUhflfNA+Z/3OGB755SbkAcs="} == told


def test_feishu_signs_nothing_with_seconds_and_secret() -> None:
    """The expected value was made with openssl."""
    told = feishu.signature("fsKey1", NOW)
    assert {"timestamp": "1793491200", "sign": "PBPZv6I1i9pi+KwdnOoLRfHJyfjm2QshetTlisVrytg="} == told


def test_dingtalk_signs_in_the_query_and_escapes_it() -> None:
    http = Platform({"errcode": 0})
    bot = channel(DingtalkChannel, http)
    bot.arm(Prepared(""), rendered(bot), KEY)
    query = parse_qs(urlsplit(http.asked[-1][0]).query, strict_parsing=True)
    wanted = dingtalk.signature("SEC-sandbox-town", NOW)
    assert {"access_token": ["sandbox-town"], **{name: [value] for name, value in wanted.items()}} == query
    assert "+" not in urlsplit(http.asked[-1][0]).query


def test_feishu_signs_in_the_body() -> None:
    http = Platform({"code": 0})
    bot = channel(FeishuChannel, http)
    bot.arm(Prepared(""), rendered(bot), KEY)
    body = json.loads(http.asked[-1][1])
    assert feishu.signature("sandbox-town", NOW) == {name: body[name] for name in ("timestamp", "sign")}


@pytest.mark.parametrize("made", [DingtalkChannel, FeishuChannel])
def test_without_a_secret_nothing_is_signed(made: Any) -> None:
    http = Platform({made.code: 0})
    twin = made.twin(Outlet("town", "unit", made.kind, {}), "http://127.0.0.1:1", "")
    unsigned = replace(twin, secrets={name: value for name, value in twin.secrets.items() if name != "secret"})
    bot = made(unsigned, Tools(cast(Egress, http), lambda digest: b"", Templates(), lambda: NOW))
    bot.arm(Prepared(""), rendered(bot), KEY)
    url, body = http.asked[-1]
    assert "sign" not in url and b'"sign"' not in body


@pytest.mark.parametrize(
    ("made", "secrets", "settings"),
    [
        (DingtalkChannel, {"access_token": "https://oapi.dingtalk.com/robot/send?access_token=hidden"}, {}),
        (DingtalkChannel, {}, {"webhook_url": "https://oapi.dingtalk.com/robot/send?access_token=hidden"}),
        (DingtalkChannel, {"access_token": "a", "secret": "hidden word"}, {}),
        (FeishuChannel, {"hook_id": "https://open.feishu.cn/open-apis/bot/v2/hook/hidden"}, {}),
        (FeishuChannel, {"hook_id": "short-hidden"}, {}),
        (FeishuChannel, {}, {"webhook_url": "open.feishu.cn/hidden"}),
        (WecomChannel, {"key": "key=hidden"}, {}),
        (WecomChannel, {}, {"webhook_url": "https://[hidden"}),
    ],
)
def test_what_cannot_be_meant_is_refused_and_not_repeated(
    made: Any, secrets: Mapping[str, str], settings: Mapping[str, str]
) -> None:
    """People paste the whole address of a robot, and the secret in it."""
    tools = Tools(cast(Egress, Platform()), lambda digest: b"", Templates(), lambda: NOW)
    with pytest.raises(BadInput) as refused:
        made(Outlet("town", "unit", made.kind, settings, secrets), tools)
    assert "hidden" not in str(refused.value)


# What its codes mean

CODES = [
    (DingtalkChannel, 310_000, Unauthorised),
    (DingtalkChannel, 300_001, Unauthorised),
    (DingtalkChannel, 300_005, Unauthorised),
    (DingtalkChannel, 130_101, TryLater),
    (DingtalkChannel, 40_035, Rejected),
    (DingtalkChannel, 460_101, Rejected),
    (DingtalkChannel, -1, Ambiguous),
    (FeishuChannel, 19_001, Unauthorised),
    (FeishuChannel, 19_021, Unauthorised),
    (FeishuChannel, 19_022, Unauthorised),
    (FeishuChannel, 19_024, Unauthorised),
    (FeishuChannel, 9_499, Rejected),
    (FeishuChannel, 11_232, TryLater),
    (FeishuChannel, 99_999, Ambiguous),
    (WecomChannel, 93_000, Unauthorised),
    (WecomChannel, 45_009, TryLater),
    (WecomChannel, 40_058, Rejected),
    (WecomChannel, 40_008, Rejected),
    (WecomChannel, -1, Ambiguous),
]


@pytest.mark.parametrize(("made", "code", "error"), CODES)
def test_a_code_means(made: Any, code: int, error: type[OutletError]) -> None:
    """Exactly that error, which names the code; what is in no table may have been said."""
    with pytest.raises(OutletError) as refused:
        settled(made, {made.code: code, "errmsg": "ok", "msg": "success"})
    assert error is type(refused.value)
    assert str(code).replace("_", "") in str(refused.value)


@pytest.mark.parametrize("made", KINDS)
def test_only_code_0_is_success(made: Any) -> None:
    receipt = settled(made, {made.code: 0})
    assert isinstance(receipt, Receipt)
    assert (marker_of(KEY)[:8], "", NOW) == (receipt.ref, receipt.url, receipt.at)


@pytest.mark.parametrize("told", [{}, [], {"errcode": "0", "code": "0"}, {"errcode": True, "code": False}])
@pytest.mark.parametrize("made", KINDS)
def test_an_answer_without_a_code_is_in_doubt(made: Any, told: object) -> None:
    with pytest.raises(Misbehaved):
        settled(made, told)


def test_feishu_answers_in_its_first_form_too() -> None:
    assert isinstance(settled(FeishuChannel, {"StatusCode": 0, "StatusMessage": "success"}), Receipt)
    with pytest.raises(Misbehaved):
        settled(FeishuChannel, {"StatusCode": 1})


@pytest.mark.parametrize("made", KINDS)
def test_success_never_comes_with_status_400(made: Any) -> None:
    with pytest.raises(Ambiguous):
        settled(made, {made.code: 0}, 400)


@pytest.mark.parametrize(
    ("made", "code", "least", "most"),
    [(DingtalkChannel, 130_101, 600, 600), (FeishuChannel, 11_232, 5, 30), (WecomChannel, 45_009, 60, 60)],
)
def test_when_it_was_too_fast_it_waits(made: Any, code: int, least: int, most: int) -> None:
    """DingTalk shuts a robot up for ten minutes; at Feishu those who were told so come back scattered."""
    with pytest.raises(TryLater) as refused:
        settled(made, {made.code: code})
    assert refused.value.not_before is not None
    assert least * SECOND <= refused.value.not_before - NOW <= most * SECOND
    assert "" == refused.value.of, "every message of this robot waits"


def test_feishu_waits_are_scattered() -> None:
    """By the moment of the answer."""
    waits = set()
    for at in (NOW, NOW + 1_700_000, NOW + 3_400_000):
        bot = channel(FeishuChannel)
        bot._tools = replace(bot._tools, now=lambda at=at: at)
        waits.add(bot._error(11_232, bot.meanings[11_232]).not_before - at)
    assert 3 == len(waits)


@pytest.mark.parametrize(
    ("made", "code"), [(DingtalkChannel, 40_035), (FeishuChannel, 9_499), (WecomChannel, 40_008), (WecomChannel, 0)]
)
def test_a_robot_that_refuses_a_message_of_no_type_knows_us(made: Any, code: int) -> None:
    http = Platform({made.code: code})
    channel(made, http).login()
    assert "none" in http.asked[0][1].decode()


@pytest.mark.parametrize("made", [DingtalkChannel, WecomChannel])
def test_a_busy_platform_is_asked_again_about_credentials(made: Any) -> None:
    """Nothing was said, so nothing is in doubt."""
    with pytest.raises(TryLater):
        channel(made, Platform({made.code: -1})).login()


@pytest.mark.parametrize(("made", "code"), [(DingtalkChannel, 310_000), (FeishuChannel, 19_024)])
def test_where_a_keyword_is_set_its_lack_says_nothing_of_the_credentials(made: Any, code: int) -> None:
    """A message of no type cannot hold it."""
    channel(made, Platform({made.code: code}), keyword="公告").login()
    with pytest.raises(Unauthorised):
        channel(made, Platform({made.code: code})).login()


def test_limits_are_declared() -> None:
    """20 in a minute; at Feishu 100, and 5 in a second."""
    assert [[(20, 60)], [(100, 60), (5, 1)], [(20, 60)]] == [
        [(one.calls, one.seconds) for one in made.can.budgets] for made in KINDS
    ]
