"""Who may do what: the one function that says so, and the changes of people and units.

Until people sign in, a command names its person with --as, and every entry says so. Whoever may run commands
could name anybody: what is kept apart here is what the log and the database then hold against them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from sqlalchemy import Connection

from sync.engine.context import Context
from sync.model import BadInput
from sync.store import people
from sync.store.outlets import Unknown
from sync.store.people import NONE, RULES, THREE
from sync.store.tables import Record

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
WRITES = ("editor", "reviewer", "publisher")  # whose text it may be
ORDERS = ("editor", "publisher")  # who plans, and decides on what went wrong
STOPS = ("editor", "reviewer", "publisher", "admin")  # who may stop what is not out yet


def acting_as(ctx: Context, name: str, how: str) -> Context:
    """The same context, acting for this person. `how` they were identified stands in every entry. Raises BadInput."""
    with ctx.store.read() as connection:
        row = known(connection, name, "--as")
    if row.state != "active":
        raise BadInput("--as", f"{name} is {row.state}", "name somebody who is active: `tongfa user list`")
    return replace(ctx, actor=f"{name} ({how})", named=name)


def known(connection: Connection, name: str, where: str = "user") -> Record:
    """A person's row. Raises BadInput naming the nearest."""
    try:
        return people.get(connection, name)
    except Unknown:
        names = [row.name for row in people.every(connection)]
        near = get_close_matches(name, names, n=1)
        mend = f"did you mean {near[0]}? " if near else ""
        raise BadInput(
            f"{where} {name}", "there is no such user", f"{mend}users: {', '.join(names) or 'none yet'}"
        ) from None


def known_unit(connection: Connection, unit_id: str) -> Record:
    """A unit's row. Raises BadInput naming what there is."""
    try:
        return people.unit_of(connection, unit_id)
    except Unknown:
        there = ", ".join(row.id for row in people.units(connection))
        raise BadInput(f"unit {unit_id}", "there is no such unit", f"units: {there}") from None


def acting(ctx: Context, connection: Connection, units: Collection[str], roles: Collection[str]) -> Record | None:
    """May the person of this command do this in one of these units? The answer to every such question.

    Returns the person; None for the local operator, who may where no unit asks for reviews. Raises BadInput.
    """
    ruled = [one for one in sorted(units) if people.unit_of(connection, one).review == THREE]
    if ctx.named is None:
        if ruled:
            mend = f"add --as USER: somebody of it who is {' or '.join(roles)} (`tongfa user list`)"
            raise BadInput("--as", f"unit {ruled[0]} asks for reviews: whoever acts there is named", mend)
        return None
    row = known(connection, ctx.named, "--as")
    if row.state != "active":
        raise BadInput("--as", f"{row.name} is {row.state}", "name somebody who is active: `tongfa user list`")
    if not ruled:
        return row
    if row.unit not in units:
        raise BadInput("--as", f"{row.name} belongs to unit {row.unit}", f"name somebody of {', '.join(sorted(units))}")
    if not set(roles) & set(people.roles_of(row)):
        have = ", ".join(people.roles_of(row)) or "nothing"
        raise BadInput("--as", f"{row.name} is {have}", f"this needs somebody who is {' or '.join(roles)}")
    return row


def home_unit(ctx: Context, connection: Connection, given: str | None) -> str:
    """The unit that something new belongs to: as named, else the person's, else the only one. Raises BadInput."""
    mine = known(connection, ctx.named, "--as").unit if ctx.named is not None else None
    if given is not None:
        known_unit(connection, given)
        if mine not in (None, given) and "admin" not in people.roles_of(people.get(connection, str(ctx.named))):
            raise BadInput(f"--unit {given}", f"{ctx.named} belongs to unit {mine}", "leave --unit out")
        return given
    if mine is not None:
        return str(mine)
    units = [row.id for row in people.units(connection)]
    if len(units) > 1:
        raise BadInput("--unit", "there are several units", f"name one, or add --as USER: {', '.join(units)}")
    return str(units[0])


def administrator(ctx: Context, connection: Connection) -> Record | None:
    """The administrator of this command; None while there is none at all: the local operator makes the first."""
    if ctx.named is None:
        if people.active(connection, "admin"):
            raise BadInput("--as", "this is an administrator's", "add --as ADMIN (`tongfa user list`)")
        return None
    row = known(connection, ctx.named, "--as")
    if not row.admin or row.state != "active":
        raise BadInput("--as", f"{row.name} is no administrator", f"name one: {_administrators(connection)}")
    return row


def second(ctx: Context, connection: Connection, name: str | None, what: str) -> str:
    """The other administrator whom an act needs. Raises BadInput."""
    if name is None:
        raise BadInput(
            "--second", f"{what} needs two administrators", f"add --second ADMIN: {_administrators(connection)}"
        )
    row = known(connection, name, "--second")
    if not row.admin or row.state != "active":
        raise BadInput("--second", f"{name} is no administrator", f"name another: {_administrators(connection)}")
    if name == ctx.named:
        raise BadInput("--second", f"{name} is the first one already", "name another administrator")
    return name


def going_live(ctx: Context, connection: Connection, name: str | None) -> str | None:
    """Whether an outlet may be marked live: with accounts that takes two administrators, of whom the other is
    returned. None while there are none: the local operator decides. Raises BadInput."""
    if not people.active(connection, "admin"):
        return None
    administrator(ctx, connection)
    return second(ctx, connection, name, "marking an outlet live")


def _administrators(connection: Connection) -> str:
    return ", ".join(people.active(connection, "admin")) or "none yet; `tongfa user add` makes one"


