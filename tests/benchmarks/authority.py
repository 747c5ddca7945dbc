"""A certificate authority of the benchmark's own, made at run time and trusted by nobody else.

The workers trust it as they would an intranet's: by `SSL_CERT_FILE`, which OpenSSL reads. Nothing is
left unverified.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOST = IPv4Address("127.0.0.1")
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """Files (PEM): what callers trust, and what a server on this machine shows."""

    trusted: Path
    certificate: Path
    key: Path

    @property
    def environment(self) -> dict[str, str]:
        """Makes a process trust it."""
        return {"SSL_CERT_FILE": str(self.trusted)}

    @classmethod
    def found(cls, folder: Path) -> Authority:
        """Make it, with a certificate for this machine's loopback address, good for a day."""
        folder.mkdir(parents=True)
        made = cls(folder / "authority.pem", folder / "certificate.pem", folder / "key.pem")
        root, mine = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        itself, here = _name("Benchmark authority"), _name(str(HOST))
        made.trusted.write_bytes(
            _dated(itself, itself, root)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(root, SHA256())
            .public_bytes(Encoding.PEM)
        )
        made.certificate.write_bytes(
            _dated(here, itself, mine)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(HOST)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(root, SHA256())
            .public_bytes(Encoding.PEM)
        )
        made.key.touch(0o600)
        made.key.write_bytes(mine.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return made


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _dated(whose: x509.Name, by: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(whose)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
    )
