"""Calibrations that other threads want: granted between two steps, all values or none, and audited.

Whoever asks gets a future with the values read back from the device.  Who asked, when, from what
and to what is in the store before anything happens, and what became of it afterwards.  Who has seen
what is in force and decides by that says so, and is refused if it has changed meanwhile.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from secrets import token_hex
from typing import Final, Literal

from levada.guest.errors import GuestError
from levada.hil.errors import HilError, LinkError
from levada.twin.calibration.expiries import Expiries
from levada.twin.errors import CalibrationError, StoreError, UnansweredError
from levada.twin.store.store import Store

__all__ = ["CalibrationRequest", "Calibrations"]

_log = logging.getLogger(__name__)

_MOST: Final = 1_000
"""Wishes that may wait."""
_AUDIT: Final = 100_000
"""Rows of a zone's audit that are gone through."""
_AGAIN_MS: Final = 600_000
"""Until a value that could not be put back is tried again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationRequest:
    """A calibration that somebody wants."""

    request: str
    zone: str
    values: Mapping[str, int]
    seen: Mapping[str, int]
    """What `who` took to be in force; may be empty."""
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
        granted: Callable[[CalibrationRequest], None],
    ) -> None:
        self._store = store
        self._apply = apply
        self._granted = granted
        self._waiting: queue.Queue[CalibrationRequest] = queue.Queue(_MOST)
        self._expiries = Expiries()

    def ask(
        self,
        zone: str,
        before: Mapping[str, int],
        values: Mapping[str, int],
        *,
        who: str,
        seen: Mapping[str, int] | None = None,
        expires_ms: int | None = None,
    ) -> Future[dict[str, int]]:
        """Want `values`, where `before` is in force; from any thread.

        If `seen` is given, it is refused unless the parameters to be changed still have these
        values.  At `expires_ms`, if given, the values before come back.  Raises CalibrationError if
        too many wait.
        """
        wish = self._noted(zone, before, values, who, seen or {}, expires_ms)
        try:
            self._waiting.put_nowait(wish)
        except queue.Full:
            self._settle(wish, "refused", reason="too many at once")
            raise CalibrationError("too many calibrations at once: try again") from None
        return wish.done

    def serve(self, now_ms: int, present: Callable[[str], Mapping[str, int]]) -> None:
        """Grant what waits, and take back what has expired; `present` is in force in a zone."""
        for _ in range(self._waiting.qsize()):  # what comes meanwhile waits: guests have to run
            self._grant(self._waiting.get_nowait(), present)
        for zone, back in self._expiries.due(now_ms, present).items():
            try:
                wish = self._noted(zone, present(zone), back, "expiry", {}, None)
            except StoreError as error:
                _log.warning("calibration of %s does not expire yet: %s", zone, error)
                continue
            if not self._grant(wish, present):
                self._expiries.postpone(zone, back, now_ms + _AGAIN_MS)

    def recall(self, zones: Sequence[str]) -> None:
        """Let those expire, too, that an earlier twin of the same devices has set."""
        for zone in zones:
            self._expiries.recall(self._store.reader.calibrations(zone, limit=_AUDIT))

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
        seen: Mapping[str, int],
        expires_ms: int | None,
    ) -> CalibrationRequest:
        request = token_hex(8)
        changes = {name: (before.get(name), value) for name, value in values.items()}
        self._store.request_calibration(zone, request, changes, who=who, expires_ms=expires_ms)
        return CalibrationRequest(
            request=request,
            zone=zone,
            values=values,
            seen=seen,
            who=who,
            expires_ms=expires_ms,
            done=Future(),
        )

    def _grant(self, wish: CalibrationRequest, present: Callable[[str], Mapping[str, int]]) -> bool:
        if not wish.done.set_running_or_notify_cancel():
            self._settle(wish, "refused", reason="withdrawn")
            return False
        before = dict(present(wish.zone))
        try:
            _check_seen(wish, before)
            found = self._apply(wish.zone, wish.values)
            if found != wish.values:
                raise CalibrationError(f"read back {found} instead of {dict(wish.values)}")
        except LinkError as error:  # the request may have arrived all the same
            self._settle(wish, "unanswered", reason=str(error))
            wish.done.set_exception(UnansweredError(f"{error}; it may be in force or not"))
            return False
        except (HilError, GuestError, CalibrationError) as error:
            self._settle(wish, "refused", reason=str(error))
            wish.done.set_exception(CalibrationError(str(error)))
            return False
        self._settle(wish, "in force", before=before, values=found)
        self._expiries.note(wish.zone, before, found, wish.expires_ms)
        self._granted(wish)
        wish.done.set_result(found)
        return True

    def _settle(
        self,
        wish: CalibrationRequest,
        state: Literal["in force", "refused", "unanswered"],
        *,
        before: Mapping[str, int] | None = None,
        values: Mapping[str, int] | None = None,
        reason: str = "",
    ) -> None:
        try:
            self._store.settle_calibration(
                wish.request, state=state, before=before, values=values, reason=reason
            )
        except StoreError as error:  # what happened has happened
            _log.warning("calibration of %s, %s, is not noted: %s", wish.zone, state, error)


def _check_seen(wish: CalibrationRequest, present: Mapping[str, int]) -> None:
    for name in wish.values.keys() & wish.seen.keys():
        if present[name] != wish.seen[name]:
            raise CalibrationError(
                f"{name} is {present[name]} by now, not {wish.seen[name]}: look again"
            )
