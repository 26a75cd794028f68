"""Modules that come over MQTT for the boards of a field (`levada.twin.sources.virtual_field`).

A module is brought to its board beside the steps of the guest that runs, and tried by the next
ones; no step is left out.  What a board has is kept in a folder, so that a field that is started
again goes on with it:

    flash.bin      of a virtual board: slots, counter, barred modules, parameters
    modules.json   the module in use, and the one before, each in a file <sha256>.wasm
    update.json    the last update, see `levada.twin.ota.last_update`
"""

from __future__ import annotations

import json
import logging
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from levada.guest.errors import GuestError
from levada.guest.limits import Budget
from levada.guest.module.inspect import inspect
from levada.guest.private_file import replace_file
from levada.guest.text.json_text import parse
from levada.hil.errors import HilError, UsageError
from levada.hil.node import DeviceNode
from levada.hil.update.device import DeviceUpdate, refusal_of
from levada.hil.update.package import ModulePackage, transfer_id
from levada.hil.update.states import UpdateFailure, UpdateStage
from levada.hil.update.updater import Trial, UpdateVerdict
from levada.twin.mqtt.messages import Message
from levada.twin.ota.chunks import Offer
from levada.twin.ota.last_update import module_on_trial
from levada.twin.ota.receiver import Identity, Receiver, Settle, TransferSettings
from levada.twin.sources.trial_judge import GuestMessage, TrialJudge, is_telemetry

__all__ = ["BoardUpdates", "flash_file", "kept_modules"]

_log = logging.getLogger(__name__)
FLASH: Final = "flash.bin"
MODULES: Final = "modules.json"


def node_folder(folder: Path, node: str) -> Path:
    """Where what belongs to a node is kept, whatever it is called."""
    return folder / f"node-{quote(node, safe='')}"


def flash_file(folder: Path, node: str) -> Path:
    """Where the flash of a virtual board is kept; its folder is made.  Raises UsageError."""
    where = node_folder(folder, node)
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{where}: {error.strerror}") from None
    return where / FLASH


def kept_modules(
    folder: Path | None, node: str
) -> tuple[ModulePackage | None, list[ModulePackage]]:
    """The module that the node had when its field ended, None: that of the scenario; and others
    that it may have by now."""
    if folder is None:
        return None, []
    where = node_folder(folder, node)
    found = _read_modules(where)
    tried = module_on_trial(where)
    others = found[1:] if tried is None else [*found[1:], tried]
    return found[0] if found else None, others


def _read_modules(where: Path) -> list[ModulePackage]:
    try:
        about: Any = parse((where / MODULES).read_text(encoding="utf-8"))
        found = [
            ModulePackage(
                module=(where / f"{entry['sha256']}.wasm").read_bytes(),
                envelope=b64decode(entry["envelope"]),
                name=entry["name"],
                version=entry["version"],
            )
            for entry in about
        ]
        damaged = any(p.sha256 != e["sha256"] for p, e in zip(found, about, strict=True))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s: not read, the scenario's module is taken: %s", where, error)
        return []
    if damaged:
        _log.warning("%s: damaged, the scenario's module is taken", where)
    return [] if damaged else found


@dataclass(slots=True)
class _Coming:
    """A module on its way into a board."""

    package: ModulePackage
    trial: Trial
    settle: Settle
    begun: bool = False
    """It is being brought to the board."""
    staged: bool = False
    tried: bool = False
    given_up: bool = False
    """By whoever has sent it."""
    judge: TrialJudge | None = None
    """While it is on trial."""


