"""What an installation stands on, examined with nothing but its settings: each is told although all else fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sync import confine
from sync.bell import reachable
from sync.engine.finding import Finding, Said, guarded
from sync.model import BadInput
from sync.render import FOLDER, OWN, Templates
from sync.settings import Settings
from sync.store import outlets
from sync.store.session import MIGRATE, Store
from sync.store.tables import SCHEMA
from sync.vault import Vault

FONTS = Path("/usr/share/fonts/opentype/noto/NotoSerifCJK-Regular.ttc")
LEAST_FREE = 0.05
RESTORE = Said("改正其设置，或由备份恢复", "mend its settings, or restore it from a backup")
READABLE = Said("将该文件或目录的权限给予此用户", "give this user the file or folder")
SET_UP = Said(
    "用 `tongfa setup` 建立，或将 TONGFA_HOME 设为已有的安装目录",
    "`tongfa setup` makes one; or set TONGFA_HOME to the folder of one",
)


def findings(settings: Settings) -> list[Finding]:
    """Every check, also those that passed. Raises nothing that was foreseen: that is a finding, too."""
    found = [one for name, look, mend in FIRST for one in guarded(name, partial(look, settings), mend)]
    found += guarded("key", partial(_key, settings, stored=stands(found)), READABLE)
    return found + [one for name, look in REST for one in guarded(name, partial(look, settings), READABLE)]


def stands(found: Sequence[Finding]) -> bool:
    """Whether there is an installation to examine further: a home, and a database of a schema that we know. One that
    is damaged, or would lose something with the power, is examined all the same."""
    level = {one.check: one.level for one in found}
    return level["home"] != "bad" and level.get("migrations", "bad") != "bad"


def _home(settings: Settings) -> list[Finding]:
    if settings.home.is_dir():
        return [Finding("home", "ok", str(settings.home))]
    message = Said(f"{settings.home} 处没有安装", f"there is no installation at {settings.home}")
    return [Finding("home", "bad", message, SET_UP)]


def _database(settings: Settings) -> list[Finding]:
    with _opened(settings) as store:
        if not store.database.exists():
            return [Finding("database", "bad", Said(f"{store.shown} 不存在", f"there is no {store.shown}"), SET_UP)]
        said = store.examine()
        if said == "ok":
            return [Finding("database", "ok", store.shown)]
        return [Finding("database", "bad", f"{store.shown}: {said}", RESTORE)]


def _migrations(settings: Settings) -> list[Finding]:
    with _opened(settings) as store:
        if not store.database.exists():
            return []  # told already
        found = store.schema()
        try:
            store.check_schema()
        except BadInput as error:
            zh = "数据库从未初始化" if found is None else f"数据库版本为 {found}，本程序需要 {SCHEMA}"
            update = Said("运行 `tongfa setup`，使数据库升至本版本", MIGRATE)
            newer = Said("运行建立此数据库的 `tongfa` 版本，或更新的版本", error.mend)
            mend = newer if found is not None and found > SCHEMA else update
            return [Finding("migrations", "bad", Said(zh, error.message), mend)]
        if found == SCHEMA:
            return [Finding("migrations", "ok", str(found))]
        message = Said(
            f"数据库版本 {found} 新于本程序（{SCHEMA}），可以同用",
            f"the database is at {found}, newer than this program ({SCHEMA}), and admits it",
        )
        return [Finding("migrations", "note", message, Said("将本程序一并更新", "update this program, too"))]


def _key(settings: Settings, *, stored: bool) -> list[Finding]:
    """Whether it is there, kept apart, and, by opening all that is `stored`, the one that sealed it."""
    path = settings.secret_key_path
    vault = Vault.at(path)  # BadInput: missing, damaged, or others may read it
    sealed = _sealed(settings) if stored else []
    shut = [f"{name}.{field}" for name, field, text in sealed if not _opens(vault, name, field, text)]
    if shut:
        message = Said(
            f"{len(sealed)} 个密文中有 {len(shut)} 个不能用此密钥打开：{'、'.join(shut)}",
            f"{len(shut)} of {len(sealed)} secrets do not open with this key: {', '.join(shut)}",
        )
        mend = Said(
            f"放回封存时所用的密钥文件（{path}），或用 `tongfa outlet set NAME --secret …` 重新给出",
            f"put the key file back that sealed them ({path}), "
            "or give them anew with `tongfa outlet set NAME --secret …`",
        )
        return [Finding("key", "bad", message, mend)]
    if path.is_relative_to(settings.home):
        message = Said(
            "密钥在数据目录内：备份数据目录即同时带走密文与密钥",
            "the key lies in the home: a backup of the home holds secrets and key",
        )
        mend = Said("用 TONGFA_SECRET_KEY_FILE 将密钥另放", "keep the key elsewhere with TONGFA_SECRET_KEY_FILE")
        return [Finding("key", "note", message, mend)]
    return [Finding("key", "ok", str(path))]


def _sealed(settings: Settings) -> list[tuple[str, str, str]]:
    """Outlet, name and sealed text of every secret."""
    with _opened(settings) as store, store.read() as connection:
        return [(row.name, field, text) for row in outlets.every(connection) for field, text in row.secrets.items()]


def _opens(vault: Vault, name: str, field: str, text: str) -> bool:
    try:
        vault.open(name, field, text)
    except BadInput:
        return False
    return True


def _broker(settings: Settings) -> list[Finding]:
    url = settings.broker_url
    if url is None:
        told = Said("未配置：工作进程自行查看", "none is configured: the workers look by themselves")
        return [Finding("broker", "ok", told)]
    failed = reachable(url)  # names no address: it may hold a password
    if failed is None:
        return [Finding("broker", "ok", Said("可收消息", "it takes messages"))]
    mend = Said(
        "启动它，或改正 TONGFA_BROKER_URL；在此之前工作进程自行查看，不会因此更迟",
        "start it, or mend TONGFA_BROKER_URL; until then workers look by themselves, and nothing is late by more",
    )
    return [Finding("broker", "bad", Said(f"无法连接（{failed}）", f"it cannot be reached ({failed})"), mend)]


def _disk(settings: Settings) -> list[Finding]:
    if not settings.home.is_dir():
        return []  # told already
    usage = shutil.disk_usage(settings.home)
    free = Said(f"剩余 {usage.free // 2**20} MiB", f"{usage.free // 2**20} MiB free")
    if usage.free < usage.total * LEAST_FREE:
        mend = Said("腾出空间：低于 5 % 时一切都不安全", "free some space: below 5 % nothing is safe")
        return [Finding("disk", "bad", free, mend)]
    return [Finding("disk", "ok", free)]


def _fonts(settings: Settings) -> list[Finding]:
    if FONTS.exists():
        return [Finding("fonts", "ok", Said("已安装 Noto Serif CJK", "Noto Serif CJK is installed"))]
    mend = Said("安装 Debian 的 fonts-noto-cjk", "install Debian's fonts-noto-cjk")
    return [Finding("fonts", "bad", Said("公报缺少中文字体", "no Chinese font for the gazette"), mend)]


def _walls(settings: Settings) -> list[Finding]:
    """What keeps the readers of strangers' files off the network and other files."""
    try:
        found = confine.walls()
    except confine.Failed as failed:
        message = Said(f"无法读取任何文件：{failed}", f"no file can be read: {failed}")
        return [Finding("confinement", "bad", message, failed.refusal("").mend)]
    message = Said(
        f"网络 {found.network} · 文件 {found.files} · 系统调用 {found.calls}",
        f"network: {found.network} · files: {found.files} · calls: {found.calls}",
    )
    if "none" in (found.network, found.files):
        mend = Said(
            "换用具备 Landlock 与网络命名空间的内核（现行发行版均有），方能完全隔离",
            "a kernel with Landlock and network namespaces, as current distributions have it, confines them wholly",
        )
        return [Finding("confinement", "note", message, mend)]
    return [Finding("confinement", "ok", message)]


