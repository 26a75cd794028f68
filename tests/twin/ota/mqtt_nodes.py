"""Nodes at a broker that take modules; what a board would do with them is decided here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from levada.guest.lifecycle import Closing
from levada.guest.node import Birth
from levada.hil.line.broker import BrokerAddress
from levada.hil.update.states import UpdateStage
from levada.twin.mqtt.gateway import Gateway
from levada.twin.ota.chunks import Offer
from levada.twin.ota.receiver import Identity, Receiver, TransferSettings

__all__ = ["BIRTH", "MqttNodes"]

BIRTH = Birth(
    guest_sha256="00" * 32,
    guest_name="irrigation",
    guest_version="1.0.0",
    abi_version=1,
    engine="none",
    firmware="test",
    boot_id=1,
)
Verdict = Callable[[str, bytes], tuple[UpdateStage, str]]


def good(_node: str, _module: bytes) -> tuple[UpdateStage, str]:
    return UpdateStage.UPDATED, ""


class MqttNodes(Closing):
    """`verdict(node, module)` says what becomes of a module; `chunk(node, offset)` is called before
    bytes are taken."""

    def __init__(
        self,
        address: BrokerAddress,
        names: Sequence[str],
        *,
        verdict: Verdict = good,
        chunk: Callable[[str, int], object] = lambda *_: None,
        settings: TransferSettings | None = None,
    ) -> None:
        self.installed: dict[str, list[bytes]] = {name: [] for name in names}
        self.identities = {name: Identity(guest_sha256="00" * 32) for name in names}
        self.news = threading.Condition()
        self._verdict = verdict
        self.gateway = Gateway(address, names)
        for name in names:
            receiver = Receiver(
                lambda message, name=name: self.gateway.send(name, message),  # type: ignore[misc]
                identity=lambda name=name: self.identities[name],  # type: ignore[misc]
                install=lambda offer, module, settle, name=name: self._install(  # type: ignore[misc]
                    name, offer, module, settle
                ),
                settings=settings or TransferSettings(),
            )
            take = receiver.chunk

            def watched(
                transfer: str, offset: int, payload: bytes, name: str = name, take=take
            ) -> None:
                chunk(name, offset)
                take(transfer, offset, payload)

            receiver.chunk = watched  # type: ignore[method-assign]
            self.gateway.serve(name, BIRTH, (3000, 1200, 2100), dict, _no_calibration, receiver)

    def _install(self, name: str, offer: Offer, module: bytes, settle: Callable[..., None]) -> None:
        settle(UpdateStage.VERIFIED)
        settle(UpdateStage.UPDATING)
        stage, reason = self._verdict(name, module)
        if stage is UpdateStage.UPDATED:
            self.installed[name].append(module)
            self.identities[name] = Identity(guest_sha256=offer.sha256, guest_version=offer.version)
        settle(stage, reason)
        with self.news:
            self.news.notify_all()

    def wait(self, *names: str) -> None:
        """Until all of them have installed something."""
        with self.news:
            self.news.wait_for(lambda: all(self.installed[name] for name in names))

    def close(self) -> None:
        self.gateway.close()


def _no_calibration(_values: dict[str, int]) -> Future[dict[str, int]]:
    raise AssertionError("nobody calibrates here")
