"""Hundreds of boards in one process: descriptors beyond 1,023, and the limit that is said first."""

from __future__ import annotations

import os
import pty
import resource
import socket
import tty
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from lockstep import PATIENT, TOGGLER, season, simulated

from levada.hil.errors import BrokerError, LinkError, UsageError
from levada.hil.line import serial_port
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MqttClient
from levada.hil.line.serial_port import Port
from levada.hil.link import Link
from levada.hil.node import DeviceNode
from levada.hil.nodes import NodeMaker
from levada.hil.virtual import VirtualDevice, allow_boards
from levada.sim.run.runner import run_scenario
from levada.sim.scenario import load as scenario
from levada.testing import small_field

SELECT_KNOWS = 1024
"""Descriptors that fit a set of `select` (FD_SETSIZE of the C library)."""


@pytest.fixture
def limit() -> Iterator[None]:
    """The limit of open files is as before afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def crowded(limit: None) -> Iterator[None]:
    """All descriptors that `select` knows are in use."""
    allow_boards(SELECT_KNOWS // 8)
    with ExitStack() as stack:
        while (held := os.open(os.devnull, os.O_RDONLY)) < SELECT_KNOWS:
            stack.callback(os.close, held)
        stack.callback(os.close, held)
        yield


def test_a_board_beyond_the_descriptors_of_select_is_one_like_any_other(crowded: None) -> None:
    with VirtualDevice() as device:
        port = device.port()
        assert port._descriptor > SELECT_KNOWS
        node = DeviceNode(Link(port, patience=PATIENT), TOGGLER)
        assert season(node, 20) == simulated(20)
        node.close()


def test_a_full_line_beyond_the_descriptors_of_select_is_a_link_error(
    crowded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, line = pty.openpty()
    tty.setraw(line)
    port = Port(os.ttyname(line))
    monkeypatch.setattr(serial_port, "WRITE_S", 0.01)
    with pytest.raises(LinkError, match=r"takes nothing for 0\.01 s"):
        port.write(bytes(1 << 20))
    port.close()
    os.close(line)
    os.close(board)


def test_a_client_of_a_broker_beyond_the_descriptors_of_select_is_refused_in_words(
    crowded: None,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        address = BrokerAddress(host="127.0.0.1", port=broker.getsockname()[1])
        with pytest.raises(BrokerError, match=r"descriptor \d{4}, .* below 1024 only"):
            MqttClient(address)


@pytest.mark.parametrize(
    ("limits", "boards", "raised"),
    [
        ((1024, 4096), 96, None),  # 256 + 8 * 96 = 1024
        ((1024, 4096), 97, (1032, 4096)),
        ((1024, 4096), 480, (4096, 4096)),
        ((1024, resource.RLIM_INFINITY), 1000, (8256, resource.RLIM_INFINITY)),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 1000, None),
    ],
)
def test_as_many_files_are_allowed_as_the_boards_need(
    limits: tuple[int, int],
    boards: int,
    raised: tuple[int, int] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, to: set_to.append(to))
    allow_boards(boards)
    assert set_to == ([] if raised is None else [raised])


def test_more_boards_than_there_can_be_are_refused_before_one_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = "area_m2 = 100\ncount = 481\nnode = 'virtual'"
    (tmp_path / "many.toml").write_text(small_field().replace("area_m2 = 100", many))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(VirtualDevice, "__init__", lambda *_, **__: pytest.fail("one was started"))
    document = scenario.read(tmp_path / "many.toml")
    with NodeMaker() as make_node, pytest.raises(UsageError) as refused:
        run_scenario(document.scenario, tmp_path / "out", make_node=make_node, report=False)
    assert str(refused.value) == (
        "481 virtual boards need 4104 open files in this process, and 4096 are permitted, "
        "enough for 480 boards: raise the limit (ulimit -Hn)"
    )


@pytest.mark.slow
def test_a_thousand_boards_answer(limit: None) -> None:
    allow_boards(1000)
    with ExitStack() as stack:
        links = []
        for _ in range(1000):
            device = stack.enter_context(VirtualDevice())
            links.append(Link(device.port(), patience=PATIENT))
            stack.callback(links[-1].close)
        assert len({link.hello().engine for link in links}) == 1
