"""`levada keys` and `levada guest sign|verify|inspect`, as one types them."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from command import levada
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from levada.guest.private_file import replace_file
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.signing.envelope import Envelope, raw_public
from levada.guest.signing.keys import new_keys, read_trusted
from levada.hil.nodes import open_link
from levada.hil.virtual import BUILD, build_board
from levada.sim.scenario.node_url import parse_node

MODULE = "irrigation.wasm"
REFUSED = 2


HIGHEST = 4_294_967_295


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a module and keys."""
    shutil.copy(DEFAULT_GUEST, tmp_path / MODULE)
    assert levada("keys", "new", cwd=tmp_path).returncode == 0
    return tmp_path


def test_new_keys_say_what_each_file_is_for(tmp_path: Path) -> None:
    done = levada("keys", "new", "mine", cwd=tmp_path)
    assert done.returncode == 0
    for said in ("mine/active.pem signs modules from now on", "keep it elsewhere", "menuconfig"):
        assert said in done.stdout
    again = levada("keys", "new", "mine", cwd=tmp_path)
    assert again.returncode == REFUSED and "mine is not empty" in again.stderr


def test_nothing_that_is_printed_is_secret(place: Path) -> None:
    said = (
        levada("keys", "rotate", cwd=place).stdout
        + levada("guest", "sign", MODULE, cwd=place).stdout
    )
    for pem in (place / "keys").glob("*.pem"):
        key = load_pem_private_key(pem.read_bytes(), None)
        seed = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        assert seed.hex() not in said


def test_a_module_is_signed_verified_and_inspected(place: Path) -> None:
    before = levada("guest", "inspect", MODULE, cwd=place)
    assert "signature   none: no manifest lies beside it" in before.stdout
    done = levada("guest", "sign", MODULE, cwd=place)
    assert done.returncode == 0, done.stderr
    assert f"wrote {MODULE}.manifest" in done.stdout and "counter 1" in done.stdout
    assert (place / MODULE).read_bytes() == DEFAULT_GUEST.read_bytes()
    verified = levada("guest", "verify", MODULE, cwd=place)
    assert verified.returncode == 0 and "the signature holds" in verified.stdout
    assert ": not verified" in levada("guest", "inspect", MODULE, cwd=place).stdout
    known = levada("guest", "inspect", MODULE, "--trusted", "keys/trusted.json", cwd=place)
    assert ": holds" in known.stdout


def test_every_release_has_a_higher_counter_unless_one_is_named(place: Path) -> None:
    found = []
    for options in ([], [], ["--counter", "9"], [], ["--counter", "2"], []):
        assert levada("guest", "sign", MODULE, *options, cwd=place).returncode == 0
        envelope = Envelope.decode((place / f"{MODULE}.manifest").read_bytes())
        found.append(envelope.manifest.counter)
    assert found == [1, 2, 9, 10, 2, 11]


def test_what_may_take_it_can_be_narrowed(place: Path) -> None:
    day = (datetime.now(UTC) + timedelta(days=400)).date()
    options = ("--target", "zone1", "--expires", str(day), "--nonce", "0123456789abcdef" * 2)
    assert levada("guest", "sign", MODULE, *options, cwd=place).returncode == 0
    manifest = Envelope.decode((place / f"{MODULE}.manifest").read_bytes()).manifest
    assert manifest.nonce == bytes.fromhex("0123456789abcdef" * 2)
    assert datetime.fromtimestamp(manifest.expiry_s or 0, UTC).date() == day
    assert levada("guest", "verify", MODULE, "--node", "zone1", cwd=place).returncode == 0
    other = levada("guest", "verify", MODULE, "--node", "zone2", cwd=place)
    assert other.returncode == REFUSED
    assert "signed for node zone1, not for zone2" in other.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--expires", "tomorrow"), "'tomorrow': must be a date such as"),
        (("--expires", "2027-02-30"), "must be a date such as"),
        (("--expires", "2001-01-01"), "2001-01-01 is over: name a day to come"),
        (("--nonce", "12"), "must be 32 hexadecimal digits"),
        (("--counter", "0"), "`counter` = 0: permitted 1 to 4294967295"),
        (("--target", ""), "must be text of 1 to 32 bytes"),
        (("--keys", "nowhere"), "nowhere/trusted.json: No such file"),
    ],
)
def test_what_cannot_be_signed_is_refused_and_nothing_is_written(
    options: tuple[str, str], complaint: str, place: Path
) -> None:
    done = levada("guest", "sign", MODULE, *options, cwd=place)
    assert done.returncode == REFUSED
    assert complaint in " ".join(done.stderr.replace("│", " ").split())
    assert not (place / f"{MODULE}.manifest").exists()
    assert not (place / "keys" / "counter").exists()


