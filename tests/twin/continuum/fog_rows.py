"""Rows and messages of a fog as the tests of the cloud put them in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from levada.twin.mqtt.forwarded import rows_of
from levada.twin.mqtt.messages import Forwarded, ForwardedRow, Processed, Relayed

__all__ = ["BOOT", "DAY", "FOG", "filtered", "hear", "message", "raw", "window"]

FOG: Final = "fog"
BOOT: Final = 3
DAY: Final = 1_700_000_000_000


def raw(n: int, node: str = "maize", **signals: float) -> ForwardedRow:
    """Message `n` of a node, as it came."""
    values = {"raw": 1_500 + n, "pct": 40, **signals}
    return ForwardedRow(node=node, boot=7, seq=n, t=DAY + n * 60_000, received_us=n, **values)  # type: ignore[arg-type]


def filtered(n: int, node: str = "maize", **signals: float) -> ForwardedRow:
    """What fog has made of it."""
    values = {"raw": 1_500 + n, "anomaly": 0, "filt": 1_500 + n // 2, **signals}
    return ForwardedRow(node=node, boot=7, seq=n, t=DAY + n * 60_000, **values)  # type: ignore[arg-type]


def window(revision: int, *, count: int, mean: float, node: str = "maize") -> ForwardedRow:
    """The first hour of a node."""
    return ForwardedRow(
        node=node,
        t=DAY,
        window_s=3_600,
        revision=revision,
        raw_count=count,  # type: ignore[call-arg]
        raw_mean=mean,
        raw_min=mean - 1,
        raw_max=mean + 1,
        flow_sum=3,
    )


def message(
    kind: type[Forwarded], seq: int, rows: Sequence[ForwardedRow], **head: int
) -> Forwarded:
    """Rows from number `seq` on in one message."""
    return kind(**{"boot": BOOT, "seq": seq, "oldest": 0, "rows": tuple(rows), **head})  # type: ignore[arg-type]


def stream_of(messages: int) -> list[Forwarded]:
    """Message after message of two nodes, each as a raw row and a filtered one."""
    found: list[Forwarded] = []
    seq = 0
    for n in range(messages):
        for kind, make in ((Relayed, raw), (Processed, filtered)):
            rows = [make(n, "maize"), make(n, "wheat")]
            found.append(message(kind, seq, rows))
            seq += len(rows)
    return found


Hear = Callable[..., None]


def hear(listener: Hear, sent: Forwarded, received_us: int = 0, fog: str = FOG) -> None:
    """Hand a message over as `levada.twin.mqtt.delivery` does."""
    read, rows = rows_of(type(sent), sent.encode())
    listener(fog, read, rows, received_us)
