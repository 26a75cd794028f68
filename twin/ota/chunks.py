"""The bytes of a module on the way: their topic and payload, and what has come of them.

    ic/<node>/ota/chunk/<id>/<offset>     CRC-32 of the bytes (4, little endian), then the bytes

A broker loses, repeats and reorders; a relay may damage.  A node asks for one part after the other,
each behind what it has, and asks again until it has come: whatever happens on the way, only what
is missing is sent again.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final, Self
from zlib import crc32

from levada.guest.topic import PREFIX, is_node_name
from levada.hil.errors import PayloadError
from levada.hil.update.package import transfer_id
from levada.twin.mqtt.messages import OtaRequest, OtaWant, check_node

__all__ = [
    "CHUNK_BYTES",
    "CHUNK_FILTER",
    "Download",
    "Offer",
    "Taken",
    "chunk_payload",
    "chunk_topic",
    "split_chunk_topic",
]

CHUNK_BYTES: Final = 2_048
"""Of a module in one message."""
CHUNK_FILTER: Final = f"{PREFIX}+/ota/chunk/+/+"
_CRC_BYTES: Final = 4
_PART: Final = re.compile(r"[0-9a-f]{8,64}\.part")
_CHUNK: Final = re.compile(rf"{re.escape(PREFIX)}([^/]+)/ota/chunk/([0-9a-f]{{8,64}})/(\d{{1,7}})")


def chunk_topic(node: str, transfer: str, offset: int) -> str:
    """Where the bytes of a transfer from `offset` on are sent."""
    return f"{PREFIX}{check_node(node)}/ota/chunk/{transfer}/{offset}"


def split_chunk_topic(topic: str) -> tuple[str, str, int] | None:
    """Node, transfer and offset of a topic; None if it is no chunk's."""
    found = _CHUNK.fullmatch(topic)
    if found is None or not is_node_name(found[1]):
        return None
    return found[1], found[2], int(found[3])


def chunk_payload(data: bytes) -> bytes:
    """The bytes with their checksum before them."""
    return crc32(data).to_bytes(_CRC_BYTES, "little") + data


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What a node is asked to take."""

    id: str
    name: str
    version: str
    size: int
    sha256: str
    envelope: bytes
    trial_steps: int
    attempt: str = ""

    @classmethod
    def of(cls, request: OtaRequest) -> Self:
        """As requested; raises PayloadError for a request that names no module."""
        if request.sha256 is None or request.size < 1:
            raise PayloadError("ota/request: `size` and `sha256` must say what to install")
        try:
            envelope = b64decode(request.envelope, validate=True)
        except ValueError as error:
            raise PayloadError(f"ota/request: `envelope`: no base64: {error}") from None
        if request.id != transfer_id(request.sha256, envelope):
            raise PayloadError("ota/request: `id` is not that of this module and envelope")
        return cls(
            id=request.id,
            name=request.name,
            version=request.version,
            size=request.size,
            sha256=request.sha256,
            envelope=envelope,
            trial_steps=request.trial_steps,
            attempt=request.attempt or "",
        )


class Taken(Enum):
    """What became of a chunk."""

    NEW = auto()
    OTHER = auto()
    """Not the one that was asked for: a repetition, or too late."""
    DAMAGED = auto()


class Download:
    """What has come of one module; with a `folder` it is kept there, and found again.

    What `kept` has of the same module is gone on from.
    """

    def __init__(
        self, offer: Offer, folder: Path | None = None, kept: Download | None = None
    ) -> None:
        self.offer = offer
        self._file = None if folder is None else folder / f"{offer.id}.part"
        self._data = bytearray()
        if self._file is not None:  # bytes of one module are kept, whatever is offered
            for other in self._file.parent.glob("*.part"):
                if _PART.fullmatch(other.name) and other != self._file:
                    other.unlink(missing_ok=True)
        if kept is not None and kept.offer.id == offer.id:
            self._data = kept._data
        elif self._file is not None and self._file.is_file():
            self._data += self._file.read_bytes()[: offer.size]

    @property
    def received(self) -> int:
        """Bytes that are there."""
        return len(self._data)

    def want(self) -> OtaWant | None:
        """The part to ask for; None if all is there."""
        missing = self.offer.size - self.received
        if not missing:
            return None
        return OtaWant(id=self.offer.id, offset=self.received, bytes=min(CHUNK_BYTES, missing))

    def take(self, offset: int, payload: bytes) -> Taken:
        """Take a chunk; OSError if it cannot be kept."""
        want = self.want()
        if want is None or offset != want.offset:
            return Taken.OTHER
        data = payload[_CRC_BYTES:]
        if len(data) != want.bytes or chunk_payload(data) != payload:
            return Taken.DAMAGED
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as file:
                file.truncate(offset)  # what a full disk has taken of the try before
                file.write(data)
        self._data += data
        return Taken.NEW

    def module(self) -> bytes | None:
        """All bytes, if they have the promised digest; else nothing of them is believed."""
        found = bytes(self._data)
        if hashlib.sha256(found).hexdigest() == self.offer.sha256:
            return found
        self.forget()
        return None

    def forget(self) -> None:
        """Keep nothing of it."""
        self._data.clear()
        if self._file is not None:
            self._file.unlink(missing_ok=True)
