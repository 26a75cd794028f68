"""Every kind of URL that pyserial opens, with a virtual board behind it where there can be one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
import serial
import serial.rfc2217
from lockstep import PATIENT, START_MS, STEP_MS, TOGGLER, season

from levada.guest.wasm.node import WasmtimeNode
from levada.hil.errors import LinkError
from levada.hil.line.serial_port import Port
from levada.hil.link import Link
from levada.hil.node import DeviceNode
from levada.hil.nodes import open_link
from levada.hil.virtual import VirtualDevice
from levada.hil.wire.messages import Ping, Pong
from levada.sim.scenario.node_url import parse_node

STEPS = 20

pytestmark = pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # pyserial's


class SerialServer:
    """A terminal server with pyserial's own side of RFC 2217, for one client after the other."""

    def __init__(self, board: str) -> None:
        self._board = board
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self._listener.getsockname()[1]}"
        self.baud_rates: list[int] = []
        """As clients have set them."""
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            self._client = client
            with client, serial.serial_for_url(self._board, timeout=0.05) as port:
                self._talk(client, port)
                self.baud_rates.append(port.baudrate)

    def _talk(self, client: socket.socket, port: serial.Serial) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(client)
        manager = serial.rfc2217.PortManager(port, connection)
        gone = threading.Event()

        def answers() -> None:
            while not gone.is_set():
                if data := port.read(1):
                    connection.write(b"".join(manager.escape(data)))

        thread = threading.Thread(target=answers)
        thread.start()
        with suppress(OSError):
            while data := client.recv(1024):
                port.write(b"".join(manager.filter(data)))
        gone.set()
        thread.join()

    def cut(self) -> None:
        """End the connection of the present client."""
        assert self._client is not None
        with suppress(OSError):  # it has ended already
            self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._client is not None:
            self.cut()
        self._thread.join()


class _Connection:
    """Where the port manager and the answers write, one at a time."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._writing = threading.Lock()

    def write(self, data: bytes) -> None:
        with self._writing, suppress(OSError):  # the client has gone
            self._client.sendall(data)


@contextmanager
def board_behind(kind: str) -> Iterator[str]:
    """The URL of a virtual board by that protocol of pyserial."""
    with ExitStack() as stack:
        device = stack.enter_context(
            VirtualDevice(tcp=0 if kind in ("socket", "rfc2217") else None)
        )
        match kind:
            case "socket":
                assert device.url.startswith("socket://")
                yield device.url
            case "rfc2217":
                server = SerialServer(device.url)
                stack.callback(server.close)
                yield server.url
            case "spy":
                yield f"spy://{device.url}"
            case "alt":
                yield f"alt://{device.url}?class=PosixPollSerial"
            case _:
                yield device.url


@pytest.mark.usefixtures("no_repair")
@pytest.mark.parametrize("kind", ["terminal", "socket", "rfc2217", "spy", "alt"])
def test_a_board_behind_any_protocol_of_pyserial_makes_the_same_calls(kind: str) -> None:
    twin = WasmtimeNode(TOGGLER)
    with board_behind(kind) as url, ExitStack() as stack:
        node = DeviceNode(open_link(parse_node(f"serial:{url}"), stack), TOGGLER)
        assert season(node, STEPS) == season(twin, STEPS)
        node.close()
    twin.close()


def test_spy_shows_what_passes_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    with board_behind("spy") as url:
        link = _link(url)
        link.hello()
        assert link.ask(Ping(data=b"there and back"), Pong).data == b"there and back"
        link.close()
    shown = capsys.readouterr().err
    for mark in ("TX", "RX"):
        assert any(f" {mark} " in line and "there" in line for line in shown.splitlines())


def test_a_terminal_server_sets_the_rate_that_the_node_asks_for() -> None:
    with VirtualDevice(tcp=0) as device:  # a pseudo terminal has no control lines to serve
        server = SerialServer(device.url)
        node = DeviceNode(_link(f"{server.url}?baud=115200"), TOGGLER)
        node.boot(0)
        node.close()
        server.close()
    assert server.baud_rates == [115_200]


def test_a_terminal_server_that_hangs_up_is_called_again() -> None:
    with VirtualDevice(tcp=0) as device:  # a pseudo terminal has no control lines to serve
        server = SerialServer(device.url)
        node, twin = DeviceNode(_link(server.url), TOGGLER), WasmtimeNode(TOGGLER)
        tapes = []
        for each in (node, twin):
            tape = season(each, 3)
            if each is node:
                server.cut()
            tapes.append(tape + each.step(START_MS + 4 * STEP_MS, (2000, 1500, 3700, 0)).tape)
        assert tapes[0] == tapes[1]
        assert node.link.quality.reopened == 1
        node.close()
        twin.close()
        server.close()


def test_a_loop_gives_back_what_was_written() -> None:
    port = Port("loop://")
    port.write(b"\0there\xff\0")
    assert port.read(1.0) == b"\0there\xff\0"
    assert port.read(0.0) == b""
    port.close()


def test_a_terminal_server_that_is_not_there_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(
        LinkError, match=rf"rfc2217://127.0.0.1:{port}: cannot be opened: .*refused"
    ):
        Port(f"rfc2217://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "url",
    [
        "nonsense://x",
        "loop://?nonsense",
        "loop://?logging=nonsense",
        "spy:///dev/null?nonsense=1",
        "rfc2217://127.0.0.1",
        "socket://127.0.0.1",
        "alt:///dev/null?class=Nonsense",
        "/dev/null",
    ],
)
def test_what_pyserial_does_not_know_cannot_be_opened(url: str) -> None:
    with pytest.raises(LinkError, match="cannot be opened"):
        Port(url)


def _link(url: str) -> Link:
    link = open_link(parse_node(f"serial:{url}"), ExitStack())
    link.patience = PATIENT
    return link
