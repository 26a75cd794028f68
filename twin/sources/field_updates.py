"""Modules that come over MQTT for the boards of a field (`levada.twin.sources.virtual_field`).

A module is brought to its board beside the steps of the guest that runs, and tried by the next
ones; no step is left out.  Which module a board has is kept in a folder, so that a field that is
started again goes on with it.
"""

from __future__ import annotations

import json
import logging
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from levada.guest.errors import GuestError
from levada.guest.limits import Budget
from levada.guest.module.inspect import inspect
from levada.guest.text.json_text import parse
from levada.hil.errors import HilError
from levada.hil.node import DeviceNode
from levada.hil.update.device import DeviceUpdate, refusal_of
from levada.hil.update.package import ModulePackage
from levada.hil.update.states import UpdateFailure, UpdateStage
from levada.hil.update.updater import Trial, UpdateVerdict
from levada.twin.mqtt.messages import Message
from levada.twin.ota.chunks import Offer
from levada.twin.ota.receiver import Identity, Receiver, Settle, TransferSettings

__all__ = ["BoardUpdates", "kept_module"]

_log = logging.getLogger(__name__)
MODULE: Final = "module.wasm"
ABOUT: Final = "module.json"


def node_folder(folder: Path, node: str) -> Path:
    """Where what belongs to a node is kept, whatever it is called."""
    return folder / f"node-{quote(node, safe='')}"


def kept_module(folder: Path | None, node: str) -> ModulePackage | None:
    """The module that the node had when its field ended; None: the scenario's."""
    if folder is None:
        return None
    where = node_folder(folder, node)
    try:
        about: Any = parse((where / ABOUT).read_text(encoding="utf-8"))
        found = ModulePackage(
            module=(where / MODULE).read_bytes(),
            envelope=b64decode(about["envelope"]),
            name=about["name"],
            version=about["version"],
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s: not read, the scenario's module is taken: %s", where, error)
        return None
    return found if found.sha256 == about.get("sha256") else None


@dataclass(slots=True)
class _Coming:
    """A module on its way into a board."""

    package: ModulePackage
    settle: Settle
    staged: bool = False
    tried: bool = False


class BoardUpdates:
    """The updates of one board.

    `say(message)` publishes what it has to say; `changed(package)` is told, by the field's thread,
    that the board has another module, `begins()` that the next step is the first of a trial.
    """

    def __init__(
        self,
        name: str,
        device: DeviceNode,
        *,
        say: Callable[[Message], object],
        changed: Callable[[ModulePackage], object],
        begins: Callable[[], object],
        parameters: Callable[[], dict[int, int]],
        budget: Budget,
        folder: Path | None = None,
        settings: TransferSettings | None = None,
    ) -> None:
        self._device = device
        self._update = DeviceUpdate(device)
        self._changed = changed
        self._begins = begins
        self._parameters = parameters
        self._budget = budget
        self._folder = None if folder is None else node_folder(folder, name)
        self._coming: _Coming | None = None
        self._last: UpdateVerdict | None = None
        self._runs = device.session.info.sha256
        """Of the module that the board is known to run."""
        self.receiver = Receiver(
            say,
            identity=self._identity,
            install=self._install,
            settings=settings or TransferSettings(),
            folder=self._folder,
        )

    def before_step(self) -> None:
        """To be called by the field's thread between two steps."""
        coming = self._coming
        if coming is None and self._device.session.info.sha256 != self._runs:
            self._went_back()
        if coming is None or not coming.staged:
            return
        if not coming.tried:
            coming.tried = True
            coming.settle(UpdateStage.UPDATING)
            self._update.begin_trial(self._parameters())
            self._begins()
            return
        try:
            verdict = self._update.verdict()
        except HilError:
            return  # it is asked again behind the next step
        if verdict is not None:
            self._coming = None
            self._end(coming, verdict)

    def _end(self, coming: _Coming, verdict: UpdateVerdict) -> None:
        self._last = verdict
        package = coming.package
        if verdict.stage is UpdateStage.UPDATED and verdict.sha256 == package.sha256:
            self._runs = package.sha256
            self._keep(package)
            self._changed(package)
            coming.settle(UpdateStage.UPDATED)
            return
        text = f"rolled back after {verdict.steps} steps of its trial (detail {verdict.detail})"
        coming.settle(UpdateStage.FAILED, verdict.reason or UpdateFailure.RESTART, text)

    def _went_back(self) -> None:
        """The board has given up the module that was committed, as after three crashes."""
        session = self._device.session
        self._runs = session.info.sha256
        self.look()
        metadata = session.info.metadata
        former = ModulePackage(
            module=session.module,
            envelope=session.envelope,
            name=metadata.name if metadata else "",
            version=metadata.version if metadata else "",
        )
        self._keep(former)
        self._changed(former)
        reason = self._last.reason if self._last is not None else ""
        self.receiver.gave_up(reason, "given up after it had been committed")

    def _install(self, offer: Offer, module: bytes, settle: Settle) -> None:
        """In the network thread."""
        package = ModulePackage(
            module=module, envelope=offer.envelope, name=offer.name, version=offer.version
        )
        coming = self._coming = _Coming(package, settle)
        trial = Trial(steps=max(1, offer.trial_steps))
        threading.Thread(
            target=self._stage, args=(coming, trial), name="update", daemon=True
        ).start()

    def _stage(self, coming: _Coming, trial: Trial) -> None:
        try:
            inspect(coming.package.module, budget=self._budget).require()
            self._update.stage(coming.package, trial)
        except (HilError, GuestError) as error:
            self._coming = None
            coming.settle(UpdateStage.FAILED, refusal_of(error), str(error))
            return
        except Exception as error:  # noqa: BLE001 - whoever waits has to be told
            _log.exception("a module was not brought to its board")
            self._coming = None
            coming.settle(UpdateStage.FAILED, UpdateFailure.LINK, repr(error))
            return
        coming.settle(UpdateStage.VERIFIED)
        coming.staged = True

    def _identity(self) -> Identity:
        session, last = self._device.session, self._last
        metadata = session.info.metadata
        return Identity(
            guest_sha256=session.info.sha256,
            guest_name=metadata.name if metadata else "",
            guest_version=metadata.version if metadata else "",
            counter=last.counter if last is not None and last.counter else None,
            nonce=last.nonce if last is not None else None,
        )

    def look(self) -> None:
        """Learn counter and nonce from the board; to be called by the field's thread."""
        with suppress(HilError):
            self._last = self._update.status()

    def _keep(self, package: ModulePackage) -> None:
        if self._folder is None:
            return
        about = {
            "name": package.name,
            "version": package.version,
            "sha256": package.sha256,
            "envelope": b64encode(package.envelope).decode(),
        }
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for name, data in ((MODULE, package.module), (ABOUT, json.dumps(about).encode())):
                part = self._folder / f"{name}.part"
                part.write_bytes(data)
                part.replace(self._folder / name)
        except OSError as error:
            _log.warning("%s: not kept: %s", self._folder, error)
