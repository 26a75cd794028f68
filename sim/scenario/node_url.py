"""Where a zone's guest runs, as one text, such as `sim`, `virtual:wasm3`,
`serial:/dev/ttyUSB0?baud=921600`, `mqtt://host/ic/esp32`.

Only the form is checked here; what a transport does with it is the business of its driver.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from levada.guest.text.ranges import between, out_of_range
from levada.guest.text.redaction import redacted

__all__ = ["KINDS", "VARIANTS", "NodeUrl", "parse_node"]

KINDS: Final = ("sim", "virtual", "serial", "mqtt", "mqtts")
VARIANTS: Final = ("wasm3", "wamr", "wasmtime", "native", "xtensa", "esp32", "aarch64", "mqtt")
"""After `virtual:`: an engine, an emulated processor, or MQTT instead of serial."""
TRUSTED_MOST: Final = 2
"""Public keys of one device, `LV_KEYS` of the firmware."""
_DEFAULT_BAUD: Final = 921_600
_NO_PASSWORD: Final = (
    "no password in a scenario: it belongs to the environment, as LEVADA_MQTT_PASSWORD"
)
_FORMS: Final = (
    "sim, virtual, virtual:ENGINE?trust=KEY&flash=FILE, serial:PORT?baud=N (any pyserial URL), "
    "mqtt://HOST/PREFIX/NODE"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeUrl:
    """A parsed node URL."""

    kind: str
    """One of `KINDS`."""
    target: str = ""
    """Engine or variant of `virtual`, port of `serial`, broker URL without topic of `mqtt`."""
    topic: str = ""
    """`ic/esp32` of an MQTT node."""
    baud: int = _DEFAULT_BAUD
    """Bits a second of a serial node."""
    trust: tuple[str, ...] = ()
    """Public keys of a virtual node, hexadecimal: only what one of them has signed is installed."""
    flash: str = ""
    """File in which a virtual node keeps its flash; empty: it is gone when the node ends."""

    @property
    def simulated(self) -> bool:
        """Whether the guest runs inside this process."""
        return self.kind == "sim"

    @property
    def device(self) -> str:
        """Name of an MQTT node, the last level of its topic; empty for any other."""
        return self.topic.rpartition("/")[2]

    @property
    def place(self) -> str:
        """What no two zones can have; empty where every zone gets a node of its own."""
        if self.kind in ("sim", "virtual"):
            return self.flash
        return "/".join(part for part in (self.target, self.topic) if part)


def parse_node(text: str) -> NodeUrl:
    """`text` -> NodeUrl; raises ValueError that lists the forms."""
    kind, colon, rest = text.partition(":")
    if re.match(r"virtual[:?]", text):
        return _virtual(text)
    if kind not in KINDS:
        raise ValueError(f"unknown kind of node `{kind}`: {_hint(kind, KINDS)}permitted {_FORMS}")
    match kind:
        case "sim":
            if colon:
                raise ValueError("`sim` takes nothing after it")
            return NodeUrl(kind=kind)
        case "virtual":
            return NodeUrl(kind=kind)
        case "serial":
            return _serial(rest)
        case _:
            return _mqtt(kind, text)


def _virtual(text: str) -> NodeUrl:
    address, _, query = text.partition("?")
    _, colon, variant = address.partition(":")
    if colon and variant not in VARIANTS:
        hint = _hint(variant, VARIANTS)
        raise ValueError(f"unknown variant `{variant}`: {hint}permitted {', '.join(VARIANTS)}")
    keys, flash = [], ""
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "flash" and value and not flash:
            flash = value
        elif name == "flash":
            raise ValueError("flash=: name one file, such as virtual?flash=board.flash")
        elif name != "trust":
            raise ValueError(f"unknown option `{name}` of a virtual node: permitted trust, flash")
        elif not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise ValueError(
                f"trust={value:.80}: must be a public key, 64 hexadecimal digits "
                "(`levada keys new` writes two to trusted.json)"
            )
        else:
            keys.append(value)
    if len(keys) > TRUSTED_MOST:
        raise ValueError(f"trust: {len(keys)} keys, a device takes at most {TRUSTED_MOST}")
    return NodeUrl(kind="virtual", target=variant, trust=tuple(keys), flash=flash)


def _hint(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word, known, n=1)
    return f"did you mean `{near[0]}`? " if near else ""


def _serial(rest: str) -> NodeUrl:
    if "://" in rest and redacted(rest) != rest:
        raise ValueError(_NO_PASSWORD)
    port, _, query = rest.partition("?")
    options = parse_qsl(query, keep_blank_values=True)
    ours = [value for key, value in options if key == "baud"]
    others = [(key, value) for key, value in options if key != "baud"]
    if not port:
        raise ValueError("`serial:` needs a port, such as serial:/dev/ttyUSB0")
    if others and "://" not in port:
        raise ValueError(f"unknown option `{others[0][0]}` of a serial port: permitted baud")
    if ours and not (ours[-1].isdecimal() and 300 <= int(ours[-1]) <= 5_000_000):
        raise ValueError(out_of_range("baud", ours[-1], between(300, 5_000_000)))
    if others:  # they belong to pyserial, e.g. ?logging=debug
        port += "?" + "&".join(k if not v else urlencode({k: v}) for k, v in others)
    return NodeUrl(kind="serial", target=port, baud=int(ours[-1]) if ours else _DEFAULT_BAUD)


def _mqtt(kind: str, text: str) -> NodeUrl:
    try:
        parts = urlsplit(text)
    except ValueError:  # a bracket without its other
        raise ValueError(f"write {kind}://HOST[:PORT]/PREFIX/NODE") from None
    try:
        parts.port  # noqa: B018 - looked at, and refused, here
    except ValueError:
        raise ValueError(f"{kind}://: the port must be a number, 0 to 65535") from None
    topic = parts.path.strip("/")
    if parts.password is not None or ("@" in text and "@" not in parts.netloc):
        raise ValueError(_NO_PASSWORD)
    if any(mark in text for mark in "+#$"):
        raise ValueError("no wildcard and no $ permitted in a topic")
    if parts.hostname is None or not topic or parts.query:
        raise ValueError(f"write {kind}://HOST[:PORT]/PREFIX/NODE")
    return NodeUrl(kind=kind, target=f"{kind}://{parts.netloc}", topic=topic)
