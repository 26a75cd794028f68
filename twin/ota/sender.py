"""The operator's side of an update over MQTT: it offers a module and hands out the bytes asked for.

The nodes lead: each asks for what it lacks.  What is said to a node is said again until the node
has answered, so that a broker may lose it, and end and come back.
"""

from __future__ import annotations

import secrets
import threading
from base64 import b64encode
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from levada.guest.lifecycle import Closing
from levada.guest.topic import PREFIX
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MqttClient
from levada.hil.update.package import ModulePackage
from levada.hil.update.states import UpdateStage
from levada.twin.mqtt.messages import (
    OtaRequest,
    OtaState,
    OtaWant,
    Telemetry,
    decode,
    node_topic,
    split_topic,
)
from levada.twin.ota.chunks import chunk_payload, chunk_topic

__all__ = ["Sender", "ask_states"]

REPEAT_S: Final = 2.0
"""A node that says nothing for so long is asked again."""
_LOOK_S: Final = 0.2

OnState = Callable[[str, OtaState], None]


class Sender(Closing):
    """Sends `package` to the nodes it is told to, until closed.

    `on_state(node, state)` hears what nodes say of this transfer, and of none; `on_telemetry(node,
    message)` hears their telemetry.  Both in the network thread.  Raises BrokerError.
    """

    def __init__(
        self,
        broker: BrokerAddress,
        package: ModulePackage,
        *,
        on_state: OnState,
        on_telemetry: Callable[[str, Telemetry], None] | None = None,
        who: str = "",
        override: str = "",
        trial_steps: int = 3,
        attempt: str | None = None,
    ) -> None:
        self.package = package
        self.sent_bytes = 0
        """Of the module, repetitions among them."""
        self._on_state = on_state
        self._on_telemetry = on_telemetry
        self._request = OtaRequest(
            id=package.id,
            action="install",
            attempt=attempt or secrets.token_hex(4),
            name=package.name[:64],
            version=package.version[:64],
            size=len(package.module),
            sha256=package.sha256,
            envelope=b64encode(package.envelope).decode(),
            trial_steps=trial_steps,
            who=who[:64],
            override=override[:500],
        )
        self._open: dict[str, float] = {}
        """Node that is under way -> when it was heard, or asked [monotonic s]."""
        self._aborted: dict[str, float] = {}
        """Node that is asked to give it up -> the same."""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._client: MqttClient | None = None
        endings = ["ota/want", "ota/state", *(["data"] if on_telemetry else [])]
        self._client = MqttClient(
            broker,
            subscription=[f"{PREFIX}+/{ending}" for ending in endings],
            handler=self._take,
            on_connect=self._ask_all,
        )
        self._watcher = threading.Thread(target=self._watch, name="ota", daemon=True)
        self._watcher.start()

    def begin(self, node: str) -> None:
        """Offer the module to a node, until it has come to an end there."""
        with self._lock:
            self._open[node] = monotonic()
        self._ask(node, "install")

    def ask(self, node: str) -> None:
        """Ask a node where it stands, once."""
        self._ask(node, "status")

    def abort(self, node: str) -> None:
        """Ask a node to give up what it has not committed, until it says how that ended."""
        with self._lock:
            self._open.pop(node, None)
            self._aborted[node] = monotonic()
        self._ask(node, "abort")

    def close(self) -> None:
        """Disconnect; nodes that want more wait, and then give up."""
        self._closing.set()
        self._watcher.join()
        if self._client is not None:
            self._client.close()

    def _ask(self, node: str, action: str) -> None:
        request = self._request.model_copy(update={"action": action})
        self._publish(node_topic(OtaRequest, node), request.encode())

    def _publish(self, topic: str, payload: bytes) -> bool:
        return self._client is not None and self._client.publish(topic, payload)

    def _watch(self) -> None:
        while not self._closing.wait(_LOOK_S):
            now_s = monotonic()
            for asked, action in ((self._open, "install"), (self._aborted, "abort")):
                with self._lock:
                    silent = [n for n, heard_s in asked.items() if now_s - heard_s >= REPEAT_S]
                    asked |= dict.fromkeys(silent, now_s)
                for node in silent:
                    self._ask(node, action)

    # In the network thread

    def _ask_all(self) -> None:
        with self._lock:
            nodes = [(n, "install") for n in self._open] + [(n, "abort") for n in self._aborted]
        for node, action in nodes:
            self._ask(node, action)

    def _take(self, topic: str, payload: bytes) -> None:
        place = split_topic(topic)
        if place is None:
            return
        node, rest = place
        if rest == "ota/want":
            self._hand_out(node, decode(OtaWant, payload))
        elif rest == "ota/state":
            self._heard(node, decode(OtaState, payload))
        elif rest == "data" and self._on_telemetry is not None:
            self._on_telemetry(node, decode(Telemetry, payload))

    def _hand_out(self, node: str, want: OtaWant) -> None:
        if want.id != self.package.id:
            return
        with self._lock:
            if node not in self._open:
                return  # not to be updated by us, or not any more
            self._open[node] = monotonic()
        data = self.package.module[want.offset : want.offset + want.bytes]
        if data and self._publish(chunk_topic(node, want.id, want.offset), chunk_payload(data)):
            self.sent_bytes += len(data)

    def _heard(self, node: str, state: OtaState) -> None:
        if state.id not in (self.package.id, None):
            return  # of somebody else's update
        other = state.guest_sha256 != self.package.sha256
        if state.id is not None and state.state is UpdateStage.UPDATED and other:
            return  # it runs something else
        failed = state.id is not None and state.state is UpdateStage.FAILED
        if failed and state.attempt not in (None, self._request.attempt):
            return  # of an attempt before this one
        with self._lock:
            if node in self._open:
                self._open[node] = monotonic()
                if state.id is not None and state.state.is_final:
                    del self._open[node]
            if state.state.is_final:  # without an id there is nothing that it could give up
                self._aborted.pop(node, None)
        self._on_state(node, state)


def ask_states(
    broker: BrokerAddress, nodes: Sequence[str], wait_s: float
) -> dict[str, OtaState | None]:
    """What nodes say of themselves within a time; None: nothing.  Raises BrokerError."""
    found: dict[str, OtaState | None] = dict.fromkeys(nodes)
    news = threading.Condition()

    def heard(node: str, state: OtaState) -> None:
        with news:
            if node in found:
                found[node] = state
                news.notify_all()

    def take(topic: str, payload: bytes) -> None:
        place = split_topic(topic)
        if place is not None:
            heard(place[0], decode(OtaState, payload))

    client = MqttClient(broker, subscription=f"{PREFIX}+/ota/state", handler=take)
    try:
        asking = OtaRequest(id=secrets.token_hex(8), action="status").encode()
        for node in nodes:
            client.publish(node_topic(OtaRequest, node), asking)
        with news:
            news.wait_for(lambda: None not in found.values(), wait_s)
            return dict(found)
    finally:
        client.close()
