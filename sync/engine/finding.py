"""What an examination of an installation finds: each check passed, is worth knowing, or names what will fail.

What a person reads exists in Chinese and English (`Said`); what an error brings along is told in its own words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from sync.contract import OutletError
from sync.model import BadInput
from sync.store.outlets import Unknown

# Names of checks; of those that have a subject (`outlet site`) the first word.
CHECKS = {
    "home": "数据目录",
    "database": "数据库",
    "migrations": "数据库版本",
    "key": "密钥",
    "disk": "磁盘",
    "clock": "时钟",
    "fonts": "字体",
    "confinement": "隔离",
    "templates": "模板",
    "installation": "安装实例",
    "reconciled": "恢复核对",
    "prepare worker": "预置工作进程",
    "release worker": "发布工作进程",
    "broker": "消息中间件",
    "due work": "到期工作",
    "outlet": "发布端",
    "breaker": "熔断",
    "patience": "平台要求等待",
    "budget": "配额",
    "credentials": "凭据期限",
    "delivery": "投递",
    "release": "同步发布",
    "copy": "公开副本",
    "ping": "发布后通知",
    "feed": "订阅源",
}


class Said(NamedTuple):
    """One text in both languages."""

    zh: str
    en: str


def told(text: Said | str, lang: str) -> str:
    """The text as people of this language read it."""
    if isinstance(text, str):
        return text
    return text.zh if lang == "zh-CN" else text.en


@dataclass(frozen=True, slots=True)
class Finding:
    """`level`: ok, note (worth knowing) or bad (something will fail). `check` is the same in both languages."""

    check: str
    level: str
    message: Said | str
    mend: Said | str = ""

    def shown(self, lang: str) -> dict[str, str]:
        return {
            "check": self.check,
            "level": self.level,
            "message": told(self.message, lang),
            "mend": told(self.mend, lang),
        }

    def named(self, lang: str) -> str:
        """Its check as people of this language read it."""
        if lang != "zh-CN":
            return self.check
        if self.check in CHECKS:
            return CHECKS[self.check]
        word, _, subject = self.check.partition(" ")
        return f"{CHECKS.get(word, word)} {subject}".strip()


Check = Callable[[], Sequence[Finding]]


def guarded(check: str, look: Check, mend: Said | str) -> list[Finding]:
    """What `look` finds; when it cannot look at all, that is the finding: one check never hides the others."""
    try:
        return list(look())
    except BadInput as error:
        return [Finding(check, "bad", f"{error.where}: {error.message}", error.mend)]
    except (OutletError, Unknown) as error:
        return [Finding(check, "bad", str(error), mend)]
    except OSError as error:
        return [Finding(check, "bad", f"{error.filename or check}: {error.strerror or error}", mend)]
    except SQLAlchemyError as error:
        raised = getattr(error, "orig", None) or error
        return [Finding(check, "bad", str(raised).splitlines()[0], mend)]
