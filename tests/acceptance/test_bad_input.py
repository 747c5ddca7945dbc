"""Whatever a person gets wrong is refused with its place and its mend, and nothing is half done.

Every refusal is asked for with and without --json, and everything that a command could leave behind is counted
before and after: rows, files of the home, the sandboxes' records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.acceptance.commands import Door, refused, staying
from tests.acceptance.installation import BODY, QUICK, Installation, picture, running, write_item
from tests.acceptance.mode import Mode

TITLE = "关于开通12路公交的通告"
FAR = "2090-01-02T09:00+08:00"


def last_sunday(month: int) -> str:
    """When clocks change in Berlin in 2090: at 02:00 in March, at 03:00 in October."""
    first_of_next = date(2090, month + 1, 1)
    return str(first_of_next - timedelta(days=first_of_next.isoweekday()))


GAP, TWICE = f"{last_sunday(3)} 02:30 Europe/Berlin", f"{last_sunday(10)} 02:30 Europe/Berlin"


def front(body: str = BODY, **values: str) -> bytes:
    """An item's file, with a picture and nothing else beside it."""
    head = {"title": "关于停运的通告", **values}
    return "\n".join(["---", *(f"{key}: {value}" for key, value in head.items()), "---", body]).encode()


FILES: dict[str, bytes] = {
    "new.md": front(summary="还没有发布过"),
    "unknown-key.md": front(sumary="x"),
    "unknown-key-zh.md": front(发文自号="x"),
    "unknown-kind.md": front(kind="newz"),
    "long-title.md": front(title="关于停运的通告" * 12),
    "untitled.md": b"---\nkind: notice\n---\ntext\n",
    "two-faults.md": front(sumary="x", written_on="2026-02-30"),
    "no-text.md": b"---\ntitle: x\n---\n",
    "corrupt.md": front("![x](corrupt.png)"),
    "corrupt.png": picture()[:-40],
    "oversize.md": front("![x](oversize.png)"),
    "oversize.png": picture() + bytes(20 * 1024 * 1024),
    "no-picture.md": front("![x](nowhere.png)"),
    "script.md": front('text\n\n<script>alert("x")</script>\n'),
    "script.html": b'<title>x</title><p onclick="steal()">text</p><script src="https://x.example/x.js"></script>',
    "naive.md": front(release_at="2090-01-02 09:00"),
    "past.md": front(release_at="2020-01-02T09:00+08:00"),
    "gap.md": front(release_at=GAP),
    "twice.md": front(release_at=TWICE),
    "embargo.md": front(embargo=FAR),
    "contradiction.md": front(embargo=FAR, release_at="2089-01-02T09:00+08:00"),
    "later.md": front(release_at=FAR),
    "gbk.md": front().decode().encode("gbk"),
    "plain.txt": front(),
    "unknown-outlet.md": front(outlets="sitte"),
    "outlet-twice.md": front(outlets="[site, site]"),
    "unknown-group.md": front(group="al"),
    "blank-secret.txt": b"\n",
    "no-text-secret.bin": b"\xff\xfe\x00",
}


@dataclass(frozen=True)
class House:
    """One installation for all refusals: three sandbox outlets, one paused, one retired, one live with wrong secret."""

    installed: Installation
    door: Door
    release: str  # one that is public on `site`, with this delivery
    delivery: str

    @property
    def home(self) -> Path:
        return self.installed.home


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, mode: Mode) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "route.png").write_bytes(picture())
    (folder / "folder.md").mkdir()
    (folder / "unreadable.md").symlink_to("/proc/self/mem")  # refuses even root
    kinds = {"site": "website", "wechat": "wechat", "mastodon": "mastodon"}
    env = {**QUICK, "TONGFA_CLOCK_UNSYNCHRONISED": "accept"}
    with running(folder, mode=mode, outlets=kinds, env=env) as installed:
        opened = Door(installed)
        for name in ("paused", "retired"):
            opened.done("outlet", "add", name, "--kind", "website", "--group", "idle")
        opened.done("outlet", "pause", "paused")
        opened.done("outlet", "remove", "retired")
        address = ("--set", f"api_base={installed.sandbox('wechat')}", "--set", "app_id=sandbox-real")
        secret = ("--secret", "app_secret=env:GUESSED", "--live", "--private-network")
        opened.done("outlet", "add", "real", "--kind", "wechat", *address, *secret, GUESSED="guessed")
        published = write_item(folder, TITLE).rename(folder / "published.md")
        told = opened.done("publish", published, "--outlets", "site", "--wait", "60")
        yield House(installed, opened, told["release"], told["deliveries"][0]["id"])


