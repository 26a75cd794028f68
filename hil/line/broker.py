"""The broker: an embedded one (amqtt) on loopback, or an external one by URL.

The embedded broker has its own process and event loop, is watched and started again under the same
port, and lets in who knows the token of this run.  It keeps no promise: delivery is the business of
device and store.  It does not listen beyond loopback, because its authorisation can be got round.
"""

from __future__ import annotations

import errno
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
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from levada.guest.children import start_child
from levada.guest.lifecycle import Closing, end_process
from levada.guest.private_file import write_private
from levada.guest.text.json_text import parse
from levada.hil.errors import BrokerError, UsageError
from levada.hil.line.tls import client_context

__all__ = ["BrokerAddress", "EmbeddedBroker", "check_pki", "keep_address", "parse_broker"]

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
_AGAIN_S: Final = 1.0
"""Before the watcher goes on after a fault of its own."""
_EXHAUSTED: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
)
"""Errors of a connection that say that this process, or computer, has no room for another one."""
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
    pki: str | None = None
    """Folder that says whom to trust and who we are (`levada.hil.line.tls`)."""

    @property
    def url(self) -> str:
        """Without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.tls else ''}://{host}:{self.port}"


def parse_broker(url: str, pki: str | None = None) -> BrokerAddress:
    """`mqtt(s)://[user@]host[:port]` -> address; user and password also from the environment.

    The environment is LEVADA_MQTT_USER, LEVADA_MQTT_PASSWORD and, for `pki`, LEVADA_MQTT_PKI.  A
    name that ends in `.json` is a file that `keep_address` has written.  `pki` is for brokers with
    TLS; that its files can be used is checked here.  Raises UsageError.
    """
    found = _kept_address(Path(url)) if url.endswith(".json") else _parsed(url)
    if not found.tls:
        return found
    folder = found.pki or pki or os.environ.get("LEVADA_MQTT_PKI") or None
    client_context(folder)
    return replace(found, pki=folder and str(Path(folder).absolute()))


def check_pki(pki: str | None, *brokers: BrokerAddress) -> None:
    """Raises UsageError if `pki` was given and no broker has TLS: somebody believes it has."""
    if pki is not None and not any(broker.tls for broker in brokers):
        urls = ", ".join(broker.url for broker in brokers)
        raise UsageError(f"--pki {pki}: is for a broker with TLS, and this one has none: {urls}")


def _parsed(url: str) -> BrokerAddress:
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.scheme in ("mqtt", "mqtts") else None
    except ValueError:  # a bracket without its other
        host = None
    if host is None:
        raise UsageError(
            f"broker {url!r}: write mqtt://HOST[:PORT] or mqtts://HOST[:PORT], or name the "
            "broker.json of a `levada broker`"
        )
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(
            f"broker {url!r}: nothing may follow the port; in a password write `/`, `?`, `#` and "
            "`@` as %2F, %3F, %23 and %40"
        )
    try:
        port = parts.port
    except ValueError:  # its text may quote a part of the password
        raise UsageError(f"broker {url!r}: the port must be a number, 0 to 65535") from None
    tls = parts.scheme == "mqtts"
    user = unquote(parts.username) if parts.username else os.environ.get("LEVADA_MQTT_USER")
    password = unquote(parts.password) if parts.password else None
    return BrokerAddress(
        host=host,
        port=port or (8883 if tls else 1883),
        tls=tls,
        user=user,
        password=password or os.environ.get("LEVADA_MQTT_PASSWORD"),
    )


def keep_address(path: Path, address: BrokerAddress) -> None:
    """Write an address, with its password, into a file that only its owner can read."""
    write_private(path, asdict(address))


def _kept_address(path: Path) -> BrokerAddress:
    try:
        data = parse(path.read_text("utf-8"))
        found = BrokerAddress(**data)
        if _fits(asdict(found)):
            return found
        reason = "not the address of a broker"
    except OSError as error:
        reason = error.strerror or str(error)
    except (TypeError, ValueError):
        reason = "not the address of a broker"
    raise UsageError(f"broker {path}: {reason}")


def _fits(address: dict[str, Any]) -> bool:
    """Whether a file of somebody else's holds values of the right kinds."""
    port = address["port"]
    return (
        isinstance(address["host"], str)
        and type(port) is int
        and 0 < port <= 65_535
        and isinstance(address["tls"], bool)
        and all(isinstance(address[key] or "", str) for key in ("user", "password", "pki"))
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

    `password`, which every client needs, is a random one unless it is given.  Raises BrokerError
    for a host that is not loopback, and if the broker does not start.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, password: str | None = None
    ) -> None:
        _check_loopback(host)
        self._token = password or secrets.token_urlsafe(32)
        self._closing = threading.Event()
        self._restarts = 0
        self._trouble = ""
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
        try:
            process = start_child(
                [sys.executable, "-m", "levada.hil.line.broker_process"],
                stdout=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            raise BrokerError(f"embedded broker cannot be started: {error}") from None
        assert process.stdin is not None
        assert process.stdout is not None
        # a token on the command line or in the environment could be read by other users
        killer = threading.Timer(_START_S, process.kill)
        try:
            killer.start()
            process.stdin.write(
                json.dumps({"host": host, "port": port, "token": self._token}) + "\n"
            )
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        except RuntimeError as error:  # no thread can be started
            end_process(process, _STOP_S)
            raise BrokerError(f"embedded broker cannot be started: {error}") from None
        finally:
            killer.cancel()
        if not line:
            end_process(process, _STOP_S)
            raise BrokerError(f"embedded broker did not start (exit code {process.returncode})")
        return process, int(json.loads(line)["port"])

    @property
    def trouble(self) -> str:
        """What is wrong with the broker, or keeps us from knowing; empty if nothing is."""
        if not self._watcher.is_alive():
            return "nobody watches the broker any more"
        if self._process.poll() is not None:
            return self._trouble or "the broker has ended and is being started again"
        return self._trouble

    def _watch(self) -> None:
        while not self._closing.is_set():
            try:
                self._look_after()
            except Exception as error:  # noqa: BLE001 - who watches must not end before the watched
                self._own_trouble(error)
                self._closing.wait(_AGAIN_S)

    def _own_trouble(self, error: Exception) -> None:
        """Note what is our fault, not the broker's."""
        self._trouble = f"the broker cannot be watched: {error}"
        _log.error("%s", self._trouble)

    def _look_after(self) -> None:
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
                self._trouble = str(error)
                _log.error("%s", error)
                self._closing.wait(delay_s)
                delay_s = min(5.0, delay_s * 2)
            else:
                self._restarts += 1
                self._trouble = ""
                return

    def _answers(self) -> bool:
        """Whether the broker answers a CONNECT, if only to refuse it.

        What we cannot ask for want of our own resources is no silence of the broker's.
        """
        try:
            where = self.address.host, self.address.port
            with socket.create_connection(where, _ANSWER_S) as probe:
                probe.sendall(_CONNECT)
                answered = probe.recv(4)[:1] in (b"\x20", b"")
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._own_trouble(error)
                return True
            answered = False
        self._trouble = "" if answered else "the broker does not answer"
        return answered
