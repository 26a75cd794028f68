"""A module brought to a device over its own line, serial and MQTT: resumed, refused, tried."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from lockstep import FOREVER, OPENER, READINGS, START_MS, STEP_MS, TOGGLER, TRAPPER
from proof_log import Prove

from levada.guest.module.inspect import inspect
from levada.guest.signing.envelope import raw_public, sign
from levada.guest.signing.manifest import Manifest, schema_digest
from levada.hil.errors import LinkError, UsageError
from levada.hil.line.broker import EmbeddedBroker
from levada.hil.link import Link
from levada.hil.node import DeviceNode
from levada.hil.nodes import open_link
from levada.hil.update.device import DeviceUpdate
from levada.hil.update.line import ask_line, is_committed, send_over_line
from levada.hil.update.package import ModulePackage
from levada.hil.update.states import UpdateFailure, UpdateStage
from levada.hil.update.updater import CHUNK, Trial, UpdateError, Updater, UpdateVerdict
from levada.hil.virtual import VirtualDevice
from levada.hil.wire.messages import Ack, BirthFlag, Fault, FaultKind, FaultPoint
from levada.sim.scenario.node_url import parse_node

KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2)]
TRUST = "&".join(f"trust={raw_public(key).hex()}" for key in KEYS)


@pytest.fixture(params=["virtual", "virtual:mqtt"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(kind: str, stack: ExitStack, query: str = "") -> Link:
    broker = stack.enter_context(EmbeddedBroker()).address if kind == "virtual:mqtt" else None
    return open_link(parse_node(f"{kind}{query}"), stack, broker=broker)


def running(kind: str, stack: ExitStack, module: bytes = TOGGLER, query: str = "") -> DeviceNode:
    """A device that runs a module."""
    envelope = signed(module, counter=5).envelope if query else b""
    node = DeviceNode(connect(kind, stack, query), module, envelope=envelope)
    stack.callback(node.close)
    node.boot(START_MS)
    return node


def unsigned(module: bytes) -> ModulePackage:
    return ModulePackage(module=module)


def signed(
    module: bytes,
    *,
    counter: int,
    key: Ed25519PrivateKey = KEYS[0],
    target: str = "*",
    nonce: bytes | None = None,
) -> ModulePackage:
    manifest = Manifest(
        counter=counter,
        name="test",
        version=f"{counter}.0.0",
        target=target,
        size=len(module),
        sha256=hashlib.sha256(module).digest(),
        schema=schema_digest(inspect(module)),
        nonce=nonce,
    )
    return ModulePackage(module=module, envelope=sign(manifest, key).encode(), counter=counter)


def padded(module: bytes, size: int) -> bytes:
    """The same module with a custom section of noise, so that it takes several chunks."""
    noise = random.Random(size).randbytes(size)
    body = b"\x05noise" + noise
    length, bytes_ = len(body), b""
    while True:
        part = length & 0x7F
        length >>= 7
        bytes_ += bytes([part | (0x80 if length else 0)])
        if not length:
            return module + b"\0" + bytes_ + body


LARGE = padded(OPENER, 7_000)


def tried(
    node: DeviceNode, package: ModulePackage, steps: int = 3, trial: Trial | None = None
) -> tuple[UpdateVerdict | None, list[dict[int, int]]]:
    """The verdict, and the outputs of every step until then."""
    update = DeviceUpdate(node)
    update.stage(package, trial or Trial(steps=steps))
    update.begin_trial({}, {})
    outputs = []
    for k in range(1, steps + 3):
        outputs.append(node.step(START_MS + k * STEP_MS, READINGS).outputs)
        verdict = update.verdict()
        if verdict is not None:
            return verdict, outputs
    return None, outputs


def test_a_module_is_brought_over_while_the_guest_runs_tried_and_committed(
    kind: str, opened: ExitStack
) -> None:
    node = running(kind, opened)
    verdict, outputs = tried(node, unsigned(LARGE))
    assert verdict is not None
    assert verdict.stage is UpdateStage.UPDATED
    assert outputs == [{23: 0}, {23: 0}, {23: 1}]  # held closed until it is committed
    assert node.birth().guest_sha256 == hashlib.sha256(LARGE).hexdigest()
    assert node.step(START_MS + 10 * STEP_MS, READINGS).outputs == {23: 1}


def test_a_transfer_that_was_interrupted_goes_on_at_the_byte_that_the_device_has(
    kind: str, opened: ExitStack
) -> None:
    node = running(kind, opened)
    package, seen = unsigned(LARGE), list[int]()

    class Interrupted(Exception):  # noqa: N818 - for this test
        pass

    def at(received: int, _size: int) -> None:
        seen.append(received)
        if received == 4 * CHUNK:
            raise Interrupted

    with pytest.raises(Interrupted):
        Updater(node.link, at).send(package)
    node.step(START_MS + STEP_MS, READINGS)
    again = Updater(node.link)
    again.send(package)
    assert again.sent_bytes == len(LARGE) - 4 * CHUNK
    assert seen == [0, CHUNK, 2 * CHUNK, 3 * CHUNK, 4 * CHUNK]


@pytest.mark.parametrize("place", ["INSTALL_CHUNK", "later"])
def test_O24_a_device_that_starts_again_on_the_way_has_its_former_module_and_takes_the_new_one(
    kind: str, place: str, opened: ExitStack
) -> None:
    node = running(kind, opened)
    after = 2 if place == "INSTALL_CHUNK" else 6
    fault = Fault(kind=FaultKind.RESET, point=FaultPoint.RECEIVED, after=after, argument=0)
    node.link.ask(fault, Ack)
    with pytest.raises(Exception, match="started again"):
        Updater(node.link).send(unsigned(LARGE))
    node.step(START_MS + STEP_MS, READINGS)  # the former guest, in a new session
    assert node.birth().guest_sha256 == hashlib.sha256(TOGGLER).hexdigest()
    verdict, _ = tried(node, unsigned(LARGE))
    assert verdict is not None
    assert verdict.stage is UpdateStage.UPDATED


def test_O18_a_module_that_traps_in_its_first_step_is_rolled_back_and_barred(
    kind: str, opened: ExitStack
) -> None:
    node = running(kind, opened)
    verdict, _ = tried(node, unsigned(TRAPPER))
    assert verdict is not None
    assert (verdict.stage, verdict.reason) == (UpdateStage.FAILED, UpdateFailure.TRAP)
    assert node.birth().guest_sha256 == hashlib.sha256(TOGGLER).hexdigest()
    assert node.step(START_MS + 10 * STEP_MS, READINGS).trap == 0
    with pytest.raises(UpdateError) as refused:
        DeviceUpdate(node).stage(unsigned(TRAPPER), Trial())
    assert refused.value.reason is UpdateFailure.BARRED


def test_O19_a_module_that_loops_is_cut_and_rolled_back(opened: ExitStack) -> None:
    node = running("virtual", opened)
    verdict, _ = tried(node, unsigned(FOREVER))
    assert verdict is not None
    assert verdict.stage is UpdateStage.FAILED
    assert verdict.reason in (UpdateFailure.BUDGET, UpdateFailure.TRAP)
    assert node.birth().guest_sha256 == hashlib.sha256(TOGGLER).hexdigest()


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        (unsigned(OPENER), UpdateFailure.SIGNATURE),
        (
            signed(OPENER, counter=9, key=Ed25519PrivateKey.from_private_bytes(bytes(32))),
            "SIGNATURE",
        ),
        (replace(signed(OPENER, counter=9), module=TRAPPER), UpdateFailure.DIGEST),
        (signed(OPENER, counter=4), UpdateFailure.ROLLBACK),
        (signed(OPENER, counter=5), UpdateFailure.ROLLBACK),
        (signed(OPENER, counter=9, target="south"), UpdateFailure.TARGET),
    ],
    ids=["unsigned", "wrong key", "another module", "older", "as new, another", "for another node"],
)
def test_O10_O11_O13_what_is_not_signed_right_is_refused_before_a_byte_is_sent(
    package: ModulePackage, reason: str, opened: ExitStack, proof: Prove
) -> None:
    node = running("virtual", opened, query=f"?{TRUST}")
    updater = Updater(node.link)
    with pytest.raises(UpdateError) as refused:
        updater.send(package)
    assert refused.value.reason == reason
    assert updater.sent_bytes == 0
    taken = updater.status().sha256 != hashlib.sha256(TOGGLER).hexdigest()
    proof("modules taken that must not be", tried=1, found=int(taken))


def test_a_signed_module_is_taken_by_either_of_two_trusted_keys(opened: ExitStack) -> None:
    node = running("virtual", opened, query=f"?{TRUST}")
    verdict, _ = tried(node, signed(OPENER, counter=6))
    assert verdict is not None
    assert (verdict.stage, verdict.counter, verdict.version) == (UpdateStage.UPDATED, 6, "6.0.0")
    verdict, _ = tried(node, signed(TRAPPER, counter=7, key=KEYS[1]))
    assert verdict is not None
    assert verdict.reason == UpdateFailure.TRAP


def test_O30_an_older_module_comes_back_only_with_the_nonce_of_the_device(
    opened: ExitStack,
) -> None:
    node = running("virtual", opened, query=f"?{TRUST}")
    updater = Updater(node.link)
    nonce = bytes.fromhex(updater.status().nonce)
    for other in (None, bytes(16), bytes(byte ^ 1 for byte in nonce)):
        with pytest.raises(UpdateError) as refused:
            updater.send(signed(OPENER, counter=2, nonce=other))
        assert refused.value.reason in (UpdateFailure.ROLLBACK, UpdateFailure.EXPIRED)
        said = "its counter is 2, and the device has 5|answers another request"
        assert re.search(said, str(refused.value))
    verdict, _ = tried(node, signed(OPENER, counter=2, nonce=nonce))
    assert verdict is not None
    assert verdict.stage is UpdateStage.UPDATED
    assert node.birth().guest_sha256 == hashlib.sha256(OPENER).hexdigest()


def test_O25_O26_a_second_sender_is_told_busy_while_the_first_is_on_its_way(
    opened: ExitStack,
) -> None:
    node = running("virtual", opened)

    def another(received: int, _size: int) -> None:
        if received == 3 * CHUNK:
            node.link.hello()  # a second host, or the same after it has lost its place
            with pytest.raises(UpdateError) as refused:
                Updater(node.link).send(unsigned(padded(TOGGLER, 5_000)))
            assert refused.value.reason is UpdateFailure.BUSY
            raise InterruptedError

    with pytest.raises(InterruptedError):
        Updater(node.link, another).send(unsigned(LARGE))


@pytest.mark.parametrize("query", ["", f"?{TRUST}"], ids=["open", "trusts keys"])
def test_a_module_is_sent_to_a_device_at_a_line_and_its_valve_stays_closed(
    query: str, opened: ExitStack, tmp_path: Path
) -> None:
    pins = tmp_path / "pins"
    keys = [raw_public(key).hex() for key in KEYS] if query else []
    device = opened.enter_context(VirtualDevice(pins=pins, trust=keys))
    url = f"serial:{device.url}"
    package = signed(OPENER, counter=3) if query else unsigned(OPENER)
    verdict = send_over_line(url, package)
    assert is_committed(verdict, package)
    birth, after = ask_line(url)
    assert birth.guest_sha256.hex() == package.sha256
    assert after is not None
    assert after.stage is UpdateStage.UPDATED
    assert not [line for line in pins.read_text().splitlines() if line.endswith(" 1")]
    again = send_over_line(url, package)
    assert is_committed(again, package)
    bad = signed(TRAPPER, counter=4) if query else unsigned(TRAPPER)
    assert send_over_line(url, bad).reason == UpdateFailure.TRAP
    assert ask_line(url)[0].guest_sha256.hex() == package.sha256


@pytest.mark.parametrize("asked", [0, 3, 9, 20], ids=["at once", "bytes", "trial", "late"])
def test_a_sender_at_a_line_that_is_told_to_stop_leaves_the_former_module(
    asked: int, opened: ExitStack
) -> None:
    """OPENER comes in one part here, LARGE in several; whatever is committed stays."""
    device = opened.enter_context(VirtualDevice())
    url = f"serial:{device.url}"
    assert is_committed(send_over_line(url, unsigned(TOGGLER)), unsigned(TOGGLER))
    looks = 0

    def is_aborted() -> bool:
        nonlocal looks
        looks += 1
        return looks > asked

    with pytest.raises(UpdateError, match="by the operator") as stopped:
        send_over_line(url, unsigned(LARGE), trial_steps=60, is_aborted=is_aborted)
    assert stopped.value.reason is UpdateFailure.ABORTED
    birth, after = ask_line(url)
    assert birth.guest_sha256.hex() == unsigned(TOGGLER).sha256
    assert not birth.flags & BirthFlag.TRIAL
    if asked:  # before that there was nothing to be given up
        assert after is not None
        assert (after.stage, after.reason) == (UpdateStage.FAILED, UpdateFailure.ABORTED)
    assert is_committed(send_over_line(url, unsigned(LARGE)), unsigned(LARGE))  # not barred


def test_a_virtual_board_keeps_its_flash_in_a_file_that_its_node_names(
    opened: ExitStack, tmp_path: Path
) -> None:
    trust = "&".join(f"trust={raw_public(key).hex()}" for key in KEYS)
    url = f"virtual?flash={tmp_path}/board.flash&{trust}"
    new, old = signed(OPENER, counter=7), signed(TOGGLER, counter=6)
    assert is_committed(send_over_line(url, new), new)
    assert send_over_line(url, signed(TRAPPER, counter=8)).reason == UpdateFailure.TRAP
    for package, reason in (
        (old, UpdateFailure.ROLLBACK),
        (signed(TRAPPER, counter=8), UpdateFailure.BARRED),
    ):
        with pytest.raises(UpdateError) as refused:
            send_over_line(url, package)
        assert refused.value.reason is reason
    birth, after = ask_line(url)
    assert birth.guest_sha256.hex() == new.sha256
    assert after is not None and after.counter == 7
    with pytest.raises(UsageError, match="must be a file in a folder that is there"):
        ask_line(f"virtual?flash={tmp_path}")


def test_a_device_without_updates_says_so(opened: ExitStack) -> None:
    node = running("virtual", opened)
    assert node.session.device is not None
    node.session.device = replace(node.session.device, flags=0)
    with pytest.raises(UpdateError, match="takes no module on trial"):
        DeviceUpdate(node).stage(unsigned(OPENER), Trial())


def test_a_device_that_is_gone_is_an_error_of_the_link(opened: ExitStack) -> None:
    node = running("virtual", opened)
    node.session.lose()
    node.session.device = None
    import levada.hil.update.device as device

    before, device.SESSION_S = device.SESSION_S, 0.1
    try:
        with pytest.raises(LinkError, match="no session"):
            DeviceUpdate(node).stage(unsigned(OPENER), Trial())
    finally:
        device.SESSION_S = before
