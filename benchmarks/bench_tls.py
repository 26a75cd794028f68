"""What TLS costs over mosquitto: to connect, and for a message there and back.

The same client and broker without TLS, with it, and with a certificate of the client's own, as
`levada pki` issues them, by turns in one run; the ratio is to the one without.
"""

from __future__ import annotations

import getpass
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.bench_delivery import free_port, mosquitto_program, wait_for_port
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.pki.authority import Authority, create

CONNECTIONS: Final = 60
MESSAGES: Final = 20
"""Over each connection."""
PAYLOAD: Final = bytes(150)
"""As long as telemetry is."""
SEED: Final = 1
RESAMPLES: Final = 2_000

FloatArray = npt.NDArray[np.float64]


@contextmanager
def _brokers(folder: Path, authority: Authority) -> Iterator[tuple[int, dict[str, BrokerAddress]]]:
    """One mosquitto that listens in three ways; its process, and how to reach it."""
    authority.issue("broker", hosts=("localhost", "127.0.0.1"))
    authority.issue("client")
    own = authority.files("client")
    trusting = folder / "trusting"
    trusting.mkdir()
    shutil.copy(authority.folder / "ca.pem", trusting / "ca.pem")
    server = authority.files("broker")
    ports = [free_port() for _ in range(3)]
    tls = (
        f"cafile {authority.folder / 'ca.pem'}\ncertfile {server / 'cert.pem'}\n"
        f"keyfile {server / 'key.pem'}\n"
    )
    config = folder / "mosquitto.conf"
    config.write_text(
        f"user {getpass.getuser()}\nallow_anonymous true\nset_tcp_nodelay true\n"
        f"listener {ports[0]} 127.0.0.1\n"
        f"listener {ports[1]} 127.0.0.1\n{tls}"
        f"listener {ports[2]} 127.0.0.1\n{tls}require_certificate true\n"
    )
    process = subprocess.Popen([mosquitto_program(), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        for port in ports:
            wait_for_port("127.0.0.1", port)
        plain, server_only, mutual = ports
        yield (
            process.pid,
            {
                "without TLS": BrokerAddress(host="localhost", port=plain),
                "TLS": BrokerAddress(
                    host="localhost", port=server_only, tls=True, pki=str(trusting)
                ),
                "TLS, own certificate": BrokerAddress(
                    host="localhost", port=mutual, tls=True, pki=str(own)
                ),
            },
        )
    finally:
        process.terminate()
        process.wait()


class _Echo:
    """A client that hears itself."""

    def __init__(self, address: BrokerAddress) -> None:
        self._heard = threading.Semaphore(0)
        begin_s = time.perf_counter()
        self._client = MqttClient(
            address, subscription="bench/tls", handler=lambda *_: self._heard.release()
        )
        self.connected_s = time.perf_counter() - begin_s

    def round_trip_s(self) -> float:
        begin_s = time.perf_counter()
        if not self._client.publish("bench/tls", PAYLOAD) or not self._heard.acquire(timeout=60):
            raise RuntimeError("a message was lost")
        return time.perf_counter() - begin_s

    def close(self) -> None:
        self._client.close()


def _ratio(values: FloatArray, to: FloatArray) -> str:
    """Of medians, with the 95 % interval of a bootstrap by percentiles."""
    drawn = np.random.default_rng(SEED)

    def medians(of: FloatArray) -> FloatArray:
        return np.asarray(np.median(drawn.choice(of, (RESAMPLES, of.size)), axis=1))

    low, high = np.percentile(medians(values) / medians(to), [2.5, 97.5])
    return f"{np.median(values) / np.median(to):.2f} ({low:.2f} to {high:.2f})"


def main() -> int:
    """Measure and print; there is no limit to miss."""
    if shutil.which(mosquitto_program()) is None:
        print("mosquitto is not installed")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _brokers(folder, create(folder / "pki")) as (broker, ways):
            connect_s: dict[str, list[float]] = {way: [] for way in ways}
            trip_s: dict[str, list[float]] = {way: [] for way in ways}
            broker_s = dict.fromkeys(ways, 0.0)
            cpu = psutil.Process(broker).cpu_times
            turns = np.random.default_rng(SEED)
            for _ in range(CONNECTIONS):
                for way in turns.permutation(list(ways)):
                    before = cpu()
                    echo = _Echo(ways[way])
                    connect_s[way].append(echo.connected_s)
                    trip_s[way] += [echo.round_trip_s() for _ in range(MESSAGES)]
                    echo.close()
                    after = cpu()
                    broker_s[way] += after.user + after.system - before.user - before.system
    plain = next(iter(connect_s))
    for what, took_s in (("to connect", connect_s), ("message and back", trip_s)):
        print(f"{what:<24} {'p50 [ms]':>9} {'p95':>9}  times one without TLS (95 %)")
        for way, values in took_s.items():
            half, most = np.percentile(values, [50, 95]) * 1e3
            ratio = _ratio(np.array(values), np.array(took_s[plain]))
            print(f"{way:<24} {half:9.2f} {most:9.2f}  {ratio}")
    print(f"broker, a connection of {MESSAGES} messages [ms of a processor]")
    for way, spent_s in broker_s.items():
        print(f"{way:<24} {1e3 * spent_s / CONNECTIONS:9.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
