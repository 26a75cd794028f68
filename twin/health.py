"""How the parts of a twin are that run beside each other, for /health."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from levada.guest.text.redaction import redacted

if TYPE_CHECKING:  # what is asked is there; who has no twin need not load it
    from levada.hil.line.broker import EmbeddedBroker
    from levada.hil.line.mqtt_client import MqttClient
    from levada.twin.snapshot import ZoneView
    from levada.twin.store.health import Health

__all__ = [
    "Part",
    "Parts",
    "broker_part",
    "client_part",
    "device_part",
    "look",
    "process_part",
    "store_part",
]

_MOST_USED: Final = 0.9
"""Part of the permitted file descriptors beyond which things are about to fail."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One part."""

    ok: bool
    detail: str = ""


_CROWDED: Final = 0.9
"""Part of the store's queue beyond which rows are about to be refused."""
_REFUSED_S: Final = 300.0
"""How long a refused row is a reason to look [s]."""
_TOLD: Final = 5
"""Refusals that are told in words; all are in `refusals`."""

Parts = Mapping[str, Callable[[], Part]]
"""Name -> how it is now."""


def look(parts: Parts) -> dict[str, Part]:
    """How all parts are; one that cannot be asked is not well."""
    found = {}
    for name, ask in [*parts.items()]:  # there may be more of them meanwhile
        try:
            part = ask()
        except Exception as error:  # noqa: BLE001 - health is told whatever has happened
            part = Part(ok=False, detail=f"{type(error).__name__}: {error}")
        found[name] = Part(ok=part.ok, detail=redacted(part.detail))
    return found


def store_part(store: Health) -> Part:
    """Of the store: whether it acknowledges, has room, and has taken all that came."""
    if not store.ok:
        return Part(ok=False, detail=f"{store.state}: {store.detail}".removesuffix(": "))
    if store.queue_rows and store.waiting >= _CROWDED * store.queue_rows:
        return Part(
            ok=False, detail=f"{store.waiting} of at most {store.queue_rows} rows wait to be stored"
        )
    age_s = store.refusal_age_s
    if age_s is not None and age_s < _REFUSED_S:
        return Part(
            ok=False,
            detail=f"{store.refused} rows refused, the last {age_s:.0f} s ago: {_refused(store)}",
        )
    return Part(ok=True)


def _refused(store: Health) -> str:
    found = [
        (count, f"{count} of {node or 'other nodes'} ({reason})")
        for node, counts in store.refusals.items()
        for reason, count in counts.items()
    ]
    shown = [text for _, text in sorted(found, reverse=True)[:_TOLD]]
    more = len(found) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more > 0 else "")


def device_part(zone: ZoneView) -> Part:
    """Of a device: whether it answers, and what it says is understood."""
    why = (zone.link or {}).get("refused_why", "")
    said = f"its newest message was refused: {why}" if why else ""
    return Part(ok=not (zone.lost or said), detail=zone.lost or said)


def broker_part(broker: EmbeddedBroker) -> Part:
    """Of the broker and of who watches it."""
    trouble = broker.trouble
    restarts = f"started again {broker.restarts} times" if broker.restarts else ""
    return Part(ok=not trouble, detail=trouble or restarts)


def client_part(client: MqttClient | None) -> Part:
    """Of a connection to a broker."""
    if client is None:
        return Part(ok=False, detail="not connected yet")
    if client.connected:
        return Part(ok=True)
    why = client.failure or "trying again"
    return Part(ok=False, detail=f"no connection to {client.address.url}: {why}")


def process_part() -> Part:
    """Of this process: whether it has file descriptors left."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir("/proc/self/fd"))
    except FileNotFoundError:
        return Part(ok=True, detail="file descriptors are not counted on this system")
    except OSError as error:
        return Part(ok=False, detail=f"no file descriptor is left: {error}")
    return Part(
        ok=soft < 0 or used < _MOST_USED * soft, detail=f"{used} of {soft} file descriptors in use"
    )
