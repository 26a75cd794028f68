"""`levada fog`: a fog node with its broker and its health page, until Ctrl-C.

Whatever happens, all of it is closed in the opposite order.  Where broker and page are stands in a
file beside the buffer, which only its owner can read.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from levada.guest.private_file import write_private
from levada.hil.line.broker import BrokerAddress, EmbeddedBroker, check_pki, parse_broker
from levada.twin.continuum.config import FogFile
from levada.twin.continuum.fog import Fog
from levada.twin.continuum.observability import StatusServer
from levada.twin.health import Part, broker_part
from levada.twin.interrupts import interrupts

__all__ = ["address_file", "run_fog"]

_SUFFIX: Final = ".json"


def address_file(buffer: Path) -> Path:
    """Where the addresses of a fog node stand: `fog.json` beside `fog.sqlite`."""
    return buffer.with_suffix(_SUFFIX)


def run_fog(config: FogFile, *, started: Callable[[str, str], None]) -> bool:
    """Run until interrupted, and say whether that was why it ended.

    `started(health, broker)` is called with the address of the health page and that of the edge's
    broker.  Raises what `Fog` and the broker raise.
    """
    module = config.module.read_bytes()
    file = Path(config.buffer)
    with interrupts() as interrupt, ExitStack() as open_, interrupt.heard():
        parts: dict[str, Callable[[], Part]] = {}
        if config.edge_broker is None:
            embedded = open_.enter_context(EmbeddedBroker())
            parts["embedded broker"] = lambda: broker_part(embedded)
            edge = embedded.address
        else:
            edge = parse_broker(config.edge_broker, config.pki)
        cloud = parse_broker(config.cloud_broker, config.pki) if config.cloud_broker else edge
        check_pki(config.pki, edge, cloud)
        fog = open_.enter_context(Fog(config.fog, module, edge=edge, cloud=cloud, file=file))
        parts |= fog.parts()
        page = open_.enter_context(StatusServer(parts, fog.metrics, port=config.health_port))
        told = address_file(file)
        _tell_address(told, page.url, edge, ours=config.edge_broker is None)
        open_.callback(told.unlink, missing_ok=True)
        interrupt.stop_with(fog.stop)
        started(page.url, edge.url)
        fog.run()
    return interrupt.came.is_set()


def _tell_address(path: Path, health: str, broker: BrokerAddress, *, ours: bool) -> None:
    data: dict[str, Any] = {"health": health, "broker": {"url": broker.url, "user": broker.user}}
    if ours:  # the owner of another broker knows its password
        data["broker"]["password"] = broker.password
    write_private(path, data)
