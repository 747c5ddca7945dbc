"""The reference channel on its memory outlet: what the others are measured against keeps the same contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from channels.memory import Fault, MemoryChannel, MemoryOutlet
from sync.contract import Place, Tools
from sync.model import Asset, AssetRole, Edition, Key, Outlet, sha256
from tests.contract.bench import CLOCK, Bench

PICTURE, OTHER = sha256(b"a picture"), sha256(b"another picture")
BODY = f"""<p>自12月1日起试运行，首班 06:30。</p>
<figure><img src="asset:{PICTURE}" alt="线路图"></figure>
<table><tr><th>站点</th><th>首班</th></tr><tr><td>镇政府</td><td>06:30</td></tr></table>"""
EDITION = Edition(
    "item-1",
    1,
    "开通公交环线",
    BODY,
    assets=(Asset(PICTURE, "image/png", 9, "route.png", AssetRole.IMAGE, "线路图"),),
)
# What the memory outlet calls the sandboxes' faults. A 502 comes after the work was done.
FAULTS: dict[str, Fault] = {"drop_answer": "unheard", "drop_request": "lose", "answer_502": "unheard"}


class MemoryBench(Bench):
    faults = frozenset((name, phase) for name in FAULTS for phase in ("prepare", "release", "correct", "withdraw"))
    edition = EDITION

    def __init__(self) -> None:
        self.world = MemoryOutlet(CLOCK.now)

    def channel(self, **secrets: str) -> MemoryChannel:
        outlet = MemoryChannel.twin(Outlet("memory", "town", "memory", {}), "", "")
        tools = Tools(None, lambda digest: b"", None, CLOCK.now)  # type: ignore[arg-type]  # memory uses neither
        return MemoryChannel(replace(outlet, secrets={**outlet.secrets, **secrets}), tools, self.world)

    @property
    def corrected(self) -> Edition:
        """With another picture too."""
        made = super().corrected
        picture = replace(self.edition.assets[0], digest=OTHER, size=15)
        return replace(made, body=made.body.replace(PICTURE, OTHER), assets=(picture,))

    def wrong(self) -> Mapping[str, str]:
        return {"password": "guessed"}

    def public_copies(self) -> int:
        return len(self.world.posts)

    def hidden_things(self) -> int:
        return len(self.world.drafts)

    def fault(self, name: str, phase: str) -> None:
        """Preparing and withdrawing are one call each, and so is the shot that follows a preparation."""
        self.world.faults.extend([None, FAULTS[name]] if phase in ("release", "correct") else [FAULTS[name]])

    def alter(self, kind: str) -> None:
        """The outlet keeps the digest of what it was handed; it becomes that of the altered edition."""
        altered = {
            "digit": replace(self.edition, body=BODY.replace("06:30", "06:31", 1)),
            "cell": replace(self.edition, body=BODY.replace("<td>06:30</td>", "")),
            "picture": replace(self.edition, body=BODY.replace(PICTURE, OTHER)),
        }[kind]
        given = [Key("contract-suite", f"delivery-{number}") for number in range(1, self._keys + 1)]
        keys = {key.token: key for key in given}
        for post in self.world.posts:
            key = keys[post.token]
            post.content = self.channel().render(altered, Place(key, self.canonical(key))).digest


@contextmanager
def bench(tmp_path: Path) -> Iterator[MemoryBench]:
    yield MemoryBench()


BENCH = MemoryBench
