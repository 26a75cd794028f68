"""Devices that read real soil and report over MQTT, as the twin sees them.

    devices = MqttDevices(scenario, info, speed=1.0)
    with Store(path, clock_ms=devices.time.now_ms) as store:
        devices.listen(store, broker.address)
        devices.wait(60.0)

Messages arrive in network threads (`levada.twin.mqtt.delivery`); the twin takes them when it has
time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from math import inf
from secrets import token_hex
from time import monotonic, time_ns
from typing import Any, Final, NoReturn

from levada.guest.lifecycle import Closing
from levada.guest.module.inspect import ModuleInfo
from levada.guest.node import Birth
from levada.hil.errors import LinkError
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MqttClient
from levada.sim.run.build import believed_counts
from levada.sim.scenario.expand import expand
from levada.sim.scenario.model import Scenario
from levada.twin.calibration.parameters import agree, checked
from levada.twin.continuum.streams import Streams
from levada.twin.errors import CalibrationError, TwinError
from levada.twin.mqtt.assembly import Assembly
from levada.twin.mqtt.delivery import Delivery
from levada.twin.mqtt.mapping import PayloadMap
from levada.twin.mqtt.messages import COUNTS, Config, ConfigAck, Message, Status
from levada.twin.sources.completeness import Completeness
from levada.twin.sources.remote import (
    FOREVER_MS,
    DeviceReport,
    RemoteDevice,
    ReportQueue,
    is_reading,
    is_valve,
)
from levada.twin.store.rows import Flag, Row, StoreSettings
from levada.twin.store.store import Store

__all__ = ["DeviceTime", "MqttDevice", "MqttDevices"]

_ANSWER_S: Final = 2.0
"""Without an answer for so long a calibration is sent again."""
_TRIES: Final = 5
_NEAR_MS: Final = 3_600_000
"""A device's clock that is nearer to ours than this is ours."""
_JITTER_MS: Final = 1_000
"""How much longer one message may be on its way than another [wall-clock ms]."""
_AHEAD_MS: Final = StoreSettings().ahead_ms
_LONG_MS: Final = StoreSettings().behind_ms
_BIRTH_S: Final = 3.0
"""How long a device that reports may take to say who it is."""


class DeviceTime:
    """The present in the devices' world, in the scenario's time [ms].

    It goes on from the first time that a device tells, `speed` times as fast as the wall clock; a
    device that tells none, or that of our own clock, lives now.  Before that nothing is known, and
    it is `start_ms` unless time passes as it does here.  A device whose time is outside the period,
    `start_ms` to `end_ms`, while ours is in it has a clock that was never set.

    With `kept`, what comes may have been kept on its way for long: an old time says nothing of the
    present, if ours is in the period, and in a simulation the newest time that is told is the least
    that it can be.
    """

    def __init__(
        self,
        speed: float,
        utc_offset_ms: int,
        start_ms: int,
        end_ms: int = FOREVER_MS,
        *,
        kept: bool = False,
    ) -> None:
        self._kept = kept
        self._speed = speed
        self._start_ms = start_ms
        self._end_ms = end_ms
        self._utc_offset_ms = utc_offset_ms
        self._lock = threading.Lock()
        self._begun: tuple[int, float] | None = None

    def hear(self, time_ms: int | None) -> None:
        """Take the time that a device sent; None: it sent none."""
        with self._lock:
            if self._begun is None:
                ours_ms = self._ours_ms()
                if time_ms is not None and self._is_in(ours_ms):
                    old = self._kept and self._speed == 1.0
                    time_ms = time_ms if self._is_in(time_ms) and not old else None
                foreign = time_ms is not None and abs(time_ms - ours_ms) > _NEAR_MS
                start_ms = time_ms if foreign or self._speed != 1.0 else ours_ms
                self._begun = (ours_ms if start_ms is None else start_ms, monotonic())
            elif time_ms is not None and self._is_ahead(time_ms):
                # messages take different times: what a device has lived through is past
                self._begun = (time_ms, monotonic())

    def _is_ahead(self, time_ms: int) -> bool:
        """Whether a device is ahead of the present, and no more than is believed of it."""
        anything = self._kept and self._speed != 1.0 and self._is_in(time_ms)
        return 0 < time_ms - self._now_ms() <= (inf if anything else _JITTER_MS * self._speed)

    def believes(self, time_ms: int) -> bool:
        """Whether a message that has arrived by now can be of that time."""
        now_ms = self.now_ms()
        return now_ms - _LONG_MS <= time_ms <= now_ms + _AHEAD_MS + _JITTER_MS * self._speed

    def _is_in(self, time_ms: int) -> bool:
        return self._start_ms <= time_ms < self._end_ms

    def now_ms(self) -> int:
        """The present."""
        with self._lock:
            return self._now_ms()

    def _now_ms(self) -> int:
        if self._begun is None:
            return self._ours_ms() if self._speed == 1.0 else self._start_ms
        start_ms, wall_s = self._begun
        return start_ms + round((monotonic() - wall_s) * 1000.0 * self._speed)

    def _ours_ms(self) -> int:
        return time_ns() // 1_000_000 + self._utc_offset_ms


