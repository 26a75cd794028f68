"""What an authority signs: its own certificate, those of others, and the list of revoked ones.

The form is X.509 (RFC 5280) with keys on the curve P-256, which every board's TLS knows.  A
certificate may always log in as a client under the name that it carries (CN); only one that was
issued with host names may also serve under them, so that a stolen node cannot play the broker.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from levada.guest.topic import is_node_name
from levada.twin.errors import PkiError

__all__ = [
    "REASONS",
    "authority_certificate",
    "check_host",
    "check_name",
    "key_pem",
    "new_key",
    "pem",
    "revocation_list",
    "signed",
]

_HASH: Final = hashes.SHA256()
_SLACK: Final = timedelta(days=1)
"""Certificates begin earlier than they are issued: a computer without a clock lags behind."""
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_CN_BYTES: Final = 64
"""Longest common name (RFC 5280, appendix A.1: ub-common-name)."""

REASONS: Final = {
    "unspecified": x509.ReasonFlags.unspecified,
    "key-compromise": x509.ReasonFlags.key_compromise,
    "superseded": x509.ReasonFlags.superseded,
    "cessation-of-operation": x509.ReasonFlags.cessation_of_operation,
}
"""Why a certificate is revoked (RFC 5280, section 5.3.1)."""


def check_name(name: str) -> None:
    """Raises PkiError if nobody can be called so: the name is a level of topics, a user of the
    broker and a folder."""
    if not is_node_name(name) or name.strip() != name or name.startswith("."):
        raise PkiError(
            f"name {name!r}: permitted are 1 to 64 characters without / + # $, that neither begin "
            "nor end with a space, nor begin with a dot"
        )
    if len(name.encode()) > _CN_BYTES:
        raise PkiError(
            f"name {name!r}: has {len(name.encode())} bytes, and a certificate has room for "
            f"{_CN_BYTES}"
        )


def check_host(host: str) -> x509.GeneralName:
    """A host name or IP address as a certificate holds it; raises PkiError."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if _HOST.fullmatch(host) is None or len(host) > 253 or re.fullmatch(r"[0-9.]+", host):
        raise PkiError(
            f"--host {host!r}: write a name such as pi.example.org, or an IP address, without "
            "port; other scripts than Latin as xn--..."
        )
    return x509.DNSName(host.lower())


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key that nobody has had before."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key as PKCS #8, not encrypted: only file rights keep it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def pem(signed: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    """As a file holds it."""
    return signed.public_bytes(serialization.Encoding.PEM)


def _usage(*granted: str) -> x509.KeyUsage:
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: name in granted for name in names})


def authority_certificate(
    key: ec.EllipticCurvePrivateKey, name: str, now: datetime, days: int
) -> x509.Certificate:
    """The authority's own, which it signs itself; it signs none of other authorities."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    ski = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SLACK)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(ski, critical=False)
        .sign(key, _HASH)
    )


def signed(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    *,
    key: ec.EllipticCurvePublicKey,
    name: str,
    hosts: Sequence[str],
    serial: int,
    now: datetime,
    expires: datetime,
) -> x509.Certificate:
    """A certificate for `name`; with `hosts` it may serve under them, too."""
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.subject)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(max(now - _SLACK, authority.not_valid_before_utc))
        .not_valid_after(expires)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    if hosts:
        names = x509.SubjectAlternativeName([check_host(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(authority_key, _HASH)


def revocation_list(
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    revoked: Iterable[tuple[int, datetime, str]],
    *,
    number: int,
    now: datetime,
) -> x509.CertificateRevocationList:
    """The list of (serial number, when, why).

    It holds as long as the authority: a broker shuts out everybody once its list has expired, and
    nobody renews it on a farm.
    """
    aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now)
        .next_update(max(authority.not_valid_after_utc, now + timedelta(seconds=1)))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(aki, critical=False)
    )
    for serial, when, why in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
        if why != "unspecified":  # RFC 5280 wants it left out
            entry = entry.add_extension(x509.CRLReason(REASONS[why]), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, _HASH)
