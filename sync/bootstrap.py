"""Wires everything, in one place. Tests replace parts here and nowhere else."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from secrets import token_hex

from sqlalchemy import select

from channels import KINDS
from sync import bell
from sync.clock import Clock, SystemClock
from sync.contract import Channel, MailServer, Submission, Tools, TryLater, Unauthorised
from sync.engine import identity
from sync.engine.context import Context
from sync.engine.pace import Pace
from sync.engine.paced import Arming, PacedEgress, paced
from sync.engine.preview import Nowhere
from sync.engine.purse import Purse
from sync.engine.tokens import TokenKeeper
from sync.http import Http
from sync.model import BadInput, Outlet
from sync.ownership import Ownership, ProcessLock
from sync.render import OWN, Templates
from sync.session_lock import SessionLock
from sync.settings import Settings
from sync.smtp import Smtp
from sync.store import outlets, recovery
from sync.store.assets import AssetRows, Assets, AssetStore, Missing
from sync.store.session import Store
from sync.store.tables import Record, installation
from sync.vault import Vault, create_key

# Which sandbox server plays an outlet of this kind: what is not named has one of its own name.
SANDBOXES = {"website": "pages", "gazette": "pages"}
NEVER_RAN = "http://sandbox.invalid"  # the address of a sandbox that need not run for what is done


def kind(name: str) -> type[Channel]:
    """The channel class of a kind of outlet. Raises BadInput naming the known ones."""
    if name not in KINDS:
        raise BadInput(f"kind {name}", "there is no such kind of outlet", f"known: {', '.join(KINDS)}")
    module, _, attribute = KINDS[name].partition(":")
    found: type[Channel] = getattr(import_module(module), attribute)
    return found


def kinds() -> tuple[str, ...]:
    """Every kind of outlet there is."""
    return tuple(KINDS)


def sandbox_of(name: str) -> str:
    return SANDBOXES.get(name, name)


def sandbox_home(settings: Settings, server: str) -> Path:
    """Where a sandbox server keeps its record and writes its address."""
    return settings.home / "sandbox" / server


def create_home(settings: Settings, clock: Clock) -> None:
    """Make the data folder, its key and its database, or bring the database up to date. Repeatable.

    The home has logs, staged files and sandboxes also where the database is a server's. Raises BadInput
    when nothing can be made, or when another host founded the installation and its key is not here.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(str(settings.home), str(error.strerror), "choose another TONGFA_HOME, or free space") from error
    if settings.embedded and not settings.secret_key_path.exists():
        create_key(settings.secret_key_path)
    store = Store(settings.database_url)
    try:
        store.migrate()
        with store.write() as connection:  # one founds it, though several hosts try at once
            if connection.execute(select(installation.c.id)).first() is None:
                if not settings.secret_key_path.exists():
                    create_key(settings.secret_key_path)
                outlets.found_installation(
                    connection, installation_id=token_hex(16), host=socket.gethostname(), at=clock.now()
                )
            if recovery.host_of(connection) is None:
                host = identity.here(settings, connection)
                recovery.adopt(connection, host, at=clock.now(), actor="setup", detail={"why": "set up here"})
            known = outlets.identity(connection)
    finally:
        store.close()
    identity.keep(settings, known)
    if not settings.secret_key_path.exists():
        message = "this host does not have the key of the installation, which seals the outlets' secrets"
        mend = "bring that file here from a host that has it, or name it with TONGFA_SECRET_KEY_FILE"
        raise BadInput(str(settings.secret_key_path), message, mend)


def ownership(settings: Settings, lane: str) -> Ownership:
    """What proves that a process of this role lives: a locked file of the home, or a session of the server."""
    if settings.embedded:
        return ProcessLock(settings.home / "workers", lane)
    return SessionLock(settings.database_url, lane)


def context(
    settings: Settings,
    lane: str,
    *,
    person: str | None = None,
    clock: Clock | None = None,
    examining: bool = False,
) -> Context:
    """One process's context. `lane` is the process's role; `person` acts in a command instead of a worker.

    Raises BadInput when the home is missing, the database is not at this version's schema, or the key cannot be
    read. `examining`: without the key, too; live outlets then have no channel.
    """
    if not settings.home.is_dir():
        mend = "`tongfa setup`, `outlet add`, `up` or `demo` makes one; TONGFA_HOME names another folder"
        raise BadInput(str(settings.home), "there is no installation here", mend)
    clock = clock or SystemClock()
    store = Store(settings.database_url, lane)
    store.check_schema()
    assets: AssetStore = Assets(settings.home / "assets") if settings.embedded else AssetRows(store)
    if not (settings.home / identity.FILE).exists():  # another host joins by settings alone
        with store.read() as connection:
            identity.keep(settings, outlets.identity(connection))
    lock = ownership(settings, lane)
    ring = bell.silent if settings.broker_url is None else bell.bell_at(settings.broker_url).ring
    actor = person or f"{lock.name}:{os.getpid()}"
    return Context(
        store=store,
        assets=assets,
        settings=settings,
        clock=clock,
        kind=kind,
        channel=_channels(settings, assets, clock, lock, Pace(store, clock, ring, actor), examining=examining),
        ring=ring,
        lock=lock,
        actor=actor,
    )


