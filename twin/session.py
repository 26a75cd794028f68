"""`levada twin`: the twin, its broker, its store and its page together, until the end or Ctrl-C.

The twin runs in the main thread, where Ctrl-C reaches it; page and store have threads of their
own, broker and virtual boards are processes that end with this one.  Whatever happens, all of it is
closed in the opposite order.

What devices publish goes the way it goes in the field: over the broker into the store, which
acknowledges it.  Devices in this process or on a line speak through `levada.twin.mqtt.gateway`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from levada.guest.children import start_child
from levada.guest.fast.jit import compiled
from levada.guest.lifecycle import end_process
from levada.guest.module.inspect import ModuleInfo, inspect
from levada.guest.private_file import write_private
from levada.guest.text.redaction import redacted
from levada.hil.errors import LinkError
from levada.hil.line.broker import BrokerAddress, EmbeddedBroker, check_pki, parse_broker
from levada.hil.line.mqtt_client import MqttClient
from levada.hil.nodes import NodeMaker
from levada.sim.run import runner
from levada.sim.scenario.dump import dump
from levada.sim.scenario.expand import expand
from levada.sim.scenario.model import Scenario
from levada.twin.alerts import Change
from levada.twin.app.login import Door
from levada.twin.app.server import Page
from levada.twin.errors import TwinError
from levada.twin.health import Part, broker_part, client_part
from levada.twin.interrupts import interrupts
from levada.twin.mqtt.delivery import Delivery
from levada.twin.mqtt.discovery import Announcer, SettableParameter
from levada.twin.mqtt.gateway import Gateway
from levada.twin.mqtt.messages import Alert, node_topic
from levada.twin.sources.bench import Bench
from levada.twin.sources.mqtt import MqttDevices
from levada.twin.sources.recording import Recording
from levada.twin.sources.shadow import Shadow
from levada.twin.store.keeper import Keeper, Policy
from levada.twin.store.rows import StoreSettings
from levada.twin.store.store import Store
from levada.twin.twin import Twin

__all__ = ["ADDRESS", "Options", "Running", "publisher", "run_session", "tell_address"]

ADDRESS: Final = "page.json"
"""Beside the store: where page and broker are, and the token of this run; only its owner can read
it."""
STORE: Final = "store.sqlite"
FIELD: Final = "field.toml"
"""The scenario of virtual boards that are followed."""
FIRST_S: Final = 900.0
"""How long devices that are to be followed may take to tell a first reading."""
END_S: Final = 10.0
"""How long the last messages may take into the store."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a twin is run."""

    speed: float | None
    """Simulated seconds a second; None: full speed."""
    port: int = 8050
    """Of the page; 0: any."""
    skip_to_ms: int | None = None
    """Time up to which everything passes at full speed."""
    broker: str | None = None
    """URL of a broker instead of an embedded one."""
    pki: str | None = None
    """For brokers with TLS, see `levada.hil.line.tls`."""
    door: Door | None = None
    """Where other computers reach the page."""
    store: str | None = None
    """URL of a PostgreSQL database instead of a file beside the address."""
    policy: Policy | None = None
    """How long the store keeps what; None: everything for ever."""
    replay: str | None = None
    """A store, file or URL, whose devices speak again instead of nodes."""
    shadow: bool = False
    """Whether devices are followed, in real soil or of a virtual field."""
    home_assistant: bool = False
    """Whether the nodes are announced to Home Assistant."""
    stay: bool = True
    """Whether the page remains after the end of the period, until Ctrl-C."""


class Running:
    """A twin that runs, with its page."""

    def __init__(self, twin: Twin, page: Page, store: str, broker: BrokerAddress | None) -> None:
        self.twin = twin
        self.page = page
        self.store = store
        """Where it is, without a password."""
        self.broker = broker


@dataclass(frozen=True, kw_only=True)
class _Start:
    """What a twin is started with."""

    scenario: Scenario
    where: Path
    options: Options
    broker: BrokerAddress | None
    open_: ExitStack
    """Closes what is opened, the last first."""
    tell: Callable[[str], None]
    watch: Callable[[Store], None]
    """Is told of the store before what devices send is acknowledged."""
    parts: dict[str, Callable[[], Part]]
    """The parts whose state /health shows."""

    @property
    def store(self) -> str:
        """File or URL of the store."""
        return self.options.store or str(self.where / STORE)


