"""The template environment: what `Tools.pages` is.

Templates are part of the program (`templates/`, one folder per channel). They are sandboxed all the
same: a template may look things up and format them, and cannot reach files, modules or attributes
that begin with an underscore. A missing value is an error, never an empty string.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sync.clock import SECOND, iso
from sync.contract import Pages

FOLDER = Path(__file__).resolve().parent.parent / "templates"
CHINA = timezone(timedelta(hours=8), "CST")  # one offset all year since 1992; needs no zone database
TEXT_ENDINGS = (".txt", ".typ", ".md")  # everything else is escaped as HTML


def china_time(instant: int) -> str:
    """Microseconds UTC → `2026-11-23 09:00`, China time, the form the government site guide asks for."""
    return f"{_moment(instant):%Y-%m-%d %H:%M}"


def china_day(instant: int) -> str:
    """Microseconds UTC → `2026-11-23`, China time."""
    return f"{_moment(instant):%Y-%m-%d}"


def rfc822(instant: int) -> str:
    """Microseconds UTC → `Mon, 23 Nov 2026 09:00:00 +0800`, as RSS writes dates."""
    return format_datetime(_moment(instant))


def rfc3339(instant: int) -> str:
    """Microseconds UTC → `2026-11-23T09:00:00+08:00`, as Atom, JSON Feed and sitemaps write dates."""
    return _moment(instant).isoformat()


def size_text(size: int) -> str:
    """Bytes → `812 B`, `13.4 KB`, `2.0 MB`."""
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.1f} KB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.1f} MB"


def _moment(instant: int) -> datetime:
    return datetime.fromtimestamp(instant // SECOND, UTC).astimezone(CHINA)


class Templates(Pages):
    """Renders `templates/<channel>/<name>`; HTML and XML escaped, `.txt`, `.typ` and `.md` as they are.

    Filters for instants: `china_time`, `china_day`, `rfc822`, `rfc3339`, `iso`; for sizes in bytes: `size_text`.
    Safe to share between threads.
    """

    def __init__(self, folder: Path = FOLDER, own: Path | None = None) -> None:
        """`own`: an installation's own templates, which stand in for those of the same name."""
        self._environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader([folder] if own is None else [own, folder]),
            autoescape=lambda name: name is None or not name.endswith(TEXT_ENDINGS),
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            china_time=china_time, china_day=china_day, rfc822=rfc822, rfc3339=rfc3339, iso=iso, size_text=size_text
        )

    def render(self, template: str, **values: object) -> str:
        """The finished text. Raises jinja2.TemplateError for a missing template or value: a bug."""
        return self._environment.get_template(template).render(**values)
