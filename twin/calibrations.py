"""Calibrations that other threads want: granted between two steps, all values or none, and audited.

Whoever asks gets a future with the values read back from the device.  Who asked, when, from what
and to what is in the store before anything happens, and what became of it afterwards.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from secrets import token_hex
from typing import Final

from guest.errors import GuestError
from hil.errors import HilError
from twin.errors import CalibrationError
from twin.store import Store

__all__ = ["Calibrations", "Wish"]

_MOST: Final = 1_000
"""Wishes that may wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """A calibration that somebody wants."""

    request: str
    zone: str
    before: Mapping[str, int]
    values: Mapping[str, int]
    who: str
    expires_ms: int | None
    done: Future[dict[str, int]]


class Calibrations:
    """Those of all zones.

    `apply(zone, values)` sets parameters by name, all or none, and returns those read back;
    `granted(wish)` hears of every success.  Both are called in the thread of `serve`.
    """

    def __init__(
        self,
        store: Store,
        apply: Callable[[str, Mapping[str, int]], dict[str, int]],
        granted: Callable[[Wish], None],
    ) -> None:
        self._store = store
        self._apply = apply
        self._granted = granted
        self._waiting: queue.Queue[Wish] = queue.Queue(_MOST)
        self._expiring: list[Wish] = []

    def ask(
        self,
        zone: str,
        before: Mapping[str, int],
        values: Mapping[str, int],
        *,
        who: str,
        expires_ms: int | None = None,
    ) -> Future[dict[str, int]]:
        """Want `values`, where `before` is in force; from any thread.

        At `expires_ms`, if given, the values before come back.  Raises CalibrationError if too many
        wait.
        """
        wish = self._noted(zone, before, values, who, expires_ms)
        try:
            self._waiting.put_nowait(wish)
        except queue.Full:
            self._settle(wish, "refused", reason="too many at once")
            raise CalibrationError("too many calibrations at once: try again") from None
        return wish.done

    def serve(self, now_ms: int, present: Callable[[str], Mapping[str, int]]) -> None:
        """Grant what waits, and take back what has expired; `present` is in force in a zone."""
        while not self._waiting.empty():
            wish = self._waiting.get_nowait()
            if self._grant(wish) and wish.expires_ms is not None:
                self._expiring.append(wish)
        for wish in [w for w in self._expiring if w.expires_ms is not None]:
            if wish.expires_ms is not None and wish.expires_ms <= now_ms:
                self._expiring.remove(wish)
                back = {name: wish.before[name] for name in wish.values}
                self._grant(self._noted(wish.zone, present(wish.zone), back, "expiry", None))

    def refuse(self, reason: str) -> None:
        """Refuse whatever waits."""
        while True:
            try:
                wish = self._waiting.get_nowait()
            except queue.Empty:
                return
            self._settle(wish, "refused", reason=reason)
            if wish.done.set_running_or_notify_cancel():
                wish.done.set_exception(CalibrationError(reason))

    def _noted(
        self,
        zone: str,
        before: Mapping[str, int],
        values: Mapping[str, int],
        who: str,
        expires_ms: int | None,
    ) -> Wish:
        request = token_hex(8)
        changes = {name: (before.get(name), value) for name, value in values.items()}
        self._store.request_calibration(zone, request, changes, who=who, expires_ms=expires_ms)
        return Wish(
            request=request,
            zone=zone,
            before=before,
            values=values,
            who=who,
            expires_ms=expires_ms,
            done=Future(),
        )

    def _grant(self, wish: Wish) -> bool:
        if not wish.done.set_running_or_notify_cancel():
            self._settle(wish, "refused", reason="withdrawn")
            return False
        try:
            found = self._apply(wish.zone, wish.values)
            if found != wish.values:
                raise CalibrationError(f"read back {found} instead of {dict(wish.values)}")
        except (HilError, GuestError, CalibrationError) as error:
            self._settle(wish, "refused", reason=str(error))
            wish.done.set_exception(CalibrationError(str(error)))
            return False
        self._store.settle_calibration(wish.request, state="in force", values=found)
        self._granted(wish)
        wish.done.set_result(found)
        return True

    def _settle(self, wish: Wish, state: str, *, reason: str) -> None:
        self._store.settle_calibration(wish.request, state=state, reason=reason)  # type: ignore[arg-type]