# units


def add_unit(ctx: Context, unit_id: str, name: str, level: str, review: str) -> None:
    """A further unit. Raises BadInput; then nothing was changed."""
    if not NAME.fullmatch(unit_id):
        raise BadInput(f"unit {unit_id}", "not an id for a unit", "use lower-case letters, digits and hyphens")
    _rule(review)
    with ctx.store.write() as connection:
        administrator(ctx, connection)
        if any(row.id == unit_id for row in people.units(connection)):
            raise BadInput(f"unit {unit_id}", "there is one of this id already", f"`tongfa unit set {unit_id}`")
        now = ctx.store.now(connection)
        people.add_unit(connection, unit_id, name, level, review, at=now, actor=ctx.actor)


def set_unit(ctx: Context, unit_id: str, second_admin: str | None, **values: str | None) -> None:
    """Change name, level or rule. Relaxing the rule needs two administrators. Raises BadInput."""
    given = {key: value for key, value in values.items() if value is not None}
    if not given:
        raise BadInput("unit set", "nothing to change is named", f"`tongfa unit set {unit_id} --review three`")
    with ctx.store.write() as connection:
        row = known_unit(connection, unit_id)
        by = administrator(ctx, connection)
        if by is None:
            raise BadInput(
                "--as", "this is an administrator's", "`tongfa user add NAME … --role admin` makes the first"
            )
        review = _rule(given.get("review", row.review))
        other = None
        if row.review == THREE and review == NONE:
            other = second(ctx, connection, second_admin, "relaxing the rule")
        now = ctx.store.now(connection)
        people.change_unit(connection, row, at=now, actor=ctx.actor, by=by.name, second=other, **given)


def _rule(review: str) -> str:
    if review not in RULES:
        raise BadInput("--review", f"{review!r} is no rule", f"rules: {', '.join(RULES)}")
    return review


# people


def add_person(
    ctx: Context, name: str, full_name: str, unit_id: str | None, roles: Collection[str], second_admin: str | None
) -> None:
    """A person who can be named. Raises BadInput; then nothing was changed."""
    if not NAME.fullmatch(name):
        raise BadInput(f"user {name}", "not a name for a user", "use lower-case letters, digits and hyphens")
    if not full_name.strip():
        raise BadInput("--name", "it is empty", "give the person's name, as documents show it")
    _roles(roles)
    with ctx.store.write() as connection:
        administrator(ctx, connection)
        if any(row.name == name for row in people.every(connection)):
            raise BadInput(f"user {name}", "there is one of this name already", f"`tongfa user set {name}`")
        home = known_unit(connection, unit_id).id if unit_id is not None else home_unit(ctx, connection, None)
        if "admin" in roles:
            _two(ctx, connection, second_admin)
        now = ctx.store.now(connection)
        people.add(connection, name, full_name.strip(), home, roles, at=now, actor=_both(ctx, second_admin))


def set_person(
    ctx: Context,
    name: str,
    second_admin: str | None,
    *,
    full_name: str | None = None,
    unit_id: str | None = None,
    roles: Collection[str] | None = None,
) -> None:
    """Another full name, unit or set of roles. Raises BadInput; then nothing was changed."""
    values: dict[str, Any] = {
        key: value for key, value in (("full_name", full_name), ("unit", unit_id)) if value is not None
    }
    if not values and roles is None:
        raise BadInput("user set", "nothing to change is named", f"`tongfa user set {name} --role reviewer`")
    _roles(roles or ())
    with ctx.store.write() as connection:
        row = known(connection, name)
        administrator(ctx, connection)
        if unit_id is not None:
            known_unit(connection, unit_id)
        if roles is not None and ("admin" in roles) != row.admin:
            _two(ctx, connection, second_admin)
            if row.admin:
                _not_the_last(connection, name)
        now, actor = ctx.store.now(connection), _both(ctx, second_admin)
        people.change(connection, row, "changed", at=now, actor=actor, roles=roles, **values)


def set_state(ctx: Context, name: str, state: str, second_admin: str | None) -> None:
    """`active` or `disabled`: whoever is disabled can act no more; what they did stays theirs. Raises BadInput."""
    with ctx.store.write() as connection:
        row = known(connection, name)
        administrator(ctx, connection)
        if row.state == state:
            raise BadInput(f"user {name}", f"it is {state} already", "`tongfa user list` shows everybody")
        if row.admin:
            _two(ctx, connection, second_admin)
            if state != "active":
                _not_the_last(connection, name)
        now, act = ctx.store.now(connection), "disabled" if state != "active" else "enabled"
        people.change(connection, row, act, at=now, actor=_both(ctx, second_admin), state=state)


def _two(ctx: Context, connection: Connection, second_admin: str | None) -> None:
    """Who may relax the rule is not one person's choice, once there are two and a rule."""
    ruled = any(row.review == THREE for row in people.units(connection))
    if ruled and len(people.active(connection, "admin")) > 1:
        second(ctx, connection, second_admin, "making or unmaking an administrator")


def _not_the_last(connection: Connection, name: str) -> None:
    if people.active(connection, "admin") == [name]:
        raise BadInput(f"user {name}", "it is the last administrator", "make another one first")


def _both(ctx: Context, second_admin: str | None) -> str:
    return ctx.actor if second_admin is None else f"{ctx.actor}, seconded by {second_admin}"


def _roles(roles: Collection[str]) -> None:
    for role in roles:
        if role not in people.ROLES:
            raise BadInput("--role", f"{role!r} is no role", f"roles: {', '.join(people.ROLES)}")