PUBLISH: dict[str, tuple[str, str, str, str]] = {
    # what is wrong → arguments after `publish`, where, what it says, the mend
    "unknown key": ("unknown-key.md", "unknown-key.md:3", "no key `sumary`", "`summary`"),
    "unknown key in Chinese": ("unknown-key-zh.md", "unknown-key-zh.md:3", "发文自号", "`发文字号`"),
    "unknown kind": ("unknown-kind.md", "unknown-kind.md:3", 'no kind "newz"', "news, notice, policy"),
    "too long for an outlet": ("long-title.md --outlets site,wechat", "wechat: title", "", "leave wechat out"),
    "no title": ("untitled.md", "untitled.md:1", "no title", "title: …"),
    "no text": ("no-text.md", "no-text.md", "no text", "below the front matter"),
    "corrupt picture": ("corrupt.md", "corrupt.md:4", "damaged or incomplete", "save it again"),
    "oversize picture": ("oversize.md", "oversize.md:4", "the limit is 20 MiB", "smaller"),
    "picture not there": ("no-picture.md", "no-picture.md:4", 'no file "nowhere.png"', "put it there"),
    "script in Markdown": ("script.md", "script.md:6", "<script>", ""),
    "script in HTML": ("script.html", "script.html:1", "onclick", ""),
    "naive time": ("new.md --outlets site --at 2090-01-02T09:00", "--at", "has no offset", "+08:00"),
    "naive time in the file": ("naive.md", "naive.md:3", "has no offset", "+08:00"),
    "past time": ("new.md --outlets site --at 2020-01-02T09:00Z", "--at", "in the past", "`now` or a later time"),
    "past time in the file": ("past.md --outlets site", "past.md: release_at", "has passed", "--at now"),
    "time that is skipped": (f"new.md --outlets site --at {GAP}", "--at", "does not exist", "the next valid time is"),
    "time that is skipped, in the file": ("gap.md", "gap.md:3", "does not exist", "T03:00+02:00"),
    "time that comes twice": (f"new.md --outlets site --at {TWICE}", "--at", "comes twice", "T02:30+02:00"),
    "time that comes twice, in the file": ("twice.md", "twice.md:3", "comes twice", "T02:30+01:00"),
    "no time": ("new.md --outlets site --at tomorrow", "--at", "cannot be read", "+08:00"),
    "unknown zone": ("new.md --outlets site --at 2090-01-02T09:00[Asia/Shangai]", "--at", "no time zone", "/Shanghai"),
    "blank time": ("new.md --outlets site --at ''", "--at", "cannot be read", "+08:00"),
    "embargo, now": ("embargo.md --outlets site --at now", "release_at", "until 2090-01-02T01:00:00.000Z", "later"),
    "embargo, no time": ("embargo.md --outlets site", "release_at", "under embargo", "later"),
    "embargo, earlier": ("embargo.md --outlets site --at 2089-01-02T09:00Z", "release_at", "under embargo", "later"),
    "embargo of a second item": ("new.md embargo.md --outlets site --at now", "release_at", "under embargo", "later"),
    "embargo in the file": ("contradiction.md", "contradiction.md:4", "before the end of the embargo", "or later"),
    "items that disagree": ("later.md new.md", "--at", "disagree", "say it once for all with --at"),
    "unknown outlet": ("new.md --outlets sitte", "outlet sitte", "no such outlet", "did you mean site?"),
    "unknown outlet in the file": ("unknown-outlet.md", "outlet sitte", "no such outlet", "did you mean site?"),
    "outlet named twice": ("new.md --outlets site,mastodon,site", "outlet site", "named twice", "once"),
    "outlet named twice in the file": ("outlet-twice.md", "outlet-twice.md:3", "twice", "remove one"),
    "no outlet named": ("new.md", "--outlets", "no outlet is named", "outlets: mastodon, paused, real, site, wechat"),
    "blank outlets": ("new.md --outlets ,", "--outlets", "empty", "leave the option out"),
    "unknown group": ("new.md --group idel", "group idel", "no outlet is in it", "did you mean idle?"),
    "unknown group in the file": ("unknown-group.md", "group al", "no outlet is in it", "groups: idle"),
    "blank group": ("new.md --group ''", "--group", "empty", "leave the option out"),
    "paused outlet": ("new.md --outlets paused", "outlet paused", "it is paused", "tongfa outlet resume paused"),
    "paused outlet of a group": ("new.md --group idle", "outlet paused", "it is paused", "tongfa outlet resume paused"),
    "retired outlet": ("new.md --outlets retired", "outlet retired", "it is retired", "leave it out"),
    "live beside sandbox": ("new.md --outlets site,real", "--outlets", "do not mix", "leave out site"),
    "the same content": ("published.md --outlets site", TITLE, "has this very content, verified on site", "--again"),
    "one item twice": ("new.md new.md --outlets site", "publish", "named twice", "once"),
    "file and item missing": ("nowhere.md --outlets site", "nowhere.md", "neither a file nor an item", "item list"),
    "a folder": ("folder.md --outlets site", "folder.md", "a folder", "file in it"),
    "not readable": ("unreadable.md --outlets site", "unreadable.md", "cannot be read", "readable"),
    "not UTF-8": ("gbk.md --outlets site", "gbk.md:2", "not UTF-8 (it looks like GBK)", "save it as UTF-8"),
    "not an item's file": ("plain.txt --outlets site", "plain.txt", "not written in such a file", ".md"),
    "aligned under embargo": ("embargo.md --outlets site --align aligned", "--align", "embargo", "not-before"),
    "unknown policy": ("new.md --policy some", "--policy", "'some' is not one of 'all'", "tongfa publish --help"),
    "unknown alignment": ("new.md --align left", "--align", "'left' is not one of", "tongfa publish --help"),
    "wait for a word": ("new.md --outlets site --wait soon", "soon", "neither a file nor an item", ""),
    "wait with a unit": ("new.md --outlets site --wait 5m", "--wait", "valid number", "tongfa publish --help"),
    "wait for less than nothing": ("new.md --outlets site --wait -5", "--wait", "greater than or equal to 0", "--help"),
    "wait for no number": ("new.md --outlets site --wait nan", "--wait", "must be", "tongfa publish --help"),
    "wait for ever": ("new.md --outlets site --wait=inf", "--wait", "must be", "tongfa publish --help"),
    "blank request": ("new.md --outlets site --request-id ''", "--request-id", "empty", "leave the option out"),
    "unknown option": ("new.md --outlet site", "tongfa publish", "No such option: --outlet", "did you mean --outlets?"),
    "nothing to publish": ("", "tongfa publish", "Missing argument", "tongfa publish --help"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", PUBLISH)
def test_what_cannot_be_published_is_refused(house: House, wrong: str) -> None:
    """Nothing is planned, stored or sent."""
    text, where, says, mend = PUBLISH[wrong]
    command, _, at = text.partition(" --at ")
    arguments = [part.strip("'") for part in command.split()] + (["--at", at.strip("'")] if at else [])
    refused(house.door, "publish", *arguments, where=where, says=says, mend=mend)


COMMANDS: dict[str, tuple[str, str, str, str]] = {
    "item: a folder": ("item add folder.md", "folder.md", "no such file", "correct the path"),
    "item: not there": ("item add nowhere.md", "nowhere.md", "no such file", "correct the path"),
    "item: unknown key": ("item add unknown-key.md", "unknown-key.md:3", "sumary", "`summary`"),
    "item: unknown": ("item show 0123456789abcdef", "item 0123456789abcdef", "no such item", "tongfa item list"),
    "release: unknown": ("release show 0123", "release 0123", "no such release", "tongfa release list"),
    "release: hold unknown": ("release hold 0123", "release 0123", "no such release", "tongfa release list"),
    "release: resume unknown": ("release resume 0123", "release 0123", "no such release", "tongfa release list"),
    "release: cancel unknown": ("release cancel 0123", "release 0123", "no such release", "tongfa release list"),
    "release: hold too late": ("release hold {release}", "{release}", "it is released", "only forward"),
    "release: resume too late": ("release resume {release}", "{release}", "it is released", "only forward"),
    "release: cancel too late": ("release cancel {release}", "{release}", "it is released", "only forward"),
    "delivery: unknown": ("delivery show 0123", "delivery 0123", "no such delivery", "tongfa delivery list"),
    "delivery: retry unknown": ("delivery retry 0123", "delivery 0123", "no such delivery", "tongfa delivery list"),
    "delivery: settle unknown": (
        "delivery settle 0123 --found nothing", "delivery 0123", "no such delivery", "tongfa delivery list"),
    "delivery: retry what is public": ("delivery retry {delivery}", "{delivery}", "cannot be retried", "no decision"),
    "delivery: drop what is public": ("delivery drop {delivery}", "{delivery}", "cannot be dropped", "no decision"),
    "delivery: settle what is clear": (
        "delivery settle {delivery} --found hidden", "{delivery}", "cannot be settled", "no decision"),
    "delivery: settled how": ("delivery settle {delivery}", "tongfa delivery settle", "Missing option", "--help"),
    "delivery: settled as what": (
        "delivery settle {delivery} --found gone", "--found", "'gone' is not one of", "tongfa delivery settle --help"),
    "delivery: settled where": ("delivery settle {delivery} --found public", "--url", "needed", "paste"),
    "delivery: settled at no address": (
        "delivery settle {delivery} --found public --url javascript:1", "--url", "no address of a page", "https://"),
    "delivery: unknown state": ("delivery list --state gone", "--state", "'gone' is not one of 'planned'", "--help"),
    "log: unknown format": ("log list --format xml", "--format", "'xml' is not one of 'jsonl', 'csv'", "--help"),
    "log: no time": ("log list --since yesterday", "--since", "cannot be read", "+08:00"),
    "log: unknown item": ("log list --item 0123", "item 0123", "no such item", "tongfa item list"),
    "log: unknown outlet": ("log list --outlet sitte", "outlet sitte", "no such outlet", "did you mean site?"),
    "outlet: name taken": ("outlet add site --kind website", "outlet site", "one of this name", "outlet set site"),
    "outlet: name was taken": ("outlet add retired --kind website", "outlet retired", "retired", "choose another"),
    "outlet: no name": ("outlet add Größe --kind website", "outlet Größe", "not a name", "lower-case letters"),
    "outlet: no kind": ("outlet add new", "tongfa outlet add", "Missing option '--kind'", "--help"),
    "outlet: unknown kind": ("outlet add new --kind webiste", "kind webiste", "no such kind", "did you mean website?"),
    "outlet: unknown setting": (
        "outlet add new --kind website --set site_nme=x", "--set site_nme", "no such setting", "mean site_name?"),
    "outlet: no value": ("outlet add new --kind website --set site_name", "--set site_name", "no value", "site_name=…"),
    "outlet: setting twice": (
        "outlet add new --kind website --set theme=a --set theme=b", "--set theme", "given twice", "once"),
    "outlet: unknown secret": (
        "outlet add new --kind wechat --secret app_secre=x", "--secret app_secre", "no such secret", "app_secret?"),
    "outlet: a secret as setting": (
        "outlet add new --kind wechat --set app_secret=x", "--set app_secret", "no setting", "--secret app_secret=…"),
    "outlet: a setting as secret": (
        "outlet add new --kind wechat --secret app_id=x", "--secret app_id", "no secret of", "--set app_id=…"),
    "outlet: secret not in its file": (
        "outlet add new --kind wechat --secret app_secret=@nowhere", "--secret app_secret",
        "nowhere cannot be read: No such file", "name a file"),
    "outlet: secret in a folder": (
        "outlet add new --kind wechat --secret app_secret=@folder.md", "--secret app_secret", "Is a directory", "file"),
    "outlet: secret in a blank file": (
        "outlet add new --kind wechat --secret app_secret=@blank-secret.txt", "--secret app_secret", "empty", "put"),
    "outlet: secret is no text": (
        "outlet add new --kind wechat --secret app_secret=@no-text-secret.bin", "app_secret", "no text file", "UTF-8"),
    "outlet: secret not in the environment": (
        "outlet add new --kind wechat --secret app_secret=env:NOWHERE", "app_secret", "has no NOWHERE", "export"),
    "outlet: secret not on stdin": (
        "outlet add new --kind wechat --secret app_secret=-", "app_secret", "empty", "app_secret=@FILE"),
    "outlet: live without settings": (
        "outlet add new --kind wechat --live", "kind wechat", "needs all its settings",
        "add --set app_id=… --secret app_secret=@FILE"),
    "outlet: live with a blank setting": (
        "outlet add new --kind wechat --live --set app_id= --secret app_secret=env:HOME", "kind wechat",
        "needs all its settings", "add --set app_id=…"),
    "outlet: live at what is no address": (
        "outlet add new --kind webhook --live --set url=ftp://x --secret secret=whsec_zz", "--set url", "no address",
        "https://"),
    "outlet: live with what is no secret": (
        "outlet add new --kind webhook --live --set url=https://a.example --secret secret=whsec_zz", "--secret secret",
        "1 bytes", "make a new one"),
    "outlet: a sandbox with what could never go live": (
        "outlet add new --kind webhook --set url=ftp://x --secret secret=whsec_zz", "--set url", "no address", "write"),
    "outlet: a sandbox of a colour that is none": (
        "outlet add new --kind website --set theme=red", "--set theme", "cannot be the main colour", "contrast"),
    "outlet: set a colour that is none": (
        "outlet set site --set theme=red", "--set theme", "cannot be the main colour", "contrast"),
    "outlet: made live without settings": ("outlet set wechat --live", "kind wechat", "needs all", "--set app_id=…"),
    "outlet: set nothing": ("outlet set site", "outlet set", "nothing to change", "tongfa outlet set site"),
    "outlet: set unknown": ("outlet set sitte --optional", "outlet sitte", "no such outlet", "did you mean site?"),
    "outlet: set an unknown setting": ("outlet set site --set them=x", "--set them", "no such setting", "theme?"),
    "outlet: set what is retired": ("outlet set retired --optional", "outlet retired", "it is retired", "another one"),
    "outlet: check unknown": ("outlet check sitte", "outlet sitte", "no such outlet", "did you mean site?"),
    "outlet: pause unknown": ("outlet pause sitte", "outlet sitte", "no such outlet", "did you mean site?"),
    "outlet: resume unknown": ("outlet resume sitte", "outlet sitte", "no such outlet", "did you mean site?"),
    "outlet: remove twice": ("outlet remove retired", "outlet retired", "it is retired", "outlets: mastodon"),
    "outlet: group of none": ("outlet group site", "tongfa outlet group", "Missing argument", "--help"),
    "channel: unknown": ("channel show webiste", "kind webiste", "no such kind", "did you mean website?"),
    "worker: unknown lane": ("worker --lane relase", "--lane", "'relase' is not one of 'prepare', 'release'", "--help"),
    "up: all the world": ("up --host 0.0.0.0", "--host", "this machine only", "leave --host out"),
    "up: no such port": ("up --port 65536", "--port", "less than or equal to 65535", "tongfa up --help"),
    "limit of nothing": ("item list --limit 0", "--limit", "greater than or equal to 1", "tongfa item list --help"),
    "unknown command": ("publsh new.md", "tongfa", "Did you mean 'publish'?", "tongfa --help"),
    "unknown verb": ("outlet delete site", "tongfa outlet", "No such command 'delete'", "tongfa outlet --help"),
    "too much": ("setup everything", "tongfa setup", "unexpected extra argument", "tongfa setup --help"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", COMMANDS)
def test_what_a_command_cannot_do_is_refused(house: House, wrong: str) -> None:
    """The same for every other command."""
    text, where, says, mend = COMMANDS[wrong]
    known = {"release": house.release, "delivery": house.delivery}
    refused(house.door, *text.format(**known).split(), where=where.format(**known), says=says, mend=mend)


def test_what_runs_already_is_not_started_again(tmp_path: Path, mode: Mode) -> None:
    """Two of them would share the sandboxes' folders and ports."""
    there = Installation(tmp_path / "home", mode=mode)
    with staying(there, "up", "--port", "0", "--no-worker", "--json"):
        for command in ("up --port 0", "demo --once"):
            says = "runs this installation already"
            refused(Door(there), *command.split(), where="TONGFA_HOME", says=says, mend="another folder")


def test_wrong_credentials_hold_the_release(house: House) -> None:
    """Exit 3: nothing went out, the report says what the outlet said and what to do; `outlet check` says it before."""
    said, sent = "AppSecret refused: check app_secret", house.installed.record("wechat")
    checked = house.door.run("outlet", "check", "real", "--json")
    assert (7, False) == (checked.code, checked.json["ok"])
    assert said in checked.json["message"] and "tongfa outlet set real" in checked.json["mend"]
    assert said in house.door.run("outlet", "check", "real").err

    told = house.door.run("publish", "new.md", "--outlets", "real", "--wait", "60", "--json")
    assert (3, "held") == (told.code, told.json["state"])
    (delivery,) = told.json["deliveries"]
    assert "failed" == delivery["state"] and said in delivery["problems"][0]["message"] and said in told.json["why"]
    assert "tongfa outlet set real" in delivery["next"] and "tongfa outlet check real" in delivery["next"]
    assert f"tongfa release resume {told.json['release']}" in told.json["next"]
    shown = house.door.run("release", "show", told.json["release"], "--wait", "1")
    assert 3 == shown.code
    assert said in shown.out and delivery["next"] in shown.out and told.json["next"] in shown.out
    assert [] == [line for line in house.installed.record("wechat")[len(sent) :] if line["applied"]]

    name, mend = f"delivery {delivery['id']}", "tongfa release resume"  # which tries again what failed
    refused(house.door, "delivery", "retry", delivery["id"], where=name, says="cannot be retried", mend=mend)
    way = f"tongfa delivery show {delivery['id']}"
    refused(house.door, "outlet", "remove", "real", where="outlet real", says="is under way there", mend=way)
    assert "cancelled" == house.door.done("release", "cancel", told.json["release"])["state"]


def test_every_fault_of_a_file_is_told_at_once(house: House) -> None:
    """A person mends it in one go."""
    told = house.door.run("item", "add", "two-faults.md", "--json")
    assert 2 == told.code
    assert ["two-faults.md:3", "two-faults.md:4"] == [one["where"] for one in told.json["error"]["each"]]
    text = house.door.run("item", "add", "two-faults.md").err
    assert 2 == text.count("error ") == text.count("mend ") and "2026-02-30" in text


def test_a_repeated_request_returns_the_first_result(house: House) -> None:
    """Also when the file is gone, when another is given, and when the two come at the same time."""
    write_item(house.door.folder / "once", "once").rename(house.door.folder / "once.md")
    (house.door.folder / "times.csv").write_bytes("站点,首班\r\n".encode())
    order = ("--outlets", "mastodon", "--at", "2090-01-02T09:00Z", "--request-id")
    both = house.installed.run_all(*2 * [("publish", "once.md", *order, "7", "--json")])
    releases = {told.json["release"] for told in both}
    assert 1 == len(releases)
    (house.door.folder / "once.md").unlink()
    before = house.door.snapshot()
    assert releases == {house.door.done("publish", "once.md", *order, "7")["release"]}
    assert releases == {house.door.done("publish", "new.md", *order, "7")["release"]}
    assert before == house.door.snapshot()
    house.door.done("release", "cancel", *releases)
