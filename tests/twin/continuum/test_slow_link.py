"""The relay that slows a link down: its times by hand, and its bytes complete and in order."""

from __future__ import annotations

import asyncio
import os
import queue
import random
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import pytest
from services import need

from levada.hil.line.broker import BrokerAddress, keep_address, parse_broker
from levada.sim.scenario.continuum import Link, Outage
from levada.sim.scenario.model import Period
from levada.twin.continuum.outages import Outages
from levada.twin.continuum.slow_link import (
    BEGAN,
    FieldOutages,
    SegmentTimes,
    SlowLink,
    SlowLinkSettings,
)
from levada.twin.continuum.supervisor import Supervised

NEVER = threading.Event()


def times(seed: int = 1, **link: float) -> SegmentTimes:
    return SegmentTimes(Link.model_validate({"between": "edge-fog"} | link), seed, "up")


def test_a_segment_arrives_after_the_delay() -> None:
    assert times(delay_ms=250.0).arrival(10.0, 1_000) == 10.25


def test_segments_queue_for_a_slow_line_whichever_their_connection() -> None:
    """1,000 bytes at 8 kbit/s take a second."""
    slow = times(delay_ms=100.0, rate_kbit_s=8.0)
    found = [slow.arrival(at_s, 1_000) for at_s in (0.0, 0.0, 5.0, 5.5)]
    assert found == pytest.approx([1.1, 2.1, 6.1, 7.1])


OUTAGES = Outages(((10.0, 20.0), (15.0, 30.0), (30.5, 40.0)))
"""The first two overlap, half a second after them there is a third."""


@pytest.mark.parametrize(
    ("given_s", "arrives_s"),
    [
        (8.5, 9.6),  # 1,000 bytes take a second
        (9.5, 41.1),  # broken off by the outage; half a second later is not enough for all of it
        (12.0, 41.1),
        (40.0, 41.1),
    ],
)
def test_what_meets_an_outage_is_sent_as_a_whole_after_it(given_s: float, arrives_s: float) -> None:
    slow = times(delay_ms=100.0, rate_kbit_s=8.0)
    slow.outages = OUTAGES
    assert slow.arrival(given_s, 1_000) == pytest.approx(arrives_s)


def test_a_field_that_begins_anew_in_an_outage_finds_the_line_free() -> None:
    slow = times(delay_ms=100.0)
    slow.outages = OUTAGES
    assert slow.arrival(12.0, 1_000) == 30.1
    slow.outages = Outages(((110.0, 120.0),))
    assert slow.arrival(13.0, 1_000) == 13.1


def test_an_outage_of_no_length_is_none() -> None:
    hours = [
        Outage(start=timedelta(hours=2), duration=timedelta(hours=length)) for length in (0, 3)
    ]
    period = Period(start=date(2023, 7, 1), end=date(2023, 7, 2))
    found = Outages.of(Link(between="edge-fog", outage=tuple(hours)), period)
    assert found.intervals == ((7_200.0, 18_000.0),)


def test_without_a_rate_half_a_second_is_enough() -> None:
    slow = times(delay_ms=100.0)
    slow.outages = OUTAGES
    assert [slow.arrival(at_s, 1_000) for at_s in (12.0, 30.2, 30.5)] == pytest.approx(
        [30.1, 30.3, 40.1]
    )


@pytest.mark.parametrize(
    ("delay_ms", "jitter_ms", "retransmission_s"),
    [
        (0.0, 0.0, 0.2),
        (100.0, 0.0, 0.4),  # there and back 200 ms
        (100.0, 30.0, 0.43),  # 230 ms; 4/3 of the jitter is less than 200 ms
        (100.0, 300.0, 0.9),  # 500 ms, and 4/3 of the jitter
    ],
)
def test_the_retransmission_timer_is_that_of_rfc_6298_with_the_bound_of_linux(
    delay_ms: float, jitter_ms: float, retransmission_s: float
) -> None:
    found = times(delay_ms=delay_ms, jitter_ms=jitter_ms).retransmission_s
    assert found == pytest.approx(retransmission_s)


