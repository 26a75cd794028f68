"""Calibrations that other threads want: granted between two steps, all values or none, and audited.

Whoever asks gets a future with the values read back from the device.  Who asked, when, from what
and to what is in the store before anything happens, and what became of it afterwards.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from secrets import token_hex
from typing import Final, Literal

from guest.errors import GuestError
from hil.errors import HilError, LinkError
from twin.errors import CalibrationError, StoreError
from twin.store import Store

__all__ = ["Calibrations", "Wish"]

_log = logging.getLogger(__name__)

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
        self._expiring: list[tuple[int, Wish]] = []

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
        for _ in range(self._waiting.qsize()):  # what comes meanwhile waits: guests have to run
            wish = self._waiting.get_nowait()
            if self._grant(wish) and wish.expires_ms is not None:
                self._expiring.append((wish.expires_ms, wish))
        for due in [due for due in self._expiring if due[0] <= now_ms]:
            _, wish = due
            back = {name: wish.before[name] for name in wish.values}
            try:
                noted = self._noted(wish.zone, present(wish.zone), back, "expiry", None)
            except StoreError as error:
                _log.warning("calibration of %s does not expire yet: %s", wish.zone, error)
                continue
            self._expiring.remove(due)
            self._grant(noted)

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
        except LinkError as error:  # the request may have arrived all the same
            self._settle(wish, "unanswered", reason=str(error))
            wish.done.set_exception(CalibrationError(f"{error}; it may be in force or not"))
            return False
        except (HilError, GuestError, CalibrationError) as error:
            self._settle(wish, "refused", reason=str(error))
            wish.done.set_exception(CalibrationError(str(error)))
            return False
        self._settle(wish, "in force", values=found)
        self._granted(wish)
        wish.done.set_result(found)
        return True

    def _settle(
        self,
        wish: Wish,
        state: Literal["in force", "refused", "unanswered"],
        *,
        values: Mapping[str, int] | None = None,
        reason: str = "",
    ) -> None:
        try:
            self._store.settle_calibration(wish.request, state=state, values=values, reason=reason)
        except StoreError as error:  # what happened has happened
            _log.warning("calibration of %s, %s, is not noted: %s", wish.zone, state, error)