@dataclass(slots=True)
class _Heard:
    """What is known of one device."""

    device: str
    assembly: Assembly
    """Joins the messages of a device that numbers nothing to reports."""
    queue: ReportQueue = field(default_factory=ReportQueue)
    status: Status | None = None
    reported: threading.Event = field(default_factory=threading.Event)
    born: threading.Event = field(default_factory=threading.Event)
    messages: int = 0
    missing: int = 0
    """Numbers that were skipped when a message came; some of them come later."""
    restarts: int = 0
    last: tuple[int, int] | None = None
    """Boot and number."""
    complete: Completeness = field(default_factory=Completeness)
    """Of messages that are numbered and tell their time."""
    parameters: dict[str, int] = field(default_factory=dict)
    """Parameters that came into force since the last message."""
    foreign: dict[str, int] = field(default_factory=dict)
    """Those of `parameters` that another client has set."""
    unanswered: bool = False
    """Whether another client set some of them without an id, which the device does not answer."""
    in_force: dict[str, int] = field(default_factory=dict)
    """Parameters that are known to be in force on the device."""


class MqttDevices(Closing):
    """The devices of a scenario's zones; the name of a device is the last level of its node's URL.

    With `fogs` they are heard through fogs, whatever they are, and the name of one that has no
    URL is that of its zone.  Raises TwinError if a zone's node is no MQTT node, or two zones have
    the same.
    """

    def __init__(
        self, scenario: Scenario, info: ModuleInfo, *, speed: float, fogs: bool = False
    ) -> None:
        self.info = info
        self.scenario = scenario
        period = scenario.period
        self.time = DeviceTime(
            speed, scenario.site.utc_offset_ms, period.start_ms, period.end_ms, kept=fogs
        )
        self._heard: dict[str, _Heard] = {}
        names: dict[str, str] = {}
        for zone in expand(scenario):
            device = zone.node.device or zone.name
            of_mqtt = zone.node.kind in ("mqtt", "mqtts") or zone.node.target == "mqtt"
            if not (of_mqtt or fogs):
                raise TwinError(
                    f"zone {zone.name}: a node `{zone.node.kind}` cannot be followed; its soil is "
                    "the simulated one. Permitted are mqtt://HOST/ic/NODE and virtual:mqtt"
                )
            if device in names:
                raise TwinError(f"zones {names[device]} and {zone.name} have one and the same node")
            names[device] = zone.name
            dry, wet, _ = believed_counts(zone)
            self._heard[zone.name] = _Heard(device, Assembly(dry_counts=dry, wet_counts=wet))
        self.names: Mapping[str, str] = names
        """Device -> zone."""
        self.news = threading.Event()
        """Set when a message of a device has arrived."""
        self._requests: dict[str, Future[ConfigAck]] = {}
        self._delivery: Delivery | None = None
        self._streams: Streams | None = None

    # For the twin's thread

    def listen(self, store: Store, broker: BrokerAddress, streams: Streams | None = None) -> None:
        """Begin to consume what devices say or, with `streams`, what fogs forward, of which those
        hear as well.  Raises BrokerError."""
        self._streams = streams
        self._delivery = Delivery(
            store,
            broker,
            maps=[PayloadMap(table) for table in self.scenario.mapping],
            names=self.names,
            shift_ms=self.scenario.site.utc_offset_ms,
            on_message=self._on_message,
            on_row=self._on_row,
            fogs=streams is not None,
            on_forwarded=streams.hear if streams is not None else None,
        )
        for heard in self._heard.values():
            self._delivery.ask_birth(heard.device)

    def wait(self, timeout_s: float, check: Callable[[], None] = lambda: None) -> None:
        """Wait until every device has sent a reading; else LinkError.

        A birth message is waited for as well, but not for long: not every device sends one.
        `check` is called every second and may raise an error, which ends the waiting.
        """
        until_s = monotonic() + timeout_s
        for zone, heard in self._heard.items():
            while not heard.reported.wait(1.0):
                check()
                if monotonic() > until_s:
                    state = "was born" if heard.born.is_set() else "was not heard of"
                    raise LinkError(
                        f"zone {zone}: {heard.device} {state} and told no reading within "
                        f"{timeout_s:g} s (topic ic/{heard.device}/data, or a [[mapping]])"
                    )
        born_s = monotonic() + _BIRTH_S
        for heard in self._heard.values():
            heard.born.wait(max(0.0, born_s - monotonic()))

    def queue(self, zone: str) -> ReportQueue:
        """The reports of a zone's device that have not been looked at yet."""
        return self._heard[zone].queue

    def birth(self, zone: str) -> Birth:
        """Who a zone's device is; without SHA-256 if its birth message has none."""
        status = self._heard[zone].status
        if status is None:
            return Birth(
                guest_sha256="",
                guest_name="",
                guest_version="",
                abi_version=0,
                engine="unknown",
                firmware="tells nothing of itself",
                boot_id=0,
            )
        return Birth(
            guest_sha256=status.guest_sha256 or "",
            guest_name=status.guest_name or "",
            guest_version=status.guest_version or "",
            abi_version=status.abi_version or 0,
            engine=status.engine or "unknown",
            firmware=status.firmware or "",
            boot_id=status.boot or 0,
        )

    def counts(self, zone: str) -> tuple[int, int, int] | None:
        """What a device believes of its probe: dry, wet, limit; None: it does not send it."""
        status = self._heard[zone].status
        return status.counts if status else None

    def parameters(self, zone: str) -> dict[str, int]:
        """Parameters in the device's birth message, as far as the guest has them."""
        status = self._heard[zone].status
        return self._known((status.parameters if status else None) or {})

    @property
    def client(self) -> MqttClient | None:
        """The connection to the broker."""
        return self._delivery.client if self._delivery is not None else None

    def present(self, zone: str) -> bool:
        """Whether a device was heard within three of its heartbeats."""
        assert self._delivery is not None
        return self._heard[zone].device in self._delivery.presence.present()

    def complete(self, zone: str) -> Completeness:
        """Up to when every message of a zone's device has arrived."""
        return self._heard[zone].complete

    def quality(self, zone: str) -> dict[str, Any]:
        """The quality of the way from a device."""
        assert self._delivery is not None
        heard = self._heard[zone]
        return {
            "url": f"{self._delivery.client.address.url}/ic/{heard.device}",
            "messages": heard.messages,
            "missing_or_late": heard.missing,
            "not_numbers": self._delivery.not_numbers(zone),
            "refused": self._delivery.refusals.total(zone),
            "refused_why": self._delivery.refusals.trouble(zone),
            "restarts": heard.restarts,
            "connections": self._delivery.client.connections,
        }

    def calibrate(self, zone: str, values: Mapping[str, int]) -> dict[str, int]:
        """Set parameters by name, all or none, and what the device reads back.

        Raises CalibrationError if it refuses them, LinkError if it does not answer, as no device
        does that was flashed long ago.
        """
        assert self._delivery is not None
        device = self._heard[zone].device
        if self._heard[zone].status is None:
            self._tell_old(device, values)
        config = Config(id=token_hex(8), set=dict(values))
        assert config.id is not None
        answer = self._requests[config.id] = Future()
        try:
            for _ in range(_TRIES):
                self._delivery.send(device, config)
                try:
                    found = answer.result(_ANSWER_S)
                except FutureTimeoutError:
                    continue
                if not found.ok:
                    raise CalibrationError(f"{device} refuses: {found.error}")
                return self._known(found.values)
        finally:
            del self._requests[config.id]
        raise LinkError(f"{device} has not acknowledged within {_TRIES * _ANSWER_S:g} s")

    def _tell_old(self, device: str, values: Mapping[str, int]) -> NoReturn:
        """Calibrate a device that knows three parameters by their old names."""
        assert self._delivery is not None
        old = {new: name for name, new in COUNTS.items()}
        unknown = values.keys() - old.keys()
        if unknown:
            raise CalibrationError(
                f"{device} has told nothing of itself, so it was flashed long ago and knows "
                f"{', '.join(old)}, not {', '.join(sorted(unknown))}"
            )
        config = Config.model_validate({old[name]: value for name, value in values.items()})
        if not self._delivery.send(device, config):
            raise LinkError(f"there is no connection to {self._delivery.client.address.url}")
        raise LinkError(f"sent to {device}, which was flashed long ago and answers nothing")

    def close(self) -> None:
        """Stop listening."""
        if self._delivery is not None:
            self._delivery.close()

    # In the network thread

    def _on_row(self, row: Row) -> None:
        heard = self._heard.get(row.node)
        if heard is None or row.kind != "raw":
            return
        self.time.hear(row.device_ms)
        time_ms = row.device_ms
        if time_ms is not None and not self.time.believes(time_ms):
            time_ms = None
        if time_ms is not None and not row.flags & Flag.UNIDENTIFIED:
            heard.complete.hear(row.boot, row.seq, row.oldest, time_ms)
        self._follow_numbers(heard, row)
        values = row.signals
        if row.flags & Flag.UNIDENTIFIED:
            values = heard.assembly.take(values)
        is_told = is_reading(values.get("raw"))
        if not (is_told or is_valve(values)):
            self.news.set()
            return
        if not heard.reported.is_set() and heard.status is None and self._delivery is not None:
            self._delivery.ask_birth(heard.device)
        heard.messages += is_told
        heard.queue.add(
            DeviceReport(
                time_ms=self.time.now_ms() if time_ms is None else time_ms,
                boot=row.boot,
                seq=row.seq,
                values=values,
                device_ms=row.device_ms,
                parameters=heard.parameters if is_told else {},
                foreign=heard.foreign if is_told else {},
                unanswered=heard.unanswered and is_told,
            )
        )
        if is_told:
            heard.parameters, heard.foreign, heard.unanswered = {}, {}, False
            heard.reported.set()
        self.news.set()

    @staticmethod
    def _follow_numbers(heard: _Heard, row: Row) -> None:
        if heard.last is not None:
            boot, seq = heard.last
            if row.boot != boot:
                heard.restarts += 1
            elif row.seq > seq + 1:
                heard.missing += row.seq - seq - 1
            elif row.seq <= seq:
                return  # late or repeated
        heard.last = (row.boot, row.seq)

    def _on_message(self, node: str, message: Message) -> None:
        if self._streams is not None:
            self._streams.on_message(node, message)
        heard = self._heard.get(self.names.get(node, ""))
        if heard is None:
            return
        if isinstance(message, Status) and message.state == "birth":
            heard.status = message
            heard.in_force = self._known(message.parameters or {})
            heard.born.set()
        elif isinstance(message, ConfigAck):
            request = self._requests.get(message.id)
            if message.ok:
                values = self._known(message.values)
                heard.in_force |= values
                heard.parameters = heard.parameters | values
                if request is None:
                    heard.foreign = heard.foreign | values
            if request is not None and not request.done():
                request.set_result(message)
        elif isinstance(message, Config) and message.id is None and heard.status is not None:
            self._follow_config(heard, message.values())

    def _follow_config(self, heard: _Heard, values: Mapping[str, int]) -> None:
        """Another client set parameters without an id: the device takes what its guest permits."""
        present = {p.name: p.default for p in self.info.parameters} | heard.in_force
        try:
            taken = checked(self.info, values)
            agree(self.info, present, taken)
        except CalibrationError:
            return  # the device refuses it, too
        heard.in_force |= taken
        heard.parameters = heard.parameters | taken
        heard.foreign = heard.foreign | taken
        heard.unanswered = True

    def _known(self, values: Mapping[str, int]) -> dict[str, int]:
        names = {parameter.name for parameter in self.info.parameters}
        return {name: value for name, value in values.items() if name in names}


class MqttDevice(RemoteDevice):
    """One of the devices as a node."""

    def __init__(self, devices: MqttDevices, zone: str) -> None:
        super().__init__(devices.birth(zone))
        self._devices = devices
        self._zone = zone

    def calibrate(self, values: dict[int, int]) -> dict[int, int]:
        """Set parameters by id over MQTT; values read back from the guest."""
        names = {p.id: p.name for p in self._devices.info.parameters}
        ids = {name: number for number, name in names.items()}
        wanted = {names[number]: value for number, value in values.items()}
        return {ids[n]: v for n, v in self._devices.calibrate(self._zone, wanted).items()}

    def quality(self) -> dict[str, Any] | None:
        """What the way from the device was like."""
        return self._devices.quality(self._zone)
