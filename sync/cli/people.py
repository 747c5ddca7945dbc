"""`tongfa unit …` and `tongfa user …`: whose items these are, and who may do what with them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from sync.bootstrap import create_home
from sync.cli.output import (
    As,
    Json,
    Second,
    document,
    group,
    say,
    settings,
    show_pairs,
    show_table,
    state_word,
    when,
    wired,
)
from sync.clock import SystemClock, iso
from sync.engine import people
from sync.engine.context import Context
from sync.store import journal
from sync.store import people as rows
from sync.store.tables import Record

unit = group("单位 units, and their rules of review")
user = group("人员 users: who writes, reviews and publishes")


class Rule(StrEnum):
    NONE = "none"
    THREE = "three"


class Role(StrEnum):
    EDITOR = "editor"
    REVIEWER = "reviewer"
    PUBLISHER = "publisher"
    ADMIN = "admin"
    AUDITOR = "auditor"


Unit = Annotated[str, typer.Argument(metavar="ID", help="the unit's id")]
User = Annotated[str, typer.Argument(metavar="NAME", help="the user's name, as --as takes it")]
Level = Annotated[str, typer.Option(metavar="LEVEL", help="county, town …")]
Roles = Annotated[list[Role] | None, typer.Option("--role", help="may be given several times")]


def register(app: typer.Typer) -> None:
    app.add_typer(unit, name="unit")
    app.add_typer(user, name="user")


# units


@unit.command("add")
def add_unit(
    unit_id: Unit,
    name: Annotated[str, typer.Option("--name", metavar="名称", help="as readers know it")],
    level: Level = "town",
    review: Annotated[Rule, typer.Option(help="none, or three reviews by three people")] = Rule.NONE,
    as_: As = None,
    json: Json = False,
) -> None:
    """Add a unit: an office, a town."""
    create_home(settings(), SystemClock())
    ctx = wired(as_=as_)
    people.add_unit(ctx, unit_id, name, level, review.value)
    _show_unit(ctx, unit_id, json)


@unit.command("list")
def list_units(json: Json = False) -> None:
    """All units and their rules."""
    with wired().store.read() as connection:
        listed = [_unit(row) for row in rows.units(connection)]
    if json:
        document({"units": listed})
        return
    show_table(
        ("unit", "name", "level", "review"),
        [(one["unit"], one["name"], one["level"], one["review"]) for one in listed],
    )


@unit.command("show")
def show_unit(unit_id: Unit, json: Json = False) -> None:
    """One unit, its people, and every change of its rule."""
    _show_unit(wired(), unit_id, json)


@unit.command("set")
def set_unit(
    unit_id: Unit,
    review: Annotated[Rule | None, typer.Option(help="relaxing it needs --second")] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="名称", help="as readers know it")] = None,
    level: Annotated[str | None, typer.Option(metavar="LEVEL", help="county, town …")] = None,
    as_: As = None,
    second: Second = None,
    json: Json = False,
) -> None:
    """Change a unit. What is planned already keeps the rule it was planned under."""
    ctx = wired(as_=as_)
    rule = review.value if review is not None else None
    people.set_unit(ctx, unit_id, second, review=rule, name=name, level=level)
    _show_unit(ctx, unit_id, json)


def _unit(row: Record) -> dict[str, Any]:
    return {"unit": row.id, "name": row.name, "level": row.level, "review": row.review}


def _show_unit(ctx: Context, unit_id: str, json: bool) -> None:
    with ctx.store.read() as connection:
        row = people.known_unit(connection, unit_id)
        members = [_user(one) for one in rows.every(connection) if one.unit == unit_id]
        history = _history(journal.of(connection, "unit", unit_id))
    told = {**_unit(row), "users": members, "history": history}
    if json:
        document(told)
        return
    show_pairs({"unit": told["unit"], "name": told["name"], "level": told["level"], "review": told["review"]})
    show_pairs({"user": [f"{one['user']} {one['name']} ({', '.join(one['roles'])})" for one in members]})
    _say_history(history)


# users


@user.command("add")
def add_user(
    name: User,
    full_name: Annotated[str, typer.Option("--name", metavar="姓名", help="as documents show it")],
    unit: Annotated[str | None, typer.Option(metavar="UNIT", help="where they belong")] = None,
    role: Roles = None,
    as_: As = None,
    second: Second = None,
    json: Json = False,
) -> None:
    """Add a person. The first administrator is made by whoever runs the installation."""
    create_home(settings(), SystemClock())
    ctx = wired(as_=as_)
    people.add_person(ctx, name, full_name, unit, _values(role), second)
    _show_user(ctx, name, json)


@user.command("list")
def list_users(json: Json = False) -> None:
    """Everybody, with their roles."""
    with wired().store.read() as connection:
        listed = [_user(row) for row in rows.every(connection)]
    if json:
        document({"users": listed})
        return
    show_table(
        ("user", "name", "unit", "role", "state"),
        [(one["user"], one["name"], one["unit"], ", ".join(one["roles"]), state_word(one["state"])) for one in listed],
    )


@user.command("set")
def set_user(
    name: User,
    full_name: Annotated[str | None, typer.Option("--name", metavar="姓名", help="as documents show it")] = None,
    unit: Annotated[str | None, typer.Option(metavar="UNIT", help="where they belong")] = None,
    role: Annotated[list[Role] | None, typer.Option("--role", help="all that they have from now on")] = None,
    enable: Annotated[bool, typer.Option("--enable", help="let them act again")] = False,
    as_: As = None,
    second: Second = None,
    json: Json = False,
) -> None:
    """Change a person's name, unit or roles. Their name in the log stays."""
    ctx = wired(as_=as_)
    if enable:
        people.set_state(ctx, name, "active", second)
    if full_name is not None or unit is not None or role or not enable:
        roles = _values(role) if role else None
        people.set_person(ctx, name, second, full_name=full_name, unit_id=unit, roles=roles)
    _show_user(ctx, name, json)


@user.command("disable")
def disable_user(name: User, as_: As = None, second: Second = None, json: Json = False) -> None:
    """Let a person act no more. What they did stays in the log."""
    ctx = wired(as_=as_)
    people.set_state(ctx, name, "disabled", second)
    _show_user(ctx, name, json)


def _values(roles: Sequence[Role] | None) -> list[str]:
    return list(dict.fromkeys(role.value for role in roles or ()))


def _user(row: Record) -> dict[str, Any]:
    roles = rows.roles_of(row)
    return {"user": row.name, "name": row.full_name, "unit": row.unit, "roles": roles, "state": row.state}


def _show_user(ctx: Context, name: str, json: bool) -> None:
    with ctx.store.read() as connection:
        told = _user(people.known(connection, name))
    if json:
        document(told)
    else:
        say(f"✓ {told['user']} {told['name']} · {told['unit']} · {', '.join(told['roles'])} · {told['state']}")


def _history(entries: Sequence[Record]) -> list[dict[str, Any]]:
    return [{"at": iso(one.at), "act": one.act, "actor": one.actor, "detail": one.detail} for one in entries]


def _say_history(history: Sequence[dict[str, Any]]) -> None:
    for one in history:
        detail = ", ".join(f"{key}={value}" for key, value in one["detail"].items() if value and key != "was")
        say(f"  {when(one['at'])}  {one['act']:<8} {one['actor']}  {detail}")
