"""Commands of levada as processes that are killed, and started again as by systemd."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from levada.hil.line.broker import BrokerAddress

__all__ = ["BrokerProcess", "CloudProcess", "LevadaProcess"]


class LevadaProcess:
    """`levada COMMAND ...`; user and password of `broker` are in its environment, what it has to
    say is in `COMMAND.log` in `folder`."""

    def __init__(self, folder: Path, command: list[str], broker: BrokerAddress | None) -> None:
        self._command = [str(Path(sys.executable).with_name("levada")), *command]
        self._environment = dict(os.environ)
        if broker is not None:
            self._environment |= {
                "LEVADA_MQTT_USER": broker.user or "",
                "LEVADA_MQTT_PASSWORD": broker.password or "",
            }
        self.log = folder / f"{command[0]}.log"
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, env=self._environment
            )

    def first_line(self) -> str:
        """What it says when it is ready; empty: it has ended before."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode()

    def kill(self) -> None:
        """kill -9, and started again."""
        self.process.kill()
        self.end()
        self.start()

    def keep_alive(self) -> None:
        """Start it again if it has ended by itself."""
        if self.process.poll() is not None:
            self.end()
            self.start()

    def close(self) -> int:
        self.process.terminate()
        return self.end()

    def end(self) -> int:
        """Wait for its end."""
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait()


class BrokerProcess(LevadaProcess):
    """`levada broker`, always at the same port."""

    def __init__(self, folder: Path) -> None:
        login = BrokerAddress(host="127.0.0.1", port=0, user="levada", password="secret")
        super().__init__(folder, ["broker", "--port", "0", "--out", str(folder)], login)
        line = self.first_line()
        assert line, self.log.read_text()
        port = line.split()[0].rpartition(":")[2]
        self._command[self._command.index("--port") + 1] = port
        self.address = BrokerAddress(
            host=login.host, port=int(port), user=login.user, password=login.password
        )


class CloudProcess(LevadaProcess):
    """`levada cloud`; its store is `store.sqlite` in `folder`."""

    def __init__(self, folder: Path, broker: BrokerAddress) -> None:
        where = ["--cloud-broker", broker.url, "--port", "0", "--out", str(folder)]
        super().__init__(folder, ["cloud", *where], broker)
        self.store = folder / "store.sqlite"
