"""`--set k=v` and `--secret k=…`, checked against what the kind of outlet knows."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path

from sync.bootstrap import kind, kinds, make_once
from sync.cli.lookup import nearest
from sync.cli.output import tell
from sync.clock import SystemClock
from sync.contract import Capabilities, OutletError
from sync.model import BadInput, Outlet
from sync.settings import Settings

LONGEST = 64 * 1024  # bytes of a secret; a longer file is the wrong file


def capabilities(name: str) -> Capabilities:
    """What a kind of outlet can do. Raises BadInput naming the nearest kind."""
    if name not in kinds():
        raise BadInput(f"kind {name}", "there is no such kind of outlet", nearest(name, kinds()))
    return kind(name).can


def settings_given(can: Capabilities, kind_: str, given: list[str]) -> dict[str, str]:
    """The values of `--set`. Raises BadInput."""
    return _pairs(can, kind_, given, secret=False)


def secrets_given(can: Capabilities, kind_: str, given: list[str]) -> dict[str, str]:
    """The values of `--secret`, fetched from where they are. Raises BadInput; no message holds one."""
    return {key: _fetched(key, source) for key, source in _pairs(can, kind_, given, secret=True).items()}


def need_all(can: Capabilities, kind_: str, given: Mapping[str, str], secrets: Collection[str]) -> None:
    """Raises BadInput unless everything is there that a live outlet cannot do without."""
    missing = [
        f"--secret {one.name}=@FILE" if one.secret else f"--set {one.name}=…"
        for one in can.settings
        if one.required and not (one.name in secrets if one.secret else given.get(one.name))
    ]
    if missing:
        raise BadInput(f"kind {kind_}", "a live outlet needs all its settings", f"add {' '.join(missing)}")


def refuse_unusable(read: Settings, outlet: Outlet) -> None:
    """Raises BadInput, naming the option, when no channel can be made of what the outlet is given."""
    try:
        make_once(read, outlet, SystemClock())
    except BadInput as error:
        options = {one.name: "--secret" if one.secret else "--set" for one in kind(outlet.kind).can.settings}
        where = f"{options[error.where]} {error.where}" if error.where in options else error.where
        raise BadInput(where, error.message, error.mend) from None
    except OutletError as error:
        mend = f"`tongfa channel show {outlet.kind}` says what it needs"
        raise BadInput(f"outlet {outlet.name}", str(error), mend) from None


def _pairs(can: Capabilities, kind_: str, given: list[str], *, secret: bool) -> dict[str, str]:
    option, other = ("--secret", "--set") if secret else ("--set", "--secret")
    known = {one.name: one.secret for one in can.settings}
    made: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        what = "secret" if secret else "setting"
        if known.get(key, secret) is not secret:
            raise BadInput(f"{option} {key}", f"it is no {what} of {kind_}", f"write {other} {key}=…")
        if key not in known:
            mend = nearest(key, [name for name, hidden in known.items() if hidden is secret])
            if (near := get_close_matches(key, known, n=1)) and known[near[0]] is not secret:
                mend = f"did you mean {other} {near[0]}=…? {mend}"
            raise BadInput(f"{option} {key}", f"{kind_} has no such {what}", mend)
        if not equals:
            raise BadInput(f"{option} {key}", "it has no value", f"write {option} {key}=…")
        if key in made:
            raise BadInput(f"{option} {key}", "it is given twice", "give it once")
        made[key] = value
    return made


def _fetched(key: str, source: str) -> str:
    where = f"--secret {key}"
    if source == "-":
        text = sys.stdin.readline(LONGEST)
    elif source.startswith("env:"):
        name = source.removeprefix("env:")
        if name not in os.environ:
            raise BadInput(where, f"the environment has no {name}", f"export {name}, or use {key}=@FILE")
        text = os.environ[name]
    elif source.startswith("@"):
        text = _file(where, Path(source[1:]))
    else:
        tell(f"{where}: others see a value on the command line; better {key}=@FILE, {key}=env:VARIABLE or {key}=-")
        text = source
    if not (text := text.strip()):
        raise BadInput(where, "it is empty", f"put the secret there, or use {key}=@FILE")
    return text


def _file(where: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
        if len(content) > LONGEST:
            raise BadInput(where, f"{path} is too long for a secret", "name the file that holds it")
        return content.decode()
    except OSError as error:
        raise BadInput(
            where, f"{path} cannot be read: {error.strerror}", "name a file that this user can read"
        ) from None
    except UnicodeDecodeError:
        raise BadInput(where, f"{path} is no text file", "name the file that holds the secret, as UTF-8") from None
