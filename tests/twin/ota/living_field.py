"""A field of virtual boards that live and take modules over a broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import small_field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from services import Mosquitto

from levada.guest.module.inspect import inspect
from levada.guest.signing.envelope import sign as envelope_sign
from levada.guest.signing.manifest import manifest_of
from levada.guest.signing.module_file import manifest_path
from levada.hil.line.broker import EmbeddedBroker
from levada.hil.wire.messages import GetParameter, Parameter
from levada.sim.scenario.load import load
from levada.sim.scenario.model import Scenario
from levada.twin.mqtt.messages import OtaState
from levada.twin.observer import StepObservation
from levada.twin.ota.module_file import read_package
from levada.twin.ota.sender import Sender
from levada.twin.sources.virtual_field import FieldDevice

__all__ = [
    "KEY",
    "STEP_MS",
    "AnyBroker",
    "Field",
    "assert_no_step_was_missed",
    "board_parameter",
    "live_on",
    "living",
    "pushed",
    "scenario",
    "sign",
]

AnyBroker = EmbeddedBroker | Mosquitto
KEY = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
SPEED = 60_000.0
"""A step takes 10 ms."""
STEP_MS = 600_000


def scenario(folder: Path, node: str = "virtual", guest: str = "") -> Scenario:
    small_field.scenario(folder, days=20, extra=guest)
    path = folder / "field.toml"
    text = path.read_text().replace('name = "maize"\n', f'name = "maize"\nnode = "{node}"\n', 1)
    path.write_text(text)
    return load(path)


class Field(FieldDevice):
    """Boards whose steps are kept."""

    def __init__(self, scenario: Scenario, broker: AnyBroker, folder: Path | None) -> None:
        self.steps: list[StepObservation] = []
        super().__init__(scenario, broker.address, speed=SPEED, folder=folder)

    def _ran(self, i: int, seen: StepObservation) -> None:
        self.steps.append(seen)
        super()._ran(i, seen)


@contextmanager
def living(loaded: Scenario, broker: AnyBroker, folder: Path | None = None) -> Iterator[Field]:
    with Field(loaded, broker, folder) as field:
        born = threading.Event()
        thread = threading.Thread(target=field.run, args=(born.set,))
        thread.start()
        born.wait()
        try:
            yield field
        finally:
            field.stop()
            thread.join()


def pushed(
    broker: AnyBroker, module: Path, *, steps: int = 3, attempt: str | None = None
) -> tuple[OtaState, Sequence[OtaState]]:
    """Send it to the one board; its last word, and all before."""
    said: list[OtaState] = []
    news = threading.Condition()

    def heard(_node: str, state: OtaState) -> None:
        with news:
            said.append(state)
            news.notify_all()

    with Sender(
        broker.address,
        read_package(module),
        on_state=heard,
        trial_steps=steps,
        attempt=attempt,
    ) as sender:
        sender.begin("maize")
        with news:
            news.wait_for(lambda: any(s.id and s.state.is_final for s in said))
    ended = next(s for s in said if s.id and s.state.is_final)
    return ended, said


def live_on(field: Field) -> None:
    """Ten steps more."""
    upto = len(field.steps) + 10
    while len(field.steps) < upto:
        time.sleep(0.01)


def assert_no_step_was_missed(field: Field) -> None:
    times = [seen.time_ms for seen in field.steps if seen.readings is not None]
    gaps = {b - a for a, b in pairwise(times)}
    assert gaps <= {STEP_MS}, gaps
    assert not any(seen.lost for seen in field.steps)


def sign(file: Path, *, counter: int, nonce: str | None = None) -> None:
    """Put the envelope beside a module, as `levada guest sign` does."""
    manifest = manifest_of(
        inspect(file.read_bytes()),
        counter=counter,
        nonce=None if nonce is None else bytes.fromhex(nonce),
    )
    manifest_path(file).write_bytes(envelope_sign(manifest, KEY).encode())


def board_parameter(field: Field, name: str) -> int:
    """As the guest on the first board has it in its memory."""
    parameter = next(p for p in field._infos[0].parameters if p.name == name)
    asked = GetParameter(id=parameter.id)
    return field._updates[0]._device.link.ask(asked, Parameter).value
