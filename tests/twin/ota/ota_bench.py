"""A node that takes modules, without broker and board; time goes on only when it is told to."""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from levada.hil.update.package import ModulePackage
from levada.hil.update.states import UpdateStage
from levada.twin.mqtt.messages import Message, OtaRequest, OtaState, OtaWant
from levada.twin.ota.chunks import Offer, chunk_payload
from levada.twin.ota.receiver import Identity, Receiver, TransferSettings

__all__ = ["OLD", "Node", "package", "request"]

OLD = Identity(guest_sha256="00" * 32, guest_name="irrigation", guest_version="1.0.0")
Chunk = tuple[int, bytes]


def package(size: int = 8_192, seed: int = 1, version: str = "2.0.0") -> ModulePackage:
    """No module, but bytes that nobody confuses with others."""
    data = random.Random(seed).randbytes(size)
    return ModulePackage(module=data, name="irrigation", version=version)


def request(sent: ModulePackage, **changes: Any) -> OtaRequest:
    values = {
        "id": sent.id,
        "action": "install",
        "attempt": "first",
        "name": sent.name,
        "version": sent.version,
        "size": len(sent.module),
        "sha256": sent.sha256,
        "envelope": b64encode(sent.envelope).decode(),
    }
    return OtaRequest(**(values | changes))


class Node:
    """A receiver, its installed modules, and what it says."""

    def __init__(
        self,
        settings: TransferSettings | None = None,
        folder: Path | None = None,
        *,
        verdict: UpdateStage = UpdateStage.UPDATED,
    ) -> None:
        self.now_s = 0.0
        self.said: list[Message] = []
        self.installed: list[bytes] = []
        self.verdict = verdict
        self.active = OLD
        self.receiver = Receiver(
            self.said.append,
            identity=lambda: self.active,
            install=self._install,
            settings=settings or TransferSettings(),
            folder=folder,
            clock=lambda: self.now_s,
        )

    def _install(self, offer: Offer, module: bytes, settle: Callable[..., None]) -> None:
        settle(UpdateStage.VERIFIED)
        settle(UpdateStage.UPDATING)
        if self.verdict is UpdateStage.UPDATED:
            self.installed.append(module)
            self.active = Identity(guest_sha256=offer.sha256, guest_version=offer.version)
            settle(UpdateStage.UPDATED)
        else:
            settle(self.verdict, "TRAP", "stopped in its first step")

    @property
    def states(self) -> list[str]:
        """States in the order in which they were told, repetitions left out."""
        found: list[str] = []
        for message in self.said:
            if isinstance(message, OtaState) and message.state.value not in found[-1:]:
                found.append(message.state.value)
        return found

    @property
    def last(self) -> OtaState:
        return next(m for m in reversed(self.said) if isinstance(m, OtaState))

    def wants(self) -> list[OtaWant]:
        """What it asks for since it was looked at last; what it said stays."""
        found = [m for m in self.said if isinstance(m, OtaWant)]
        self.said[:] = [m for m in self.said if not isinstance(m, OtaWant)]
        return found

    def fetch(
        self,
        sent: ModulePackage,
        way: Callable[[Chunk], Iterable[Chunk]] = lambda chunk: [chunk],
        *,
        most_s: float = 600.0,
    ) -> int:
        """Hand out what is asked for, until nothing is under way; bytes that were sent."""
        sent_bytes = 0
        while not self.receiver.state.is_final and self.now_s < most_s:
            for want in self.wants():
                data = sent.module[want.offset : want.offset + want.bytes]
                sent_bytes += len(data)
                for offset, payload in way((want.offset, chunk_payload(data))):
                    self.receiver.chunk(sent.id, offset, payload)
            self.now_s += 0.25
            self.receiver.tick()
        return sent_bytes
