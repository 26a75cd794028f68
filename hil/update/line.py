"""A module sent to a device at a line of its own, with nobody else who steps it.

The trial is run here, with readings that are not there: outputs are held closed while it lasts, and
it ends with `Confirm`, behind which no step follows; so the valve stays closed throughout.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final

from levada.guest.abi import ErrorCode
from levada.hil.errors import DeviceError, DeviceRestarted, HilError
from levada.hil.link import Link
from levada.hil.nodes import open_link
from levada.hil.update.package import ModulePackage
from levada.hil.update.states import UpdateFailure, UpdateStage
from levada.hil.update.updater import Trial, UpdateError, Updater, UpdateVerdict
from levada.hil.wire import messages
from levada.hil.wire.messages import BirthFlag, StartFlag
from levada.sim.scenario.node_url import KINDS, parse_node

__all__ = ["ask_line", "is_committed", "is_line", "send_over_line"]

SESSIONS: Final = 5
"""So often may a device start again meanwhile."""
SECOND_MS: Final = 1_000
_NOTHING: Final = int(ErrorCode.UNAVAILABLE)


def is_line(node: str) -> bool:
    """Whether a node is named by its line, as `serial:/dev/ttyUSB0`, and not by its name."""
    kind, colon, _ = node.partition(":")
    return node == "virtual" or (bool(colon) and kind in KINDS)


def send_over_line(
    url: str,
    package: ModulePackage,
    *,
    trial_steps: int = 3,
    on_progress: Callable[[int, int], object] = lambda *_: None,
    is_aborted: Callable[[], bool] = lambda: False,
) -> UpdateVerdict:
    """Send a module to the device at `url`, such as `serial:/dev/ttyUSB0`, and try it.

    `is_aborted` is asked before every part and every step of the trial: then the device gives up
    what it has not committed.
    Raises UpdateError if the device refuses it, LinkError if it does not answer, ValueError for
    what is no node.
    """
    with ExitStack() as stack:
        link = open_link(parse_node(url), stack)

        def progress(received: int, size: int) -> None:
            on_progress(received, size)
            if is_aborted():
                raise _Aborted

        updater = Updater(link, progress)
        for attempt in range(SESSIONS):
            try:
                return _send(link, updater, package, trial_steps, is_aborted)
            except DeviceRestarted:
                if attempt == SESSIONS - 1:
                    raise
    raise AssertionError("not reached")


def ask_line(url: str) -> tuple[messages.Birth, UpdateVerdict | None]:
    """Who is at a line, and where its update stands; None: its firmware knows of none."""
    with ExitStack() as stack:
        link = open_link(parse_node(url), stack)
        birth = link.hello()
        knows = birth.flags & BirthFlag.UPDATES
        return birth, Updater(link).status() if knows else None


class _Aborted(Exception):  # noqa: N818 - a wish, not an error
    """Whoever sends the module does not want it there any more."""


def _send(
    link: Link,
    updater: Updater,
    package: ModulePackage,
    trial_steps: int,
    is_aborted: Callable[[], bool],
) -> UpdateVerdict:
    birth = link.hello()
    if not birth.flags & BirthFlag.UPDATES:
        raise UpdateError(
            f"{link.url}: firmware {birth.firmware} takes no module on trial: flash a newer one",
            UpdateFailure.LOAD,
        )
    if birth.guest_sha256.hex() == package.sha256:
        return updater.status()
    try:
        if is_aborted():
            raise _Aborted
        updater.send(package)
        updater.start_trial(Trial(steps=trial_steps, confirm=True))
        _try(link, trial_steps, is_aborted)
        with suppress(UpdateError):  # rolled back already: the verdict says why
            updater.confirm(package.sha256)
        return updater.status()
    except _Aborted:
        updater.abort()  # also what somebody before us has left on trial
        raise UpdateError(f"{link.url}: by the operator", UpdateFailure.ABORTED) from None
    finally:
        with suppress(HilError):
            link.ask(messages.Close(), messages.Ack)


def _try(link: Link, steps: int, is_aborted: Callable[[], bool]) -> None:
    now_ms = round(time.time() * SECOND_MS)
    try:
        start = messages.Start(time_ms=now_ms, flags=StartFlag.STORED_PARAMETERS, parameters=())
        answer = link.ask(start, messages.StepResult)
        for k in range(1, steps + 1):
            if not answer.flags & messages.StepFlag.TRIAL:
                return
            if is_aborted():
                raise _Aborted
            answer = link.ask(
                messages.Step(
                    time_ms=now_ms + k * SECOND_MS,
                    flags=0,
                    readings=(_NOTHING,) * 4,
                    uptime_ms=k * SECOND_MS,
                ),
                messages.StepResult,
            )
    except DeviceError:
        return  # it says why in its status


def is_committed(verdict: UpdateVerdict, package: ModulePackage) -> bool:
    """Whether the device runs the module from now on."""
    return verdict.sha256 == package.sha256 and verdict.stage in (
        UpdateStage.UPDATED,
        UpdateStage.IDLE,
    )