def test_the_highest_counter_which_ends_all_releases_has_to_be_meant(place: Path) -> None:
    refused = levada("guest", "sign", MODULE, "--counter", str(HIGHEST), cwd=place)
    assert refused.returncode == REFUSED
    said = " ".join(refused.stderr.replace("│", " ").split())
    assert "no other release ever after" in said and "--final" in said
    assert not (place / f"{MODULE}.manifest").exists()
    assert not (place / "keys" / "counter").exists()
    meant = levada("guest", "sign", MODULE, "--counter", str(HIGHEST), "--final", cwd=place)
    assert meant.returncode == 0, meant.stderr
    assert "far above the last one, 0" in meant.stderr
    after = levada("guest", "sign", MODULE, cwd=place)
    assert after.returncode == REFUSED and "permitted 1 to 4294967295" in after.stderr
    (place / "keys" / "counter").write_text(f"{HIGHEST - 1}\n")
    assert levada("guest", "sign", MODULE, cwd=place).returncode == REFUSED  # the next is the last


def test_a_counter_far_above_the_last_one_is_warned_of(place: Path) -> None:
    for counter, far in (("1000", False), ("2001", True), ("3001", False), ("5", False)):
        done = levada("guest", "sign", MODULE, "--counter", counter, cwd=place)
        assert done.returncode == 0
        assert ("is far above the last one" in done.stderr) == far, counter


def test_a_module_that_was_changed_or_not_signed_is_refused(place: Path) -> None:
    unsigned = levada("guest", "verify", MODULE, cwd=place)
    assert unsigned.returncode == REFUSED and "is not signed: there is no" in unsigned.stderr
    assert levada("guest", "sign", MODULE, cwd=place).returncode == 0
    (place / MODULE).write_bytes(DEFAULT_GUEST.read_bytes() + b"\0\2\1x")  # a custom section
    done = levada("guest", "verify", MODULE, cwd=place)
    assert done.returncode == REFUSED
    assert "SHA-256: the manifest says" in done.stderr and "size: the manifest says" in done.stderr
    manifest = place / f"{MODULE}.manifest"
    manifest.write_bytes(manifest.read_bytes()[:-1])
    for command in ("verify", "inspect"):
        done = levada("guest", command, MODULE, cwd=place)
        assert done.returncode == REFUSED
        assert f"{MODULE}.manifest: the envelope: not CBOR" in done.stderr


def test_a_retired_key_counts_no_more(place: Path) -> None:
    assert levada("guest", "sign", MODULE, cwd=place).returncode == 0
    rotated = levada("keys", "rotate", cwd=place)
    assert rotated.returncode == 0
    assert "Devices take modules of the new active key already." in rotated.stdout
    done = levada("guest", "verify", MODULE, cwd=place)
    assert done.returncode == REFUSED and "no trusted key has signed it" in done.stderr
    old = ("--trusted", "keys/trusted-1.json")
    assert levada("guest", "verify", MODULE, *old, cwd=place).returncode == 0
    check = ("keys/trusted-1.json", "keys/trusted.json")
    assert levada("keys", "check", *check, cwd=place).returncode == 0
    assert levada("keys", "check", *reversed(check), cwd=place).returncode == REFUSED


