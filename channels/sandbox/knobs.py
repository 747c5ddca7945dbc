"""The knobs that make a sandbox outlet misbehave on purpose.

Generic faults happen to a request that matches method, path and account, `times` times (0: for
ever). A knob with any other name is a setting that a channel's sandbox reads, standing until cleared:

    refuse        not applied; answers `status` (503), `json`, `headers`
    drop_request  not applied; connection closed without an answer (`reset`: with RST)
    login_page    not applied; 200 with an HTML page
    error_body    200 with `json` (an error in words); applied only with `applied`
    drop_answer   applied; connection closed without an answer (`reset`: with RST)
    answer_502    applied; 502 with an HTML page
    reset_body    applied; the answer's headers leave, then the connection is reset
    cut_body      applied; half of the answer's body leaves, then the connection is closed
    late          applied `seconds` (1) after the connection was closed; `hold`: instead of being closed it is
                  left open without an answer until then
    delay         applied after `before_ms`, answered `after_ms` later
    slow_drip     applied; the answer's body leaves byte by byte, `every_ms` (200) apart
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

FAULTS = frozenset(
    {
        "refuse",
        "drop_request",
        "login_page",
        "error_body",
        "drop_answer",
        "answer_502",
        "reset_body",
        "cut_body",
        "late",
        "delay",
        "slow_drip",
    }
)


@dataclass
class Knob:
    fault: str
    method: str = "*"
    path: str = "*"
    account: str = ""
    times: int = 1
    parameters: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Knob:
        """Raises ValueError when `fault` is missing or `times` is not a number of times."""
        rest = dict(given)
        fault, times = rest.pop("fault", ""), rest.pop("times", 1)
        if not isinstance(fault, str) or not fault:
            raise ValueError("a knob needs the name of a fault")
        if not isinstance(times, int) or times < 0:
            raise ValueError("times is a whole number, 0 for ever")
        method, path, account = (
            str(rest.pop(name, usual)) for name, usual in (("method", "*"), ("path", "*"), ("account", ""))
        )
        return cls(fault, method.upper(), path, account, times, rest)

    def shown(self) -> dict[str, Any]:
        """The knob as it was given, with the times that are left."""
        named = {
            "fault": self.fault,
            "method": self.method,
            "path": self.path,
            "account": self.account,
            "times": self.times,
        }
        return {**named, **self.parameters}


class Knobs:
    """The knobs that are set, oldest first; the first that matches a request is the one that happens."""

    def __init__(self) -> None:
        self.set: list[Knob] = []

    def take(self, method: str, path: str, account: str, *names: str) -> Knob | None:
        """The knob of one of these names (none given: any generic fault) for this request; uses up one of its times."""
        wanted = names or FAULTS
        for knob in self.set:
            if knob.fault not in wanted or (knob.account and knob.account != account):
                continue
            if knob.method not in ("*", method) or not fnmatchcase(path, knob.path):
                continue
            if knob.times == 1:
                self.set.remove(knob)
            elif knob.times > 1:
                knob.times -= 1
            return knob
        return None

    def standing(self, fault: str, account: str = "") -> list[Knob]:
        """Every setting of this name that holds for this account; nothing is used up."""
        return [knob for knob in self.set if knob.fault == fault and knob.account in ("", account)]
