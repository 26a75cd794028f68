"""Commands of `levada` about keys and signatures of modules."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levada.guest.text.plain import plain
from levada.guest.topic import is_node_name
from levada.twin.cli.output_file import check_output

if TYPE_CHECKING:
    from levada.guest.signing.keys import Trusted

__all__ = ["TrustedFile", "keys_app", "show_signature", "signing_app"]

keys_app = typer.Typer(no_args_is_help=True, help="Keys that sign guest modules.")
signing_app = typer.Typer()

KeysFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the keys.")]
Passphrase = Annotated[
    bool, typer.Option("--passphrase", help="Ask for one that protects new private keys.")
]
ModuleFile = Annotated[Path, typer.Argument(metavar="FILE", help="Guest module (.wasm).")]
TrustedFile = Annotated[
    Path | None,
    typer.Option("--trusted", metavar="FILE", help="trusted.json: the keys that count."),
]
DATE = re.compile(r"\d{4}-\d\d-\d\d")
COUNTER_FAR = 1_000
"""Releases that nobody makes by mistake: a counter further above the last one is warned of."""


@keys_app.command("new")
def keys_new(folder: KeysFolder = Path("keys"), passphrase: Passphrase = False) -> None:
    """Make an active key, a next one, and trusted.json for devices."""
    from levada.guest.signing.keys import new_keys

    made = new_keys(folder, _new_passphrase() if passphrase else "")
    _say(f"{folder}/active.pem signs modules from now on; only you can read it")
    _say(f"{folder}/next.pem takes its place one day: keep it elsewhere until then")
    _show_keys(made.trusted)
    _say(
        f"{folder}/trusted.json is for devices: `levada device --trust {folder}/trusted.json`, or "
        "the two keys above in menuconfig of an ESP32 (levada, Trust)"
    )


@keys_app.command("rotate")
def keys_rotate(folder: KeysFolder = Path("keys"), passphrase: Passphrase = False) -> None:
    """Retire the active key: the next one signs, and a new next one is made."""
    from levada.guest.signing.keys import KeyFolder

    keys = KeyFolder(folder)
    before = keys.trusted
    protect = passphrase or keys.protected
    new, retired = keys.rotate(_ask, _new_passphrase() if protect else "")
    _show_keys(new)
    _say(f"{folder}/trusted.json, version {new.version}, is signed by the key that was next")
    _say(f"{folder}/trusted-{before.version}.json is the one before")
    if retired.exists():
        _say(f"{retired} has signed until now: delete it once no device trusts it any more")
    _say(
        "Devices take modules of the new active key already. They trust the retired one until they "
        "are given the new keys: a virtual board by --trust, an ESP32 by a new image."
    )


@keys_app.command("check")
def keys_check(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="trusted.json that one has.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The one that is offered.")],
) -> None:
    """Whether a trusted.json is the rightful successor of another one."""
    from levada.guest.signing.keys import read_trusted

    newer = read_trusted(new)
    read_trusted(old).require_successor(newer)
    _say(f"{new}, version {newer.version}, is signed by the next key of {old}")
    _show_keys(newer)


@signing_app.command("sign")
def guest_sign(
    file: ModuleFile,
    keys: Annotated[
        Path, typer.Option("--keys", metavar="DIR", help="Folder of `levada keys new`.")
    ] = Path("keys"),
    counter: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Devices take no lower one; unless given, one more than the last.",
        ),
    ] = None,
    target: Annotated[
        str, typer.Option(metavar="NODE", help="The only node that may take it; *: all.")
    ] = "*",
    expires: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Not to be installed from that day on (UTC)."),
    ] = None,
    nonce: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="Of the device's request that it answers, 32 digits."),
    ] = None,
    final: Annotated[
        bool,
        typer.Option("--final", help="Yes, the highest counter: there is no release after this."),
    ] = False,
) -> None:
    """Sign a guest module: writes FILE.manifest beside it."""
    from levada.guest.module.inspect import inspect
    from levada.guest.private_file import replace_file
    from levada.guest.signing.envelope import sign
    from levada.guest.signing.keys import KeyFolder
    from levada.guest.signing.manifest import ANY_TARGET, manifest_of
    from levada.guest.signing.module_file import manifest_path

    folder = KeyFolder(keys)
    number = counter if counter is not None else folder.counter + 1
    manifest = manifest_of(
        inspect(_module(file)),
        counter=number,
        target=target,
        expiry_s=_midnight(expires) if expires is not None else None,
        nonce=_nonce(nonce) if nonce is not None else None,
    )
    if target != ANY_TARGET and not is_node_name(target):
        raise typer.BadParameter(
            f"{target!r:.80}: no node is called so; a name has 1 to 64 characters, none of them "
            "/ + # $ or a control character",
            param_hint="--target",
        )
    _consider(number, folder.counter, final=final)
    out = manifest_path(file)
    check_output(out, "FILE")
    envelope = sign(manifest, folder.active(_ask))
    folder.given(number)  # first: no two modules have one counter, whatever is cut off
    replace_file(out.resolve(), envelope.encode())
    _say(f"wrote {out}, {len(envelope.encode())} bytes")
    show_signature(file, folder.trusted)


def _consider(counter: int, last: int, *, final: bool) -> None:
    """Whether a counter leaves room for releases to come; devices never take a lower one."""
    from levada.guest.signing.manifest import COUNTER_MOST

    if counter == COUNTER_MOST and not final:
        raise typer.BadParameter(
            f"{counter} is the highest there is: a device that has taken this module takes no "
            "other release ever after, but an answer to its nonce. --final says that this is meant",
            param_hint="--counter",
        )
    if counter - last > COUNTER_FAR:
        typer.echo(
            f"counter {counter:,} is far above the last one, {last:,}: devices that take it refuse "
            "every lower one for ever",
            err=True,
        )


@signing_app.command("verify")
def guest_verify(
    file: ModuleFile,
    trusted: Annotated[
        Path, typer.Option("--trusted", metavar="FILE", help="trusted.json: the keys that count.")
    ] = Path("keys/trusted.json"),
    node: Annotated[
        str | None, typer.Option(metavar="NODE", help="And it is for that node.")
    ] = None,
) -> None:
    """Whether a trusted key has signed this module, as a device would ask."""
    from levada.guest.errors import ManifestError, SignatureError
    from levada.guest.module.inspect import inspect
    from levada.guest.signing.keys import read_trusted
    from levada.guest.signing.module_file import (
        manifest_path,
        read_envelope,
        require_matching,
        require_target,
    )

    known = read_trusted(trusted)
    info = inspect(_module(file))
    envelope = read_envelope(file)
    if envelope is None:
        raise SignatureError(f"{file} is not signed: there is no {manifest_path(file)}")
    show_signature(file, known)
    envelope.verify(known.keys)
    manifest = envelope.manifest
    require_matching(manifest, info)
    if node is not None:
        require_target(manifest, node)
    if manifest.expiry_s is not None and _now().timestamp() > manifest.expiry_s:
        raise ManifestError("the manifest has expired: sign the module again")
    _say("the signature holds, and the module is the one that was signed")


def show_signature(file: Path, trusted: Trusted | None) -> None:
    """Who has signed a module, and what the manifest beside it says."""
    from levada.guest.signing.module_file import read_envelope, said

    envelope = read_envelope(file)
    if envelope is None:
        _say("signature   none: no manifest lies beside it")
        return
    for name, text in said(envelope, trusted.keys if trusted else (), _now()):
        _say(f"{name:<10}  {text}")


def _module(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from None


def _show_keys(trusted: Trusted) -> None:
    from levada.guest.signing.envelope import key_id

    for name, public in zip(("active", "next"), trusted.keys, strict=True):
        _say(f"{name:<6}  {key_id(public).hex()}  {public.hex()}")


def _now() -> datetime:
    return datetime.now(UTC)


def _midnight(text: str) -> int:
    try:
        if not DATE.fullmatch(text):
            raise ValueError
        day = datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: must be a date such as 2027-05-31", param_hint="--expires"
        ) from None
    if day <= _now():
        raise typer.BadParameter(f"{text} is over: name a day to come", param_hint="--expires")
    return int(day.timestamp())


def _nonce(text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{32}", text):
        raise typer.BadParameter(
            f"{text!r:.80}: must be 32 hexadecimal digits", param_hint="--nonce"
        )
    return bytes.fromhex(text)


def _ask(path: Path) -> str:
    if not sys.stdin.isatty():
        from levada.guest.errors import KeyFileError

        raise KeyFileError(f"{path} has a passphrase, and there is no terminal to ask for it")
    return str(typer.prompt(f"Passphrase of {path}", hide_input=True, err=True))


def _new_passphrase() -> str:
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask at", param_hint="--passphrase")
    return str(typer.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True))


def _say(text: str) -> None:
    typer.echo(plain(text))