class BoardUpdates:
    """The updates of one board.

    `say(message)` publishes what it has to say; `changed(package)` is told, by the field's thread,
    that the board has another module, `begins()` that the next step is the first of a trial.
    `parameters()` are those in force by id, `defaults()` what they are unless set.
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
        defaults: Callable[[], dict[int, int]],
        budget: Budget,
        folder: Path | None = None,
        settings: TransferSettings | None = None,
    ) -> None:
        self._name = name
        self._device = device
        self._update = DeviceUpdate(device)
        self._changed = changed
        self._begins = begins
        self._parameters = parameters
        self._defaults = defaults
        self._budget = budget
        self._folder = None if folder is None else node_folder(folder, name)
        self._coming: _Coming | None = None
        self._held: list[GuestMessage] = []
        """What a module on trial would have published."""
        self._reported = False
        """Whether the module in use has told any telemetry."""
        self._last: UpdateVerdict | None = None
        self._runs = device.session.info.sha256
        """Of the module that the board is known to run."""
        self.receiver = Receiver(
            say,
            identity=self._identity,
            install=self._install,
            give_up=self._give_up,
            settings=settings or TransferSettings(),
            folder=self._folder,
        )

    def before_step(self) -> None:
        """To be called by the field's thread between two steps."""
        coming = self._coming
        if coming is None:
            if self._device.session.info.sha256 != self._runs:
                self._went_back()
        elif coming.given_up and not coming.begun:
            self._coming = None
            coming.settle(UpdateStage.FAILED, UpdateFailure.ABORTED, "by the operator")
        elif not coming.begun:
            coming.begun = True
            self._update.prepare(self._parameters())
            threading.Thread(target=self._stage, args=(coming,), name="update", daemon=True).start()
        elif coming.staged and not coming.tried and not coming.given_up:
            coming.tried = True
            coming.judge = TrialJudge(self._name, coming.trial.steps, reported=self._reported)
            coming.settle(UpdateStage.UPDATING)
            defaults = self._defaults()
            changed = {p: v for p, v in self._parameters().items() if defaults.get(p) != v}
            self._update.begin_trial(self._parameters(), changed)
            self._begins()
        elif coming.staged:
            self._look_at(coming)

    def _look_at(self, coming: _Coming) -> None:
        """End the trial if it is over, given up, or judged."""
        judge = coming.judge
        try:
            verdict = self._update.give_up() if coming.given_up else self._update.verdict()
            if verdict is None and judge is not None and judge.why:
                verdict = self._update.reject()
            elif verdict is None and judge is not None and judge.good:
                verdict = self._update.confirm()
        except HilError:
            return  # it is asked again behind the next step
        if verdict is not None:
            self._coming = None
            self._end(coming, verdict)

    def released(self, published: Sequence[GuestMessage]) -> Sequence[GuestMessage]:
        """What leaves of what the guest has published in the step just made.

        While a module is on trial nothing does, until it is committed; if it is rolled back it
        never does.  To be called by the field's thread after every step.
        """
        coming = self._coming
        if self._device.on_trial:
            self._held += published
            if coming is not None and coming.judge is not None:
                coming.judge.made_step(published)
            return ()
        self._reported |= any(is_telemetry(each.topic, self._name) for each in published)
        held, self._held = self._held, []
        return published if self._device.rolled_back else (*held, *published)

    def _end(self, coming: _Coming, verdict: UpdateVerdict) -> None:
        self._last = verdict
        package = coming.package
        if verdict.stage is UpdateStage.UPDATED and verdict.sha256 == package.sha256:
            self._runs = package.sha256
            self._keep(package)
            self._changed(package)
            coming.settle(UpdateStage.UPDATED)
            return
        self._held.clear()
        rejected = verdict.reason == UpdateFailure.REJECTED and coming.judge is not None
        text = coming.judge.why if rejected and coming.judge is not None else verdict.why
        coming.settle(UpdateStage.FAILED, verdict.reason or UpdateFailure.RESTART, text)

    def _went_back(self) -> None:
        """The board has given up the module that was committed, as after three crashes."""
        self.look()
        self._take_over()
        reason = self._last.reason if self._last is not None else ""
        self.receiver.gave_up(reason, "given up after it had been committed")

    def _take_over(self) -> None:
        """The board runs one of the modules that it was given before."""
        session = self._device.session
        self._runs = session.info.sha256
        metadata = session.info.metadata
        former = ModulePackage(
            module=session.module,
            envelope=session.envelope,
            name=metadata.name if metadata else "",
            version=metadata.version if metadata else "",
        )
        self._keep(former)
        self._changed(former)

    def _install(self, offer: Offer, module: bytes, settle: Settle) -> None:
        """In the network thread."""
        package = ModulePackage(
            module=module, envelope=offer.envelope, name=offer.name, version=offer.version
        )
        self._coming = _Coming(
            package, Trial(steps=max(1, offer.trial_steps), confirm=True), settle
        )

    def _give_up(self) -> None:
        """Between two steps: nothing else speaks to the board then."""
        coming = self._coming
        if coming is not None:
            coming.given_up = True

    def _stage(self, coming: _Coming) -> None:
        try:
            inspect(coming.package.module, budget=self._budget).require()
            self._update.stage(coming.package, coming.trial)
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
            transfer=transfer_id(session.info.sha256, session.envelope),
        )

    def start(self) -> None:
        """Learn from the board what became of an update that its end has cut off.

        To be called by the field's thread once the board is there, and before it is served.
        """
        self.look()
        if self._device.session.info.sha256 != self._runs:
            self._take_over()
        reason, text = "", "the node started again in the trial"
        if self._last is not None and self._last.reason == UpdateFailure.CRASHES:
            reason, text = self._last.reason, self._last.why
        self.receiver.started_again(self._runs, reason, text)

    def look(self) -> None:
        """Learn counter and nonce from the board; to be called by the field's thread."""
        with suppress(HilError):
            self._last = self._update.status()

    def _keep(self, package: ModulePackage) -> None:
        """The module in use, and the one before: a board may have gone back when it is asked."""
        if self._folder is None:
            return
        known = _read_modules(self._folder)
        if (before := self._device.session.former) is not None:
            known.insert(0, ModulePackage(module=before[0], envelope=before[1]))
        former = [p for p in known if p.sha256 != package.sha256][:1]
        kept = [package, *former]
        about = [
            {
                "name": p.name,
                "version": p.version,
                "sha256": p.sha256,
                "envelope": b64encode(p.envelope).decode(),
            }
            for p in kept
        ]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for p in kept:
                replace_file(self._folder / f"{p.sha256}.wasm", p.module)
            replace_file(self._folder / MODULES, json.dumps(about).encode())
            for other in self._folder.glob("*.wasm"):
                if other.stem not in [p.sha256 for p in kept]:
                    other.unlink()
        except OSError as error:
            _log.warning("%s: not kept: %s", self._folder, error)
