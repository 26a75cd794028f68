"""The pages, as trees of Dash components.

Text goes in as children, which the browser shows as text whatever it contains; links carry names
percent-encoded.  Every page has its own interval, so that pages that are not shown ask nothing.
"""

from __future__ import annotations

from levada.twin.app.pages.continuum import (
    continuum_page,
    fog_tiles,
    path_of_message,
    stream_facts,
    stream_table,
    tier_table,
    time_text,
)
from levada.twin.app.pages.field import field_now, field_page, tile, tile_class
from levada.twin.app.pages.history import exports, history_page, signal_options, then
from levada.twin.app.pages.modules import (
    module_events,
    module_nodes,
    modules_page,
    rollout_section,
)
from levada.twin.app.pages.nodes import node_facts, node_page, nodes_page
from levada.twin.app.pages.parts import EXPIRIES, WINDOWS, events, moment, stamp, with_unit
from levada.twin.app.pages.shell import clock, missing_page, nav, shell
from levada.twin.app.pages.zone import now, tried, zone_page

__all__ = [
    "EXPIRIES",
    "WINDOWS",
    "clock",
    "continuum_page",
    "events",
    "exports",
    "field_now",
    "field_page",
    "fog_tiles",
    "history_page",
    "missing_page",
    "module_events",
    "module_nodes",
    "modules_page",
    "moment",
    "nav",
    "node_facts",
    "node_page",
    "nodes_page",
    "now",
    "path_of_message",
    "rollout_section",
    "shell",
    "signal_options",
    "stamp",
    "stream_facts",
    "stream_table",
    "then",
    "tier_table",
    "tile",
    "tile_class",
    "time_text",
    "tried",
    "with_unit",
    "zone_page",
]