def test_a_lost_segment_comes_after_the_timer_which_doubles() -> None:
    """Half of them are lost, of which half again: 0.1 s, then 0.4, 0.8 ... later."""
    slow = times(delay_ms=100.0, loss_pct=50.0)
    found = Counter(round(slow.arrival(0.0, 100), 9) for _ in range(4_000))
    assert sorted(found)[:4] == [0.1, 0.5, 1.3, 2.9]
    for at_s, expected in ((0.1, 2_000), (0.5, 1_000), (1.3, 500)):
        assert abs(found[at_s] - expected) < 4 * expected**0.5


def test_the_timer_doubles_to_two_minutes_at_most() -> None:
    """0.2, 0.4 ... 102.4 s, in all 204.6 s; from then on 120 s each."""
    slow = times(loss_pct=99.0)
    late = [at_s for at_s in (slow.arrival(0.0, 100) for _ in range(50)) if at_s > 204.6]
    assert len(late) > 10
    assert [round((at_s - 204.6) % 120.0, 6) % 120.0 for at_s in late] == [0.0] * len(late)


def test_what_is_sent_again_in_an_outage_leaves_at_its_end() -> None:
    slow = times(loss_pct=99.0)
    slow.outages = Outages(((0.1, 1_000.0),))
    assert slow.arrival(0.0, 100) >= 1_000.0


def test_jitter_lets_no_segment_of_a_connection_overtake_another() -> None:
    slow = times(delay_ms=20.0, jitter_ms=300.0, loss_pct=10.0)
    arrivals = [0.0]
    for number in range(1_000):
        arrivals.append(slow.arrival(number * 0.01, 100, after_s=arrivals[-1]))
    assert arrivals == sorted(arrivals)
    alone = [slow.arrival(10.0, 100) - 10.0 for _ in range(1_000)]
    at_once = [way_s for way_s in alone if way_s <= 0.32]
    assert 860 < len(at_once) < 940
    assert min(at_once) < 0.03
    # lost once: twice 20 ms, the mean jitter, 4/3 of 300 ms, and then the way
    assert min(way_s for way_s in alone if way_s > 0.32) >= 0.04 + 0.3 + 0.4 + 0.02


def test_equal_seeds_give_equal_times() -> None:
    def run(seed: int) -> list[float]:
        slow = times(seed, jitter_ms=300.0, loss_pct=10.0)
        return [slow.arrival(float(number), 100) for number in range(50)]

    assert run(3) == run(3) != run(4)


