"""What a tier tells of itself: `/health` (JSON) and `/metrics` (OpenMetrics).

`/health` answers 200 if all parts are well and 503 if not; `/metrics` is for Prometheus.  Both are
served on loopback only, within bounds (`levada.twin.app.bounded`).
"""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from levada.guest.lifecycle import Closing
from levada.twin.app.bounded import BoundedServer
from levada.twin.errors import TwinError
from levada.twin.health import Parts, look

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["Metrics", "StatusServer", "rss_bytes"]

LOOPBACK: Final = "127.0.0.1"
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Bounds of the histograms' buckets [s]."""


class Metrics:
    """Counters of one tier, by the names of `docs/continuum.md`."""

    def __init__(self, tier: str) -> None:
        self.registry = CollectorRegistry()
        self._prefix = f"levada_{tier}_"
        self.received = self.counter("received", "Messages of nodes that came.")
        self.duplicates = self.counter(
            "duplicates", "Messages that were there already, and acknowledged again."
        )
        self.early = self.counter("early", "Messages that came before their turn.")
        self.refused = self.counter("refused", "Messages not taken.", "reason")
        self.computed_rows = self.counter("computed_rows", "Rows that the tier computed.")
        self.forwarded_rows = self.counter(
            "forwarded_rows", "Rows that were put on their way to the cloud.", "stream"
        )
        self.execution = self.histogram("execution_seconds", "Time to compute a group.")
        self.commit = self.histogram("commit_seconds", "Time to make a group durable.")
        self.latency = self.histogram(
            "latency_seconds", "From the arrival of a group's first message to its acknowledgement."
        )
        self.gauge("memory_rss_bytes", "Memory of the process.", rss_bytes)

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """What only grows."""
        return Counter(self._prefix + name, text, labels, registry=self.registry)

    def histogram(self, name: str, text: str) -> Histogram:
        """Times [s]."""
        return Histogram(self._prefix + name, text, buckets=_SECONDS, registry=self.registry)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A value that is asked whenever somebody looks."""
        Gauge(self._prefix + name, text, registry=self.registry).set_function(value)

    def state(self, name: str, text: str, states: dict[str, Callable[[], bool]]) -> None:
        """Which of several states holds: 1, the others 0."""
        gauge = Gauge(self._prefix + name, text, ["state"], registry=self.registry)
        for state, holds in states.items():
            gauge.labels(state).set_function(holds)

    def text(self) -> bytes:
        """All of it in the format OpenMetrics."""
        written: bytes = generate_latest(self.registry)  # type: ignore[no-untyped-call]
        return written


def rss_bytes() -> float:
    """Memory of this process that is in use; where the system does not tell, the most there was."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class StatusServer(Closing):
    """Serves `/health` and `/metrics`; port 0 takes any free one.  Raises TwinError."""

    def __init__(self, parts: Parts, metrics: Metrics, *, port: int) -> None:
        self._parts = parts
        self._metrics = metrics
        try:
            self._server = BoundedServer(self._answer, host=LOOPBACK, port=port)
        except OSError as error:
            raise TwinError(
                f"health port {port}: {error.strerror}; give another one, or 0 for any"
            ) from None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{LOOPBACK}:{self._server.port}"

    def close(self) -> None:
        """Stop serving."""
        self._server.close()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, kind, body = self._page(environ)
        headers = [
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("X-Content-Type-Options", "nosniff"),
        ]
        start_response(status, headers)
        return [body if environ["REQUEST_METHOD"] == "GET" else b""]

    def _page(self, environ: WSGIEnvironment) -> tuple[str, str, bytes]:
        host = environ.get("HTTP_HOST", LOOPBACK).partition(":")[0]
        if host not in (
            LOOPBACK,
            "localhost",
        ):  # a foreign name that points here
            return "403 Forbidden", "text/plain", b"unknown host name\n"
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return "405 Method Not Allowed", "text/plain", b"only GET\n"
        match environ["PATH_INFO"]:
            case "/health":
                found = look(self._parts)
                is_well = all(part.ok for part in found.values())
                parts = {
                    name: {"ok": part.ok, "detail": part.detail} for name, part in found.items()
                }
                body = json.dumps({"ok": is_well, "parts": parts}).encode() + b"\n"
                status = "200 OK" if is_well else "503 Service Unavailable"
                return status, "application/json", body
            case "/metrics":
                return "200 OK", CONTENT_TYPE_LATEST, self._metrics.text()
        return "404 Not Found", "text/plain", b"there are /health and /metrics\n"
