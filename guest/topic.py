"""Which MQTT topics a guest may publish to.

Three forms, because binaries made for existing boards run unchanged: a bare level (`data`), the
node's own prefix (`ic/<node>/data`), and `ic/esp32/...`, which those binaries have built in.  All
three mean the node's own prefix.  Hosts record the topic as the guest gave it and resolve it when
they deliver.  `levada.guest.fast.hostcalls` has the same rule for bytes in guest memory.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ALIAS", "MAX_TOPIC_BYTES", "PREFIX", "is_node_name", "resolve_topic"]

PREFIX: Final = "ic/"
ALIAS: Final = "esp32"
"""The node name built into guests of the research project."""
MAX_TOPIC_BYTES: Final = 64
_NODE: Final = re.compile(r"[^\x00-\x1f\x7f/+#$]{1,64}")


def is_node_name(name: str) -> bool:
    """Whether a node may be called so: 1 to 64 characters, none of `/ + # $`, none of control."""
    return _NODE.fullmatch(name) is not None and name not in (".", "..")


def resolve_topic(topic: str, node: str, prefix: str = PREFIX) -> str | None:
    """The topic `<prefix><node>/...` that a guest's `topic` stands for, or None if refused.

    Refused are empty topics and levels, levels `.` and `..`, the characters `+`, `#` and `$`,
    control characters, other prefixes, and more than 64 bytes.
    """
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        return None
    if size > MAX_TOPIC_BYTES or any(c in "+#$" or c < " " or c == "\x7f" for c in topic):
        return None
    if any(level in ("", ".", "..") for level in topic.split("/")):
        return None
    if "/" not in topic:
        return f"{prefix}{node}/{topic}"
    for name in (node, ALIAS):
        own = f"{prefix}{name}/"
        if topic.startswith(own):
            return f"{prefix}{node}/{topic[len(own) :]}"
    return None
