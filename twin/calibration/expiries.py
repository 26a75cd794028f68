"""Calibrations that hold for a time only, and what comes back when it is over.

What comes back is the last value that was set for good: of several calibrations for a time that
follow each other only the last ends, and one that was replaced for good, or changed on the device
by somebody else, has nothing to bring back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Expiries"]


@dataclass(slots=True)
class _Expiry:
    at_ms: int
    value: int
    """What was set for a time."""
    back: int
    """What comes back."""


class Expiries:
    """The expiries of all zones."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], _Expiry] = {}

    def note(
        self,
        zone: str,
        before: Mapping[str, int],
        values: Mapping[str, int],
        expires_ms: int | None,
    ) -> None:
        """`values` have replaced `before`, until `expires_ms` or (None) for good."""
        for name, value in values.items():
            replaced = self._waiting.pop((zone, name), None)
            if expires_ms is not None:
                back = before[name] if replaced is None else replaced.back
                self._waiting[zone, name] = _Expiry(expires_ms, value, back)

    def recall(self, audit: Iterable[Mapping[str, Any]]) -> None:
        """Note what the audit (`StoreReader.calibrations`) says has been done."""
        for row in audit:
            if row["state"] == "in force" and row["old_value"] is not None:
                name = row["parameter"]
                values, before = {name: row["new_value"]}, {name: row["old_value"]}
                self.note(row["node"], before, values, row["expires_ms"])

    def due(
        self, now_ms: int, present: Callable[[str], Mapping[str, int]]
    ) -> dict[str, dict[str, int]]:
        """What has to come back now, by zone; `present` is in force in a zone."""
        found: dict[str, dict[str, int]] = {}
        for (zone, name), expiry in list(self._waiting.items()):
            if expiry.at_ms > now_ms:
                continue
            if present(zone).get(name) != expiry.value:
                del self._waiting[zone, name]
            else:
                found.setdefault(zone, {})[name] = expiry.back
        return found

    def postpone(self, zone: str, names: Iterable[str], until_ms: int) -> None:
        """It could not be done: try again later."""
        for name in names:
            self._waiting[zone, name].at_ms = until_ms