def run_session(
    scenario: Scenario,
    where: Path,
    options: Options,
    *,
    started: Callable[[Running], None] = lambda _running: None,
    ended: Callable[[Running], None] = lambda _running: None,
    tell: Callable[[str], None] = lambda _text: None,
) -> bool:
    """Run the twin of `scenario` with its store in the directory `where`; true if interrupted.

    `started` is called when the page shows the twin, `ended` when the period is over and the page
    is still open.  `tell` is given each step of the start, as the page is.  Raises what Twin,
    Store, Page and nodes raise, BrokerError if the broker cannot be reached.
    """
    if options.shadow and options.speed is None:
        raise TwinError("nodes cannot be followed at full speed: give --speed 1x")
    where.mkdir(parents=True, exist_ok=True)
    with interrupts() as interrupt, ExitStack() as open_, interrupt.heard():
        parts: dict[str, Callable[[], Part]] = {}

        def opened(link: str) -> None:
            with suppress(OSError):  # nobody may be reading
                tell(f"The page was opened with the right to change; for another browser: {link}")

        page = open_.enter_context(
            Page(port=options.port, door=options.door, opened=opened, parts=parts)
        )

        def doing(text: str) -> None:
            page.tell(text)
            tell(text)

        tell(f"{page.url} says what is being done until there is something to see")
        for note in _without_effect(scenario, options):
            tell(note)
        broker = None
        if url := options.broker or (_broker_of(scenario) if options.shadow else None):
            broker = parse_broker(url, options.pki)
            if options.door is None:
                check_pki(options.pki, broker)
        elif options.replay is None:
            doing("The broker is started")
            embedded = open_.enter_context(EmbeddedBroker())
            parts["broker"] = lambda: broker_part(embedded)
            broker = embedded.address
        start = _Start(
            scenario=scenario,
            where=where,
            options=options,
            broker=broker,
            open_=open_,
            tell=doing,
            watch=page.watch,
            parts=parts,
        )
        if options.home_assistant and broker is not None:
            # as every client of the broker, before the boards: paho knows only the first 1,024
            # file descriptors
            info = inspect(runner.read_guest(scenario), budget=scenario.guest.limits())
            announcer = Announcer(broker, _names(scenario, options), _parameters(info))
            open_.enter_context(announcer)
        make = _shadow if options.shadow else _bench if options.replay is None else _replay
        twin = make(start)
        open_.callback(twin.close)
        if options.policy is not None:
            keeper = open_.enter_context(Keeper(twin.store, options.policy))
            parts["keeper"] = lambda: Part(ok=keeper.running)
        parts["twin"] = twin.part
        page.show(twin)
        open_.callback(page.close)  # before what it shows is closed
        open_.callback((where / ADDRESS).unlink, missing_ok=True)
        tell_address(where / ADDRESS, page, broker, "broker" in parts)
        interrupt.stop_with(twin.stop)
        shown = redacted(start.store)
        running = Running(twin, page, shown, broker)
        started(running)
        twin.run()
        ended(running)
        if options.stay:
            interrupt.came.wait()
    return interrupt.came.is_set()


def _broker_of(scenario: Scenario) -> str | None:
    """The broker that the nodes of a scenario name, if they name one."""
    found = sorted({z.node.target for z in expand(scenario) if z.node.kind != "virtual"})
    if len(found) > 1:
        raise TwinError(f"nodes at several brokers, {', '.join(found)}: one is permitted")
    return found[0] if found else None


def _bench(start: _Start) -> Twin:
    """Devices that are given simulated readings; what they publish goes over the broker."""
    assert start.broker is not None
    scenario, options, open_ = start.scenario, start.options, start.open_
    clock = _Clock(scenario)
    store = open_.enter_context(Store(start.store, clock_ms=clock.now_ms))
    start.tell(
        "The devices are started; the first time, a virtual board is built"
        if compiled()
        else "The devices are started and the plant is compiled, once: about half a minute"
    )
    make_node = open_.enter_context(
        NodeMaker(speed=options.speed, broker=start.broker, pki=options.pki)
    )
    names = _names(scenario, options)
    delivery = Delivery(store, start.broker, names={name: name for name in names})
    open_.callback(delivery.close)
    gateway = open_.enter_context(Gateway(start.broker, names))
    start.parts["delivery"] = lambda: client_part(delivery.client)
    start.parts["gateway"] = lambda: client_part(gateway.client)
    clock.twin = twin = Twin(
        scenario,
        store,
        Bench(make_node, speed=options.speed, skip_to_ms=options.skip_to_ms),
        publish=_alerts(start),
        deliver=gateway.deliver,
    )
    open_.callback(gateway.outbox.flush, END_S)
    twin.register_nodes(gateway.serve)
    return twin


