"""An authority issues, revokes and remembers, whatever it is cut off by."""

from __future__ import annotations

import json
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from services import need

from levada.guest import private_file
from levada.hil.errors import UsageError
from levada.hil.line.tls import client_context
from levada.twin.cli.main import main
from levada.twin.errors import PkiError
from levada.twin.pki import authority as module
from levada.twin.pki.authority import CA_KEY, CRL, Authority, create

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def pki(tmp_path: Path) -> Authority:
    return create(tmp_path / "pki")


def certificate(pki: Authority, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((pki.files(name) / "cert.pem").read_bytes())


def revoked(pki: Authority) -> set[str]:
    found = x509.load_pem_x509_crl((pki.folder / CRL).read_bytes())
    key = pki.certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert found.is_signature_valid(key)
    return {f"{entry.serial_number:x}" for entry in found}


def openssl_verify(pki: Authority, name: str, purpose: str) -> subprocess.CompletedProcess[str]:
    """What another program says of a certificate, by the strict rules of RFC 5280."""
    return subprocess.run(
        [
            *(need("openssl"), "verify", "-x509_strict", "-purpose", purpose, "-crl_check"),
            *("-CAfile", str(pki.folder / "ca.pem"), "-CRLfile", str(pki.folder / CRL)),
            str(pki.files(name) / "cert.pem"),
        ],
        check=False,
        capture_output=True,
        text=True,
    )


def test_openssl_takes_what_was_issued_for_what_it_is_and_for_nothing_else(pki: Authority) -> None:
    pki.issue("maize")
    pki.issue("broker", hosts=("pi.example.org", "192.168.1.10"))
    assert openssl_verify(pki, "maize", "sslclient").returncode == 0
    assert openssl_verify(pki, "broker", "sslserver").returncode == 0
    as_server = openssl_verify(pki, "maize", "sslserver")
    assert "certificate purpose" in as_server.stderr  # X509_V_ERR_INVALID_PURPOSE
    pki.revoke("maize", "key-compromise")
    assert "certificate revoked" in openssl_verify(pki, "maize", "sslclient").stderr


def test_a_certificate_says_who_it_is_until_when_and_for_which_hosts(tmp_path: Path) -> None:
    pki = create(tmp_path / "pki", now=lambda: NOW)
    pki.issue("maize", days=30)
    found = certificate(pki, "maize")
    assert found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "maize"
    assert found.not_valid_after_utc == NOW + timedelta(days=30)
    assert isinstance(found.public_key(), ec.EllipticCurvePublicKey)
    pki.issue("broker", hosts=("Pi.example.org", "::1"))
    found = certificate(pki, "broker")
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["pi.example.org"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["::1"]
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.SERVER_AUTH in usage


def test_nothing_outlives_the_authority(tmp_path: Path) -> None:
    pki = create(tmp_path / "pki", days=10, now=lambda: NOW)
    pki.issue("maize")
    assert certificate(pki, "maize").not_valid_after_utc == NOW + timedelta(days=10)


def test_only_the_owner_can_read_it(pki: Authority) -> None:
    pki.issue("maize")
    for path in [pki.folder, *pki.folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda pki: pki.issue("maize"), "has a certificate until .*--renew"),
        (lambda pki: pki.issue("vine", renew=True), "vine: has no certificate yet"),
        (lambda pki: pki.revoke("vine"), "no certificate was issued to it; there are maize"),
        (lambda pki: (pki.revoke("maize"), pki.revoke("maize")), "was revoked on .* already"),
        (lambda pki: pki.revoke("maize", "anger"), "permitted are unspecified, key-compromise"),
        (lambda pki: pki.issue("a/b"), "permitted are 1 to 64 characters"),
        (lambda pki: pki.issue(".ssh"), "begin with a dot"),
        (lambda pki: pki.issue(" maize"), "begin nor end with a space"),
        (lambda pki: pki.issue("é" * 40), "has 80 bytes"),
        (lambda pki: pki.issue("b", hosts=["pi:8883"]), "without port"),
        (lambda pki: pki.issue("b", hosts=["*.example.org"]), "write a name such as"),
        (lambda pki: pki.issue("b", hosts=["192.168.1"]), "write a name such as"),
        (lambda pki: create(pki.folder), "an authority is there already"),
        (lambda pki: create(pki.folder / "issued"), "is not empty"),
        (lambda pki: Authority(pki.folder / "issued"), "no authority .*levada pki init"),
    ],
)
def test_what_cannot_be_is_refused_in_words(pki: Authority, ask: Any, said: str) -> None:
    pki.issue("maize")
    with pytest.raises(PkiError, match=f"(?s){said}"):
        ask(pki)


