"""What an installation may be told, read once: `TONGFA_*` variables, then `tongfa.toml`, then defaults.

`read_settings` is called in one place (`sync.bootstrap`) and the frozen result is handed on; nothing
else looks at the environment. A name it does not know is refused, because a misspelt safety setting
that is silently ignored is worse than no start. No value is ever echoed in an error: addresses carry
passwords.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from sync.model import BadInput

PREFIX = "TONGFA_"
FILE = "tongfa.toml"
EMBEDDED_BROKER = "memory://localhost/"
DATABASES = ("sqlite", "postgresql")
BROKERS = ("memory", "redis", "rediss", "redis+socket", "sentinel", "amqp", "amqps")


def _language(environment: Mapping[str, str]) -> Literal["zh-CN", "en"]:
    """The locale's language in POSIX order; English for every locale that is not Chinese."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(name):
            return "zh-CN" if environment[name].lower().startswith("zh") else "en"
    return "en"


class Settings(BaseSettings):
    """One installation's settings. Frozen; safe to hand to any thread."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,  # compose files pass on variables that nobody set as ""
        toml_file=FILE,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=True,
    )

    home: Path = Field(Path("var"), description="Folder of everything this installation keeps.")
    database_url: str = Field(
        default_factory=lambda known: f"sqlite:///{known['home'] / 'tongfa.sqlite3'}",
        description="The database: `sqlite:///…` (embedded) or `postgresql://…`.",
        json_schema_extra={"shown": "SQLite in the home"},
        repr=False,
    )
    broker_url: str | None = Field(
        None,
        description="Celery broker that wakes the workers: `redis://…`, `amqp://…`. Without one they just look.",
        json_schema_extra={"shown": "none"},
        repr=False,
    )
    secret_key_file: Path | None = Field(
        None,
        description="Key that seals the outlets' secrets; mode 0600.",
        json_schema_extra={"shown": "`~/.config/tongfa/secret.key`; embedded: `secret.key` in the home"},
    )
    lang: Literal["zh-CN", "en"] = Field(
        default_factory=lambda: _language(os.environ),
        description="Language of messages.",
        json_schema_extra={"shown": "from the locale"},
    )
    timezone: str = Field("Asia/Shanghai", description="Time zone in which instants are shown to people.")
    lead_ms: int = Field(
        100,
        ge=20,
        le=60_000,
        description="Milliseconds after the commit, by the database's clock, that `now` means.",
    )
    late_limit_s: float = Field(
        900,
        ge=0,
        le=86_400,
        description="Seconds after `release_at` that a release waits for required outlets; then it is held.",
    )
    arm_before_s: float = Field(30, ge=3, le=600, description="Seconds before the instant at which shots are armed.")
    commit_before_s: float = Field(
        1.0,
        ge=0.3,
        le=10,
        description="Seconds before the instant at which a release is committed, for good.",
    )
    shot_window_s: float = Field(
        2.0,
        ge=0.1,
        le=30,
        description="Seconds after its instant in which a shot may still be sent.",
    )
    sweep_ms: int = Field(50, ge=5, le=60_000, description="Milliseconds between two looks for due rows.")
    lands_within_s: float | None = Field(
        None,
        ge=0,
        le=3_600,
        description="Seconds after an attempt in which it may still take effect, instead of each channel's own bound. "
        "For tests and sandboxes only: too small a value publishes twice.",
        json_schema_extra={"shown": "each channel's own"},
    )
    release_shard: int = Field(
        32,
        ge=1,
        le=32,
        description="Deliveries of one release that one release process sends; the others take the rest.",
    )
    clock_unsynchronised: Literal["refuse", "accept"] = Field(
        "refuse", description="What a live release does when the kernel says that its clock is not synchronised."
    )
    clock_offset_ms: int = Field(
        50,
        ge=1,
        le=1_000,
        description="Milliseconds that host and database clock may differ; beyond it nothing is committed.",
    )
    workers_prepare: int = Field(1, ge=1, le=64, description="Prepare and verify workers that `tongfa up` runs.")
    workers_release: int = Field(1, ge=1, le=64, description="Release workers that `tongfa up` runs.")
    workers_prepare_threads: int = Field(8, ge=1, le=64, description="Threads of one prepare and verify worker.")
    workers_release_threads: int = Field(16, ge=1, le=64, description="Threads of one release worker.")
    sandbox_urls: str = Field(
        "",
        description="Where sandbox servers are that run on other hosts, like `mastodon=http://sandbox:9001,wechat=…`; "
        "those of `tongfa up` are known.",
        json_schema_extra={"shown": "none"},
    )
    budgets: Literal["all", "live"] = Field(
        "all",
        description="Whose budgets of calls are kept: all outlets', or those of live ones only, for tests whose "
        "sandboxes grant everything.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @field_validator("home", "secret_key_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Every process of an installation must mean the same place, wherever it was started."""
        try:
            return None if path is None else path.expanduser().absolute()
        except RuntimeError as error:
            raise ValueError("begins with ~, and this machine knows no such user's folder") from error

    @field_validator("database_url")
    @classmethod
    def _a_shared_database(cls, url: str) -> str:
        if urlsplit(url).scheme.partition("+")[0] not in DATABASES:
            raise ValueError("is neither a SQLite nor a PostgreSQL address")
        if url.startswith("sqlite") and not urlsplit(url).path.startswith("//"):
            raise ValueError("must name a file by its absolute path, so that all processes open the same one")
        return url

    @field_validator("broker_url")
    @classmethod
    def _a_known_broker(cls, url: str | None) -> str | None:
        if url is not None and urlsplit(url).scheme not in BROKERS:
            raise ValueError("is not the address of a broker")
        return url

    @field_validator("sandbox_urls")
    @classmethod
    def _named_servers(cls, pairs: str) -> str:
        for name, equals, url in (pair.strip().partition("=") for pair in pairs.split(",") if pair.strip()):
            if not (name and equals and urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname):
                raise ValueError("is not a list of names and web addresses")
        return pairs

    @field_validator("timezone")
    @classmethod
    def _a_known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("is not a time zone") from error
        return name

    @property
    def embedded(self) -> bool:
        """True when all state lives in the home (SQLite): one machine, no server to install."""
        return self.database_url.startswith("sqlite")

    @property
    def broker(self) -> str:
        """The address Celery is given; a transport inside the process when no broker is configured."""
        return self.broker_url or EMBEDDED_BROKER

    @property
    def secret_key_path(self) -> Path:
        """Where the key file is: as configured; else outside the home, so that no backup of the home
        holds both the sealed secrets and their key; embedded, inside it, and `doctor` says so."""
        if self.secret_key_file is not None:
            return self.secret_key_file
        if self.embedded:
            return self.home / "secret.key"
        folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(folder) / "tongfa" / "secret.key"

    @property
    def zone(self) -> ZoneInfo:
        """`timezone` as an object."""
        return ZoneInfo(self.timezone)

    def sandbox_url(self, server: str) -> str | None:
        """The address of a sandbox server that was told; None: it runs in this home, if at all."""
        told = dict(pair.strip().split("=", 1) for pair in self.sandbox_urls.split(",") if pair.strip())
        return told[server].rstrip("/") if server in told else None

    def environment(self) -> dict[str, str]:
        """The variables that make a child process read these very settings, whatever its folder holds."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {variable(name): "" if value is None else str(value) for name, value in values.items()}


def variable(name: str) -> str:
    """Field name → name of the environment variable."""
    return PREFIX + name.upper()


def read_settings(**overrides: Any) -> Settings:
    """Read the environment and `tongfa.toml` of the current folder; `overrides` (by field name) win.

    Raises BadInput for an unknown name, an unreadable file or a value out of bounds.
    """
    known = {variable(name) for name in Settings.model_fields}
    for given in sorted(os.environ):
        if given.upper().startswith(PREFIX) and given.upper() not in known:
            raise _unknown(given, given.upper(), known)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise _refusal(error, overrides) from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(FILE, f"is not valid TOML: {error}", "mend that line, or remove the file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(FILE, f"cannot be read: {error}", "make it a UTF-8 file that this user may read") from error


def _unknown(where: str, given: str, known: Iterable[str]) -> BadInput:
    near = get_close_matches(given, known, n=1)
    mend = (
        f"did you mean {near[0]}? Rename it, or remove it" if near else f"remove it; known: {', '.join(sorted(known))}"
    )
    return BadInput(where, "no such setting", mend)


def _refusal(error: ValidationError, overrides: Mapping[str, Any]) -> BadInput:
    """The first complaint, under the name by which the value was given, with what would be right."""
    complaint = error.errors()[0]
    name = str(complaint["loc"][0])
    where = f"{FILE}: {name}"
    if name in overrides:
        where = name
    elif os.environ.get(variable(name)):
        where = variable(name)
    if complaint["type"] == "extra_forbidden":
        return _unknown(where, name.lower(), Settings.model_fields)
    message = complaint["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return BadInput(where, message, f"give it {_right(name)}, or remove it for the default")


def _right(name: str) -> str:
    """What a value of this setting may be, in words."""
    examples = {
        "database_url": "an address like sqlite:////srv/tongfa/tongfa.sqlite3 or postgresql://user@host/name",
        "broker_url": "an address like redis://localhost:6379/0",
        "timezone": "a name like Asia/Shanghai",
        "sandbox_urls": "a list like mastodon=http://sandbox:9001,wechat=http://sandbox:9002",
        "home": "the path of a folder",
        "secret_key_file": "the path of a file",
    }
    return examples.get(name) or _bounds(Settings.model_fields[name])


def _bounds(field: FieldInfo) -> str:
    """`20 to 60000`, `refuse or accept`, or "" where a type says all there is to say."""
    low = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
    high = next((m.le for m in field.metadata if hasattr(m, "le")), None)
    if low is not None and high is not None:
        return f"{low:g} to {high:g}" if high < 1_000_000 else f"at least {low:g}"
    return " or ".join(str(choice) for choice in get_args(field.annotation) if isinstance(choice, str))


def settings_table() -> str:
    """The settings as a Markdown table, for the README that a test compares with it."""
    rows = ["| variable | default | allowed | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        shown = extra["shown"] if isinstance(extra, dict) else f"`{_plain(field.default)}`"
        rows.append(f"| `{variable(name)}` | {shown} | {_bounds(field)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _plain(default: object) -> str:
    if isinstance(default, Path):
        return f"./{default}"
    return f"{default:g}" if isinstance(default, float) else str(default)