def _shadow(start: _Start) -> Twin:
    """Devices that are heard over the broker: in real soil, or virtual boards in simulated soil."""
    scenario, options, open_ = start.scenario, start.options, start.open_
    assert start.broker is not None and options.speed is not None
    info = inspect(runner.read_guest(scenario), budget=scenario.guest.limits())
    devices = MqttDevices(scenario, info, speed=options.speed)
    jitter_ms = max(60_000, round(1_000 * options.speed))
    store = open_.enter_context(
        Store(
            start.store,
            clock_ms=devices.time.now_ms,
            settings=StoreSettings(ahead_ms=jitter_ms, late_ms=jitter_ms),
        )
    )
    open_.enter_context(devices)
    start.parts["delivery"] = lambda: client_part(devices.client)
    start.watch(store)
    devices.listen(store, start.broker)
    check: Callable[[], None] = lambda: None  # noqa: E731 - what there is to check is optional
    if any(zone.node.kind == "virtual" for zone in expand(scenario)):
        check = _start_field(start)

        def field_part() -> Part:
            check()
            return Part(ok=True)

        start.parts["virtual field"] = field_part
    start.tell(f"Waiting for a first reading at {start.broker.url}")
    devices.wait(FIRST_S, check)
    source = Shadow(devices, speed=options.speed)
    return Twin(scenario, store, source, publish=_alerts(start))


def _replay(start: _Start) -> Twin:
    """Devices of a store."""
    scenario, options = start.scenario, start.options
    assert options.replay is not None
    clock = _Clock(scenario)
    store = start.open_.enter_context(Store(start.store, clock_ms=clock.now_ms))
    clock.twin = twin = Twin(
        scenario,
        store,
        Recording(options.replay, speed=options.speed, skip_to_ms=options.skip_to_ms),
        publish=_alerts(start) if start.broker is not None else _silent,
    )
    return twin


class _Clock:
    """The time in which a field lives; the store needs it before there is a twin."""

    def __init__(self, scenario: Scenario) -> None:
        self.twin: Twin | None = None
        self._start_ms = scenario.period.start_ms

    def now_ms(self) -> int:
        return self._start_ms if self.twin is None else self.twin.now_ms


def _start_field(start: _Start) -> Callable[[], None]:
    """Start virtual boards in simulated soil; what raises LinkError if they have ended."""
    file = start.where / FIELD
    file.write_text(dump(start.scenario, start.where), encoding="utf-8")
    process = start_child([sys.executable, "-m", "levada.twin.sources.virtual_field"], text=True)
    assert process.stdin is not None
    start.open_.callback(end_process, process, END_S)
    settings = {
        "scenario": str(file),
        "broker": asdict(start.broker) if start.broker is not None else None,
        "speed": start.options.speed,
        "skip_to_ms": start.options.skip_to_ms or 0,
    }
    process.stdin.write(json.dumps(settings) + "\n")
    process.stdin.flush()

    def check() -> None:
        if process.poll() is not None:
            raise LinkError(f"the virtual field has ended with exit code {process.returncode}")

    return check


def _without_effect(scenario: Scenario, options: Options) -> Iterator[str]:
    """Notes on settings that have no effect."""
    followed = options.shadow or options.replay is not None
    if scenario.mapping and not followed:
        yield (
            "[[mapping]] has no effect: the nodes read simulated soil; other devices are listened "
            "to with --shadow"
        )
    if scenario.mapping and options.home_assistant and options.shadow:
        yield "What [[mapping]] reads is not announced to Home Assistant, only topics ic/NODE/data"


def _names(scenario: Scenario, options: Options) -> list[str]:
    """Under which the nodes speak over MQTT."""
    zones = expand(scenario)
    if not options.shadow:
        return [zone.name for zone in zones]  # through the gateway
    return [zone.node.device or zone.name for zone in zones]


def _parameters(info: ModuleInfo) -> tuple[SettableParameter, ...]:
    return tuple(
        SettableParameter(name=p.name, minimum=p.minimum, maximum=p.maximum, unit=p.unit)
        for p in info.parameters
    )


def _alerts(start: _Start) -> Callable[[str, Change], None]:
    assert start.broker is not None
    client = MqttClient(start.broker)
    start.open_.callback(client.close)
    start.parts["alerts"] = lambda: client_part(client)
    return publisher(client)


def publisher(client: MqttClient) -> Callable[[str, Change], None]:
    """Publishes alerts on `ic/<zone>/alert`; without a connection they are only stored."""

    def publish(zone: str, change: Change) -> None:
        message = Alert(
            alert=change.kind,
            raised=change.raised,
            t=change.time_ms,
            severity=change.severity,
            text=change.text,
            evidence=dict(change.evidence),
        )
        client.publish(node_topic(Alert, zone), message.encode())

    return publish


def _silent(_zone: str, _change: Change) -> None:
    pass


def tell_address(path: Path, page: Page, broker: BrokerAddress | None, ours: bool) -> None:
    """Write where page and broker are, for this user alone; of a broker of `ours` the password."""
    data: dict[str, Any] = {"url": page.url, "token": page.token}
    if broker is not None:
        data["broker"] = {"url": broker.url, "user": broker.user}
        if ours:  # the owner of another broker knows its password
            data["broker"]["password"] = broker.password
    write_private(path, data)