def test_an_expired_authority_issues_nothing(tmp_path: Path) -> None:
    pki = create(tmp_path / "pki", days=1, now=lambda: NOW)
    later = Authority(pki.folder, now=lambda: NOW + timedelta(days=2))
    with pytest.raises(PkiError, match="expired on 2026-05-02"):
        later.issue("maize")


@pytest.mark.parametrize("file", ["ca.pem", CA_KEY, "register.json"])
def test_a_damaged_file_is_named(pki: Authority, file: str) -> None:
    (pki.folder / file).write_bytes(b"-----BEGIN nothing\n\xff")
    with pytest.raises(PkiError) as refused:
        Authority(pki.folder).entries()
    assert file in str(refused.value)


def test_a_foreign_key_is_noticed(pki: Authority, tmp_path: Path) -> None:
    other = create(tmp_path / "other")
    (pki.folder / CA_KEY).write_bytes((other.folder / CA_KEY).read_bytes())
    with pytest.raises(PkiError, match="not the key"):
        Authority(pki.folder)


def test_a_renewed_certificate_is_another_one_and_both_hold_until_revoked(pki: Authority) -> None:
    before = pki.issue("maize")
    after = pki.issue("maize", renew=True)
    assert before.serial != after.serial
    assert f"{certificate(pki, 'maize').serial_number:x}" == after.serial
    assert [entry.state(datetime.now(UTC)) for entry in pki.entries()] == ["valid", "valid"]
    assert {entry.serial for entry in pki.revoke("maize")} == {before.serial, after.serial}
    assert revoked(pki) == {before.serial, after.serial}
    pki.issue("maize")  # a name is free again
    assert pki.valid("maize") is not None


class Cut(Exception):  # noqa: N818 - no error, but the mains
    """The power."""


def cut_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    """Every write and rename counts; the one with this number, from 0, does not happen."""
    done: list[str] = []

    def counted(name: str, do: Any) -> Any:
        def step(*arguments: Any) -> Any:
            done.append(name)
            if len(done) > number:
                raise Cut
            return do(*arguments)

        return step

    write = private_file.write_private_bytes
    monkeypatch.setattr(module, "write_private_bytes", counted("write", write))
    monkeypatch.setattr(Path, "replace", counted("rename", Path.replace))
    return done


@pytest.mark.parametrize("command", ["issue", "renew", "revoke"])
def test_cut_off_anywhere_the_next_command_finds_everything_consistent(
    command: str, tmp_path: Path
) -> None:
    """After each cut: every certificate in a folder is known, and the list is the register's."""
    cuts = 0
    for number in range(100):
        pki = create(tmp_path / f"pki{number}")
        first = pki.issue("maize")
        with pytest.MonkeyPatch.context() as patch:
            done = cut_at(patch, number)
            try:
                match command:
                    case "issue":
                        pki.issue("vine")
                    case "renew":
                        pki.issue("maize", renew=True)
                    case _:
                        pki.revoke("maize")
            except Cut:
                cuts += 1
            else:
                assert len(done) == number
                break
        again = Authority(pki.folder)
        entries = {entry.serial: entry for entry in again.entries()}
        assert {e.serial for e in entries.values() if e.revoked} == revoked(again)
        assert all(e.written or e.revoked for e in entries.values())
        for file in again.folder.glob("issued/*/cert.pem"):
            found = x509.load_pem_x509_certificate(file.read_bytes())
            client_context(file.parent)  # key and certificate belong together
            assert f"{found.serial_number:x}" in entries
        assert sorted(path.name for path in again.folder.glob("issued/.*")) == []
        if command == "revoke" and entries[first.serial].revoked == "":
            again.revoke("maize")
        assert (first.serial in revoked(again)) == (command == "revoke")
        again.issue("vine" if again.valid("vine") is None else "third")
    assert cuts >= 4