def _templates(settings: Settings) -> list[Finding]:
    """The installation's own: those that cannot be used, and files that nothing uses."""
    own = Templates(own=settings.home / OWN)
    found = [Finding("templates", "bad", f"{one.where}: {one.message}", one.mend) for one in own.faults()]
    for name, meant in own.strange().items():
        path = settings.home / OWN / name
        message = Said(f"{path} 不替换任何模板", f"{path} stands in for no template")
        near = (f"改名为 {meant}？", f"did you mean {meant}? ") if meant else ("", "")
        mend = Said(f"{near[0]}程序自带的模板在 {FOLDER}", f"{near[1]}the program's own are in {FOLDER}")
        found.append(Finding("templates", "note", message, mend))
    used = own.standing_in()
    fine = Said(f"自有：{'、'.join(used) or '无'}", f"own: {', '.join(used) or 'none'}")
    return found or [Finding("templates", "ok", fine)]


@contextmanager
def _opened(settings: Settings) -> Iterator[Store]:
    store = Store(settings.database_url)
    try:
        yield store
    finally:
        store.close()


# Name, check, and the mend of whatever keeps it from looking. Without these there is nothing else to examine.
FIRST: tuple[tuple[str, Callable[[Settings], list[Finding]], Said], ...] = (
    ("home", _home, READABLE),
    ("database", _database, RESTORE),
    ("migrations", _migrations, RESTORE),
)
REST: tuple[tuple[str, Callable[[Settings], list[Finding]]], ...] = (
    ("broker", _broker),
    ("disk", _disk),
    ("fonts", _fonts),
    ("confinement", _walls),
    ("templates", _templates),
)
