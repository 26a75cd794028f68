"""A rollout on its way: who is due is offered the module, what the nodes say is kept.

Its state is on the disk after every change, so that whoever is killed goes on with `resume`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from levada.guest.lifecycle import Closing
from levada.hil.line.broker import BrokerAddress
from levada.hil.update.states import FailureType, UpdateStage, failure_type
from levada.twin.mqtt.messages import OtaState, Telemetry
from levada.twin.ota.field_watch import FieldWatch
from levada.twin.ota.journal import RolloutFolder
from levada.twin.ota.rollout import ExecutionState, Rollout
from levada.twin.ota.sender import Sender

__all__ = ["Campaign"]

ANSWER_S: Final = 30.0
_LOOK_S: Final = 0.1


class Campaign(Closing):
    """The rollout in `folder`, at a broker.

    `about` is what is kept beside its state; `on_change(rollout, states)` is called by `run` after
    every change, with what each node said last.  Nodes have `answer_s` to say what became of an
    abort.  Raises BrokerError, TwinError.
    """

    def __init__(
        self,
        folder: RolloutFolder,
        broker: BrokerAddress,
        *,
        on_change: Callable[[Rollout, Mapping[str, OtaState]], object] = lambda *_: None,
        answer_s: float = ANSWER_S,
    ) -> None:
        self.folder = folder
        self.rollout = folder.rollout()
        self.states: dict[str, OtaState] = {}
        """What each node said last of this update."""
        self._about = {k: v for k, v in folder.read().items() if k != "rollout"}
        self._on_change = on_change
        self._answer_s = answer_s
        self._aborted_s: float | None = None
        """When nodes were asked to give the module up [monotonic s]."""
        self._watch = FieldWatch(self.rollout.settings.abort)
        self._said: queue.Queue[tuple[str, OtaState | Telemetry]] = queue.Queue()
        self._sender = Sender(
            broker,
            folder.package(),
            on_state=lambda node, state: self._said.put((node, state)),
            on_telemetry=self._telemetry if self._watch.wanted else None,
            who=str(self._about.get("who", "")),
            override=str(self._about.get("override", "")),
            trial_steps=int(self._about.get("trial_steps", 3)),
            attempt=str(self._about.get("attempt", "")) or None,
        )

    def run(self, stop: threading.Event) -> Rollout:
        """Drive it until it has ended, or until `stop` is set: then it can be resumed."""
        if not self._look_for_abort():
            for execution in self.rollout.running:  # of an interrupted run: who has ended says so
                self._sender.begin(execution.node)
        self._on_change(self.rollout, self.states)
        while not self.rollout.has_ended and not stop.is_set():
            changed = self._hear()
            changed |= self._look_for_abort()
            for node in self.rollout.due(_now_ms()):
                self._sender.begin(node)
                changed = True
            if changed:
                self.folder.keep(self._about, self.rollout)
                self._on_change(self.rollout, self.states)
        self.folder.keep(self._about, self.rollout)
        return self.rollout

    def close(self) -> None:
        """Say nothing more."""
        self._sender.close()

    def _telemetry(self, node: str, message: Telemetry) -> None:
        self._said.put((node, message))

    def _look_for_abort(self) -> bool:
        """Stop if that was asked for; whether anything has changed.

        Nodes under way are asked to give the module up, and have a while to answer.
        """
        now_s = time.monotonic()
        if self._aborted_s is None:
            reason = self.folder.aborted()
            if not reason:
                return False
            self._aborted_s = now_s
            self.rollout.cancel(reason)
            for execution in self.rollout.running:
                self._sender.abort(execution.node)
            return True
        if now_s - self._aborted_s < self._answer_s:
            return False
        silent = self.rollout.running
        for execution in silent:
            said = f"no answer to the abort within {self._answer_s:g} s"
            self.rollout.failed(execution.node, FailureType.TIMED_OUT, said, _now_ms())
        return bool(silent)

    def _hear(self) -> bool:
        """Take what nodes have said, waiting for it a little; whether anything has changed."""
        changed = False
        timeout_s: float | None = _LOOK_S
        while True:
            try:
                node, message = self._said.get(timeout=timeout_s)
            except queue.Empty:
                return changed
            timeout_s = 0.001
            if node not in self.rollout.executions:
                continue
            if isinstance(message, Telemetry):
                changed |= self._judge(node, message)
            else:
                changed |= self._take(node, message)

    def _take(self, node: str, state: OtaState) -> bool:
        if state.id is None:
            return self._take_idle(node, state)
        before = self.states.get(node)
        self.states[node] = state
        if state.state is UpdateStage.UPDATED:
            self.rollout.succeeded(node, _now_ms())
        elif state.state is UpdateStage.FAILED:
            said = f"{state.reason}: {state.text}" if state.text else state.reason
            self.rollout.failed(node, failure_type(state.reason), said, _now_ms())
        return before != state

    def _take_idle(self, node: str, state: OtaState) -> bool:
        """A node that knows of no update: after an abort, there is nothing that it could end."""
        if self._aborted_s is None or node not in (e.node for e in self.rollout.running):
            return False
        if state.guest_sha256 == self._about["sha256"]:
            self.rollout.succeeded(node, _now_ms())
        else:
            said = "ABORTED: nothing of it was under way there"
            self.rollout.failed(node, FailureType.FAILED, said, _now_ms())
        return True

    def _judge(self, node: str, message: Telemetry) -> bool:
        if self.rollout.executions[node].state is not ExecutionState.SUCCEEDED:
            return False
        before = len(self.rollout.executions[node].breaches)
        for criterion in self._watch.heard(node, message, _now_ms()):
            self.rollout.breached(node, criterion, _now_ms())
        return len(self.rollout.executions[node].breaches) > before


def _now_ms() -> int:
    return round(time.time() * 1000)
