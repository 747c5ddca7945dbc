"""Settings: where they come from, what is refused, and how the refusal helps."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from sync.model import BadInput
from sync.settings import Settings, read_settings, settings_table, variable


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder and no TONGFA_ variables."""
    for name in [name for name in os.environ if name.upper().startswith("TONGFA_")]:
        monkeypatch.delenv(name)
    for name in ("LC_ALL", "LC_MESSAGES", "LANG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal() -> BadInput:
    with pytest.raises(BadInput) as caught:
        read_settings()
    return caught.value


def test_defaults_are_an_embedded_installation_below_the_current_folder(folder: Path) -> None:
    """Nothing told: SQLite and the key are in ./var, and workers need no broker."""
    settings = read_settings()
    assert folder / "var" == settings.home
    assert f"sqlite:///{folder}/var/tongfa.sqlite3" == settings.database_url
    assert settings.embedded
    assert "memory://localhost/" == settings.broker
    assert folder / "var" / "secret.key" == settings.secret_key_path


def test_the_environment_wins_over_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are read; a variable beats the file, the file beats the default."""
    (folder / "tongfa.toml").write_text('home = "kept"\nsweep_ms = 70\nlead_ms = 250\n')
    monkeypatch.setenv("TONGFA_SWEEP_MS", "80")
    settings = read_settings()
    assert (folder / "kept", 80, 250) == (settings.home, settings.sweep_ms, settings.lead_ms)


def test_an_empty_variable_counts_as_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass on unset variables as empty ones."""
    monkeypatch.setenv("TONGFA_BROKER_URL", "")
    assert read_settings().broker_url is None


def test_settings_are_frozen() -> None:
    """Nothing changes them after the start."""
    settings = read_settings()
    with pytest.raises(ValidationError):
        settings.lead_ms = 1


def test_an_unknown_variable_names_the_nearest_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt setting is refused, not ignored."""
    monkeypatch.setenv("TONGFA_LATE_LIMITS", "5")
    problem = refusal()
    assert "TONGFA_LATE_LIMITS" == problem.where
    assert "TONGFA_LATE_LIMIT_S" in problem.mend


def test_an_unknown_variable_like_none_lists_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is near, every known name is shown."""
    monkeypatch.setenv("TONGFA_QQQQQQQQ", "5")
    assert all(variable(name) in refusal().mend for name in Settings.model_fields)


def test_an_unknown_key_in_the_file_names_the_nearest_known_one(folder: Path) -> None:
    """The file is held to the same rule as the environment."""
    (folder / "tongfa.toml").write_text("sweap_ms = 70\n")
    problem = refusal()
    assert ("tongfa.toml: sweap_ms", True) == (problem.where, "sweep_ms" in problem.mend)


def test_a_broken_file_is_named(folder: Path) -> None:
    """Neither half a file nor one in another encoding is used."""
    (folder / "tongfa.toml").write_text("home = [\n")
    assert "tongfa.toml" == refusal().where
    (folder / "tongfa.toml").write_bytes(b'home = "\xff"\n')
    assert "tongfa.toml" == refusal().where


@pytest.mark.parametrize(
    ("name", "value", "help_given"),
    [
        ("TONGFA_SWEEP_MS", "1", "5 to 60000"),
        ("TONGFA_LEAD_MS", "soon", "20 to 60000"),
        ("TONGFA_LATE_LIMIT_S", "nan", "0 to 86400"),
        ("TONGFA_COMMIT_BEFORE_S", "inf", "0.3 to 10"),
        ("TONGFA_LANDS_WITHIN_S", "-1", "0 to 3600"),
        ("TONGFA_LANG", "fr", "zh-CN or en"),
        ("TONGFA_CLOCK_UNSYNCHRONISED", "ignore", "refuse or accept"),
        ("TONGFA_TIMEZONE", "Mars/Olympus", "Asia/Shanghai"),
        ("TONGFA_HOME", "~nobody-of-this-name/x", "the path of a folder"),
        ("TONGFA_BROKER_URL", "http://localhost", "redis://"),
        ("TONGFA_DATABASE_URL", "sqlite:///here.sqlite3", "sqlite:////"),
        ("TONGFA_DATABASE_URL", "sqlite://", "sqlite:////"),
    ],
)
def test_a_wrong_value_is_refused_with_what_would_be_right(
    name: str, value: str, help_given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal names the variable and its bounds."""
    monkeypatch.setenv(name, value)
    problem = refusal()
    assert (name, True) == (problem.where, help_given in problem.mend)


def test_no_password_of_an_address_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a refusal nor in the settings' repr."""
    monkeypatch.setenv("TONGFA_DATABASE_URL", "mysql://me:hush@db/x")
    assert "hush" not in str(refusal())
    monkeypatch.setenv("TONGFA_DATABASE_URL", "postgresql://me:hush@db/x")
    monkeypatch.setenv("TONGFA_BROKER_URL", "redis://:hush@cache/0")
    assert "hush" not in repr(read_settings())


def test_in_production_the_key_is_outside_the_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PostgreSQL a backup of the home does not hold the key, unless someone put it there."""
    monkeypatch.setenv("TONGFA_DATABASE_URL", "postgresql://db/x")
    assert folder / "person" / ".config" / "tongfa" / "secret.key" == read_settings().secret_key_path
    monkeypatch.setenv("TONGFA_SECRET_KEY_FILE", "keys/mine")
    assert folder / "keys" / "mine" == read_settings().secret_key_path


@pytest.mark.parametrize(
    ("locale", "language"),
    [("zh_CN.UTF-8", "zh-CN"), ("zh_TW.UTF-8", "zh-CN"), ("de_DE.UTF-8", "en"), ("C", "en"), ("", "en")],
)
def test_the_language_follows_the_locale(locale: str, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chinese for Chinese locales, English for all others."""
    monkeypatch.setenv("LANG", locale)
    assert language == read_settings().lang


def test_a_child_process_reads_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`environment` carries everything, whatever folder the child runs in."""
    settings = read_settings(home=tmp_path / "elsewhere", lands_within_s=0.5, broker_url="redis://localhost:7777/0")
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert settings == read_settings()


def test_the_table_has_a_row_for_every_setting() -> None:
    """The README's table is made from the code."""
    rows = settings_table().splitlines()[2:]
    assert [f"| `{variable(name)}` " for name in Settings.model_fields] == [row[: row.index("|", 1)] for row in rows]
    assert all(5 == row.count("|") for row in rows)
