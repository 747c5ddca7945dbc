"""Files that become public by one rename.

Promises: what is staged lies in `.<name>.staged` beside the served folder, on the same file system and
outside what a web server shows; a file is complete and on disk before it gets its name; the only
public act is the rename in `StagedShot`. Every step can be repeated after a crash at any line.
Knows nothing of pages, templates or outlets.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from sync.contract import Accepted, Ambiguous, Receipt, Rejected, Shot, TryLater, Unauthorised

NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
LEFT_OVER = 3600.0  # seconds


@contextmanager
def disk(doing: str) -> Iterator[None]:
    """Turn the file system's refusals into the contract's errors; only for work that shows nothing.

    Missing rights → Unauthorised; two file systems → Rejected; a full or failing disk → TryLater.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NOT_ALLOWED:
            raise Unauthorised(f"{doing}: {error} — give the service's user the right to write there") from error
        if error.errno == errno.EXDEV:
            raise Rejected(f"{doing}: {error} — served and staged files must lie on one file system") from error
        raise TryLater(f"{doing}: {error}") from error


class Staging:
    """The served folder of one outlet, and the hidden one beside it.

    `create`: whether a missing served folder is made. For a live outlet it is not: an unmounted disk
    must not look like an empty site.
    """

    def __init__(self, served: Path, create: bool) -> None:
        self.served = served
        self.hidden = served.parent / f".{served.name}.staged"
        self._create = create

    def open(self) -> None:
        """Make the hidden folder and check that a rename into the served one is possible.

        Raises Rejected when the folders are on different file systems, Unauthorised when the served
        folder is missing or not writable, TryLater when the disk fails.
        """
        with disk(f"open {self.served}"):
            if self._create:
                self.served.mkdir(parents=True, exist_ok=True)
            if not self.served.is_dir():
                raise Unauthorised(f"there is no folder {self.served} — create it, or mount its disk")
            self.hidden.mkdir(mode=0o700, exist_ok=True)
            if device(self.served) != device(self.hidden):
                raise Rejected(
                    f"{self.served} and {self.hidden} are on different file systems, so a page cannot appear at"
                    " once — serve a folder inside the mounted disk instead of its top folder"
                )
            if not os.access(self.served, os.W_OK | os.X_OK):
                raise Unauthorised(f"{self.served} is not writable — give the service's user the right to write there")
            self._sweep()

    def stage(self, content: bytes) -> Path:
        """A finished, synced, world-readable file under a hidden name of its own. Raises OSError."""
        work = self.hidden / "work"
        work.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=work)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        return Path(name)

    def write(self, files: Mapping[Path, bytes]) -> int:
        """Give every path its content, in order; what has it already is left alone. Returns how many were written.

        Each file is the old one or the new one after a crash, never a mix; all are on disk when this
        returns. Raises OSError; then any number of the first files may have been written.
        """
        written: list[Path] = []
        for path, content in files.items():
            with suppress(FileNotFoundError):
                if path.read_bytes() == content:
                    continue
            path.parent.mkdir(parents=True, exist_ok=True)
            self.stage(content).rename(path)
            written.append(path)
        for folder in dict.fromkeys(path.parent for path in written):
            sync_folder(folder)
        return len(written)

    def _sweep(self) -> None:
        """Remove what a dead process left half staged. An armed page is younger than a minute."""
        for left in (self.hidden / "work").glob("*"):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > LEFT_OVER and time.time() - left.stat().st_ctime > LEFT_OVER:
                    left.unlink()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process or thread changes the lists of this site. Ends with its holder's death."""
        handle = os.open(self.hidden / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


class Footprint(NamedTuple):
    """A number of a file may be given again at once, so the others stand beside it."""

    number: int
    modified_ns: int
    size: int


class StagedShot(Shot):
    """A finished page, waiting under a hidden name for its public one.

    `over`: the footprint of the page that it takes the place of, None where nothing stands; what stands
    there meanwhile is left alone. `finish` runs in `settle`, after the page is public: it is given the
    instant of the rename and returns the receipt. If the process dies after the rename, the page is
    public and a probe finds it.
    """

    def __init__(
        self,
        staged: Path,
        final: Path,
        over: Footprint | None,
        now: Callable[[], int],
        finish: Callable[[int], Receipt],
    ) -> None:
        self._staged, self._final, self._over, self._now, self._finish = staged, final, over, now, finish
        self._at: int | None = None
        self._error: OSError | None = None
        self._taken = False

    def check(self) -> None:
        if not self._staged.exists():
            raise TryLater(f"the staged page {self._staged} is gone")

    def _fire(self) -> None:
        try:
            if footprint(self._final) != self._over:  # a newer edition or a withdrawal came first
                self._taken = True
                return
            os.rename(self._staged, self._final)  # noqa: PTH104 - point of no return; nothing but the system call
            self._at = self._now()
        except OSError as error:
            self._error = error

    def settle(self) -> Receipt | Accepted:
        if self._error is not None:  # a rename happens or does not; this one did not
            raise TryLater(f"publish {self._final}: {self._error}") from self._error
        if self._taken:
            raise TryLater(f"{self._final} changed after this page was armed: nothing was published")
        if self._at is None:
            raise TryLater("the shot was never sent")
        try:
            sync_folder(self._final.parent)
            return self._finish(self._at)
        except OSError as error:
            raise Ambiguous(f"{self._final} is public, its lists are not up to date: {error}") from error

    def close(self) -> None:
        with suppress(OSError):
            self._staged.unlink(missing_ok=True)


def footprint(path: Path) -> Footprint | None:
    """What tells a file from any that takes its place; None where there is none. Raises OSError."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return Footprint(found.st_ino, found.st_mtime_ns, found.st_size)


def device(path: Path) -> int:
    """The number of the file system that holds `path`."""
    return path.stat().st_dev


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power failure."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
