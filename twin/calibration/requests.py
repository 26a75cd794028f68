"""Calibrations requested by other threads: applied between two steps, all values or none, audited.

Each request gets a future with the values read back from the device.  Who asked, when, from what
and to what is in the store before anything happens, and what became of it afterwards.  A request
may name the values it was decided on, and is refused if they have changed meanwhile.
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
"""Requests that may wait."""
_AUDIT: Final = 100_000
"""Rows of a zone's audit that are gone through."""
_AGAIN_MS: Final = 600_000
"""Until a value that could not be put back is tried again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationRequest:
    """A calibration that was requested and has not been applied yet."""

    id: str
    zone: str
    values: Mapping[str, int]
    seen: Mapping[str, int]
    """What `who` took to be in force; may be empty."""
    who: str
    expires_ms: int | None
    done: Future[dict[str, int]]


class Calibrations:
    """The calibrations of all zones.

    `apply(zone, values)` sets parameters by name, all or none, and returns those read back;
    `granted(request)` hears of every success.  Both are called in the thread of `process_pending`.
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

    def submit(
        self,
        zone: str,
        before: Mapping[str, int],
        values: Mapping[str, int],
        *,
        who: str,
        seen: Mapping[str, int] | None = None,
        expires_ms: int | None = None,
    ) -> Future[dict[str, int]]:
        """Request `values` where `before` is in force; from any thread.

        If `seen` is given, the request is refused unless the parameters to be changed still have
        these values.  At `expires_ms`, if given, the values before come back.  Raises
        CalibrationError if too many requests wait.
        """
        request = self._noted(zone, before, values, who, seen or {}, expires_ms)
        try:
            self._waiting.put_nowait(request)
        except queue.Full:
            self._settle(request, "refused", reason="too many at once")
            raise CalibrationError("too many calibrations at once: try again") from None
        return request.done

    def process_pending(self, now_ms: int, present: Callable[[str], Mapping[str, int]]) -> None:
        """Apply what waits, and take back what has expired; `present` is in force in a zone."""
        for _ in range(self._waiting.qsize()):  # what comes meanwhile waits: guests have to run
            self._grant(self._waiting.get_nowait(), present)
        for zone, back in self._expiries.due(now_ms, present).items():
            try:
                request = self._noted(zone, present(zone), back, "expiry", {}, None)
            except StoreError as error:
                _log.warning("calibration of %s does not expire yet: %s", zone, error)
                continue
            if not self._grant(request, present):
                self._expiries.postpone(zone, back, now_ms + _AGAIN_MS)

    def recall(self, zones: Sequence[str]) -> None:
        """Let those expire, too, that an earlier twin of the same devices has set."""
        for zone in zones:
            self._expiries.recall(self._store.reader.calibrations(zone, limit=_AUDIT))

    def refuse(self, reason: str) -> None:
        """Refuse whatever waits."""
        while True:
            try:
                request = self._waiting.get_nowait()
            except queue.Empty:
                return
            self._settle(request, "refused", reason=reason)
            if request.done.set_running_or_notify_cancel():
                request.done.set_exception(CalibrationError(reason))

    def _noted(
        self,
        zone: str,
        before: Mapping[str, int],
        values: Mapping[str, int],
        who: str,
        seen: Mapping[str, int],
        expires_ms: int | None,
    ) -> CalibrationRequest:
        number = token_hex(8)
        changes = {name: (before.get(name), value) for name, value in values.items()}
        self._store.request_calibration(zone, number, changes, who=who, expires_ms=expires_ms)
        return CalibrationRequest(
            id=number,
            zone=zone,
            values=values,
            seen=seen,
            who=who,
            expires_ms=expires_ms,
            done=Future(),
        )

    def _grant(
        self, request: CalibrationRequest, present: Callable[[str], Mapping[str, int]]
    ) -> bool:
        if not request.done.set_running_or_notify_cancel():
            self._settle(request, "refused", reason="withdrawn")
            return False
        before = dict(present(request.zone))
        try:
            _check_seen(request, before)
            found = self._apply(request.zone, request.values)
            if found != request.values:
                raise CalibrationError(f"read back {found} instead of {dict(request.values)}")
        except LinkError as error:  # the request may have arrived all the same
            self._settle(request, "unanswered", reason=str(error))
            request.done.set_exception(UnansweredError(f"{error}; it may be in force or not"))
            return False
        except (HilError, GuestError, CalibrationError) as error:
            self._settle(request, "refused", reason=str(error))
            request.done.set_exception(CalibrationError(str(error)))
            return False
        self._settle(request, "in force", before=before, values=found)
        self._expiries.note(request.zone, before, found, request.expires_ms)
        self._granted(request)
        request.done.set_result(found)
        return True

    def _settle(
        self,
        request: CalibrationRequest,
        state: Literal["in force", "refused", "unanswered"],
        *,
        before: Mapping[str, int] | None = None,
        values: Mapping[str, int] | None = None,
        reason: str = "",
    ) -> None:
        try:
            self._store.settle_calibration(
                request.id, state=state, before=before, values=values, reason=reason
            )
        except StoreError as error:  # what happened has happened
            _log.warning("calibration of %s, %s, is not noted: %s", request.zone, state, error)


def _check_seen(request: CalibrationRequest, present: Mapping[str, int]) -> None:
    for name in request.values.keys() & request.seen.keys():
        if present[name] != request.seen[name]:
            raise CalibrationError(
                f"{name} is {present[name]} by now, not {request.seen[name]}: look again"
            )
