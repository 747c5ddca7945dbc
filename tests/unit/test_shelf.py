"""What a sandbox outlet keeps over a restart, and at which port it comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from channels.sandbox.listen import listening
from channels.sandbox.shelf import Shelf, packed, unpacked

ADDRESS = "http://127.0.0.1:4711"


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    """The last value of each id, in the order of the changes; what was dropped is gone."""
    shelf = Shelf(tmp_path / "world.jsonl", ADDRESS)
    for ref in ("a", "b", "c"):
        shelf.put("post", ref, {"text": f"文 {ref}"})
    shelf.put("post", "a", {"text": "改"})
    shelf.drop("post", "b")
    shelf.drop("post", "never")
    shelf.put("media", "a", packed(b"\0\xff"))
    again = Shelf(tmp_path / "world.jsonl", ADDRESS)
    assert {"c": {"text": "文 c"}, "a": {"text": "改"}} == again.all("post")
    assert ["c", "a"] == list(again.all("post"))
    assert b"\0\xff" == unpacked(again.all("media")["a"])
    assert {} == again.all("other")


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    """The process died while it wrote: nobody got an answer to that."""
    Shelf(tmp_path / "world.jsonl", ADDRESS).put("post", "a", 1)
    with (tmp_path / "world.jsonl").open("a") as file:
        file.write('["post", "b", {"te')
    again = Shelf(tmp_path / "world.jsonl", ADDRESS)
    again.put("post", "c", 3)
    assert {"a": 1, "c": 3} == Shelf(tmp_path / "world.jsonl", ADDRESS).all("post")


def test_a_start_forgets_what_is_out_of_date(tmp_path: Path) -> None:
    """The journal does not grow with every change for ever."""
    shelf = Shelf(tmp_path / "world.jsonl", ADDRESS)
    for number in range(50):
        shelf.put("post", "a", number)
    Shelf(tmp_path / "world.jsonl", ADDRESS)
    assert ['["post", "a", 49]'] == (tmp_path / "world.jsonl").read_text().splitlines()


def test_addresses_follow_the_sandbox(tmp_path: Path) -> None:
    """Its own address is another one after a restart; what it kept points to itself all the same."""
    Shelf(tmp_path / "world.jsonl", ADDRESS).put("post", "a", {"html": f'<img src="{ADDRESS}/m/1">'})
    moved = Shelf(tmp_path / "world.jsonl", "http://127.0.0.1:4712")
    assert '<img src="http://127.0.0.1:4712/m/1">' == moved.all("post")["a"]["html"]


def test_it_comes_back_at_the_port_it_had(tmp_path: Path) -> None:
    """Unless somebody else has it by now, or another one is asked for."""
    first = listening("127.0.0.1", 0, tmp_path / "port")
    port = first.getsockname()[1]
    first.close()
    again = listening("127.0.0.1", 0, tmp_path / "port")
    assert port == again.getsockname()[1]
    other = listening("127.0.0.1", 0, tmp_path / "port")
    assert port != other.getsockname()[1]
    with pytest.raises(OSError, match="in use"):
        listening("127.0.0.1", port, tmp_path / "port")
    again.close()
    other.close()