def _channels(
    settings: Settings, assets: AssetStore, clock: Clock, lock: Ownership, pace: Pace, *, examining: bool
) -> Callable[[Record], Channel]:
    vault = cache(lambda: Vault.at(settings.secret_key_path))
    keeper, purse = TokenKeeper(pace.store, vault, lock, clock), Purse(pace.store, clock)
    arming = Arming(max(1, settings.workers_release_threads // 2))
    if not examining:
        vault()  # told at once, not at the first outlet
    pages = Templates(own=settings.home / OWN)

    making = threading.Lock()  # else as many threads as ask at first would each read the certificates

    @cache
    def made_for(private: bool) -> Http:
        return Http(private_network=private, now=clock.now)

    def egress(private: bool) -> Http:
        """Made when first needed: reading the certificates takes longer than most commands."""
        with making:
            return made_for(private)

    def mail(private: bool) -> Callable[[MailServer], Submission]:
        return lambda server: Smtp(egress(private), private_network=private).submission(server)

    def blob(digest: str) -> bytes:
        try:
            return assets.get(digest)
        except Missing as error:
            raise TryLater(str(error)) from error

    def channel(row: Record) -> Channel:
        """The row's channel; a non-live outlet's own address and secrets are never even opened."""
        made = kind(row.kind)
        outlet = Outlet(
            row.name, row.unit, row.kind, row.settings, {}, row.required, row.live, private_network=row.private_network
        )
        if row.live:
            try:
                opened = {name: vault().open(row.name, name, sealed) for name, sealed in row.secrets.items()}
            except BadInput as error:
                raise Unauthorised(str(error)) from error
            outlet = Outlet(row.name, row.unit, row.kind, row.settings, opened, row.required, True, row.private_network)
        else:
            server = sandbox_of(row.kind)
            home = sandbox_home(settings, server)
            outlet = made.twin(outlet, sandbox_address(settings, server, row.name), str(home / row.name))
        granted = made.can.budgets if row.live or settings.budgets == "all" else ()
        http = PacedEgress(egress(outlet.private_network), row, granted, pace, purse, clock)
        tools = Tools(http, blob, pages, clock.now, keeper.of(row), http.spend, mail(outlet.private_network))
        return paced(made(outlet, tools), http, row, pace, arming, clock)

    return channel


def previewing(settings: Settings, clock: Clock) -> Callable[[Record, Callable[[str], bytes]], Channel]:
    """Channels that can render and nothing else: no secret is opened, nothing goes out, no sandbox need run.

    The files come from the second argument, by digest.
    """
    pages = Templates(own=settings.home / OWN)

    def channel(row: Record, blob: Callable[[str], bytes]) -> Channel:
        made = kind(row.kind)
        outlet = Outlet(row.name, row.unit, row.kind, row.settings, {}, row.required, row.live, row.private_network)
        if not row.live:
            server = sandbox_of(row.kind)
            try:
                address = sandbox_address(settings, server, row.name)
            except TryLater:
                address = NEVER_RAN
            outlet = made.twin(outlet, address, str(sandbox_home(settings, server) / row.name))
        else:  # its twin's secrets are of the right form, and open nothing
            folder = str(sandbox_home(settings, sandbox_of(row.kind)) / row.name)
            outlet = replace(outlet, secrets=made.twin(outlet, NEVER_RAN, folder).secrets)
        return made(outlet, Tools(Nowhere(), blob, pages, clock.now))

    return channel


def make_once(settings: Settings, outlet: Outlet, clock: Clock) -> None:
    """Make the outlet's channel, which goes nowhere, and its sandbox twin's unless it is live.

    What a sandbox outlet was given for its live days is only looked at once it is whole. Raises BadInput for
    settings and secrets that no channel can be made of; `where` is then in the rule the setting's name.
    """

    def blob(digest: str) -> bytes:
        raise AssertionError(f"nothing is rendered: {digest}")

    made = kind(outlet.kind)
    tools = Tools(Nowhere(), blob, Templates(own=settings.home / OWN), clock.now)
    given = {**outlet.settings, **outlet.secrets}
    if outlet.live or all(given.get(one.name) for one in made.can.settings if one.required):
        made(outlet, tools)
    if not outlet.live:
        home = sandbox_home(settings, sandbox_of(outlet.kind)) / outlet.name
        made(made.twin(replace(outlet, secrets={}), NEVER_RAN, str(home)), tools)


def sandbox_address(settings: Settings, server: str, outlet: str) -> str:
    """Where a sandbox server is: as the settings say, else as it wrote itself.

    Raises TryLater when they do not say and that server never ran in this home.
    """
    if (told := settings.sandbox_url(server)) is not None:
        return told
    try:
        return (sandbox_home(settings, server) / "address").read_text().strip()
    except FileNotFoundError:
        message = f"{outlet} is a sandbox outlet and its sandbox server is not running; start `tongfa up`"
        raise TryLater(message) from None