def test_a_passphrase_is_asked_for_and_kept_through_a_rotation(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def prompt(text: str, **options: object) -> str:
        assert options["hide_input"] is True
        asked.append(text)
        return "secret"

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "prompt", prompt)
    assert levada("keys", "new", "safe", "--passphrase", cwd=place).returncode == 0
    for command in (("keys", "rotate", "safe"), ("guest", "sign", MODULE, "--keys", "safe")):
        done = levada(*command, cwd=place)
        assert done.returncode == 0 and "secret" not in done.stdout
    assert b"ENCRYPTED" in (place / "safe" / "next.pem").read_bytes()
    assert asked == [
        *("New passphrase", "New passphrase", "Passphrase of safe/next.pem"),
        "Passphrase of safe/active.pem",
    ]
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    done = levada("guest", "sign", MODULE, "--keys", "safe", cwd=place)
    assert done.returncode == REFUSED and "there is no terminal to ask for it" in done.stderr


@pytest.mark.parametrize("engine", ["wasm3", "xtensa"])
def test_a_virtual_board_starts_with_the_keys_it_is_given(engine: str, place: Path) -> None:
    keys = read_trusted(place / "keys" / "trusted.json").keys
    query = "&".join(f"trust={key.hex()}" for key in keys)
    with ExitStack() as stack:
        link = open_link(parse_node(f"virtual:{engine}?{query}"), stack)
        assert link.hello().engine.startswith("wasm3")


def test_a_key_that_is_none_or_one_too_many_starts_no_board() -> None:
    build_board("wasm3")
    key = "0a" * 32
    for trust, said in (
        ([key[1:]], "--trust " + key[1:] + ": must be 64 hexadecimal digits"),
        ([key, key, key], "--trust: at most 2 keys"),
    ):
        arguments = [item for value in trust for item in ("--trust", value)]
        done = subprocess.run(
            [BUILD / "levada-device", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == REFUSED and said in done.stderr


@pytest.mark.parametrize("target", ["a/b", "+", "#", "x" * 33])
def test_a_target_that_no_node_can_be_called_is_refused(target: str, place: Path) -> None:
    done = levada("guest", "sign", MODULE, "--target", target, cwd=place)
    assert done.returncode == REFUSED, done
    assert not (place / f"{MODULE}.manifest").exists()


@pytest.mark.parametrize(
    ("file", "data", "said"),
    [
        ("keys/trusted.json", b"[" * 100_000, "not JSON: nested deeper than"),
        ("keys/counter", b"\xff", "must be a number"),
    ],
)
def test_a_damaged_file_of_keys_is_told_in_a_sentence(
    file: str, data: bytes, said: str, place: Path
) -> None:
    (place / file).write_bytes(data)
    done = levada("guest", "sign", MODULE, cwd=place)
    assert done.returncode == REFUSED and said in done.stderr, done
    assert "Traceback" not in done.stderr


def test_a_manifest_that_is_no_file_is_refused_and_not_waited_for(place: Path) -> None:
    manifest = place / f"{MODULE}.manifest"
    for make in (lambda: os.mkfifo(manifest), lambda: manifest.symlink_to("/dev/zero")):
        make()
        done = levada("guest", "verify", MODULE, cwd=place)
        assert done.returncode == REFUSED and "is no file" in done.stderr, done
        manifest.unlink()


def test_a_file_that_does_not_fit_on_the_disk_leaves_the_old_one_and_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.manifest"
    replace_file(file, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*x\.manifest"):
        replace_file(file, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["x.manifest"]
    assert file.read_bytes() == b"old"


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("cut", range(8))
def test_a_rotation_that_is_cut_off_anywhere_is_not_begun_or_finished(
    cut: int, lost: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_keys(tmp_path / "keys")
    old = folder.trusted
    if lost:
        (folder.path / "active.pem").unlink()
    moved = 0
    replace = Path.replace

    def cut_off(path: Path, target: Path) -> Path:
        nonlocal moved
        if moved == cut:
            raise KeyboardInterrupt
        moved += 1
        return replace(path, target)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(Path, "replace", cut_off)
        folder.rotate(_never)
    new = folder.trusted
    if new.version == old.version:
        new, _ = folder.rotate(_never)
    old.require_successor(new)
    assert raw_public(folder.active(_never)) == new.keys[0] == old.keys[1]
    assert raw_public(folder.next(_never)) == new.keys[1]


def _never(path: Path) -> str:
    raise AssertionError(f"{path} has no passphrase")
