"""The receiver's public page of an item: its own design around what it was sent, rewritten as such sites do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from channels.sandbox.knobs import Knob

LINK = re.compile(r'<a href="(?!/)')
CELL = re.compile(r"<td\b.*?</td>", re.DOTALL)
PICTURE = re.compile(r'(<img\b[^>]*\bsrc=")[^"]*')


def article(told: Mapping[str, Any]) -> str:
    """The text: whole, or the summary of what was too large, cut at its lines. Links are not vouched for."""
    if told.get("content") == "full":
        return LINK.sub('<a rel="nofollow noopener" href="', str(told.get("html", "")))
    return "".join(f"<p>{escape(line)}</p>" for line in str(told.get("summary", "")).splitlines())


def altered(text: str, knobs: list[Knob], swapped: str) -> str:
    """`text` as the knobs make it. `swapped`: address of another picture."""
    for knob in knobs:
        match knob.fault:
            case "alter":
                before, after = knob.parameters["replace"]
                text = text.replace(before, after)
            case "drop_cell":
                text = CELL.sub("", text, count=1)
            case "swap_picture":
                text = PICTURE.sub(lambda found: found[1] + swapped, text)
    return text


def page(told: Mapping[str, Any], text: str, title: str, *, marked: bool) -> str:
    """The page; `marked` says with microdata where title and text stand, as schema.org has it."""
    headline, body = (' itemprop="headline"', ' itemprop="articleBody"') if marked else ("", "")
    original = escape(str(told.get("canonical") or ""))
    head = f'<link rel="canonical" href="{original}">' if original else ""
    foot = f'<p class="origin">来源：<a href="{original}">阅读原文</a></p>' if original else ""
    language = escape(str(told.get("language") or "zh"))
    return f"""<!DOCTYPE html>
<html lang="{language}"><head><meta charset="utf-8"><title>{escape(title)} - 掌上通</title>
{head}
<style>body{{font-family:sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}}nav a{{margin-right:1rem}}
img{{max-width:100%}}td,th{{border:1px solid #999;padding:.2rem .5rem}}</style></head>
<body><nav><a href="/">首页</a><a href="/news">资讯</a></nav>
<main><article><h1{headline}>{escape(title)}</h1><p class="from">掌上通 · 转载</p>
<div class="text"{body}>{text}</div>
{foot}</article></main>
<footer>掌上通客户端</footer></body></html>"""
