"""TLS of our clients: who a broker must be, and who we are to it.

Both stand in one folder, as `levada pki issue` writes it: `ca.pem`, the authorities that a broker's
certificate must come from, and `cert.pem` with `key.pem`, by which a broker knows us.  Without the
two last a broker may still ask for a password.  Host names are checked, TLS is 1.2 or newer.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from levada.hil.errors import UsageError

if TYPE_CHECKING:  # it takes a tenth of a second to load, and few connections have TLS
    from cryptography.x509 import Certificate

__all__ = [
    "CA",
    "CERTIFICATE",
    "KEY",
    "client_context",
    "explained",
    "load_identity",
    "refused_by_peer",
    "server_context",
]

CA: Final = "ca.pem"
CERTIFICATE: Final = "cert.pem"
KEY: Final = "key.pem"

_OTHERS: Final = 0o007
"""Rights of users who are neither the owner nor of the group."""
_ALERT: Final = re.compile(r"\[SSL: (\w+)\]")
_UNTRUSTED: Final = frozenset({18, 19, 20, 21})
"""Codes of OpenSSL (X509_V_ERR) for a chain that leads to no authority of ours."""
_REFUSALS: Final = {
    "CERTIFICATE_REVOKED": "our certificate is revoked",
    "CERTIFICATE_EXPIRED": "our certificate has expired, by the broker's clock",
    "CERTIFICATE_REQUIRED": "it asks for a certificate: give --pki DIR",
    "UNKNOWN_CA": "our certificate is of another authority than the broker trusts",
    "CERTIFICATE_UNKNOWN": "it does not accept our certificate",
    "BAD_CERTIFICATE": "it does not accept our certificate",
    "UNSUPPORTED_CERTIFICATE": "our certificate is not one for clients",
    "HANDSHAKE_FAILURE": "it asks for a certificate (give --pki DIR), or has no cipher in common",
}
"""End of the name of an alert (RFC 8446, section 6.2) that a broker sends -> what it means."""


class _Connection(ssl.SSLSocket):
    """Is closed by a handshake that fails: paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def client_context(folder: str | Path | None) -> ssl.SSLContext:
    """What a client connects with; without `folder` a broker is known by the system's authorities.

    Raises UsageError if the folder lacks something, or what is in it cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks chain and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Connection
    if folder is None:
        context.load_default_certs()
        return context
    where = Path(folder)
    if not where.is_dir():
        raise UsageError(f"--pki {folder}: no such folder; `levada pki issue NAME` makes one")
    _load_authorities(context, where / CA)
    certificate, key = where / CERTIFICATE, where / KEY
    there = [file.is_file() for file in (certificate, key)]
    if all(there):
        load_identity(context, certificate, key)
    elif any(there):
        has, lacks = (CERTIFICATE, KEY) if there[0] else (KEY, CERTIFICATE)
        raise UsageError(f"--pki {folder}: there is {has}, but no {lacks}: they belong together")
    return context


def _load_authorities(context: ssl.SSLContext, file: Path) -> None:
    try:
        context.load_verify_locations(cafile=file)
    except ssl.SSLError:
        raise UsageError(f"{file}: holds no certificate in PEM form") from None
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; it says whom to trust") from None


def load_identity(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Let the context prove with `key` that it is who `certificate` says; raises UsageError."""
    try:
        if key.stat().st_mode & _OTHERS:
            raise UsageError(
                f"{key}: every user of this computer can use it; say chmod o-rwx {key}"
            )
        if b"ENCRYPTED" in key.read_bytes():
            raise UsageError(
                f"{key}: is encrypted, and nobody is there to type its password when a service "
                f"starts; write it without: openssl pkey -in {key.name} -out plain.pem"
            )
        _check_validity(certificate)
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(f"{key}: is not the key of {certificate.name} beside it") from None
        raise UsageError(f"{key}: no private key in PEM form") from None
    except OSError as error:
        raise UsageError(f"{error.filename or certificate}: {error.strerror or error}") from None


def server_context(folder: str | Path) -> tuple[ssl.SSLContext, tuple[str, ...]]:
    """What a server answers with, and the host names of its certificate; raises UsageError."""
    from cryptography import x509

    where = Path(folder)
    certificate = where / CERTIFICATE
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_identity(context, certificate, where / KEY)
    try:
        names = _read(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        raise UsageError(
            f"{certificate}: is one of a client and names no host; issue one with --host HOST, the "
            "name under which others reach this computer"
        ) from None
    found = names.value
    hosts = found.get_values_for_type(x509.DNSName)
    addresses = found.get_values_for_type(x509.IPAddress)
    return context, (*hosts, *map(str, addresses))


def _read(file: Path) -> Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError:
        raise UsageError(f"{file}: holds no certificate in PEM form") from None


def _check_validity(file: Path) -> None:
    found = _read(file)
    now = datetime.now(UTC)
    if now > found.not_valid_after_utc:
        raise UsageError(
            f"{file}: expired on {found.not_valid_after_utc:%Y-%m-%d}; issue a new one: "
            "levada pki issue NAME --renew"
        )
    if now < found.not_valid_before_utc:
        raise UsageError(
            f"{file}: valid from {found.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on, and it is "
            f"{now:%Y-%m-%d %H:%M} UTC here: set the clock"
        )


def explained(error: OSError) -> str:
    """Why a connection with TLS was not made, and what to do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrusted(error)
    if isinstance(error, ssl.SSLError):
        if (why := refused_by_peer(str(error))) is not None:
            return why
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            return "does not speak TLS at this port: write mqtt://, or the port of its TLS listener"
        if error.reason in ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"):
            return "has no TLS 1.2 or newer"
        return f"TLS failed: {error.reason or error}"
    return str(error)


def _distrusted(error: ssl.SSLCertVerificationError) -> str:
    code, said = error.verify_code, error.verify_message
    if code in _UNTRUSTED:
        return (
            f"its certificate comes from no authority that is trusted here ({said}): is the "
            f"{CA} of --pki the broker's?"
        )
    if code == 10:
        return "its certificate has expired (or the clock here is wrong): issue it a new one"
    if code == 9:
        return "its certificate is not valid yet: is the clock here right?"
    if code == 26:
        return (
            "its certificate is one of a client, not of a server: issue one with --host, and look "
            "who answers there"
        )
    if "match" in said.lower():
        return f"its certificate is for other names: {said}; issue it with --host of this one"
    return f"its certificate is not valid: {said}"


def refused_by_peer(text: str) -> str | None:
    """What an alert means that the other side has sent, as found in an error's text."""
    found = _ALERT.search(text)
    if found is None or "ALERT" not in found[1]:
        return None
    for name, meaning in _REFUSALS.items():
        if found[1].endswith(name):
            return f"refused us: {meaning}"
    return f"refused us: {found[1].lower().replace('_', ' ')}"
