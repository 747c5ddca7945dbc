"""The template environment: what `Tools.pages` is.

Templates are part of the program (`templates/`, one folder per channel). They are sandboxed all the
same: a template may look things up and format them, and cannot reach files, modules or attributes
that begin with an underscore. A missing value is an error, never an empty string.

An installation may have templates of its own: a file of the same name stands in for the shipped one. What is
wrong with one of them is a person's to mend (BadInput, naming the file and the line); what is wrong with ours is a bug.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from difflib import get_close_matches
from email.utils import format_datetime
from pathlib import Path
from traceback import walk_tb

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.meta import find_referenced_templates
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sync.clock import SECOND, iso
from sync.contract import Pages
from sync.model import BadInput

FOLDER = Path(__file__).resolve().parent.parent / "templates"
OWN = "templates"  # in the home: an installation's own
FIXED = frozenset({"preview", "sample"})  # folders of ours in whose place nothing stands
# What a template can come to by what is written in it: a missing value, a figure added to a text, no such entry.
FAULTS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
MEND = (
    "改正该行，或移走该文件（即用程序自带的模板） · "
    "mend that line, or take the file away: then the template of the program is used"
)
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


class _Files(FileSystemLoader):
    """As its base; and notices a file that has come to stand in for another, or is gone."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """Raises BadInput for a file that is not UTF-8."""
        try:
            source, found, unchanged = super().get_source(environment, template)
        except UnicodeDecodeError as error:
            raise BadInput(
                template,
                f"模板不是 UTF-8 编码 · the template is not UTF-8: {error.reason}",
                "另存为 UTF-8 · save it as UTF-8",
            ) from None

        def current() -> bool:
            first = next((path for each in self.searchpath if (path := Path(each, template)).is_file()), None)
            return first == Path(found) and unchanged()

        return source, found, current


class Templates(Pages):
    """Renders `templates/<channel>/<name>`; HTML and XML escaped, `.txt`, `.typ` and `.md` as they are.

    Filters for instants: `china_time`, `china_day`, `rfc822`, `rfc3339`, `iso`; for sizes in bytes: `size_text`.
    Safe to share between threads.
    """

    def __init__(self, folder: Path = FOLDER, own: Path | None = None) -> None:
        """`own`: an installation's own, which stand in for those of the same name; read anew when they change."""
        self._folder, self._own = folder, own
        self._environment = ImmutableSandboxedEnvironment(
            loader=_Files([folder] if own is None else [own, folder]),
            autoescape=lambda name: name is None or not name.endswith(TEXT_ENDINGS),
            undefined=StrictUndefined,
            auto_reload=own is not None,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            china_time=china_time, china_day=china_day, rfc822=rfc822, rfc3339=rfc3339, iso=iso, size_text=size_text
        )

    def render(self, template: str, **values: object) -> str:
        """The finished text.

        Raises BadInput for what one of the installation's own templates came to, and what jinja2 raises for a
        missing template or value of ours: a bug."""
        try:
            return self._environment.get_template(template).render(**values)
        except FAULTS as error:
            if (own := self._fault(error)) is not None:
                raise own from error
            raise

    def standing_in(self) -> list[str]:
        """Names of the installation's own templates that stand in for one of the program's."""
        return [name for name in self._files(self._own) if name in self._shipped()]

    def faults(self) -> list[BadInput]:
        """Own templates that are not written as a template is; what a value makes of them only `render` tells."""
        found = []
        for name in self._used():
            try:
                self._environment.get_template(name)
            except TemplateSyntaxError as error:
                found.append(self._fault(error) or BadInput(name, str(error), MEND))
            except BadInput as error:
                found.append(error)
        return found

    def strange(self) -> dict[str, str]:
        """Own files that nothing uses, each with the name that was probably meant, or ""."""
        used, known = self._used(), self._shipped()
        names = [name for name in self._files(self._own) if name not in used]
        return {name: next(iter(get_close_matches(name, known, n=1)), "") for name in names}

    def _shipped(self) -> list[str]:
        return [name for name in self._files(self._folder) if name.partition("/")[0] not in FIXED]

    def _used(self) -> list[str]:
        """What stands in, and own files that are included or extended by it."""
        there, used, open_ = self._files(self._own), list[str](), self.standing_in()
        while open_:
            name = open_.pop()
            used.append(name)
            try:
                tree = self._environment.parse((self._own / name).read_text() if self._own else "")
            except (TemplateSyntaxError, UnicodeDecodeError):
                continue  # told by `faults`
            refers = {one for one in find_referenced_templates(tree) if one is not None}
            open_ += sorted(one for one in refers if one in there and one not in (*used, *open_))
        return used

    @staticmethod
    def _files(folder: Path | None) -> list[str]:
        if folder is None:
            return []
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def _fault(self, error: Exception) -> BadInput | None:
        """What to tell of an error that came up in an own template; None where none had a part in it."""
        if self._own is None:
            return None
        # jinja2 lets the frames of a traceback name the lines of the templates.
        lines = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
        if isinstance(error, TemplateSyntaxError):
            lines.append((error.filename or "", error.lineno))
        own = [f"{file}:{line}" for file, line in lines if file.startswith(f"{self._own}/")]
        said = getattr(error, "message", None) or str(error) or type(error).__name__
        return BadInput(own[-1], f"模板用不了 · the template cannot be used: {said}", MEND) if own else None
