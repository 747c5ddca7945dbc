"""Notes, keys, checkpoints and cosignatures are those of the C2SP specifications."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.log import note
from sync.log.note import COSIGNATURE, ED25519, BadNote, Checkpoint, Key

# From the tests of golang.org/x/mod/sumdb/note, where the format comes from.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
WISE = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNED = (
    f"{WISE}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGU"
    "gYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# The example of C2SP tlog-cosignature.
SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5"
    "/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dl"
    "rDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LOG = note.public_key("county.example/log", PRIVATE)
HEAD = Checkpoint("county.example/log", 3, hashlib.sha256(b"three").digest())


def cosigned(
    text: str, at: int, private: Ed25519PrivateKey = PRIVATE, name: str = "witness.example/w"
) -> tuple[str, Key]:
    """By hand, from the specification."""
    public = private.public_key().public_bytes_raw()
    key_id = hashlib.sha256(name.encode() + b"\n\x04" + public).digest()[:4]
    signature = private.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
    line = f"— {name} {base64.b64encode(key_id + at.to_bytes(8, 'big') + signature).decode()}\n"
    return line, Key(name, COSIGNATURE, public)


def test_a_note_that_others_signed() -> None:
    """The published key is read, its id recomputed, its signature verified, and it is written as it was."""
    key = note.key_of(PETER)
    assert ("PeterNeumann", ED25519, PETER) == (key.name, key.algorithm, key.vkey)
    assert (WISE, {"PeterNeumann": None}) == note.verified(SIGNED.encode(), [key])
    with pytest.raises(BadNote, match="not what PeterNeumann signed"):
        note.verified(SIGNED.replace("answer", "Answer").encode(), [key])


def test_the_example_of_a_cosigned_checkpoint() -> None:
    """Origin, size and root; the witness's line has the time that the specification tells."""
    text, (log, witness) = note.opened(SOFA.encode())
    made = note.checkpoint_of(text)
    assert ("example.com/behind-the-sofa", 20_852_163) == (made.origin, made.size)
    assert "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=" == base64.b64encode(made.root).decode()
    assert text == made.text
    assert 1_679_315_147 == int.from_bytes(witness.signed[:8], "big")
    assert (64, 72) == (len(log.signed), len(witness.signed))
    assert SOFA.endswith(log.line + witness.line)


def test_what_a_log_signs() -> None:
    """Is verified with its public key, and the same every time; another key, name or text is refused."""
    made = note.sign(HEAD.text, HEAD.origin, PRIVATE).encode()
    assert HEAD == note.signed_checkpoint(made, note.key_of(LOG.vkey))
    assert made == note.sign(HEAD.text, HEAD.origin, PRIVATE).encode()
    other = note.public_key("county.example/log", Ed25519PrivateKey.from_private_bytes(b"\1" * 32))
    with pytest.raises(BadNote, match="nobody"):
        note.signed_checkpoint(made, other)
    for old, new in ((b"\n3\n", b"\n4\n"), (b"county", b"County"), (b"\n3\n", b"\n3\n\n")):
        with pytest.raises(BadNote):
            note.signed_checkpoint(made.replace(old, new, 1), LOG)
    elsewhere = note.sign(Checkpoint("other.example", 3, HEAD.root).text, HEAD.origin, PRIVATE)
    with pytest.raises(BadNote, match="a checkpoint of other"):
        note.signed_checkpoint(elsewhere.encode(), LOG)


