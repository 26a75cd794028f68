"""The MQTT face of nodes that have none of their own: those in this process or on a line.

    with Gateway(broker.address, ["maize"]) as gateway:
        gateway.serve("maize", birth, counts, parameters, calibrate)
        gateway.deliver("maize", "data", time_ms, '{"raw":1500}')

To whoever listens, the twin, Home Assistant, a program of the user's, such a node behaves as a
board of its own does (docs/mqtt.md): birth and heartbeat, telemetry that is kept until it is
acknowledged, calibration by `config` with its answer.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Final

from levada.guest.lifecycle import Closing
from levada.guest.node import Birth
from levada.guest.topic import PREFIX, resolve_topic
from levada.hil.errors import PayloadError
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.continuum.hops import host_id
from levada.twin.errors import CalibrationError
from levada.twin.mqtt.messages import (
    TOPICS,
    Ack,
    Ask,
    Config,
    ConfigAck,
    Message,
    OtaRequest,
    Status,
    decode,
    node_topic,
    split_topic,
)
from levada.twin.mqtt.outbox import Outbox
from levada.twin.ota.chunks import CHUNK_FILTER, split_chunk_topic
from levada.twin.ota.receiver import Receiver

__all__ = ["Calibrate", "Gateway"]

_log = logging.getLogger(__name__)

BEAT_S: Final = 5.0
LOOK_S: Final = 0.2
"""Between two looks whether an update wants something."""
WAIT_S: Final = 10.0
"""How long a full outbox may hold up its node."""
OURS: Final = frozenset(TOPICS) | {"link/host", "link/device"}
"""Topics of a node that its guest may not publish to, but for `data`."""

Calibrate = Callable[[dict[str, int]], Future[dict[str, int]]]
"""Sets parameters by name, all or none; the future holds what was read back.  Raises
CalibrationError if one is wrong."""


@dataclass(slots=True)
class _Served:
    birth: Birth
    counts: tuple[int, int, int]
    parameters: Callable[[], Mapping[str, int]]
    calibrate: Calibrate
    receiver: Receiver | None = None
    """Takes modules; None: it takes none."""
    request: str | None = None
    """Name of the last calibration: who asks again is only answered again."""
    answer: ConfigAck | None = None


class Gateway(Closing):
    """Speaks for `nodes` at a broker.

    `shift_ms` is added to every time that goes out.  Raises BrokerError if the broker cannot be
    reached.
    """

    def __init__(
        self,
        address: BrokerAddress,
        nodes: Sequence[str],
        *,
        shift_ms: int = 0,
    ) -> None:
        self._served: dict[str, _Served] = {}
        self._shift_ms = shift_ms
        self._closing = threading.Event()
        self._client: MqttClient | None = None
        self.outbox = Outbox(
            nodes, lambda node, payload: self._publish(f"{PREFIX}{node}/data", payload)
        )
        filters = [f"{PREFIX}+/{last}" for last in ("ack", "config", "ask", "ota/request")]
        try:
            self._client = MqttClient(
                address,
                subscription=[*filters, CHUNK_FILTER],
                handler=self._take,
                on_connect=self._connected,
            )
        except BaseException:
            self.outbox.close()
            raise
        self._beater = threading.Thread(target=self._beat, name="gateway", daemon=True)
        self._beater.start()

    def serve(
        self,
        node: str,
        birth: Birth,
        counts: tuple[int, int, int],
        parameters: Callable[[], Mapping[str, int]],
        calibrate: Calibrate,
        receiver: Receiver | None = None,
    ) -> None:
        """Let a node be born: who it is, what it believes of its probe (dry, wet, limit), its
        parameters in force, what changes them, and what takes another module.
        """
        self._served[node] = _Served(birth, counts, parameters, calibrate, receiver)
        self._say(node, "birth")

    def serves(self, node: str) -> bool:
        """Whether a node was born here."""
        return node in self._served

    def reborn(self, node: str, birth: Birth) -> None:
        """Tell that a node runs another module."""
        self._served[node].birth = birth
        self._say(node, "birth")

    def send(self, node: str, message: Message) -> None:
        """Publish a message of a node; without a connection it is lost."""
        self._send(node, message)

    def deliver(self, node: str, topic: str, time_ms: int, message: str) -> None:
        """Take what the guest of a node has published on a topic as it named it.

        Telemetry is kept until it is stored; anything else is as good as the broker.
        """
        full = resolve_topic(topic, node)
        if full is None:
            return  # the host of the guest has refused it already
        last = full.removeprefix(f"{PREFIX}{node}/")
        if last == "data":
            self.outbox.put(node, time_ms + self._shift_ms, message, wait_s=WAIT_S)
        elif last not in OURS and not last.startswith("ota/"):
            self._publish(full, message.encode())

    @property
    def client(self) -> MqttClient | None:
        """The connection to the broker."""
        return self._client

    @property
    def running(self) -> bool:
        """Whether heartbeats are sent."""
        return self._beater.is_alive()

    def close(self) -> None:
        """Say goodbye and disconnect."""
        self._closing.set()
        self._beater.join()
        self.outbox.close()
        for node in self._served:
            self._say(node, "death")
        if self._client is not None:
            self._client.close()

    def _publish(self, topic: str, payload: bytes) -> bool:
        return self._client is not None and self._client.publish(topic, payload)

    def _send(self, node: str, message: Message) -> None:
        self._publish(node_topic(type(message), node), message.encode())

    def _say(self, node: str, state: str) -> None:
        served = self._served[node]
        birth = served.birth
        every_ms = round(BEAT_S * 1000)
        if state != "birth":
            self._send(node, Status(state=state, every_ms=every_ms))  # type: ignore[arg-type]
            return
        self._send(
            node,
            Status(
                state="birth",
                boot=self.outbox.boot(node),
                every_ms=every_ms,
                guest_sha256=birth.guest_sha256,
                guest_name=birth.guest_name[:64],
                guest_version=birth.guest_version[:64],
                abi_version=birth.abi_version,
                engine=birth.engine[:64],
                firmware=birth.firmware[:64],
                counts=served.counts,
                parameters=dict(served.parameters()),
                host=host_id(),
            ),
        )

    def _beat(self) -> None:
        due_s = monotonic() + BEAT_S
        while not self._closing.wait(LOOK_S):
            beats = monotonic() >= due_s
            due_s += BEAT_S if beats else 0.0
            try:
                for node, served in list(self._served.items()):
                    if beats:
                        self._say(node, "alive")
                    if served.receiver is not None:
                        served.receiver.tick()
            except Exception:  # noqa: BLE001 - one beat less is no reason to fall silent
                _log.exception("heartbeats not sent")

    # In the network thread

    def _connected(self) -> None:
        for node in list(self._served):
            self._say(node, "birth")
            receiver = self._served[node].receiver
            if receiver is not None:
                receiver.again()
        self.outbox.again()

    def _take(self, topic: str, payload: bytes) -> None:
        place = split_topic(topic)
        if place is None:
            self._take_chunk(topic, payload)
            return
        node, last = place
        if last == "ack":
            ack = decode(Ack, payload)
            if ack.boot is not None and ack.seq is not None:
                self.outbox.acknowledge(node, ack.boot, ack.seq)
        elif node not in self._served:
            return
        elif last == "ask":
            decode(Ask, payload)
            self._say(node, "birth")
        elif last == "config":
            self._configure(node, payload)
        elif last == "ota/request":
            request, receiver = decode(OtaRequest, payload), self._served[node].receiver
            if receiver is not None:
                receiver.take(request)

    def _take_chunk(self, topic: str, payload: bytes) -> None:
        chunk = split_chunk_topic(topic)
        served = None if chunk is None else self._served.get(chunk[0])
        if chunk is not None and served is not None and served.receiver is not None:
            served.receiver.chunk(chunk[1], chunk[2], payload)

    def _configure(self, node: str, payload: bytes) -> None:
        try:
            config = decode(Config, payload)
        except PayloadError as error:
            self._send(node, Ack(refused=str(error)[:500]))
            return
        served = self._served[node]
        if config.id is not None and config.id == served.request:
            if served.answer is not None:
                self._send(node, served.answer)
            return
        served.request, served.answer = config.id, None
        try:
            done = served.calibrate(config.values())
        except CalibrationError as error:
            self._answer(node, config.id, error=str(error))
            return
        done.add_done_callback(lambda future: self._settled(node, config.id, future))

    def _settled(self, node: str, request: str | None, done: Future[dict[str, int]]) -> None:
        error = done.exception()
        if error is not None:
            self._answer(node, request, error=str(error))
        else:
            self._answer(node, request, values=done.result())

    def _answer(
        self,
        node: str,
        request: str | None,
        *,
        values: Mapping[str, int] | None = None,
        error: str = "",
    ) -> None:
        if request is None:  # who gives no name wants no answer, but a refusal is told
            if error:
                self._send(node, Ack(refused=error[:500]))
            return
        served = self._served[node]
        answer = ConfigAck(id=request, ok=not error, values=dict(values or {}), error=error[:500])
        if served.request == request:
            served.answer = answer
        self._send(node, answer)
