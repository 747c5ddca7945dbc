"""What WeChat does to an article's HTML: the filter on the way in, the rewriting on the way out, the public page.

Modelled: classes, ids, scripts, style sheets, frames and forms dropped; pictures that were not uploaded
here removed without a word; links that lead out of WeChat refused; published content with `data-src`
pictures inside wrapper sections; a page with furniture around the article; notice pages for articles
that are gone, which answer 200.
"""

from __future__ import annotations

from html import escape
from typing import cast
from urllib.parse import urlsplit

from lxml import etree

DROPPED = frozenset(
    {"script", "style", "link", "meta", "iframe", "object", "embed", "form", "input", "button", "select", "textarea"}
)
ATTRIBUTES = frozenset(
    {"style", "src", "data-src", "href", "colspan", "rowspan", "start", "type", "border", "align", "width", "height"}
)


class OutsideLink(Exception):
    """45166: the content links out of WeChat."""


def filtered(content: str, own: str) -> str:
    """What the draft keeps. `own` begins the address of every uploaded picture. Raises OutsideLink."""
    root = parsed(content)
    for element in list(root.iter()):
        tag = str(element.tag)
        source = element.get("src") or element.get("data-src") or ""
        if tag in DROPPED or (tag == "img" and not source.startswith(own)):
            remove(element)
            continue
        if tag == "a" and element.get("href") and urlsplit(element.get("href", "")).hostname != "mp.weixin.qq.com":
            raise OutsideLink
        for name in [str(name) for name in element.attrib if str(name) not in ATTRIBUTES]:
            del element.attrib[name]
    return inside(root)


def published(content: str) -> str:
    """How getarticle, batchget and the page give it back: other bytes, the same to a reader."""
    root = parsed(content)
    for image in root.iter("img"):
        image.set("data-src", image.get("src") or image.get("data-src") or "")
        image.attrib.pop("src", "")
        image.set("data-ratio", "0.5625")
        image.set("data-type", "png")
        image.set("class", "rich_pages wxw-img")
    for cell in root.iter("td", "th"):
        cell.set("valign", "top")
    return f'<section data-role="outer" data-mpa-powered-by="yiban.io">{inside(root)}</section><p><br></p>'


def first_words(content: str) -> str:
    """What stands as digest where none was given."""
    return "".join("".join(map(str, parsed(content).itertext())).split())[:54]


def without_last_cell(content: str) -> str:
    """For a knob: the content as if the last table cell had been lost."""
    root = parsed(content)
    cells = list(root.iter("td", "th"))
    if cells:
        remove(cells[-1])
    return inside(root)


def page(title: str, author: str, content: str, source_url: str, account: str) -> str:
    """The article's public page."""
    name = escape(author or account)
    original = f'<a class="media_tool_meta meta_primary" id="js_view_source" href="{escape(source_url)}">阅读原文</a>'
    return f"""<!DOCTYPE html>
<html><head><meta charset="utf-8"><title></title>
<meta property="og:title" content="{escape(title)}"><meta property="og:type" content="article">
<style>.rich_media_content{{overflow:hidden}} body{{margin:0;font-family:sans-serif}}
.rich_media_inner{{max-width:677px;margin:0 auto;padding:20px 16px}} .rich_media_title{{font-size:22px}}
.rich_media_content img{{max-width:100%}}</style></head>
<body id="activity-detail" class="zh_CN wx_wap_page">
<div id="js_top_ad_area" class="top_banner"></div>
<div class="rich_media"><div class="rich_media_inner"><div id="img-content" class="rich_media_wrp">
<h1 class="rich_media_title " id="activity-name">
{escape(title)}
</h1>
<div id="meta_content" class="rich_media_meta_list"><span class="rich_media_meta rich_media_meta_text">{name}</span>
<a href="javascript:void(0);" class="wx_tap_link" id="js_name">{escape(account)}</a>
<em id="publish_time" class="rich_media_meta rich_media_meta_text"></em></div>
<div class="rich_media_content js_underline_content" id="js_content" style="visibility: hidden;">{content}</div>
<script type="text/javascript">var first_sceen__time = (+new Date());
document.getElementById("js_content").style.visibility = "visible";
document.querySelectorAll("#js_content img[data-src]").forEach(function (one) {{
one.src = one.dataset.src; }});</script>
</div>{original if source_url else ""}
<div id="js_pc_qr_code" class="qr_code_pc_outer"><p>微信扫一扫<br>关注该公众号</p></div></div></div>
<div class="weui-dialog"><p>预览时标签不可点</p></div>
</body></html>"""


def notice(text: str) -> str:
    """The page in an article's place once it is gone; it answers 200 like any other."""
    return f"""<!DOCTYPE html>
<html><head><meta charset="utf-8"><title></title></head><body class="zh_CN">
<div class="weui-msg"><div class="weui-msg__icon-area"><i class="weui-icon-warn weui-icon_msg-primary"></i></div>
<div class="weui-msg__text-area"><h2 class="weui-msg__title">{escape(text)}</h2></div></div></body></html>"""


def parsed(fragment: str) -> etree._Element:
    """The fragment under one element."""
    root = etree.fromstring(
        b"<html><body><div>" + fragment.replace("\0", "").encode("utf-8", "replace") + b"</div></body></html>",
        etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True),
    )
    return cast(etree._Element, root[0][0])


def inside(root: etree._Element) -> str:
    """What stands in it, as HTML."""
    shell = etree.Element("div")
    shell.text = root.text
    shell.extend(list(root))
    return etree.tostring(shell, encoding="unicode", method="html").removeprefix("<div>").removesuffix("</div>")


def remove(element: etree._Element) -> None:
    """Take it out; the text behind it stays."""
    parent, before = element.getparent(), element.getprevious()
    if parent is None:
        return
    if before is not None:
        before.tail = (before.tail or "") + (element.tail or "")
    else:
        parent.text = (parent.text or "") + (element.tail or "")
    parent.remove(element)
