"""`levada cloud`: stores what fogs forward, compares their streams, and shows it; with a scenario
the twin follows the devices behind the fogs.

The twin hears the raw stream as if the devices had spoken themselves, so what it concludes, and
what it calibrates, is what `levada twin --shadow` would at the devices' own broker.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Final

from levada.guest.module.inspect import inspect
from levada.guest.text.redaction import redacted
from levada.hil.line.broker import BrokerAddress, check_pki, parse_broker
from levada.hil.line.mqtt_client import MqttClient
from levada.sim.run import runner
from levada.sim.scenario.model import Scenario
from levada.twin.app.login import open_door
from levada.twin.app.server import Page
from levada.twin.continuum.config import CloudFile
from levada.twin.continuum.recomputation import Recomputation
from levada.twin.continuum.streams import Streams
from levada.twin.health import Part, client_part
from levada.twin.interrupts import Interrupts, interrupts
from levada.twin.mqtt.delivery import Delivery
from levada.twin.session import ADDRESS, STORE, publisher, tell_address
from levada.twin.sources.mqtt import MqttDevices
from levada.twin.sources.shadow import Shadow
from levada.twin.store.keeper import Keeper, Policy
from levada.twin.store.rows import StoreSettings
from levada.twin.store.store import Store
from levada.twin.twin import Twin

__all__ = ["RunningCloud", "run_cloud"]

_GROUP_ROWS: Final = 1_000
"""Rows of one commit: fogs send them by the thousand after an outage."""
_QUEUE_ROWS: Final = 100_000
_BROKER: Final = "mqtt://127.0.0.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningCloud:
    """A cloud that runs, with its page."""

    page: Page
    streams: Streams
    twin: Twin | None
    store: str
    """Where it is, without a password."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parts:
    """What a cloud is made of as it starts."""

    config: CloudFile
    where: Path
    broker: BrokerAddress
    page: Page
    open_: ExitStack
    """Closes what is opened, the last first."""
    health: dict[str, Callable[[], Part]]
    policy: Policy | None
    tell: Callable[[str], None]
    started: Callable[[RunningCloud], None]

    @property
    def store(self) -> str:
        """File or URL of the store."""
        return self.config.store or str(self.where / STORE)

    def show(self, streams: Streams, twin: Twin | None = None) -> None:
        """Let the page show what there is by now."""
        self.page.show(twin, continuum=streams)


def run_cloud(
    config: CloudFile,
    where: Path,
    *,
    scenario: Scenario | None = None,
    speed: float = 1.0,
    policy: Policy | None = None,
    started: Callable[[RunningCloud], None] = lambda _running: None,
    tell: Callable[[str], None] = lambda _text: None,
) -> bool:
    """Run the cloud with its store in the directory `where` until it is interrupted.

    With `scenario` the twin follows the devices, `speed` simulated seconds a second; the cloud goes
    on when the period is over.  `policy` is how long the store keeps what; None: for ever.
    `started` is called when the page shows the continuum.  Returns true, for it was interrupted.
    Raises what Store, Page and Twin raise, BrokerError if the broker cannot be reached.
    """
    where.mkdir(parents=True, exist_ok=True)
    with interrupts() as interrupt, ExitStack() as open_, interrupt.heard():

        def opened(link: str) -> None:
            with suppress(OSError):  # nobody may be reading
                tell(f"The page was opened with the right to change; for another browser: {link}")

        health: dict[str, Callable[[], Part]] = {}
        broker = parse_broker(config.cloud_broker or _BROKER, config.pki)
        password = config.password_file and Path(config.password_file)
        door = open_door(config.host, config.host_port, config.pki, password or None)
        if door is None:
            check_pki(config.pki, broker)
        page = open_.enter_context(Page(port=config.port, door=door, opened=opened, parts=health))
        parts = _Parts(
            config=config,
            where=where,
            broker=broker,
            page=page,
            open_=open_,
            health=health,
            policy=policy,
            tell=tell,
            started=started,
        )
        if scenario is None:
            _without_twin(parts, interrupt)
        else:
            _with_twin(parts, interrupt, scenario, speed)
        interrupt.came.wait()
    return True


def _without_twin(parts: _Parts, interrupt: Interrupts) -> None:
    """Store, compare, show."""
    store = parts.open_.enter_context(Store(parts.store, settings=_store_settings(60_000)))
    module = parts.config.module.read_bytes()
    streams = parts.open_.enter_context(
        Streams(store, partial(Recomputation, module, parts.config.cloud))
    )
    delivery = Delivery(
        store,
        parts.broker,
        fogs=True,
        on_message=streams.on_message,
        on_forwarded=streams.hear,
    )
    parts.open_.callback(delivery.close)
    parts.health["delivery"] = lambda: client_part(delivery.client)
    _begin(parts, streams)
    interrupt.stop_with(lambda: None)  # the block ends as soon as one came


def _with_twin(parts: _Parts, interrupt: Interrupts, scenario: Scenario, speed: float) -> None:
    """The same, and the twin of the scenario on top."""
    module = runner.read_guest(scenario)
    info = inspect(module, budget=scenario.guest.limits())
    if parts.config.guest is not None:
        module = parts.config.module.read_bytes()
    devices = MqttDevices(scenario, info, speed=speed, fogs=True)
    store = parts.open_.enter_context(
        Store(
            parts.store,
            clock_ms=devices.time.now_ms,
            settings=_store_settings(max(60_000, round(1_000 * speed))),
        )
    )
    streams = parts.open_.enter_context(
        Streams(
            store,
            partial(Recomputation, module, parts.config.cloud),
            names=devices.names,
            shift_ms=scenario.site.utc_offset_ms,
        )
    )
    parts.open_.enter_context(devices)
    devices.listen(store, parts.broker, streams)
    parts.health["delivery"] = lambda: client_part(devices.client)
    _begin(parts, streams)
    parts.tell("waiting for a first reading through a fog node")
    devices.wait(inf)
    alerts = MqttClient(parts.broker)
    parts.open_.callback(alerts.close)
    parts.health["alerts"] = lambda: client_part(alerts)
    source = Shadow(devices, speed=speed)
    twin = Twin(scenario, store, source, publish=publisher(alerts))
    parts.open_.callback(twin.close)
    parts.health["twin"] = twin.part
    parts.show(streams, twin)
    parts.open_.callback(parts.page.close)  # before what it shows is closed
    interrupt.stop_with(twin.stop)
    parts.tell("the twin follows the boards")
    twin.run()


def _begin(parts: _Parts, streams: Streams) -> None:
    """Show the continuum, and tell where."""
    if parts.policy is not None:
        keeper = parts.open_.enter_context(Keeper(streams.store, parts.policy))
        parts.health["keeper"] = lambda: Part(ok=keeper.running)
    parts.health.update(streams.parts)
    parts.show(streams)
    parts.open_.callback(parts.page.close)  # before what it shows is closed
    address = parts.where / ADDRESS
    parts.open_.callback(address.unlink, missing_ok=True)
    tell_address(address, parts.page, parts.broker, ours=False)
    parts.started(
        RunningCloud(page=parts.page, streams=streams, twin=None, store=redacted(parts.store))
    )


def _store_settings(jitter_ms: int) -> StoreSettings:
    return StoreSettings(
        group_rows=_GROUP_ROWS, queue_rows=_QUEUE_ROWS, ahead_ms=jitter_ms, late_ms=jitter_ms
    )
