"""A module on its way through a fleet: who begins when, and when to stop.

No clock, no line: the time is told, and so is how each node has fared.  Equal events give equal
rollouts, and what `state` says is all that a rollout is, so one that was interrupted goes on.

The states of a node and of the whole are those of AWS IoT Jobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from math import ceil
from typing import Any, Final

from levada.hil.update.states import FailureType
from levada.twin.ota.settings import AGRONOMIC, RolloutSettings

__all__ = ["Execution", "ExecutionState", "Rollout", "RolloutStatus"]

_MINUTE_MS: Final = 60_000
_CATCH_UP_MS: Final = 1_000
_CANARIES: Final = 0
"""Their group."""


class ExecutionState(StrEnum):
    """How far one node is."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    TIMED_OUT = "TIMED_OUT"
    CANCELED = "CANCELED"
    """The rollout was stopped before its turn: it keeps its module."""


class RolloutStatus(StrEnum):
    """How far the whole is."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


@dataclass(slots=True)
class Execution:
    """The update of one node."""

    node: str
    group: int
    """`_CANARIES`, then 1 and on."""
    state: ExecutionState = ExecutionState.QUEUED
    began_ms: int | None = None
    ended_ms: int | None = None
    reason: str = ""
    breaches: list[str] = field(default_factory=list)
    """Agronomic criteria that it has broken since."""

    @property
    def has_ended(self) -> bool:
        """Whether it was begun and has come to an end."""
        return self.ended_ms is not None


class Rollout:
    """The updates of `nodes`, in their order."""

    def __init__(self, settings: RolloutSettings, nodes: Sequence[str]) -> None:
        twice = {node for node in nodes if nodes.count(node) > 1}
        if twice or not nodes:
            raise ValueError(f"nodes: {', '.join(sorted(twice)) or 'none'}: name each one once")
        self.settings = settings
        self.status = RolloutStatus.IN_PROGRESS
        self.reason = ""
        """Why it was canceled."""
        self.executions = {
            node: Execution(node, group) for group, node in _grouped(settings, nodes)
        }
        self._last_ms: int | None = None
        """When the last node began."""
        self._ended = self._succeeded = 0
        """Nodes that have come to an end, and those of them that run the new module."""

    # What happens

    def due(self, now_ms: int) -> list[str]:
        """Nodes that begin now; those that have taken too long come to an end."""
        self._set_back(now_ms)
        self._time_out(now_ms)
        self._complete(now_ms)
        begun: list[str] = []
        while (node := self._next(now_ms)) is not None:
            execution = self.executions[node]
            execution.state, execution.began_ms = ExecutionState.IN_PROGRESS, now_ms
            self._last_ms = self._turn_ms(now_ms)
            begun.append(node)
        return begun

    def succeeded(self, node: str, now_ms: int) -> None:
        """A node runs the new module for good."""
        self._end(node, ExecutionState.SUCCEEDED, "", now_ms)

    def failed(self, node: str, failure: FailureType, reason: str, now_ms: int) -> None:
        """A node goes on with its former module."""
        self._end(node, ExecutionState(failure.value), reason, now_ms)

    def breached(self, node: str, criterion: str, now_ms: int) -> None:
        """A node that was updated breaks an agronomic criterion; more than once counts once."""
        execution = self.executions[node]
        if execution.state is ExecutionState.SUCCEEDED and criterion not in execution.breaches:
            execution.breaches.append(criterion)
            self._judge(now_ms)

    def cancel(self, reason: str) -> None:
        """Begin nothing more; what is under way comes to its end."""
        if self.status is not RolloutStatus.IN_PROGRESS:
            return
        self.status, self.reason = RolloutStatus.CANCELED, reason
        for execution in self.executions.values():
            if execution.state is ExecutionState.QUEUED:
                execution.state = ExecutionState.CANCELED

    # What is to be seen

    @property
    def running(self) -> list[Execution]:
        """Nodes that are under way."""
        return [e for e in self.executions.values() if e.state is ExecutionState.IN_PROGRESS]

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens any more."""
        return self.status is not RolloutStatus.IN_PROGRESS and not self.running

    def counts(self) -> dict[str, int]:
        """State -> nodes, in the order of the states, without those that none is in."""
        states = [execution.state for execution in self.executions.values()]
        return {s.value: states.count(s) for s in ExecutionState if s in states}

    def rate_per_minute(self) -> float:
        """Nodes that begin a minute, as things stand."""
        s = self.settings
        steps = min(self._succeeded // s.increase_after, 64)
        return min(s.rate_per_minute * s.increment_factor**steps, s.maximum_per_minute)

    def wake_ms(self) -> int | None:
        """When `due` may have something new although nothing was reported; None: not before."""
        moments = [e.began_ms + self._timeout_ms for e in self.running if e.began_ms is not None]
        opens_ms = self._opens_ms()
        if self.status is not RolloutStatus.IN_PROGRESS or opens_ms is None:
            return min(moments, default=None)
        if not self._queue():
            ends = [e.ended_ms for e in self.executions.values() if e.ended_ms is not None]
            moments += [max(ends) + self._soak_ms] if len(ends) == len(self.executions) else []
        elif self._last_ms is not None:
            moments.append(max(self._last_ms + self._spacing_ms(), opens_ms))
        return min(moments, default=None)

    def state(self) -> dict[str, Any]:
        """All that a rollout is, as JSON."""
        return {
            "status": self.status.value,
            "reason": self.reason,
            "last_ms": self._last_ms,
            "settings": self.settings.model_dump(mode="json"),
            "executions": [asdict(execution) for execution in self.executions.values()],
        }

    @classmethod
    def resumed(cls, state: Mapping[str, Any]) -> Rollout:
        """The rollout that `state` was taken of; raises ValueError or KeyError for others."""
        settings = RolloutSettings.model_validate(state["settings"])
        found = cls(settings, [execution["node"] for execution in state["executions"]])
        found.status = RolloutStatus(state["status"])
        found.reason, found._last_ms = state["reason"], state["last_ms"]
        for entry in state["executions"]:
            kept = Execution(**{**entry, "state": ExecutionState(entry["state"])})
            found.executions[kept.node] = kept
            found._ended += kept.has_ended
            found._succeeded += kept.state is ExecutionState.SUCCEEDED
        return found

    # Inside

    @property
    def _timeout_ms(self) -> int:
        return round(self.settings.timeout.total_seconds() * 1000)

    @property
    def _soak_ms(self) -> int:
        return round(self.settings.soak.total_seconds() * 1000)

    def _spacing_ms(self) -> int:
        return ceil(_MINUTE_MS / self.rate_per_minute())

    def _turn_ms(self, now_ms: int) -> int:
        """When the next node may begin by the rate; who looks late catches up on a second."""
        if self._last_ms is None:
            return now_ms
        return max(self._last_ms + self._spacing_ms(), now_ms - _CATCH_UP_MS)

    def _queue(self) -> list[Execution]:
        """Nodes that wait, of the group whose turn it is."""
        waiting = [e for e in self.executions.values() if e.state is ExecutionState.QUEUED]
        turn = min((e.group for e in waiting), default=0)
        return [e for e in waiting if e.group == turn]

    def _next(self, now_ms: int) -> str | None:
        if self.status is not RolloutStatus.IN_PROGRESS or now_ms < self._turn_ms(now_ms):
            return None
        queue = self._queue()
        opens_ms = self._opens_ms()
        if not queue or opens_ms is None or now_ms < opens_ms:
            return None
        return queue[0].node

    def _opens_ms(self) -> int | None:
        """When the group whose turn it is may begin; None: not as things stand."""
        queue = self._queue()
        before = [e for e in self.executions.values() if queue and e.group < queue[0].group]
        ends = [e.ended_ms for e in before if e.ended_ms is not None]
        if len(ends) < len(before):
            return None
        return max(ends) + self._soak_ms if before else 0

    def _set_back(self, now_ms: int) -> None:
        """A clock that was ahead and was put right holds nothing up."""
        if self._last_ms is not None:
            self._last_ms = min(self._last_ms, now_ms)
        for e in self.executions.values():
            e.began_ms = None if e.began_ms is None else min(e.began_ms, now_ms)
            e.ended_ms = None if e.ended_ms is None else min(e.ended_ms, now_ms)

    def _time_out(self, now_ms: int) -> None:
        for execution in self.running:
            assert execution.began_ms is not None
            if now_ms >= execution.began_ms + self._timeout_ms:
                said = f"no verdict within {self.settings.timeout}"
                self._end(execution.node, ExecutionState.TIMED_OUT, said, now_ms)

    def _end(self, node: str, state: ExecutionState, reason: str, now_ms: int) -> None:
        execution = self.executions[node]
        if execution.state is not ExecutionState.IN_PROGRESS:
            return  # told twice, or too late
        execution.state, execution.reason, execution.ended_ms = state, reason, now_ms
        self._ended += 1
        self._succeeded += state is ExecutionState.SUCCEEDED
        self._judge(now_ms)

    def _judge(self, now_ms: int) -> None:
        """Stop if a criterion says so; be completed if nothing is left."""
        reason = self._abort_reason() or self._group_reason()
        if reason:
            self.cancel(reason)
        else:
            self._complete(now_ms)

    def _complete(self, now_ms: int) -> None:
        """It is completed once the last node has been looked at for long enough."""
        if self.status is not RolloutStatus.IN_PROGRESS or self._ended < len(self.executions):
            return
        ends = [e.ended_ms for e in self.executions.values() if e.ended_ms is not None]
        if now_ms >= max(ends) + self._soak_ms:
            self.status = RolloutStatus.COMPLETED

    def _abort_reason(self) -> str:
        ended = [e for e in self.executions.values() if e.has_ended]
        updated = [e for e in ended if e.state is ExecutionState.SUCCEEDED]
        for criterion in self.settings.abort:
            agronomic = criterion.failure_type in AGRONOMIC
            judged = updated if agronomic else ended
            if len(judged) < criterion.min_executed:
                continue
            bad = sum(
                criterion.failure_type in e.breaches if agronomic else criterion.covers(e.state)
                for e in judged
            )
            share = 100.0 * bad / len(judged)
            if bad and share >= criterion.threshold_percentage:
                return (
                    f"{criterion.failure_type}: {bad} of {len(judged)} nodes, {share:.1f} %; "
                    f"threshold {criterion.threshold_percentage:g} %"
                )
        return ""

    def _group_reason(self) -> str:
        """Why the next group may not follow, once all of a group have come to an end."""
        last = max(e.group for e in self.executions.values())
        for group in sorted({e.group for e in self.executions.values()} - {last}):
            members = [e for e in self.executions.values() if e.group == group]
            if not all(e.has_ended for e in members):
                continue
            good = sum(e.state is ExecutionState.SUCCEEDED for e in members)
            wanted = 100.0 if group == _CANARIES else self.settings.success_percentage
            share = 100.0 * good / len(members)
            if share < wanted:
                name = "canaries" if group == _CANARIES else f"group {group}"
                return f"{name}: {good} of {len(members)} succeeded, {wanted:g} % are wanted"
        return ""


def _grouped(settings: RolloutSettings, nodes: Sequence[str]) -> Iterable[tuple[int, str]]:
    """Each node with its group: 0 the canaries, then the shares in their order."""
    canaries = min(settings.canary, len(nodes))
    yield from ((_CANARIES, node) for node in nodes[:canaries])
    others, taken, share = nodes[canaries:], 0, 0.0
    for group, percentage in enumerate(settings.groups or (100.0,), start=1):
        share += percentage
        upto = round(len(others) * share / 100.0)
        yield from ((group, node) for node in others[taken:upto])
        taken = upto
