"""Six ways to break the shipped guest: each is one change of its source, built to a module."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from levada.guest.build import build

SOURCE: Final = Path(__file__).parents[2] / "levada/guest/irrigation/irrigation.c"

BROKEN: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "limit never checked": (
        (
            "    if (now - since >= (seconds)setting[max_open_s])\n"
            "        return CLOSED_MAX_OPEN;\n",
            "",
        ),
        ("        if (wait_s > left_s)\n            wait_s = left_s;\n", "        (void)left_s;\n"),
    ),
    "flow not needed": (
        (
            "    if (setting[flow_confirm_s] && "
            "now - flow_at >= (seconds)setting[flow_confirm_s])\n"
            "        return NO_FLOW;\n",
            "",
        ),
    ),
    "cap forgotten at restart": (
        ("used_l = (unsigned)clamp(kept[USED_L], 0, MOST_L);", "used_l = 0;"),
    ),
    "clock used instead of uptime": (
        ("last = since = flow_at = (seconds)uptime_s();", "last = since = flow_at = now_s();"),
        ("seconds now = (seconds)uptime_s(), passed;", "seconds now = (seconds)now_s(), passed;"),
    ),
    "closes too late by one step": (
        (
            "if (now - since >= (seconds)setting[max_open_s])",
            "if (last - since >= (seconds)setting[max_open_s])",
        ),
        ("        if (wait_s > left_s)\n            wait_s = left_s;\n", "        (void)left_s;\n"),
    ),
    "opens after param_set": (
        (
            "    if (id == confirm && value",
            "    set_output(LEVADA_PIN_VALVE, 1);\n    if (id == confirm && value",
        ),
    ),
}
"""Name -> texts of the source, each there once, and what they become."""


@cache
def broken_guest(name: str) -> bytes:
    """The module of one of them."""
    text = SOURCE.read_text("utf-8")
    for before, after in BROKEN[name]:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    with TemporaryDirectory() as folder:
        source = Path(folder) / "irrigation.c"
        source.write_text(text, "utf-8")
        return build([source]).module
