"""The store and what looks at it, without a broker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fog_rows import DAY, FOG, hear
from small_field import until

from levada.twin.continuum.recomputation import LookBack, Recomputation
from levada.twin.continuum.streams import Streams
from levada.twin.continuum.view import ContinuumView
from levada.twin.mqtt.forwarded import rows_of
from levada.twin.mqtt.messages import Forwarded, Relayed
from levada.twin.store.rows import Row
from levada.twin.store.store import Store

__all__ = ["Chain"]


class Chain:
    """The store and what looks at it; messages go into both as the delivery has them go."""

    def __init__(
        self, file: Path, make: Callable[[LookBack], Recomputation], *, shift_ms: int = 0
    ) -> None:
        self.store = Store(file, clock_ms=lambda: DAY + 86_400_000)
        self.streams = Streams(self.store, make, shift_ms=shift_ms)

    def take(self, sent: Forwarded, received_us: int = 0) -> None:
        hear(self.streams.hear, sent, received_us)
        self.keep(sent)

    def keep(self, sent: Forwarded) -> None:
        """Into the store alone."""
        _, rows = rows_of(type(sent), sent.encode())
        for numbered in rows:
            assert numbered.row is not None
            assert self.store.submit(
                Row(
                    node=FOG,
                    boot=sent.boot,
                    seq=numbered.seq,
                    oldest=sent.oldest,
                    received_ms=DAY,
                    device_ms=numbered.row.t,
                    payload=numbered.payload,
                    signals=numbered.row.signals(),
                    kind="raw" if isinstance(sent, Relayed) else "filtered",
                    target=numbered.row.node,
                )
            )

    def seen(self, rows: int) -> ContinuumView:
        """The view once so many rows were looked at."""
        assert self.store.flush()

        def counted() -> bool:
            (fog,) = self.streams.view.fogs
            return fog.relayed + fog.processed + fog.windows + fog.unreadable >= rows

        until(counted)
        return self.streams.view

    def close(self) -> None:
        self.streams.close()
        self.store.close()
