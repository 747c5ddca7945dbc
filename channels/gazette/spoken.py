"""The text of a PDF as a screen reader says it, for a confined process that may start poppler's reader."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from sync.confine import Answer, Ask

READER = Path("/usr/bin/pdfinfo")


def spoken(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    """The pieces of text in the order of the tagged structure: page layout cannot change it."""
    path = Path.cwd() / "item.pdf"
    path.write_bytes(parts[0])
    read = subprocess.run(  # noqa: S603 - our own argument list
        [str(READER), "-struct-text", str(path)], capture_output=True, check=False
    )
    return re.findall(r'^ *"(.*?)"$', read.stdout.decode("utf-8", "replace"), re.MULTILINE), []
