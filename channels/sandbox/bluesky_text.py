"""User-perceived characters, as the limits of the AT Protocol count them: extended grapheme clusters (UAX #29).

Rules GB3 to GB13 over the general categories that Python knows. Of the property tables of the standard only the
parts are kept that appear in practice; "prepended" signs and Indic conjuncts count as more than they are.
"""

from __future__ import annotations

import unicodedata

_ZWJ = "\u200d"
_PICTURES = (  # Extended_Pictographic, in as few ranges as texts need
    *((0xA9, 0xA9), (0xAE, 0xAE), (0x203C, 0x203C), (0x2049, 0x2049), (0x2122, 0x2122), (0x2139, 0x2139)),
    *((0x2194, 0x21AA), (0x231A, 0x23FF), (0x24C2, 0x24C2), (0x25AA, 0x25FE), (0x2600, 0x27BF)),
    *((0x2934, 0x2935), (0x2B05, 0x2B55), (0x3030, 0x3030), (0x303D, 0x303D), (0x3297, 0x3299)),
    *((0x1F000, 0x1F1E5), (0x1F200, 0x1F3FA), (0x1F400, 0x1FAFF), (0x1FC00, 0x1FFFD)),
)


def graphemes(text: str) -> int:
    """How many clusters the text has."""
    count, before, flags, pictured = 0, "", 0, False
    for character in text:
        kind = _kind(character)
        if not count or not _joined(before, kind, flags, pictured):
            count += 1
        # GB11: picture, extensions, joiner. GB12/13: flags are pairs of letters.
        pictured = kind == "picture" or (pictured and kind in ("extend", "joiner"))
        flags = flags + 1 if kind == "flag" else 0
        before = kind
    return count


def _joined(before: str, kind: str, flags: int, pictured: bool) -> bool:
    """Whether there is no boundary between the two."""
    if before == "return" and kind == "feed":
        return True
    if before in ("return", "feed", "control") or kind in ("return", "feed", "control"):
        return False
    hangul = (before, kind)
    if hangul in (("L", "L"), ("L", "V"), ("L", "LV"), ("L", "LVT")):
        return True
    if hangul in (("LV", "V"), ("LV", "T"), ("V", "V"), ("V", "T"), ("LVT", "T"), ("T", "T")):
        return True
    if kind in ("extend", "joiner", "spacing"):
        return True
    if before == "joiner" and kind == "picture" and pictured:
        return True
    return before == "flag" and kind == "flag" and flags % 2 == 1


def _kind(character: str) -> str:
    point, category = ord(character), unicodedata.category(character)
    if character in "\r\n":
        return "return" if character == "\r" else "feed"
    if character == _ZWJ:
        return "joiner"
    if category in ("Mn", "Me") or point in (0x200C, 0xFF9E, 0xFF9F):
        return "extend"
    if 0x1F3FB <= point <= 0x1F3FF or 0xE0020 <= point <= 0xE007F:  # shades of skin; tags that end a flag
        return "extend"
    if category in ("Cc", "Cf", "Zl", "Zp"):
        return "control"
    if category == "Mc" or point in (0x0E33, 0x0EB3):
        return "spacing"
    if 0x1F1E6 <= point <= 0x1F1FF:
        return "flag"
    return _hangul(point) or ("picture" if any(low <= point <= high for low, high in _PICTURES) else "")


def _hangul(point: int) -> str:
    if 0x1100 <= point <= 0x115F or 0xA960 <= point <= 0xA97C:
        return "L"
    if 0x1160 <= point <= 0x11A7 or 0xD7B0 <= point <= 0xD7C6:
        return "V"
    if 0x11A8 <= point <= 0x11FF or 0xD7CB <= point <= 0xD7FB:
        return "T"
    if 0xAC00 <= point <= 0xD7A3:
        return "LVT" if (point - 0xAC00) % 28 else "LV"
    return ""
