"""`ring(lane)`: something is due. A port: nothing depends on its being heard, only how soon.

Embedded, nobody needs to be told: each worker's sweeper looks every few milliseconds.
"""

from __future__ import annotations


def silent(lane: str) -> None:
    """No bell: the sweepers find it."""
