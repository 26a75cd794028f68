"""/health: asked by whoever is on call, also while a twin starts.

It is 200 as soon as what devices send is acknowledged and nothing is wrong, which is before the
twin has looked at what they sent; until then it is 503, with what is being done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from flask import Response, abort, jsonify
from flask.sansio.scaffold import Scaffold

from levada.twin.health import Parts, device_part, look, store_part
from levada.twin.snapshot import View
from levada.twin.store.store import Store

__all__ = ["add_health"]


def add_health(
    routes: Scaffold,
    parts: Parts,
    *,
    store: Callable[[], Store | None],
    view: Callable[[], View | None],
) -> None:
    """Answer /health of `parts`, of a store that nobody may have opened yet, and of the devices of
    a view that there may not be yet."""

    @routes.get("/health")
    @routes.get("/health/<path:whose>")
    def health(whose: str = "") -> tuple[Response, int]:
        if whose not in ("", "own"):
            abort(404)
        seen = look(parts)
        now = view()
        devices = look({z.name: partial(device_part, z) for z in now.zones} if now else {})
        of_store = _of_store(store())
        asked = seen.values() if whose == "own" else (*seen.values(), *devices.values())
        well = of_store["ok"] and all(part.ok for part in asked)
        data = {
            "ok": well,
            "store": of_store,
            "parts": {name: asdict(part) for name, part in seen.items()},
            "devices": {name: asdict(part) for name, part in devices.items()},
        }
        if now is not None:
            data["twin"] = {"now_ms": now.now_ms, "ended": now.ended, "late_s": now.late_s}
        return jsonify(data), 200 if well else 503


def _of_store(store: Store | None) -> dict[str, Any]:
    if store is None:
        detail = "nothing is acknowledged yet"
        return {"ok": False, "state": "starting", "detail": detail}
    found = store.health()
    return {**asdict(found), "state": str(found.state), **asdict(store_part(found))}
