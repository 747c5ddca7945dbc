"""Keys of posts that only one delivery has: chosen once, and known again in a list without anything remembered.

A key is a timestamp identifier ("TID", atproto.com): microseconds since 1970 and ten bits of a clock's number, as 13
letters that sort by time. Its second is that of the preparation, so that the repository stays in order; the
microseconds within it and the clock's number are the delivery's mark, 30 bits taken from its key. Pure.
"""

from __future__ import annotations

import re

from sync.clock import SECOND

LETTERS = "234567abcdefghijklmnopqrstuvwxyz"
TID = re.compile(r"[234567a-j][234567a-z]{12}")


def chosen(token: str, at: int) -> str:
    """The record key of the delivery with this key token, prepared at `at` (µs UTC)."""
    fraction, clock = _mark(token)
    value = (at // SECOND * SECOND + fraction) << 10 | clock
    return "".join(LETTERS[value >> shift & 31] for shift in range(60, -1, -5))


def bears(rkey: str, token: str) -> bool:
    """Whether this record key was chosen for the delivery with this key token, whenever that was."""
    value = _value(rkey)
    return value is not None and (value >> 10) % SECOND == _mark(token)[0] and value & 1023 == _mark(token)[1]


def made_at(rkey: str) -> int | None:
    """The time in a record key, µs UTC; None for a key of another form."""
    value = _value(rkey)
    return None if value is None else value >> 10


def _mark(token: str) -> tuple[int, int]:
    return int(token[:16], 16) % SECOND, int(token[16:24], 16) & 1023


def _value(rkey: str) -> int | None:
    if not TID.fullmatch(rkey):
        return None
    value = 0
    for letter in rkey:
        value = value << 5 | LETTERS.index(letter)
    return value
