"""The authority as a folder: its key, what it has issued, and what it has revoked.

    ca.key.pem      its key: whoever has it can be anybody
    ca.pem          its certificate, which everybody gets
    crl.pem         the list of revoked certificates, which brokers get
    register.json   every certificate that was ever issued
    issued/NAME/    ca.pem, cert.pem and key.pem, to be copied to where NAME is

Every step that is cut off is found, and finished or undone, by the next command: the register
knows of a certificate before its files are there, and the list is made from the register.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from levada.guest.private_file import sync_folder, write_private_bytes
from levada.guest.text.json_text import parse
from levada.hil.line.tls import CA, CERTIFICATE, KEY
from levada.twin.errors import PkiError
from levada.twin.pki.certificates import (
    REASONS,
    authority_certificate,
    check_host,
    check_name,
    key_pem,
    new_key,
    pem,
    revocation_list,
    signed,
)

__all__ = ["CRL", "Authority", "Entry", "create"]

CA_KEY: Final = "ca.key.pem"
CRL: Final = "crl.pem"
REGISTER: Final = "register.json"
ISSUED: Final = "issued"
_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A certificate in the register; times are ISO 8601, UTC."""

    serial: str
    """Hexadecimal."""
    name: str
    hosts: tuple[str, ...]
    issued: str
    expires: str
    written: bool = False
    """Whether its files were put into their place."""
    revoked: str = ""
    reason: str = ""

    def state(self, now: datetime) -> str:
        """`valid`, `expired`, `revoked` or `not written`."""
        if self.revoked:
            return "revoked"
        if not self.written:
            return "not written"
        return "expired" if datetime.fromisoformat(self.expires) < now else "valid"


