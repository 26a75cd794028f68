"""Whether a request to Dash is one that the page makes: its shape, and the type of every value.

Dash itself takes whatever comes and hands it to the callback.  Here every property that a callback
is given has a kind; a body of another shape, or a value of another kind, is refused before anything
runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from flask import abort, request

from levada.guest.text.json_text import parse
from levada.twin.app import pages

__all__ = ["AskedRight"]

GREATEST: Final = 2**53
LONGEST: Final = 4_096
"""Characters of a text."""
MOST: Final = 100
"""Chosen signals."""
_WRONG: Final = "this is no request that the page makes"

Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > LONGEST or "\0" in value:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= GREATEST


def _number(value: Any) -> bool:
    return _whole(value) or (isinstance(value, float) and isfinite(value))


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MOST and all(map(_text, value))


def _one_of(known: Sequence[str]) -> Check:
    return lambda value: isinstance(value, str) and value in known


def _moment(value: Any) -> bool:
    return _number(value) and 0 <= value <= 1000


def _upto(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"ms", "deltas", "event"}
        and all(map(_whole, value.values()))
    )


def _named(value: Any) -> bool:
    """The id of one of many parts."""
    return (
        isinstance(value, dict)
        and value.keys() == {"type", "name"}
        and all(map(_text, value.values()))
    )


_TICKS: Final = ("", "-field", "-node", "-zone", "-slow", "-continuum", "-streams", "-modules")

KINDS: Final[Mapping[str, Check]] = {
    "url.pathname": _text,
    "url.search": _or_none(_text),
    **dict.fromkeys(
        (f"tick{page}.n_intervals" for page in _TICKS),
        _or_none(_whole),
    ),
    "tile.id": _named,
    "field-said.data": _or_none(_whole),
    "node-name.data": _text,
    "zone-name.data": _text,
    "zone-said.data": _or_none(_whole),
    "zone-upto.data": _or_none(_upto),
    "zone-window.value": _one_of(tuple(pages.WINDOWS)),
    "parameter-now.id": _named,
    "parameter-now.children": _text,
    "parameter.id": _named,
    "parameter.value": _or_none(lambda value: _text(value) or _number(value)),
    "calibrate-try.n_clicks": _or_none(_whole),
    "calibrate-set.n_clicks": _or_none(_whole),
    "calibrate-who.value": _or_none(_text),
    "calibrate-expiry.value": _one_of(tuple(pages.EXPIRIES)),
    "continuum-node.value": _or_none(_text),
    "continuum-known.data": _or_none(_whole),
    "continuum-window.value": _one_of(tuple(pages.WINDOWS)),
    "rollout-name.data": _or_none(_text),
    "rollout-abort.n_clicks": _or_none(_whole),
    "history-zone.value": _or_none(_text),
    "history-signals.value": _or_none(_texts),
    "history-start.value": _or_none(_text),
    "history-end.value": _or_none(_text),
    "history-moment.value": _or_none(_moment),
    "history-moment.drag_value": _or_none(_moment),
}
"""Part and property -> what its value has to be."""


class AskedRight:
    """Checks the body of a request against the callbacks of a page."""

    def __init__(self, callbacks: Mapping[str, Mapping[str, Any]]) -> None:
        self._callbacks = callbacks
        for key, callback in callbacks.items():
            for part in [*callback["inputs"], *callback["state"]]:
                name, _ = _part(part["id"])
                assert f"{name}.{part['property']}" in KINDS, (key, part)

    def check(self) -> None:
        """Refuse the present request (HTTPException, 400) unless the page makes such."""
        try:
            body = parse(request.get_data())
        except ValueError:
            abort(400, _WRONG)
        if not self._fits(body):
            abort(400, _WRONG)

    def _fits(self, body: Any) -> bool:
        if not isinstance(body, dict) or not isinstance(body.get("output"), str):
            return False
        callback = self._callbacks.get(body["output"])
        changed = body.get("changedPropIds", [])
        if callback is None or not isinstance(changed, list) or not all(map(_text, changed)):
            return False
        wanted = callback["output"]
        several = isinstance(wanted, list)
        outputs = body.get("outputs")
        specs = [_spec(output) for output in (wanted if several else [wanted])]
        return (
            _all_fit(specs, outputs if several else [outputs], values=False)
            and _all_fit(callback["inputs"], body.get("inputs", []), values=True)
            and _all_fit(callback["state"], body.get("state", []), values=True)
        )


def _spec(output: Any) -> dict[str, str]:
    return {"id": output.component_id_str(), "property": output.component_property}


def _part(text: str) -> tuple[str, bool]:
    """Name of a part, and whether there are many of it."""
    return (parse(text)["type"], True) if text.startswith("{") else (text, False)


def _all_fit(specs: Sequence[Mapping[str, str]], given: Any, *, values: bool) -> bool:
    if not isinstance(given, list) or len(given) != len(specs):
        return False
    return all(_fits(spec, item, values) for spec, item in zip(specs, given, strict=True))


def _fits(spec: Mapping[str, str], item: Any, values: bool) -> bool:
    name, many = _part(spec["id"])
    check = KINDS.get(f"{name}.{spec['property']}") if values else None

    def one(found: Any) -> bool:
        if not isinstance(found, dict) or not isinstance(found.get("property"), str):
            return False
        if found["property"].partition("@")[0] != spec["property"]:  # after it, which callback's
            return False
        where = found.get("id")
        if many:
            known = isinstance(where, dict) and _named(where) and where["type"] == name
        else:
            known = where == name
        return known and (check is None or check(found.get("value")))

    return isinstance(item, list) and all(map(one, item)) if many else one(item)
