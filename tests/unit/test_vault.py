"""Sealed secrets open with their own key, outlet and name, and with nothing else."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sync.model import BadInput
from sync.vault import Vault, create_key, read_key


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A fresh key file in a folder that did not exist."""
    path = tmp_path / "keys" / "secret.key"
    create_key(path)
    return path


def test_what_was_sealed_opens(key: Path) -> None:
    """Also empty and Chinese text, also after a restart."""
    for text in ("s3cret", "", "密码 🔑"):
        assert text == Vault.at(key).open("county", "token", Vault.at(key).seal("county", "token", text))


def test_the_sealed_form_is_the_documented_one(key: Path) -> None:
    """An independent reader of the format opens it; the plain text does not show."""
    sealed = Vault.at(key).seal("county", "token", "s3cret")
    version, _, content = sealed.partition(".")
    whole = base64.b64decode(content)
    raw = base64.b64decode(key.read_bytes())
    assert "v1" == version
    assert b"s3cret" == AESGCM(raw).decrypt(whole[:12], whole[12:], b'["v1","county","token"]')
    assert "s3cret" not in sealed
    assert sealed != Vault.at(key).seal("county", "token", "s3cret")


@pytest.mark.parametrize(("name", "field"), [("town", "token"), ("county", "password"), ("countytoken", "")])
def test_moved_to_another_row_it_does_not_open(key: Path, name: str, field: str) -> None:
    """The outlet and the name are part of the seal."""
    sealed = Vault.at(key).seal("county", "token", "s3cret")
    with pytest.raises(BadInput):
        Vault.at(key).open(name, field, sealed)


def test_another_key_is_refused_with_the_mend(key: Path, tmp_path: Path) -> None:
    """The operator is told which secret, which key file, and what to do."""
    create_key(tmp_path / "other.key")
    sealed = Vault.at(key).seal("county", "token", "s3cret")
    with pytest.raises(BadInput) as caught:
        Vault.at(tmp_path / "other.key").open("county", "token", sealed)
    assert "secret token of outlet county" == caught.value.where
    assert str(tmp_path / "other.key") in caught.value.message
    assert "tongfa outlet set county" in caught.value.mend


@pytest.mark.parametrize("damage", ["", "v1.", "v1.AAAA", "v1.!!!", "v2.{rest}", "{cut}", "{flipped}", "v1.密"])
def test_a_damaged_seal_is_refused(key: Path, damage: str) -> None:
    """Every kind of damage is the same clear refusal."""
    rest = Vault.at(key).seal("county", "token", "s3cret").removeprefix("v1.")
    whole = bytearray(base64.b64decode(rest))
    whole[-1] ^= 1
    flipped = base64.b64encode(bytes(whole)).decode()
    with pytest.raises(BadInput):
        Vault.at(key).open("county", "token", damage.format(rest=rest, cut="v1." + rest[:-8], flipped="v1." + flipped))


def test_a_new_key_is_private_and_alone(key: Path) -> None:
    """Mode 0600 in a folder of mode 0700; no draft is left."""
    assert 0o600 == stat.S_IMODE(key.stat().st_mode)
    assert 0o700 == stat.S_IMODE(key.parent.stat().st_mode)
    assert [key] == list(key.parent.iterdir())


def test_an_existing_key_is_never_replaced(key: Path) -> None:
    """Making a key where one is changes nothing."""
    before = key.read_bytes()
    create_key(key)
    assert before == key.read_bytes()
    assert [key] == list(key.parent.iterdir())


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    """Whoever is first wins; nobody reads half a key."""

    def start(_: int) -> bytes:
        create_key(tmp_path / "secret.key")
        return read_key(tmp_path / "secret.key")

    with ThreadPoolExecutor(8) as pool:
        assert 1 == len(set(pool.map(start, range(32))))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(key: Path, mode: int) -> None:
    """The mend is the command to type."""
    key.chmod(mode)
    with pytest.raises(BadInput) as caught:
        Vault.at(key)
    assert f"chmod 600 {key}" == caught.value.mend


def test_a_missing_or_damaged_key_is_refused(key: Path) -> None:
    """Neither is replaced by a new one: that would lose every secret."""
    for content in (b"", b"AAAA\n", b"\xff\xfe", base64.b64encode(b"x" * 33)):
        key.write_bytes(content)
        with pytest.raises(BadInput, match="not a whole secret key"):
            Vault.at(key)
    key.unlink()
    with pytest.raises(BadInput, match="TONGFA_SECRET_KEY_FILE"):
        Vault.at(key)