def _utc_now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def create(
    folder: Path, *, name: str = "", days: int = 3650, now: Callable[[], datetime] = _utc_now
) -> Authority:
    """Make a new authority; raises PkiError if something is there already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "an authority is there already" if (folder / CA_KEY).exists() else "is not empty"
        raise PkiError(f"{folder}: {what}; name another folder with --dir")
    name = name or f"levada {secrets.token_hex(3)}"  # so that two are told apart
    check_name(name)
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
    try:
        key, time = new_key(), now()
        certificate = authority_certificate(key, name, time, days)
        (draft / ISSUED).mkdir(mode=0o700)
        write_private_bytes(draft / CA_KEY, key_pem(key))
        write_private_bytes(draft / CA, pem(certificate))
        write_private_bytes(
            draft / CRL, pem(revocation_list(certificate, key, (), number=1, now=time))
        )
        _write_register(draft, (), number=1)
        draft.replace(folder)  # over an empty folder, too
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_folder(folder.absolute().parent)
    return Authority(folder, now=now)


def _write_register(folder: Path, entries: Sequence[Entry], *, number: int) -> None:
    data = {
        "version": _VERSION,
        "crl_number": number,
        "certificates": [asdict(entry) for entry in entries],
    }
    write_private_bytes(folder / REGISTER, (json.dumps(data, indent=1) + "\n").encode())


class Authority:
    """An authority that is there; raises PkiError if it is none, or damaged."""

    def __init__(self, folder: Path, *, now: Callable[[], datetime] = _utc_now) -> None:
        self.folder = folder
        self._now = now
        try:
            self.certificate = x509.load_pem_x509_certificate((folder / CA).read_bytes())
            key = serialization.load_pem_private_key((folder / CA_KEY).read_bytes(), None)
        except FileNotFoundError as error:
            raise PkiError(
                f"{folder}: no authority ({Path(error.filename).name} is missing): make one with "
                "`levada pki init`, or name its folder with --dir"
            ) from None
        except OSError as error:
            raise PkiError(f"{error.filename}: {error.strerror}") from None
        except (TypeError, ValueError) as error:  # TypeError: encrypted
            raise PkiError(f"{folder}: {CA} or {CA_KEY} cannot be read: {error}") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or (
            key.public_key() != self.certificate.public_key()
        ):
            raise PkiError(f"{folder}: {CA_KEY} is not the key of {CA}")
        self._key = key
        self._entries: list[Entry] = []
        self._number = 0

    def entries(self) -> tuple[Entry, ...]:
        """All that was ever issued, the oldest first."""
        with self._held():
            return tuple(self._entries)

    def valid(self, name: str) -> Entry | None:
        """The certificate in use of `name`, if it has one."""
        now = self._now()
        found = [e for e in self.entries() if e.name == name and e.state(now) == "valid"]
        return found[-1] if found else None

    def files(self, name: str) -> Path:
        """The folder with what is to be copied to where `name` is."""
        return self.folder / ISSUED / name

    def issue(
        self, name: str, *, hosts: Sequence[str] = (), days: int | None = None, renew: bool = False
    ) -> Entry:
        """Issue a certificate for `name`, its files in `files(name)`.

        `days` is how long it is valid: 1825 unless it is given, 825 for one with `hosts`, which
        browsers take no longer.  With `renew` the one before stays valid, until it expires or is
        revoked.
        """
        check_name(name)
        for host in hosts:
            check_host(host)
        now = self._now()
        if now >= self.certificate.not_valid_after_utc:
            raise PkiError(
                f"{self.folder}: the authority expired on "
                f"{self.certificate.not_valid_after_utc:%Y-%m-%d}, and with it all that it has "
                "issued; make another one with `levada pki init --dir`"
            )
        days = days or (825 if hosts else 1825)
        expires = min(now + timedelta(days=days), self.certificate.not_valid_after_utc)
        with self._held():
            self._check_free(name, now, renew=renew)
            serial = x509.random_serial_number()
            entry = Entry(
                serial=f"{serial:x}",
                name=name,
                hosts=tuple(hosts),
                issued=now.isoformat(),
                expires=expires.isoformat(),
            )
            self._entries.append(entry)
            self._save()
            key = new_key()
            certificate = signed(
                self.certificate,
                self._key,
                key=key.public_key(),
                name=name,
                hosts=hosts,
                serial=serial,
                now=now,
                expires=expires,
            )
            self._place(name, {KEY: key_pem(key), CERTIFICATE: pem(certificate)})
            entry = self._entries[-1] = replace(entry, written=True)
            self._save()
        return entry

    def _check_free(self, name: str, now: datetime, *, renew: bool) -> None:
        used = [e for e in self._entries if e.name == name and e.state(now) == "valid"]
        if used and not renew:
            raise PkiError(
                f"{name}: has a certificate until {used[-1].expires[:10]}; give --renew for the "
                f"next one, or say `levada pki revoke {name}` first if its key is lost"
            )
        if renew and not any(e.name == name for e in self._entries):
            raise PkiError(f"{name}: has no certificate yet: leave out --renew")

    def revoke(self, name: str, reason: str = "unspecified") -> list[Entry]:
        """Revoke every certificate of `name` that is valid, and write the list anew."""
        if reason not in REASONS:
            raise PkiError(f"--reason {reason!r}: permitted are {', '.join(REASONS)}")
        now = self._now()
        with self._held():
            own = [e for e in self._entries if e.name == name]
            if not own:
                known = sorted({e.name for e in self._entries})
                raise PkiError(
                    f"{name}: no certificate was issued to it"
                    + (f"; there are {', '.join(known)}" if known else "")
                )
            found = [e for e in own if not e.revoked]
            if not found:
                raise PkiError(f"{name}: was revoked on {own[-1].revoked[:10]} already")
            self._revoke(found, now, reason)
        return found

    def _revoke(self, which: Sequence[Entry], now: datetime, reason: str) -> None:
        serials = {entry.serial for entry in which}
        self._entries = [
            replace(e, revoked=now.isoformat(), reason=reason) if e.serial in serials else e
            for e in self._entries
        ]
        self._number += 1
        self._save()
        self._write_list()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """The folder for ourselves, with the register read and what was cut off mended."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._read()
            self._mend()
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> None:
        file = self.folder / REGISTER
        try:
            data = parse(file.read_text("utf-8"))
            if data["version"] != _VERSION:
                raise PkiError(f"{file}: version {data['version']}, and this levada knows 1")
            self._number = int(data["crl_number"])
            self._entries = [
                Entry(**(item | {"hosts": tuple(item["hosts"])})) for item in data["certificates"]
            ]
        except OSError as error:
            raise PkiError(f"{file}: {error.strerror}") from None
        except (KeyError, TypeError, ValueError):
            raise PkiError(f"{file}: is damaged; bring it back from a backup") from None

    def _mend(self) -> None:
        """Finish what was cut off: a certificate whose files are there, and the list."""
        for draft in (self.folder / ISSUED).glob(".*"):
            shutil.rmtree(draft, ignore_errors=True)
        lost = []
        for number, entry in enumerate(self._entries):
            if entry.written or entry.revoked:
                continue
            if self._serial_in(self.files(entry.name)) == entry.serial:
                self._entries[number] = replace(entry, written=True)
                self._save()
            else:
                lost.append(entry)
        if lost:  # nobody was given it, and so nobody may use it
            self._revoke(lost, self._now(), "superseded")
        elif not self._list_is_current():
            self._write_list()

    def _serial_in(self, folder: Path) -> str | None:
        try:
            found = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
        except (OSError, ValueError):
            return None
        return f"{found.serial_number:x}"

    def _list_is_current(self) -> bool:
        try:
            found = x509.load_pem_x509_crl((self.folder / CRL).read_bytes())
            number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        except (OSError, ValueError, x509.ExtensionNotFound):
            return False
        return number == self._number

    def _write_list(self) -> None:
        revoked = [
            (int(e.serial, 16), datetime.fromisoformat(e.revoked), e.reason)
            for e in self._entries
            if e.revoked
        ]
        made = revocation_list(
            self.certificate, self._key, revoked, number=self._number, now=self._now()
        )
        write_private_bytes(self.folder / CRL, pem(made))

    def _save(self) -> None:
        _write_register(self.folder, self._entries, number=self._number)

    def _place(self, name: str, files: dict[str, bytes]) -> None:
        """Put the files of a certificate into their folder, all at once."""
        issued = self.folder / ISSUED
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=issued))
        for file, data in (files | {CA: pem(self.certificate)}).items():
            write_private_bytes(draft / file, data)
        target = self.files(name)
        if target.exists():  # of a certificate before
            old = issued / f".old-{secrets.token_hex(4)}"
            target.replace(old)
            draft.replace(target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            draft.replace(target)
        sync_folder(issued)
