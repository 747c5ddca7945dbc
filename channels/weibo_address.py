"""Which post an address of Weibo's means, whoever copied it. Pure.

The mobile page is named by the post's id; the page of weibo.com by the same number in another notation: groups
of seven digits from the right, each in base 62 and filled up to four. The vendor does not document it; posts
whose two names are both known bear it out (tests/unit/test_weibo.py).
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from sync.contract import Receipt, Unsupported

LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def page_of(base: str, mid: str) -> str:
    """Where people find a post: the mobile page, which does not ask them to log in."""
    return f"{base}/status/{mid}"


def mid_of(receipt: Receipt) -> str:
    """The id of a receipt's post. One that a person settled has only the address that they pasted.

    Raises Unsupported when that is no post's."""
    if re.fullmatch("[0-9]+", receipt.ref):
        return receipt.ref
    name = urlsplit(receipt.url).path.rstrip("/").rpartition("/")[2]
    if re.fullmatch("[0-9]{12,}", name):
        return name
    if re.fullmatch("[0-9A-Za-z]{9,11}", name):
        return spelled_out(name)
    raise Unsupported(f"这不是一条微博的地址 · this is no address of a post: {receipt.url}")


def spelled_out(name: str) -> str:
    """The id that the short name of a post stands for."""
    groups = [name[max(0, end - 4) : end] for end in range(len(name), 0, -4)][::-1]
    numbers = [_number(group) for group in groups]
    return str(numbers[0]) + "".join(str(number).rjust(7, "0") for number in numbers[1:])


def _number(group: str) -> int:
    number = 0
    for letter in group:
        number = number * 62 + LETTERS.index(letter)
    return number
