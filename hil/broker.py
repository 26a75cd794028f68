"""The broker: an embedded one (amqtt) on loopback, or an external one by URL.

The embedded broker has its own process and event loop, is watched and started again under the same
port, and lets in who knows the token of this run.  It keeps no promise: delivery is the business of
device and store.  It does not listen beyond loopback, because its authorisation can be got round.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from guest.children import start_child
from guest.closing import Closing, end_process
from hil.errors import BrokerError, UsageError

__all__ = ["BrokerAddress", "EmbeddedBroker", "parse_broker"]

_log = logging.getLogger(__name__)

_START_S: Final = 30.0
"""Patience with a starting broker; loading amqtt takes some seconds on a busy board."""
_STOP_S: Final = 5.0
_PROBE_S: Final = 2.0
"""Between two probes of a broker that runs."""
_ANSWER_S: Final = 5.0
"""Patience with a probe; a computer that is overloaded is no broker that hangs."""
_HUNG: Final = 3
"""Failed probes after which it counts as hung."""
_CONNECT: Final = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x05\x00\x05probe"
"""CONNECT of MQTT 3.1.1 (section 3.1) without password: refused, which is an answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerAddress:
    """How to reach a broker."""

    host: str
    port: int
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.tls else ''}://{host}:{self.port}"


def parse_broker(url: str) -> BrokerAddress:
    """`mqtt(s)://[user@]host[:port]` -> address; user and password also from the environment.

    The environment is LEVADA_MQTT_USER and LEVADA_MQTT_PASSWORD.  Raises UsageError.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise UsageError(f"broker {url!r}: write mqtt://HOST[:PORT] or mqtts://HOST[:PORT]")
    if parts.path.strip("/") or parts.query:
        raise UsageError(f"broker {url!r}: nothing may follow the port")
    try:
        port = parts.port
    except ValueError as error:
        raise UsageError(f"broker {url!r}: {error}") from None
    tls = parts.scheme == "mqtts"
    user = unquote(parts.username) if parts.username else os.environ.get("LEVADA_MQTT_USER")
    password = unquote(parts.password) if parts.password else None
    return BrokerAddress(
        host=parts.hostname,
        port=port or (8883 if tls else 1883),
        tls=tls,
        user=user,
        password=password or os.environ.get("LEVADA_MQTT_PASSWORD"),
    )


def _check_loopback(host: str) -> None:
    try:
        inside = ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = host == "localhost"
    if not inside:
        raise BrokerError(
            f"embedded broker on {host}: only loopback is permitted, because amqtt's login and "
            "topic rules can be got round; for other machines run mosquitto and give "
            "--broker mqtt://HOST"
        )


class EmbeddedBroker(Closing):
    """amqtt in a child process, watched and restarted; `address` stays the same all the time.

    Raises BrokerError for a host that is not loopback, and if the broker does not start.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        _check_loopback(host)
        self._token = secrets.token_urlsafe(32)
        self._closing = threading.Event()
        self._restarts = 0
        self._process, bound = self._start(host, port)
        self.address = BrokerAddress(host=host, port=bound, user="levada", password=self._token)
        self._watcher = threading.Thread(target=self._watch, name="broker-watch", daemon=True)
        self._watcher.start()

    @property
    def restarts(self) -> int:
        """How often it had to be started again."""
        return self._restarts

    @property
    def pid(self) -> int:
        """Process id of the broker that runs at present."""
        return self._process.pid

    def close(self) -> None:
        """Stop the broker and its watcher."""
        self._closing.set()
        self._watcher.join()
        end_process(self._process, _STOP_S)

    def _start(self, host: str, port: int) -> tuple[subprocess.Popen[str], int]:
        process = start_child(
            [sys.executable, "-m", "hil.broker_process"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        # a token on the command line or in the environment could be read by other users
        killer = threading.Timer(_START_S, process.kill)
        killer.start()
        try:
            process.stdin.write(
                json.dumps({"host": host, "port": port, "token": self._token}) + "\n"
            )
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            killer.cancel()
        if not line:
            end_process(process, _STOP_S)
            raise BrokerError(f"embedded broker did not start (exit code {process.returncode})")
        return process, int(json.loads(line)["port"])

    def _watch(self) -> None:
        failures = 0
        probed = time.monotonic()
        while not self._closing.is_set():
            try:
                self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                if time.monotonic() - probed < _PROBE_S:
                    continue
                probed = time.monotonic()
                failures = 0 if self._answers() else failures + 1
                if failures < _HUNG:
                    continue
                _log.error("embedded broker does not answer: killed")
                self._process.kill()
                self._process.wait()
            if self._closing.is_set():
                return
            failures = 0
            self._again()

    def _again(self) -> None:
        code = self._process.returncode
        end_process(self._process, _STOP_S)
        delay_s = 0.1
        while not self._closing.is_set():
            _log.error("embedded broker ended (exit code %s): started again", code)
            try:
                self._process, _ = self._start(self.address.host, self.address.port)
            except BrokerError as error:
                _log.error("%s", error)
                self._closing.wait(delay_s)
                delay_s = min(5.0, delay_s * 2)
            else:
                self._restarts += 1
                return

    def _answers(self) -> bool:
        """Whether the broker answers a CONNECT, if only to refuse it."""
        try:
            where = self.address.host, self.address.port
            with socket.create_connection(where, _ANSWER_S) as probe:
                probe.sendall(_CONNECT)
                return probe.recv(4)[:1] in (b"\x20", b"")
        except OSError:
            return False