def test_outages_begin_when_the_field_does_and_last_as_long_as_its_speed_has_it(
    tmp_path: Path,
) -> None:
    """From hour 1 to hour 3 of a field that began 10 s ago at 600x: from 6 s to 18 s after that."""
    began = tmp_path / BEGAN
    outages = FieldOutages(Outages(((3_600.0, 10_800.0),)), 600.0, began)
    assert outages.current() == Outages()
    for ago_s in (10, 3):  # it begins anew
        began.touch()
        before_s = time.monotonic()
        os.utime(began, ns=(0, time.time_ns() - ago_s * 10**9))
        ((start_s, end_s),) = outages.current().intervals
        after_s = time.monotonic()
        assert before_s - 0.01 <= start_s - 6.0 + ago_s <= after_s + 0.01
        assert end_s - start_s == pytest.approx(12.0)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(5_000):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def through(
    link: Link,
    outages: FieldOutages,
    job: Callable[[SlowLink, BrokerAddress, list[int]], Awaitable[None]],
) -> None:
    """Run `job(relay, its address, numbers of the connections at the other side)`."""
    heard: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(len(heard))
        await echo(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    relay = SlowLink(BrokerAddress(host="127.0.0.1", port=port), link, seed=1, outages=outages)
    address = await relay.listen()
    try:
        await job(relay, address, heard)
    finally:
        await relay.close()
        server.close()
        await server.wait_closed()


def test_bytes_come_complete_and_in_order_through_jitter_loss_and_outage(tmp_path: Path) -> None:
    """An outage of 0.4 s begins at once, so that the connection is made in it."""
    sent = random.Random(1).randbytes(150_000)
    link = Link(between="edge-fog", delay_ms=5.0, jitter_ms=30.0, loss_pct=3.0, rate_kbit_s=20e3)
    (tmp_path / BEGAN).touch()
    outages = FieldOutages(Outages(((0.0, 240.0), (300.0, 420.0))), 600.0, tmp_path / BEGAN)
    ends_s = outages.current().intervals[0][1]

    async def job(_relay: SlowLink, address: BrokerAddress, heard: list[int]) -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(sent)
        first = await reader.readexactly(1)
        assert time.monotonic() >= ends_s
        writer.write_eof()
        assert first + await reader.read() == sent
        assert heard == [0]
        writer.close()

    asyncio.run(through(link, outages, job))


class Switched(FieldOutages):
    """One outage, which ends when the test has it so."""

    def __init__(self) -> None:
        self.down = True

    def current(self) -> Outages:
        return Outages(((0.0, 1e9),)) if self.down else Outages()


def test_who_gives_up_in_an_outage_is_never_heard_of() -> None:
    outages = Switched()

    async def job(_relay: SlowLink, address: BrokerAddress, heard: list[int]) -> None:
        for _ in range(3):
            _, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(b"x")
            writer.close()
            await writer.wait_closed()
        reader, writer = await asyncio.open_connection(address.host, address.port)
        for _ in range(100):  # rounds of the loop, in which the relay hears what is there
            await asyncio.sleep(0)
        outages.down = False
        writer.write(b"y")
        assert await reader.readexactly(1) == b"y"
        assert heard == [0]
        writer.close()

    asyncio.run(through(Link(between="edge-fog"), outages, job))


EC: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
FOR: Final = ("-days", "2", "-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1")


def test_to_a_broker_with_tls_the_relay_speaks_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    made = [need("openssl"), "req", "-x509", *EC, *FOR, "-keyout", key, "-out", certificate]
    subprocess.run(made, check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    inside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    inside.load_cert_chain(certificate, key)

    async def job() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=inside)
        port = server.sockets[0].getsockname()[1]
        target = BrokerAddress(host="127.0.0.1", port=port, tls=True)
        outages = FieldOutages(Outages(), 1.0, tmp_path / BEGAN)
        relay = SlowLink(target, Link(between="edge-fog"), seed=1, outages=outages)
        address = await relay.listen()
        assert not address.tls
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()
        await relay.close()
        server.close()
        await server.wait_closed()

    asyncio.run(job())


def test_a_broker_that_is_not_there_is_no_connection(tmp_path: Path) -> None:
    async def job() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        outages = FieldOutages(Outages(), 1.0, tmp_path / BEGAN)
        target = BrokerAddress(host="127.0.0.1", port=port)
        relay = SlowLink(target, Link(between="edge-fog"), seed=1, outages=outages)
        address = await relay.listen()
        reader, writer = await asyncio.open_connection(address.host, address.port)
        assert await reader.read() == b""
        writer.close()
        await relay.close()

    asyncio.run(job())


def test_the_process_keeps_its_port_when_it_is_killed_and_ends_with_its_input(
    tmp_path: Path,
) -> None:
    broker = tmp_path / "broker.json"
    lines: queue.Queue[str] = queue.Queue()
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = BrokerAddress(host="127.0.0.1", port=server.getsockname()[1], password="p")
        keep_address(broker, target)
        settings = SlowLinkSettings(
            link={"between": "fog-cloud", "delay_ms": 1.0},
            outages=((60.0, 120.0),),
            seed=1,
            speed=1.0,
            broker=str(broker),
            address=str(tmp_path / "fog-cloud.json"),
            began=str(tmp_path / BEGAN),
        )
        with Supervised("link", settings.command, lines.put) as part:
            said = lines.get(timeout=120)
            found = parse_broker(settings.address)
            assert said == f"fog-cloud at {found.url}"
            assert (found.password, found.port != target.port) == ("p", True)
            os.kill(part.pid, signal.SIGKILL)
            assert lines.get(timeout=120) == said
            with socket.create_connection((found.host, found.port)) as client:
                client.sendall(b"hello")
                with server.accept()[0] as accepted:
                    assert accepted.recv(5, socket.MSG_WAITALL) == b"hello"
        assert (part.exit_code, part.restarts) == (0, 1)