def test_an_authority_that_is_cut_off_while_it_is_made_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_at(monkeypatch, 2)
    with pytest.raises(Cut):
        create(tmp_path / "pki")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    create(tmp_path / "pki")


# -- what clients make of such a folder -----------------------------------------------------------


def encrypt(pki: Authority) -> None:
    file = pki.files("maize") / "key.pem"
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )


def other_key(pki: Authority) -> None:
    pki.issue("vine")
    (pki.files("maize") / "key.pem").write_bytes((pki.files("vine") / "key.pem").read_bytes())


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda pki: (pki.files("maize") / "ca.pem").unlink(), "ca.pem: No such file"),
        (lambda pki: (pki.files("maize") / "ca.pem").write_text("x"), "no certificate in PEM"),
        (lambda pki: (pki.files("maize") / "key.pem").unlink(), "there is cert.pem, but no key"),
        (lambda pki: (pki.files("maize") / "cert.pem").unlink(), "there is key.pem, but no cert"),
        (lambda pki: (pki.files("maize") / "cert.pem").write_text("x"), "cert.pem: holds no"),
        (lambda pki: (pki.files("maize") / "key.pem").write_text("x"), "no private key in PEM"),
        (lambda pki: (pki.files("maize") / "key.pem").chmod(0o644), "chmod o-rwx"),
        (encrypt, "is encrypted.*openssl pkey"),
        (other_key, "is not the key of cert.pem"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_in_words(
    pki: Authority, harm: Any, said: str
) -> None:
    pki.issue("maize")
    harm(pki)
    with pytest.raises(UsageError, match=said):
        client_context(pki.files("maize"))


def test_an_expired_certificate_of_ours_is_refused_in_words(tmp_path: Path) -> None:
    pki = create(tmp_path / "pki", now=lambda: NOW - timedelta(days=400))
    pki.issue("maize", days=1)
    with pytest.raises(UsageError, match=r"expired on 2025-03-2.*--renew"):
        client_context(pki.files("maize"))


def test_clients_check_names_and_speak_no_old_tls(pki: Authority) -> None:
    pki.issue("maize")
    for folder in (None, pki.files("maize")):
        context = client_context(folder)
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


# -- the commands ----------------------------------------------------------------------------------


def levada(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["pki", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_commands_say_what_is_to_be_copied_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert levada("init") == 0
    assert "ca.key.pem can be anybody" in capfd.readouterr().out
    assert levada("issue", "maize", "fog") == 0
    said = capfd.readouterr().out
    assert "pki/issued/maize: user maize until " in said
    assert "--pki FOLDER" in said
    assert levada("issue", "maize") == 2
    assert "error: maize: has a certificate until" in capfd.readouterr().err
    assert levada("issue", "a", "b", "--host", "pi") == 2
    assert levada("revoke", "maize") == 0
    assert "restart it" in capfd.readouterr().out
    assert levada("revoke", "maize") == 2
    capfd.readouterr()
    assert levada("list") == 0
    said = capfd.readouterr().out
    assert [line.split()[0] for line in said.splitlines()] == ["authority", "maize", "fog"]
    assert "revoked" in said.splitlines()[1] and "valid" in said.splitlines()[2]
    register = json.loads((tmp_path / "pki" / "register.json").read_text())
    assert [item["name"] for item in register["certificates"]] == ["maize", "fog"]


def test_a_command_without_an_authority_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["issue", "maize"], ["revoke", "maize"], ["list"]):
        assert levada(*command) == 2
        assert "levada pki init" in capfd.readouterr().err
