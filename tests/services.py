"""Servers that tests start: mosquitto, PostgreSQL, PgBouncer.  Loopback or a socket file only.

Where a program is missing, a test is skipped with the reason; under CI that is a failure.
"""

from __future__ import annotations

import getpass
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from levada.guest.lifecycle import Closing
from levada.hil.line.broker import BrokerAddress

__all__ = [
    "MOSQUITTO_BY_DAY",
    "Mosquitto",
    "PostgreSql",
    "need",
    "pgbouncer",
]


def need(program: str, *folders: Path) -> str:
    """Path of a program."""
    found = shutil.which(program, path=":".join([os.environ["PATH"], *map(str, folders)]))
    if found is None:
        reason = f"{program} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


MOSQUITTO_BY_DAY = pytest.mark.parametrize(
    "broker", [pytest.param("amqtt", marks=pytest.mark.slow), "mosquitto"], indirect=True
)
"""For what takes long: the night has both brokers."""


class Mosquitto:
    """mosquitto with the settings that `docs/mqtt.md` asks for."""

    def __init__(
        self,
        folder: Path,
        *,
        users: Sequence[str] = ("levada",),
        acl: str | None = None,
        host: str = "127.0.0.1",
        popen: Callable[..., subprocess.Popen[str]] = subprocess.Popen,
    ) -> None:
        """`popen` starts it, on a machine where the address `host` is."""
        self._program = need("mosquitto", Path("/usr/sbin"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        passwords = folder / "users"
        passwords.touch(0o600)
        for user in users:
            subprocess.run(
                [need("mosquitto_passwd"), "-b", str(passwords), user, "secret"],
                check=True,
                capture_output=True,
            )
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"user {getpass.getuser()}\nlistener {port} {host}\nallow_anonymous false\n"
            f"password_file {passwords}\nset_tcp_nodelay true\n"
            "max_queued_messages 10000\nmax_queued_bytes 16777216\n"
            "max_connections 1024\nsys_interval 1\n"
        )
        if acl is not None:
            rights = folder / "acl"
            rights.touch(0o600)
            rights.write_text(acl)
            with self._config.open("a") as config:
                config.write(f"acl_file {rights}\n")
        self.address = BrokerAddress(host=host, port=port, user=users[0], password="secret")
        self._popen = popen
        self._start()

    def _start(self) -> None:
        self._process = self._popen(
            [self._program, "-v", "-c", str(self._config)], stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if "running" in line:
                break
        # nobody reads on: what it says must not block it
        self._drain = subprocess.Popen(
            ["cat"], stdin=self._process.stderr, stdout=subprocess.DEVNULL
        )
        self._process.stderr.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def keep_at_most(self, messages: int) -> None:
        """For a consumer that does not read; started again, as it does not take this otherwise."""
        text = self._config.read_text()
        self.close(signal.SIGKILL)  # one that has just begun forgets a SIGTERM
        self._config.write_text(
            re.sub(r"max_queued_messages \d+", f"max_queued_messages {messages}", text)
        )
        self._start()

    def kill(self) -> None:
        """kill -9, and started again."""
        self.close(signal.SIGKILL)
        self._start()

    def close(self, how: int = signal.SIGTERM) -> None:
        self._process.send_signal(how)
        self._process.wait()
        self._drain.wait()


class PostgreSql(Closing):
    """A private PostgreSQL server that runs, reached through a socket file.

    It has a folder of its own, because the path of a socket must be short.
    """

    def __init__(self) -> None:
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        initdb, self._program = need("initdb", *folders), need("postgres", *folders)
        self._user = None
        if os.geteuid() == 0:  # the server refuses to run as root
            self._user = "postgres" if _exists("postgres") else "nobody"
        self._folder = Path(tempfile.mkdtemp(prefix="pg"))
        if self._user is not None:
            shutil.chown(self._folder, self._user)
            for parent in self._folder.parents:
                if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
        self._data = self._folder / "data"
        options = ["-U", "levada", "--auth=trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(
            [initdb, "-D", str(self._data), *options],
            check=True,
            capture_output=True,
            user=self._user,
            cwd=self._folder,
        )
        self.url = f"postgresql:///postgres?host={self._folder}&user=levada"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it; it accepts connections when this returns."""
        log = self._folder / "log"
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [self._program, "-D", str(self._data), "-k", str(self._folder), "-h", ""],
                stderr=out,
                user=self._user,
                cwd=self._folder,
            )
        while "ready to accept connections" not in log.read_text():
            assert self._process.poll() is None, log.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """End it as an administrator does: nobody is waited for, everything is written."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        """kill -9 of all of its processes."""
        assert self._process is not None
        family = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        psutil.wait_procs(family)
        self._process = None

    def close(self) -> None:
        """End it and remove its files."""
        self.stop()
        shutil.rmtree(self._folder)


@contextmanager
def pgbouncer(folder: Path, server: Path) -> Iterator[str]:
    """A PgBouncer that shares sessions of the server whose socket is in `server`; its URL."""
    program = need("pgbouncer", Path("/usr/sbin"))
    user = None
    if os.geteuid() == 0:  # it refuses to run as root
        user = "postgres" if _exists("postgres") else "nobody"
        shutil.chown(folder, user)
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\npostgres = host={server} dbname=postgres user=levada\n"
        f"[pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {folder}\n"
        "auth_type = any\npool_mode = transaction\n"
    )
    process = subprocess.Popen(
        [program, str(config)], stderr=subprocess.PIPE, text=True, user=user, cwd=folder
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "process up" in line:
                break
        yield f"postgresql:///postgres?host={folder}&port=6432&user=levada"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        process.stderr.close()


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
