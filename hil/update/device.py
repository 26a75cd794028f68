"""The update of a device while its guest runs: brought over between steps, tried by them.

    update = DeviceUpdate(node)
    update.stage(package, Trial(steps=3), carried=())   # in any thread; the guest goes on
    node.step(...)                                      # the trial: outputs held closed
    update.verdict()                                    # None while it lasts

A device that starts again meanwhile has its former module, and is gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic, sleep
from typing import Final

from levada.guest.errors import GuestError
from levada.guest.module.inspect import inspect
from levada.hil.errors import DeviceRestarted, HilError, LinkError
from levada.hil.node import DeviceNode
from levada.hil.update.carried import carried_parameters
from levada.hil.update.package import ModulePackage
from levada.hil.update.states import UpdateFailure, UpdateStage
from levada.hil.update.updater import Trial, UpdateError, Updater, UpdateVerdict
from levada.hil.wire.messages import BirthFlag

__all__ = ["DeviceUpdate", "refusal_of"]

ATTEMPTS: Final = 5
"""Sessions that a transfer may take."""
SESSION_S: Final = 30.0
"""How long a session is waited for that another thread opens."""


class DeviceUpdate:
    """Updates of the device that `node` drives."""

    def __init__(
        self, node: DeviceNode, on_progress: Callable[[int, int], object] = lambda *_: None
    ) -> None:
        self._node = node
        self._updater = Updater(node.link, on_progress)
        self._staged: ModulePackage | None = None
        self._tried = False

    @property
    def waits(self) -> bool:
        """Whether a module waits there for its trial, or is on it."""
        return self._staged is not None

    def stage(self, package: ModulePackage, trial: Trial) -> None:
        """Bring a module over and have it verified; the guest goes on running.

        Raises UpdateError if the device refuses it, LinkError if it cannot be reached.
        """
        carried = carried_parameters(self._node.session.info, inspect(package.module))
        for _ in range(ATTEMPTS):
            self._await_session()
            try:
                self._updater.send(package)
                self._updater.start_trial(trial, carried)
            except DeviceRestarted:
                continue  # it says what it has when it is asked again
            self._staged, self._tried = package, False
            return
        raise LinkError(f"{self._node.link.url}: started again {ATTEMPTS} times meanwhile")

    def prepare(self, parameters: Mapping[int, int]) -> None:
        """Have the device keep the parameters in force, by id: it goes back to them by itself.

        To be called between two steps, before `stage`.
        """
        with suppress(HilError, GuestError):  # its guest was stopped, say, or has no such parameter
            self._node.keep(parameters)

    def begin_trial(self, parameters: Mapping[int, int], changed: Mapping[int, int]) -> None:
        """Let the next step be the first of the trial.

        `parameters` by id are those of the former module, `changed` those of them that are not
        what they are by default, which hold for the new one where it declares them alike.
        """
        assert self._staged is not None
        self.prepare(parameters)  # some may have been changed meanwhile
        carried = carried_parameters(self._node.session.info, inspect(self._staged.module))
        self._node.try_next({p: v for p, v in changed.items() if p in carried})
        self._tried = True

    def verdict(self) -> UpdateVerdict | None:
        """What became of the trial, once it is over; the node then goes on with what runs.

        To be asked between two steps.  Raises LinkError or DeviceRestarted, then again later.
        """
        if self._staged is None or not self._tried or self._node.on_trial:
            return None
        found = self._updater.status()
        if not found.stage.is_final:
            return None
        return self._ended(found)

    def give_up(self) -> UpdateVerdict:
        """Have the device drop what waits or is tried, unless it is committed by now.

        To be called between two steps.  Raises UpdateError, LinkError or DeviceRestarted, then
        again later.
        """
        self._updater.abort()
        return self._ended(self._updater.status())

    def reject(self) -> UpdateVerdict:
        """Have the device roll the module back and bar it; else as `give_up`."""
        with suppress(UpdateError):  # it is over by itself
            self._updater.reject()
        return self._ended(self._updater.status())

    def confirm(self) -> UpdateVerdict | None:
        """Say that the module on trial does well: None if the trial goes on; else as `give_up`."""
        assert self._staged is not None
        with suppress(UpdateError):  # it was rolled back by itself
            self._updater.confirm(self._staged.sha256)
        found = self._updater.status()
        return self._ended(found) if found.stage.is_final else None

    def _ended(self, found: UpdateVerdict) -> UpdateVerdict:
        package, self._staged = self._staged, None
        committed = (
            package is not None
            and found.stage is UpdateStage.UPDATED
            and found.sha256 == package.sha256
        )
        if committed:
            assert package is not None
            self._node.session.adopt(package.module, package.envelope)
        self._node.end_trial(committed=committed)
        return found

    def status(self) -> UpdateVerdict:
        """Where the device stands; LinkError without an answer."""
        return self._updater.status()

    def _await_session(self) -> None:
        until_s = monotonic() + SESSION_S
        while (device := self._node.session.device) is None:
            if monotonic() > until_s:
                raise LinkError(f"{self._node.link.url}: no session within {SESSION_S:g} s")
            sleep(0.02)  # another thread opens it with its next step
        if not device.flags & BirthFlag.UPDATES:
            raise UpdateError(
                f"{self._node.link.url}: firmware {device.firmware} takes no module on trial: "
                "flash a newer one",
                UpdateFailure.LOAD,
            )


def refusal_of(error: Exception) -> UpdateFailure:
    """The reason behind an error of an update."""
    if isinstance(error, UpdateError):
        return error.reason
    return UpdateFailure.LOAD if isinstance(error, GuestError) else UpdateFailure.LINK
