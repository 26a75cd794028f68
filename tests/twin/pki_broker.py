"""mosquitto as `levada pki broker` sets it up, on loopback, and who connects to it."""

from __future__ import annotations

import getpass
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from services import need

from levada.guest.lifecycle import Closing
from levada.hil.line.broker import BrokerAddress
from levada.sim.scenario.model import Scenario
from levada.twin.pki.authority import Authority
from levada.twin.pki.broker import CONFIG, write_broker
from levada.twin.pki.rights import Side

HOSTS = ("localhost", "127.0.0.1")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class SecureMosquitto(Closing):
    """It runs when this returns; `address(name)` is how `name` reaches it."""

    def __init__(
        self,
        authority: Authority,
        scenario: Scenario,
        folder: Path,
        *,
        names: Sequence[str] = (),
        side: Side = "both",
    ) -> None:
        self.authority, self._scenario, self._folder, self._side = authority, scenario, folder, side
        self._program = need("mosquitto", Path("/usr/sbin"))
        self.port = free_port()
        if authority.valid("broker") is None:
            authority.issue("broker", hosts=HOSTS)
        for name in names:
            if authority.valid(name) is None:
                authority.issue(name)
        self.lines: list[str] = []
        self.write()
        self.start()

    def write(self) -> None:
        """Its files anew, as after a revocation."""
        write_broker(
            self.authority,
            self._scenario,
            self._folder,
            listen="127.0.0.1",
            port=self.port,
            side=self._side,
        )
        text = (self._folder / CONFIG).read_text()
        # it would give up root, and then could not read what only this user can
        (self._folder / "main.conf").write_text(f"user {getpass.getuser()}\n{text}")

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-v", "-c", str(self._folder / "main.conf")],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.wait_for("running")
        # a SIGTERM between that line and its loop would be forgotten, so somebody is heard first
        with socket.create_connection(("127.0.0.1", self.port)):
            self.wait_for("onnection from")

    def wait_for(self, text: str) -> None:
        """Read its log up to a line with this text."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line)
            if text in line:
                return
        raise AssertionError(f"mosquitto ended: {self.lines}")

    def reload(self) -> None:
        """As `systemctl reload mosquitto` does."""
        self._process.send_signal(signal.SIGHUP)
        self.wait_for("Reloading config")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.stderr is not None
        self.lines += self._process.stderr.readlines()
        self._process.wait()
        self._process.stderr.close()

    def close(self) -> None:
        if self._process.poll() is None:
            self.stop()

    def address(self, name: str | None = None) -> BrokerAddress:
        pki = None if name is None else str(self.authority.files(name))
        return BrokerAddress(host="localhost", port=self.port, tls=True, pki=pki)

    def with_authority_alone(self, folder: Path) -> BrokerAddress:
        """Somebody who trusts the broker, and has no certificate."""
        folder.mkdir()
        (folder / "ca.pem").write_bytes((self.authority.folder / "ca.pem").read_bytes())
        return replace(self.address(), pki=str(folder))
