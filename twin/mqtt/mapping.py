"""Payloads of other devices made into signals, as the scenario's `[[mapping]]` tables say.

How a value is read is in `levada.sim.scenario.mapped`, the tables in
`levada.sim.scenario.mapping`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from levada.guest.topic import is_node_name
from levada.hil.line.mqtt_client import MAX_PAYLOAD_BYTES
from levada.sim.scenario.mapped import CONVERSIONS, Reading, read
from levada.sim.scenario.mapping import SIGNAL_UNITS, PayloadMapping
from levada.twin.errors import MappingError

__all__ = ["PayloadMap", "kept", "signals_of"]


class PayloadMap:
    """Applies one table.

    What a payload lacks, or has as `null`, as an empty text or as anything else that is no number,
    is left out.
    """

    def __init__(self, table: PayloadMapping) -> None:
        self.table = table
        levels = table.topic.split("/")
        self._pattern = re.compile(
            "/".join("([^/]+)" if lv == "+" else re.escape(lv) for lv in levels)
        )

    def node_of(self, topic: str) -> str | None:
        """Name of the node if `topic` is of this kind."""
        match = self._pattern.fullmatch(topic)
        if match is None:
            return None
        name = self.table.node or match[1]
        return name if is_node_name(name) else None

    def units(self) -> Mapping[str, str]:
        """Signal -> unit in the store."""
        return {
            entry.signal: CONVERSIONS[entry.unit][0] or SIGNAL_UNITS.get(entry.signal, "")
            for entry in self.table.field
        }

    def apply(self, payload: bytes) -> Reading:
        """Signals of a payload, and those whose values are no numbers.

        Raises MappingError if it holds none of them, or not all that are required.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise MappingError(f"payload of {len(payload)} bytes: at most {MAX_PAYLOAD_BYTES}")
        try:
            return read(self.table.field, payload)
        except ValueError as error:
            raise MappingError(str(error)) from None


def kept(topic: str, payload: bytes, signals: Mapping[str, float]) -> str:
    """What the store keeps of a mapped message: where it came, as it came, and what was read."""
    return json.dumps(
        {"topic": topic, "payload": payload.decode(), "signals": dict(signals)},
        separators=(",", ":"),
        ensure_ascii=False,
    )


def signals_of(message: Mapping[str, Any]) -> dict[str, float] | None:
    """The signals of what was `kept`; None if it is something else."""
    found = message.get("signals")
    if not isinstance(found, Mapping) or "topic" not in message:
        return None
    return {str(name): float(v) for name, v in found.items() if isinstance(v, int | float)}
