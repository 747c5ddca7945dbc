"""How commands speak: one JSON document on stdout with --json, else text; progress and errors on stderr."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from sync.bootstrap import context
from sync.engine.context import Context
from sync.settings import Settings, read_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="同发 — one item, every outlet, one instant. 一次发布，处处同时。",
)
Json = Annotated[bool, typer.Option("--json", help="one JSON document on stdout")]
out, err = Console(), Console(stderr=True)

WORDS = {
    "zh-CN": {
        "outlet": "发布端",
        "kind": "类型",
        "state": "状态",
        "url": "地址",
        "visible": "可见时刻",
        "lateness": "延迟 ms",
        "match": "内容一致",
        "release": "同步发布",
        "release_at": "发布时刻",
        "skew": "时差",
        "problems": "问题",
        "item": "稿件",
        "title": "标题",
        "created": "建立时间",
        "required": "必需",
        "live": "正式",
        "held": "已暂停，未公开任何内容",
        "settings": "设置",
        "error": "错误",
        "mend": "处理办法",
        "log": "日志条目",
        "sent": "发出时差",
        "early": "最早",
        "late": "最晚",
        "worker": "工作进程",
    },
    "en": {},
}
STATES = {
    "planned": "已计划",
    "rendered": "已生成",
    "preparing": "预置中",
    "prepared": "已预置",
    "discarding": "清除中",
    "releasing": "发布中",
    "accepted": "平台处理中",
    "released": "已发布",
    "verified": "已核验",
    "closed": "人工了结",
    "withdrawing": "撤回中",
    "withdrawn": "已撤回",
    "unresolved": "待人工判断",
    "failed": "失败",
    "cancelled": "已取消",
    "open": "准备中",
    "ready": "就绪",
    "committed": "已提交",
    "held": "暂停",
}


def settings() -> Settings:
    return read_settings()


def wired() -> Context:
    """This command's context; entries name the person who ran it."""
    return context(settings(), "command", person=f"cli:{getpass.getuser()}")


def word(key: str) -> str:
    """A label in the installation's language."""
    return WORDS[settings().lang].get(key, key.replace("_", " "))


def state_word(state: str) -> str:
    return f"{STATES.get(state, state)} {state}" if settings().lang == "zh-CN" else state


def document(value: Any) -> None:
    """The one JSON document of a command."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def table(*columns: str) -> Table:
    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(word(column), overflow="fold")
    return made


def fail(arguments: Sequence[str], where: str, message: str, mend: str, code: int) -> NoReturn:
    """Say what is wrong, where, and how to mend it; as JSON too when that was asked for."""
    if "--json" in arguments:
        document({"error": {"where": where, "message": message, "mend": mend, "exit": code}})
    err.print(f"[bold red]{word('error')}[/] ", end="")
    err.print(f"{where}: {message}", markup=False, highlight=False)
    err.print(f"[bold]{word('mend')}[/] ", end="")
    err.print(mend, markup=False, highlight=False)
    raise SystemExit(code)