def test_a_witness_tells_when() -> None:
    """Its time is signed too; it may not be altered, and no other text has it."""
    made = note.sign(HEAD.text, HEAD.origin, PRIVATE)
    line, witness = cosigned(HEAD.text, 1_700_000_000)
    assert (HEAD.text, {HEAD.origin: None, witness.name: 1_700_000_000}) == note.verified(
        (made + line).encode(), [LOG, note.key_of(witness.vkey)]
    )
    signed = note.opened((made + line).encode())[1][1].signed
    for bad in (signed[:7] + b"\1" + signed[8:], signed[:-1], signed[8:], signed[:8]):
        forged = note.Signature(witness.name, witness.id, bad).line
        with pytest.raises(BadNote):
            note.verified((made + forged).encode(), [LOG, witness])
    of_another = cosigned(HEAD.text.replace("3", "4"), 1_700_000_000)[0]
    with pytest.raises(BadNote, match="not what witness"):
        note.verified((made + of_another).encode(), [witness])
    with pytest.raises(BadNote, match="a time that there is not"):
        note.verified((made + cosigned(HEAD.text, 1 << 63)[0]).encode(), [witness])


def test_a_stranger_below_a_note_is_nothing() -> None:
    """Not even with the name or the id of a known key; a known key's false signature refuses the whole note."""
    made = note.sign(HEAD.text, HEAD.origin, PRIVATE)
    strange = (
        note.Signature("stranger.example", LOG.id, b"x" * 64).line + note.Signature(LOG.name, b"none", b"x" * 64).line
    )
    assert HEAD == note.signed_checkpoint((made + strange).encode(), LOG)
    false = note.Signature(LOG.name, LOG.id, b"x" * 64).line
    with pytest.raises(BadNote, match="not what"):
        note.signed_checkpoint((made + false).encode(), LOG)


@pytest.mark.parametrize(
    "bad",
    [
        b"", b"\n", b"text\n", b"text\n\n", b"text\n\nno signature\n", b"text\n\n\xe2\x80\x94 name\n",
        b"text\n\n\xe2\x80\x94 name !!!!\n", b"text\n\n\xe2\x80\x94 name AAAAAA==", b"text\n\n\xe2\x80\x94 name AAAA\n",
        b"te\txt\n\n\xe2\x80\x94 name AAAAAAA=\n", b"te\r\n\n\xe2\x80\x94 name AAAAAAA=\n",
        b"\xff\n\n\xe2\x80\x94 name AAAAAAA=\n",
        b"text\n\n\xe2\x80\x94 na+me AAAAAAA=\n", b"text\n\n- name AAAAAAA=\n", b"text\n\n\xe2\x80\x94 name AAAAAAB=\n",
        b"text\n\n" + b"\xe2\x80\x94 name AAAAAAA=\n" * 65,
    ],
)  # fmt: skip
def test_what_is_no_note(bad: bytes) -> None:
    """Cut, without signature, with control characters, with base64 that is written otherwise."""
    with pytest.raises(BadNote):
        note.opened(bad)


def test_texts_that_are_no_checkpoint() -> None:
    """Sizes with zeros before them, signs or spaces, short roots, missing or empty lines; more lines are admitted."""
    root = base64.b64encode(HEAD.root).decode()
    assert 3 == note.checkpoint_of(f"o\n3\n{root}\nand more\n").size
    for size in ("03", "+3", "-3", " 3", "", "３", "3.0", "0x3"):
        with pytest.raises(BadNote):
            note.checkpoint_of(f"o\n{size}\n{root}\n")
    for text in (f"\n3\n{root}\n", f"o\n3\n{root[4:]}\n", "o\n3\n", f"o\n3\n{root}", f"o\n3\n{root}\n\n"):
        with pytest.raises(BadNote):
            note.checkpoint_of(text)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "name",
        "name+c74f20a3",
        PETER[:-4],
        PETER.replace("c74f20a3", "c74f20a4"),
        PETER.replace("c74f20a3", "C74F20A3"),
        "+c74f20a3+" + PETER.rpartition("+")[2],
        "PeterNeumann+c74f20a3+A" + "A" * 43,
    ],
)
def test_what_is_no_key(bad: str) -> None:
    """Another algorithm, a wrong id, a missing part."""
    with pytest.raises(BadNote):
        note.key_of(bad)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "line\nfeed", "wide　space"])
def test_no_log_has_such_a_name(name: str) -> None:
    """Names are without spaces and plus signs."""
    with pytest.raises(BadNote):
        note.sign("text\n", name, PRIVATE)
