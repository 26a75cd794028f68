"""What a twin writes into its store: events, signals of its zones, messages of its devices."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import count
from secrets import randbelow
from typing import Any, Final

from levada.twin import signals as values_of
from levada.twin.snapshot import UNITS
from levada.twin.store.rows import UNITS as SIGNAL_UNITS
from levada.twin.store.rows import Event, Item, Kind, Points, PresenceChange, Row, Severity
from levada.twin.store.store import Store

__all__ = ["Journal"]

LOOK_S: Final = 0.2
"""Between two looks whether to wait on for room in the store [wall-clock s]."""


class Journal:
    """The entries of one twin; `names` are those of its zones.

    A writer that is busy is waited for; one in trouble only if the twin `can_wait`, as where its
    devices live without it.  Else what it does not take is left out, as is what it does not take at
    once when the twin is asked to `stop`.
    """

    def __init__(
        self, store: Store, names: Sequence[str], stop: threading.Event, *, can_wait: bool = False
    ) -> None:
        self.store = store
        self._names = names
        self._stop = stop
        self._can_wait = can_wait
        self._left_out = 0
        self._session = randbelow(1 << 31)
        """Stands for a boot of the devices: rows are numbered here, from one for every session."""
        self._numbers = [count(1) for _ in names]
        self._stored_ms = [-(1 << 62)] * len(names)
        """Up to when an earlier twin has stored its own values, by zone: they stay."""

    def go_on(self, i: int, stored_ms: int) -> None:
        """Leave what an earlier twin has stored of a zone up to `stored_ms` as it is."""
        self._stored_ms[i] = stored_ms

    def online(self, i: int, time_ms: int, birth: Mapping[str, Any]) -> None:
        """A device is there, and says who it is."""
        self._put(PresenceChange(node=self._names[i], online=True, time_ms=time_ms, birth=birth))

    def event(
        self,
        i: int,
        kind: str,
        text: str,
        evidence: Mapping[str, Any],
        *,
        time_ms: int,
        severity: Severity = "info",
    ) -> None:
        """Something happened in a zone."""
        self._put(
            Event(
                kind=kind,
                text=text,
                time_ms=time_ms,
                severity=severity,
                node=self._names[i],
                evidence=evidence,
            )
        )

    def message(self, i: int, now_ms: int, device_ms: int, message: str) -> None:
        """What a device published, as if it had come over MQTT."""
        number = next(self._numbers[i])
        signals = values_of.numbers(message)
        self._put(
            Row(
                node=self._names[i],
                boot=self._session,
                seq=number,
                oldest=number,
                received_ms=now_ms,
                device_ms=device_ms,
                payload=message,
                signals={k: v for k, v in signals.items() if k in SIGNAL_UNITS},
            )
        )

    def points(self, i: int, time_ms: int, kind: Kind, values: Mapping[str, float]) -> None:
        """Signals of a zone at one moment, in the units of `levada.twin.snapshot.UNITS`."""
        if kind == "twin" and time_ms <= self._stored_ms[i]:
            return
        self._put(
            Points(node=self._names[i], time_ms=time_ms, signals=values, kind=kind, units=UNITS)
        )

    def profile(self, i: int, time_ms: int, depths_m: Any, theta: Any) -> None:
        """Water contents of the twin's soil [m3/m3] by depth."""
        if time_ms <= self._stored_ms[i]:
            return
        signals = {
            f"theta@{depth:.3f}": float(value) for depth, value in zip(depths_m, theta, strict=True)
        }
        units = dict.fromkeys(signals, "m3/m3")
        self._put(Points(node=self._names[i], time_ms=time_ms, signals=signals, units=units))

    def _put(self, item: Item) -> None:
        taken = self.store.offer(item, 0.0)
        while not taken and not self._stop.is_set() and (self._can_wait or self.store.health().ok):
            taken = self.store.offer(item, LOOK_S)
        if not taken:
            self._left_out += 1
        elif self._left_out:
            self._tell_left_out()

    def _tell_left_out(self) -> None:
        count, self._left_out = self._left_out, 0
        self._put(
            Event(
                kind="store",
                severity="warning",
                text=f"{count} entries of the twin's own are missing before this: the store could "
                "not take them",
                time_ms=self.store.now_ms(),
            )
        )
