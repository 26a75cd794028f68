"""A rollout to devices at lines of this computer, one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from levada.hil.errors import HilError
from levada.hil.update.line import ask_line, is_committed, send_over_line
from levada.hil.update.states import UpdateFailure, UpdateStage, failure_type
from levada.hil.update.updater import UpdateError
from levada.twin.mqtt.messages import OtaState
from levada.twin.ota.journal import RolloutFolder
from levada.twin.ota.rollout import Rollout

__all__ = ["LineCampaign", "ask_lines"]

_LOOK_S: Final = 0.1


class LineCampaign:
    """The rollout in `folder`, whose nodes are called as `--node` names them.

    `on_change(rollout, states)` is called by `run` after every change, as by a `Campaign`.
    """

    def __init__(
        self,
        folder: RolloutFolder,
        *,
        on_change: Callable[[Rollout, Mapping[str, OtaState]], object] = lambda *_: None,
    ) -> None:
        self.folder = folder
        self.rollout = folder.rollout()
        self._about = {k: v for k, v in folder.read().items() if k != "rollout"}
        self._package = folder.package()
        self._on_change = on_change
        self._states: dict[str, OtaState] = {}

    def run(self, stop: threading.Event) -> Rollout:
        """Drive it until it has ended, or until `stop` is set: then it can be resumed."""
        for execution in self.rollout.running:
            self._send(execution.node)
        while not self.rollout.has_ended and not stop.is_set():
            if self.folder.aborted():
                self.rollout.cancel(self.folder.aborted())
            for node in self.rollout.due(_now_ms()):
                self._send(node)
            self._keep()
            stop.wait(_LOOK_S)
        self._keep()
        return self.rollout

    def _send(self, node: str) -> None:
        package = self._package

        def progress(received: int, size: int) -> None:
            self._states[node] = OtaState(
                id=package.id, state=UpdateStage.DOWNLOADING, received=received, size=size
            )
            self._on_change(self.rollout, self._states)

        try:
            verdict = send_over_line(
                node,
                package,
                trial_steps=int(self._about.get("trial_steps", 3)),
                on_progress=progress,
                is_aborted=lambda: bool(self.folder.aborted()),
            )
        except (HilError, ValueError) as error:
            reason = error.reason if isinstance(error, UpdateError) else UpdateFailure.LINK
            self._fail(node, reason, str(error))
            return
        if is_committed(verdict, package):
            self.rollout.succeeded(node, _now_ms())
        else:
            self._fail(node, verdict.reason, verdict.why)

    def _fail(self, node: str, reason: str, text: str) -> None:
        said = f"{reason}: {_without_address(node, text)}"
        self.rollout.failed(node, failure_type(reason), said, _now_ms())

    def _keep(self) -> None:
        self.folder.keep(self._about, self.rollout)
        self._on_change(self.rollout, self._states)


def _without_address(node: str, text: str) -> str:
    """What went wrong at a line; it is told beside the node, whose name is the address."""
    kind, _, place = node.partition(":")
    for address in (node, place, place.partition("?")[0], kind):
        if address and text.startswith(f"{address}: "):
            return text.removeprefix(f"{address}: ")
    return text


def ask_lines(nodes: Sequence[str]) -> dict[str, OtaState | None]:
    """What the devices at lines run, and where their updates stand; None: there is no answer."""
    found: dict[str, OtaState | None] = {}
    for node in nodes:
        try:
            birth, verdict = ask_line(node)
        except HilError:
            found[node] = None
            continue
        found[node] = OtaState(
            state=UpdateStage.IDLE if verdict is None else verdict.stage,
            reason="" if verdict is None else verdict.reason,
            guest_sha256=birth.guest_sha256.hex(),
            guest_version=None if verdict is None else verdict.version,
            counter=verdict.counter or None if verdict is not None else None,
            nonce=None if verdict is None else verdict.nonce,
        )
    return found


def _now_ms() -> int:
    return round(time.time() * 1000)
