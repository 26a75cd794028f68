"""What updated nodes do to their field, from their telemetry: too much water, or too little.

    VALVE_TIME   time that the valve was open within 24 h of the node's clock
    STRESS       time that the probe read drier (`pct`) than the guest's opening threshold (`on`)

A node that does not tell what is needed is not judged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from levada.sim.units import DAY_MS, HOUR_MS
from levada.twin.mqtt.messages import Telemetry
from levada.twin.ota.settings import AGRONOMIC, AbortCriterion

__all__ = ["FieldWatch"]

_LONGEST_GAP_MS: Final = HOUR_MS
"""What was so at a message counts no longer than this, if the next one comes later."""


@dataclass(slots=True)
class _Since:
    """What is known of one node since its update."""

    time_ms: int
    true: dict[str, bool] = field(default_factory=dict)
    spans: dict[str, deque[tuple[int, int]]] = field(default_factory=dict)
    """Criterion -> when it was so, and for how long [ms]."""


class FieldWatch:
    """Judges nodes by the agronomic ones of `criteria`."""

    def __init__(self, criteria: Sequence[AbortCriterion]) -> None:
        self._limits_ms = {
            c.failure_type: round(c.limit.total_seconds() * 1000)
            for c in criteria
            if c.failure_type in AGRONOMIC and c.limit is not None
        }
        self._nodes: dict[str, _Since] = {}

    @property
    def wanted(self) -> bool:
        """Whether there is anything to judge."""
        return bool(self._limits_ms)

    def heard(self, node: str, message: Telemetry, now_ms: int) -> list[str]:
        """Criteria that a node breaks with this message; `now_ms` if it tells no time."""
        time_ms = now_ms if message.t is None else message.t
        true = _conditions(message)
        since = self._nodes.get(node)
        if since is None or time_ms < since.time_ms:
            self._nodes[node] = _Since(time_ms, true)
            return []
        lasted_ms = min(time_ms - since.time_ms, _LONGEST_GAP_MS)
        for name, was in since.true.items():
            if was:
                since.spans.setdefault(name, deque()).append((time_ms, lasted_ms))
        since.time_ms, since.true = time_ms, true
        return [name for name, limit_ms in self._limits_ms.items() if _sum(since, name) > limit_ms]


def _conditions(message: Telemetry) -> dict[str, bool]:
    found = {}
    if message.irrigar is not None:
        found["VALVE_TIME"] = message.irrigar > 0
    threshold = (message.model_extra or {}).get("on")
    if message.pct is not None and isinstance(threshold, int | float):
        found["STRESS"] = 0 <= message.pct < threshold
    return found


def _sum(since: _Since, name: str) -> int:
    spans = since.spans.get(name)
    if spans is None:
        return 0
    while spans and spans[0][0] <= since.time_ms - DAY_MS:
        spans.popleft()
    return sum(lasted_ms for _, lasted_ms in spans)
