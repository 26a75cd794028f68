"""Reports of devices that number nothing, put together from what they tell on several topics.

assembly = Assembly(dry_counts=2600, wet_counts=1400)
assembly.take({"irrigar": 1.0})                  # a valve's own topic
assembly.take({"pct": 50.0})                     # {"pct": 50.0, "raw": 2000.0, "irrigar": 1.0}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["Assembly"]

_HELD: Final = ("irrigar", "temp_c", "battery_mv")
"""What holds until it is told again; pulses of `flow` are added up until the next reading."""


class Assembly:
    """What one device has told so far.

    Of a device that tells only a percentage, that is taken for one of the span of its probe,
    `dry_counts` to `wet_counts`.
    """

    def __init__(self, *, dry_counts: float, wet_counts: float) -> None:
        self._dry = dry_counts
        self._wet = wet_counts
        self._tells_counts = False
        self._held: dict[str, float] = {}
        self._pulses: float | None = None

    def take(self, signals: Mapping[str, float]) -> dict[str, float]:
        """A message's signals; if it is a reading (`raw`), with what was told before."""
        found = dict(signals)
        if "raw" in found:
            self._tells_counts = True
        elif "pct" in found and not self._tells_counts:
            found["raw"] = self._dry + (self._wet - self._dry) * found["pct"] / 100.0
        self._held |= {name: found[name] for name in _HELD if name in found}
        if "flow" in found:
            self._pulses = (self._pulses or 0.0) + found["flow"]
        if "raw" not in found:
            return found
        if self._pulses is not None:
            found["flow"] = self._pulses
            self._pulses = None
        return {**self._held, **found}
