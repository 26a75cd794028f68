"""What a fog node says of itself on `ic/<fog>/status`: birth, heartbeat and death."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Literal

from levada.guest.lifecycle import Closing
from levada.twin.mqtt.messages import Status

__all__ = ["BEAT_S", "Heartbeat"]

_log = logging.getLogger(__name__)

BEAT_S: Final = 5.0


class Heartbeat(Closing):
    """Publishes `describe()`, the whole state at the present, every `BEAT_S`."""

    def __init__(self, describe: Callable[[], Status], publish: Callable[[bytes], object]) -> None:
        self._describe = describe
        self._publish = publish
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Be born, and go on."""
        self.say("birth")
        self._thread.start()

    def say(self, state: Literal["birth", "alive", "death"]) -> None:
        """Say it now."""
        said = self._describe().model_copy(update={"state": state})
        self._publish(said.encode())

    def close(self) -> None:
        """Say goodbye."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self.say("death")

    def _beat(self) -> None:
        while not self._closing.wait(BEAT_S):
            try:
                self.say("alive")
            except Exception:  # noqa: BLE001 - one beat less is no reason to fall silent
                _log.exception("heartbeat not sent")
