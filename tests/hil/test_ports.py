"""Ports and what is said on them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from serial.tools import list_ports

from levada.hil.errors import LinkError
from levada.hil.line.ports import find_ports, say_hello
from levada.hil.line.serial_port import Port
from levada.hil.monitor import describe, watch
from levada.hil.virtual import VirtualDevice
from levada.hil.wire.codec import Console, Damage, Frame, encode_frame
from levada.hil.wire.messages import Ack, Ping


def listed(device: str, vid: int | None, pid: int | None) -> SimpleNamespace:
    return SimpleNamespace(
        device=device, description="some port", vid=vid, pid=pid, serial_number="42"
    )


def test_bridges_of_esp32_boards_come_first_and_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with VirtualDevice() as device:
        ports = [
            listed("/dev/ttyS0", None, None),
            listed("/dev/no-such-port", 0x10C4, 0xEA60),
            listed(device.url, 0x303A, 0x1001),
        ]
        monkeypatch.setattr(list_ports, "comports", lambda: ports)
        found = {port.device: port for port in find_ports(ask=True)}
        assert list(found)[-1] == "/dev/ttyS0"
        board = found[device.url]
        assert board.bridge == "ESP32 USB-Serial/JTAG"
        assert board.birth is not None
        assert board.birth.engine.startswith("wasm3")
        assert "cannot be opened" in found["/dev/no-such-port"].trouble
        assert found["/dev/ttyS0"].birth is None
        assert [port.birth for port in find_ports()] == [None] * 3


def test_a_port_without_a_device_says_so() -> None:
    with pytest.raises(LinkError, match="no answer to Hello"):
        say_hello("loop://")


def test_the_monitor_shows_text_frames_and_damage() -> None:
    port = Port("loop://")
    port.write(b"ets Jul 29 2019\r\nrst:0x1\r\n" + encode_frame(Ack.TYPE, 7, Ack(value=3).encode()))
    port.write(b"\xff\xfe\xfd\0")
    shown = list(watch(port, seconds=0.5))
    port.close()
    assert shown[:3] == ["ets Jul 29 2019", "rst:0x1", "[    7] Ack value=3"]
    assert shown[3].startswith("[3 bytes damaged: ")


def test_a_frame_of_an_unknown_type_is_shown_as_such() -> None:
    assert list(describe(Frame(0x7F, 1, b""))) == ["[    1] message type 0x7f: unknown"]
    assert list(describe(Damage("crc", 12))) == ["[12 bytes damaged: crc]"]
    assert list(describe(Console("\r\n"))) == []
    long = Frame(Ping.TYPE, 2, bytes(100))
    assert next(describe(long)) == f"[    2] Ping data={'00' * 30}0..."
