"""The update of a device while its guest runs: brought over between steps, tried by them.

    update = DeviceUpdate(node)
    update.stage(package, Trial(steps=3), carried=())   # in any thread; the guest goes on
    node.step(...)                                      # the trial: outputs held closed
    update.verdict()                                    # None while it lasts

A device that starts again meanwhile has its former module, and is gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic, sleep
from typing import Final

from levada.guest.errors import GuestError
from levada.guest.module.inspect import inspect
from levada.hil.errors import DeviceRestarted, LinkError
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

    def begin_trial(self, parameters: Mapping[int, int]) -> None:
        """Let the next step be the first of the trial; `parameters` by id, of the former module."""
        assert self._staged is not None
        carried = carried_parameters(self._node.session.info, inspect(self._staged.module))
        self._node.try_next({p: v for p, v in parameters.items() if p in carried})
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
        package, self._staged = self._staged, None
        if found.stage is UpdateStage.UPDATED and found.sha256 == package.sha256:
            self._node.session.adopt(package.module, package.envelope)
        return found

    def give_up(self) -> None:
        """Have the device drop what waits or is tried; raises UpdateError or LinkError."""
        self._staged = None
        self._updater.abort()

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
