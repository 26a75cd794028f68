"""A run on a device on which something else is being installed or tried."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from levada.guest.shipped import DEFAULT_GUEST
from levada.hil import session
from levada.hil.errors import DeviceError
from levada.hil.line.serial_port import Port
from levada.hil.link import Link
from levada.hil.node import DeviceNode
from levada.hil.virtual import VirtualDevice
from levada.hil.wire.messages import (
    Ack,
    GetUpdateStatus,
    InstallAbort,
    InstallBegin,
    InstallChunk,
    InstallEnd,
    InstallTrial,
    NakError,
    UpdateReason,
    UpdateState,
    UpdateStatus,
)

GUEST = DEFAULT_GUEST.read_bytes()
OTHER = GUEST + b"\0\2\1x"  # a custom section
START_MS = 1_700_000_000_000


@pytest.fixture
def device() -> Iterator[VirtualDevice]:
    with VirtualDevice("wasm3") as found:
        yield found


def begun(device: VirtualDevice, module: bytes, part: int) -> Link:
    """Another host has brought over a part of a module."""
    link = Link(Port(device.url))
    link.hello()
    digest = hashlib.sha256(module).digest()
    link.ask(InstallBegin(size=len(module), sha256=digest), Ack)
    for at in range(0, part, 1000):
        link.ask(InstallChunk(offset=at, data=module[at : min(at + 1000, part)]), Ack)
    return link


def test_a_run_goes_on_with_a_transfer_of_its_module(device: VirtualDevice) -> None:
    begun(device, GUEST, 1500).close()
    link = Link(Port(device.url))
    node = DeviceNode(link, GUEST)
    assert node.birth().guest_sha256 == hashlib.sha256(GUEST).hexdigest()
    # HELLO, CONFIGURE, begin, the rest in chunks, end, HELLO, CONFIGURE
    assert link.quality.requests == 6 + -(-(len(GUEST) - 1500) // 1000)
    node.close()


def test_a_run_waits_for_a_host_that_has_stopped_installing(
    device: VirtualDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(device, OTHER, 1500).close()
    link = Link(Port(device.url))
    node = DeviceNode(link, GUEST)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        link.ask(InstallAbort(), Ack)  # as if it had been so long

    monkeypatch.setattr(session, "sleep", wait)
    assert node.birth().guest_sha256 == hashlib.sha256(GUEST).hexdigest()
    [waited_s] = waits
    assert 0.0 < waited_s <= 10.001
    node.close()


def test_a_host_that_goes_on_installing_is_not_pushed_aside(
    device: VirtualDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(device, OTHER, 1500).close()
    node = DeviceNode(Link(Port(device.url)), GUEST)
    monkeypatch.setattr(session, "sleep", lambda _: None)
    with pytest.raises(DeviceError, match="busy") as refused:
        node.birth()
    assert refused.value.error == NakError.BUSY
    node.close()


def test_a_run_is_of_its_module_and_not_of_one_that_waits_for_its_trial(
    device: VirtualDevice,
) -> None:
    link = begun(device, GUEST, len(GUEST))
    link.ask(InstallEnd(), Ack)
    link.close()
    link = begun(device, OTHER, len(OTHER))
    link.ask(InstallTrial(steps=9, within_ms=0, flags=0, carried=b""), Ack)
    link.close()
    link = Link(Port(device.url))
    node = DeviceNode(link, GUEST)
    node.boot(START_MS)
    status = link.ask(GetUpdateStatus(), UpdateStatus)
    assert (status.state, status.reason) == (UpdateState.FAILED, UpdateReason.ABORTED)
    assert status.sha256 == hashlib.sha256(GUEST).digest()
    assert node.step(START_MS + 600_000, (2_400, 1_850, 3_900, 0)).tape
    node.close()
