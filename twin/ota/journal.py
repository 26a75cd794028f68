"""What a rollout leaves behind: its state on the disk, from which it goes on, and who decided what.

    runs/ota/<id>/rollout.json     module, nodes, gate, state; replaced as a whole
    runs/ota/<id>/module.wasm      what is sent
    runs/ota/<id>/abort            made by whoever wants it stopped; holds the reason

The same is an event of the store that is named, so that the record of a site says why a module
that the gate had refused was sent all the same.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from levada.guest.text.json_text import parse
from levada.hil.update.package import ModulePackage
from levada.twin.errors import RolloutBusyError, TwinError
from levada.twin.ota.kept import KeptRollout
from levada.twin.ota.rollout import Rollout
from levada.twin.store.rows import Event
from levada.twin.store.store import Store

__all__ = ["ROLLOUTS", "RolloutFolder", "described", "new_folder", "note_in_store", "rollouts"]

ROLLOUTS: Final = Path("runs/ota")
STATE: Final = "rollout.json"
MODULE: Final = "module.wasm"
ENVELOPE: Final = "envelope.cbor"
ABORT: Final = "abort"


class RolloutFolder:
    """The folder of one rollout."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """By which it is called."""
        return self.path.name

    def begin(self, package: ModulePackage, about: Mapping[str, Any], rollout: Rollout) -> None:
        """Keep what is sent, and why."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / ABORT).unlink(missing_ok=True)
        (self.path / MODULE).write_bytes(package.module)
        (self.path / ENVELOPE).write_bytes(package.envelope)
        self.keep(about, rollout)

    def keep(self, about: Mapping[str, Any], rollout: Rollout) -> None:
        """Replace the state."""
        self._put(STATE, json.dumps({**about, "rollout": rollout.state()}, indent=1))

    def _put(self, name: str, text: str) -> None:
        """Write a file that another process may read meanwhile: it finds all of it or nothing."""
        part = self.path / f"{name}.part"
        part.write_text(text, encoding="utf-8")
        os.replace(part, self.path / name)

    def read(self) -> dict[str, Any]:
        """What is kept; raises TwinError if there is nothing, or nothing of ours."""
        file = self.path / STATE
        try:
            found = parse(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TwinError(f"{file}: no rollout of levada ({error})") from None
        if not isinstance(found, dict) or not isinstance(found.get("rollout"), dict):
            raise TwinError(f"{file}: no rollout of levada")
        try:
            KeptRollout.model_validate(found)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise TwinError(f"{file}: damaged: `{where}`: {first['msg']}") from None
        return found

    def rollout(self) -> Rollout:
        """The rollout, to go on with; raises TwinError."""
        try:
            return Rollout.resumed(self.read()["rollout"])
        except (KeyError, TypeError, ValueError) as error:
            raise TwinError(f"{self.path / STATE}: not whole: {error!r}") from None

    def package(self) -> ModulePackage:
        """What is sent; raises TwinError."""
        about = self.read()
        try:
            found = ModulePackage(
                module=(self.path / MODULE).read_bytes(),
                envelope=(self.path / ENVELOPE).read_bytes(),
                name=about["name"],
                version=about["version"],
                counter=about["counter"],
            )
        except OSError as error:
            raise TwinError(f"{error.filename}: {error.strerror}") from None
        if found.sha256 != about["sha256"]:
            raise TwinError(
                f"{self.path / MODULE}: is not the module that the gate has seen: its SHA-256 is "
                f"{found.sha256[:16]}, {STATE} says {about['sha256'][:16]}"
            )
        return found

    @contextmanager
    def held(self) -> Iterator[None]:
        """The rollout for ourselves; raises TwinError if somebody else drives it."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise RolloutBusyError(f"{self.path}: is being driven by another levada") from None
        finally:
            os.close(descriptor)

    def abort(self, reason: str) -> None:
        """Have it stopped by whoever runs it."""
        self._put(ABORT, reason[:500])

    def stop(self, reason: str) -> list[str] | None:
        """Have it stopped: None if whoever runs it does that; else nobody runs it, and these are
        the nodes that are under way and can be asked once it is resumed."""
        self.abort(reason)
        try:
            with self.held():
                about, rollout = self.read(), self.rollout()
                rollout.cancel(reason)
                self.keep({k: v for k, v in about.items() if k != "rollout"}, rollout)
                return [execution.node for execution in rollout.running]
        except RolloutBusyError:
            return None

    def aborted(self) -> str:
        """Why it is to be stopped; empty: it is not."""
        with suppress(OSError):
            return (self.path / ABORT).read_text(encoding="utf-8") or "aborted"
        return ""


def rollouts(folder: Path = ROLLOUTS) -> Iterator[RolloutFolder]:
    """All rollouts, the newest first."""
    found = [file for file in folder.glob(f"*/{STATE}") if file.is_file()]
    for file in sorted(found, key=lambda file: file.parent.name, reverse=True):
        yield RolloutFolder(file.parent)


def new_folder(folder: Path, package: ModulePackage, now: datetime) -> RolloutFolder:
    """A new one in `folder`, named so that rollouts are in the order of their beginnings."""
    name = f"{now:%Y%m%dT%H%M%S}-{package.sha256[:8]}"
    for k in count(1):
        path = folder / (name if k == 1 else f"{name}-{k}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:  # of another one that began in this second
            continue
        return RolloutFolder(path)
    raise AssertionError("not reached")


def described(package: ModulePackage, **more: Any) -> dict[str, Any]:
    """What is kept of a module beside the state of its rollout."""
    return {
        "name": package.name,
        "version": package.version,
        "counter": package.counter,
        "sha256": package.sha256,
        "size": len(package.module),
        **more,
    }


def note_in_store(store: str | Path, kind: str, text: str, evidence: Mapping[str, Any]) -> None:
    """Keep an event in a store that nobody else writes; raises StoreError."""
    now_ms = round(datetime.now(UTC).timestamp() * 1000)
    severity: Any = "warning" if evidence.get("override") else "info"
    with Store(store, existing=True) as opened:
        event = Event(
            kind=kind, text=text, time_ms=now_ms, severity=severity, evidence=dict(evidence)
        )
        opened.submit(event)
        opened.flush()
