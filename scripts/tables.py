"""Writes the tables in the READMEs from the code: `python scripts/tables.py [--check]`.

Each stands between `<!-- NAME -->` and `<!-- /NAME -->`. With --check nothing is written; exit 1
when a table is not what the code says.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sync import contract, flow
from sync.bootstrap import kind, kinds
from sync.cli.words import STATES
from sync.settings import settings_table

ROOT = Path(__file__).parent.parent

# What the code says in English, for README.zh-CN.md. A name that is missing here is an error of `make tables`.
SETTINGS_ZH = {
    "TONGFA_HOME": "数据目录：本安装保存一切的地方。",
    "TONGFA_DATABASE_URL": "数据库：`sqlite:///…`（内嵌方式）或 `postgresql://…`。",
    "TONGFA_BROKER_URL": "唤醒工作进程的 Celery 消息中间件：`redis://…`、`amqp://…`。没有时工作进程自行查看。",
    "TONGFA_SECRET_KEY_FILE": "封存各发布端凭据的密钥文件，权限 0600。",
    "TONGFA_LANG": "消息所用语言。",
    "TONGFA_TIMEZONE": "向人显示时刻所用的时区。",
    "TONGFA_LEAD_MS": "立即发布（`now`）的时刻，按数据库时钟为提交后多少毫秒。",
    "TONGFA_LATE_LIMIT_S": "过了 `release_at` 之后等待必需发布端就绪的秒数；超过即暂停。",
    "TONGFA_ARM_BEFORE_S": "发布时刻之前多少秒开始建立连接、备好请求。",
    "TONGFA_COMMIT_BEFORE_S": "发布时刻之前多少秒提交；提交后只进不退。",
    "TONGFA_SHOT_WINDOW_S": "发布时刻之后多少秒内仍可发出请求。",
    "TONGFA_SWEEP_MS": "两次查找到期工作之间的毫秒数。",
    "TONGFA_LANDS_WITHIN_S": "一次请求发出后多少秒内仍可能生效，代替各类发布端自己的规定。"
    "只用于测试和沙箱：过小会造成重复发布。",
    "TONGFA_RELEASE_SHARD": "一次发布中由同一个发布进程发出的投送数；其余由其他发布进程分担。",
    "TONGFA_CLOCK_UNSYNCHRONISED": "内核报告时钟未同步时，正式发布如何处理：拒绝或接受。",
    "TONGFA_CLOCK_OFFSET_MS": "本机与数据库时钟允许相差的毫秒数；超过则不提交。",
    "TONGFA_WORKERS_PREPARE": "`tongfa up` 运行的预置（兼核验）进程数。",
    "TONGFA_WORKERS_RELEASE": "`tongfa up` 运行的发布进程数。",
    "TONGFA_WORKERS_PREPARE_THREADS": "每个预置（兼核验）进程的线程数。",
    "TONGFA_WORKERS_RELEASE_THREADS": "每个发布进程的线程数。",
    "TONGFA_SANDBOX_URLS": "位于其他主机的沙箱服务器，如 `mastodon=http://sandbox:9001,wechat=…`；"
    "`tongfa up` 运行的无须设置。",
    "TONGFA_BUDGETS": "遵守哪些发布端的调用配额：全部，或只是正式的（用于沙箱不设限的测试）。",
}
DEFAULTS_ZH = {  # defaults that are words
    "SQLite in the home": "数据目录中的 SQLite",
    "none": "无",
    "`~/.config/tongfa/secret.key`; embedded: `secret.key` in the home": "`~/.config/tongfa/secret.key`；"
    "内嵌方式：数据目录中的 `secret.key`",
    "from the locale": "取自系统语言",
    "each channel's own": "各类发布端自己的规定",
}
KINDS_ZH = {
    "website": "静态网站",
    "mastodon": "Mastodon 账号",
    "bluesky": "Bluesky 账号",
    "telegram": "Telegram 频道",
    "wordpress": "WordPress 网站",
    "wechat": "微信公众号",
    "webhook": "任何 Standard Webhooks 接收方",
    "gazette": "公报（HTML 和 PDF）",
    "email": "邮件列表",
    "apprise": "apprise 支持的推送服务",
    "manual": "由人发布的平台",
    "ghost": "Ghost 站点",
    "weibo": "新浪微博账号",
    "dingtalk": "钉钉群机器人",
    "feishu": "飞书群机器人",
    "wecom": "企业微信群机器人",
}
CAN_ZH = {
    "flip": "已就位，到点切换",
    "create": "到点提交内容",
    "queued": "到点提交，由平台处理",
    "notify": "通知，不可收回",
    "manual": "人工发布",
    "edit": "原址修改",
    "replace": "发布新稿，核验后移除旧稿",
    "none": "不能",
}
STATES_ZH = {  # who moves it on
    "planned": "预置进程",
    "rendered": "同一预置进程，或发现到期者；实行三审的，等待批准",
    "preparing": "预置进程得到的应答；进程中断后靠查核",
    "prepared": "发布进程，在提交时",
    "discarding": "预置进程得到的应答；清除可重复，无害",
    "releasing": "平台的应答；中断或不明时靠查核",
    "accepted": "向平台查询处理结果；人工任务由办理人说明结果",
    "released": "匿名回读，直至所见与定稿一致；更正的，旧稿也须消失",
    "verified": "终态",
    "closed": "终态：由人了结，或接收方没有公开页面",
    "withdrawing": "匿名回读，直至找不到；移除可重复，无害",
    "withdrawn": "终态",
    "unresolved": "由人到平台查看后判断",
    "failed": "由人决定重试或放弃",
    "cancelled": "终态",
}
RELEASE_STATES_ZH = {
    "open": "预置进程使各投送就绪",
    "ready": "发布进程，到时刻提交",
    "committed": "只进不退",
    "released": "终态：全部公开、撤回或了结",
    "held": "由人恢复或取消",
    "cancelled": "终态；隐藏的草稿被清除",
}


def states() -> str:
    """Every state of a delivery, the moves out of it, and who makes them."""
    rows = ["| state | in flight | moves to (by event) | moved on by |", "|---|---|---|---|"]
    for state, moves in flow.TABLE.items():
        to = " · ".join(f"{after} ({event.value})" for event, after in moves.items()) or "–"
        flying = "yes" if state in flow.IN_FLIGHT else ""
        rows.append(f"| {state} | {flying} | {to} | {flow.NEXT_MOVE[state]} |")
    return "\n".join(rows)


def release_states() -> str:
    """The same for a release."""
    rows = ["| state | moves to (by event) | moved on by |", "|---|---|---|"]
    for state, moves in flow.RELEASE_TABLE.items():
        to = " · ".join(f"{after} ({event.value})" for event, after in moves.items()) or "–"
        rows.append(f"| {state} | {to} | {flow.RELEASE_NEXT_MOVE[state]} |")
    return "\n".join(rows)


def joint() -> str:
    """What a delivery may do only while its release is in certain states."""
    rows = ["| event of a delivery | only while its release is |", "|---|---|"]
    for event, allowed in flow.ALLOWED.items():
        rows.append(f"| {event} | {' · '.join(state.value for state in flow.R if state in allowed)} |")
    return "\n".join(rows)


def outlet_kinds() -> str:
    """What each kind of outlet can do and is told."""
    rows = [
        "| kind | reveal | found again by | lands within | corrects | withdraws | settings (secrets*) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in kinds():
        can = kind(name).can
        told = ", ".join(f"`{one.name}`" + "*" * one.secret for one in can.settings)
        undo = "yes" if can.withdraw else "no"
        rows.append(
            f"| `{name}` | {can.reveal} | {can.probe} | {can.lands_within:g} s | {can.correct} | {undo} | {told} |"
        )
    return "\n".join(rows)


def kinds_en() -> str:
    """What an editor needs to know of each kind."""
    rows = ["| kind | how it becomes public | a correction | a withdrawal |", "|---|---|---|---|"]
    for name in kinds():
        can = kind(name).can
        rows.append(f"| `{name}` | {can.reveal} | {can.correct} | {'yes' if can.withdraw else 'no'} |")
    return "\n".join(rows)


def kinds_zh() -> str:
    rows = ["| 类型 | 说明 | 如何公开 | 更正 | 撤回 |", "|---|---|---|---|---|"]
    for name in kinds():
        can = kind(name).can
        does = f"{CAN_ZH[can.reveal]} | {CAN_ZH[can.correct]} | {'可以' if can.withdraw else '不能'}"
        rows.append(f"| `{name}` | {KINDS_ZH[name]} | {does} |")
    return "\n".join(rows)


def states_en() -> str:
    """All states in one table: who moves a delivery or release on."""
    rows = ["| of a | state | moved on by |", "|---|---|---|"]
    rows += [f"| delivery | `{state}` | {next_move} |" for state, next_move in flow.NEXT_MOVE.items()]
    rows += [f"| release | `{state}` | {next_move} |" for state, next_move in flow.RELEASE_NEXT_MOVE.items()]
    return "\n".join(rows)


def states_zh() -> str:
    rows = ["| 对象 | 状态 | 中文 | 由谁推进 |", "|---|---|---|---|"]
    rows += [f"| 投送 | `{state}` | {STATES[state]} | {STATES_ZH[state]} |" for state in flow.D]
    rows += [f"| 同步发布 | `{state}` | {STATES[state]} | {RELEASE_STATES_ZH[state]} |" for state in flow.R]
    return "\n".join(rows)


def settings_zh() -> str:
    """The same rows as in English, with the meanings of `SETTINGS_ZH`. Raises KeyError where one is missing."""
    rows = ["| 变量 | 默认值 | 允许值 | 含义 |", "|---|---|---|---|"]
    for line in settings_table().splitlines()[2:]:
        name, shown, bounds, _ = [cell.strip() for cell in line.strip("|").split("|")]
        shown = shown if re.fullmatch("`[^`]*`", shown) else DEFAULTS_ZH[shown]
        bounds = bounds.replace(" to ", " 至 ").replace(" or ", " 或 ")
        rows.append(f"| `{name.strip('`')}` | {shown} | {bounds} | {SETTINGS_ZH[name.strip('`')]} |")
    return "\n".join(rows)


def errors() -> str:
    """The errors a channel may raise, as drawn at the top of the contract."""
    tree = (contract.__doc__ or "").split("\n\n")[2].rstrip()
    return f"```text\n{tree}\n```"


TABLES = {
    "sync/README.md": {"states": states, "release-states": release_states, "joint-rules": joint},
    "channels/README.md": {"kinds": outlet_kinds, "errors": errors},
    "README.md": {"kinds": kinds_en, "states": states_en, "settings": settings_table},
    "README.zh-CN.md": {"kinds": kinds_zh, "states": states_zh, "settings": settings_zh},
}


def filled(text: str, name: str, table: str) -> str:
    """The text with its table `name` replaced. Raises ValueError when there is no such place."""
    found = re.sub(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m: f"{m[1]}{table}\n{m[2]}", text, flags=re.S)
    if f"<!-- {name} -->" not in text:
        raise ValueError(f"there is no place for the table {name}")
    return found


def main(check: bool) -> int:
    wrong = 0
    for file, tables in TABLES.items():
        path = ROOT / file
        before = after = path.read_text()
        for name, table in tables.items():
            after = filled(after, name, table().strip())
        if after != before:
            wrong += 1
            if check:
                sys.stderr.write(f"{file}: its tables are not what the code says; run `make tables`\n")
            else:
                path.write_text(after)
    return 1 if check and wrong else 0


if __name__ == "__main__":
    raise SystemExit(main("--check" in sys.argv))
