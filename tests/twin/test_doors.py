"""Who gets in at the page, and that nobody can use it up: every route, every callback, any body."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from small_field import scenario, until
from sqlalchemy.exc import OperationalError

from levada.guest.text.logs import PER_MINUTE, Sparing
from levada.hil.lease import HUNG_S
from levada.twin.app import bounded
from levada.twin.app.asked import KINDS
from levada.twin.app.bounded import MOST_BODY, MOST_HEADERS
from levada.twin.app.gate import DASH_PATH
from levada.twin.app.server import Page
from levada.twin.health import Part
from levada.twin.sources.bench import Bench
from levada.twin.store.store import Store
from levada.twin.twin import Twin

CALIBRATION = "/api/zones/maize/calibration"
FEW = settings(max_examples=80, deadline=None, derandomize=True, database=None)


class Door:
    """A page of a twin that stands still, and what was asked of the twin."""

    def __init__(
        self,
        page: Page,
        twin: Twin,
        asked: list[dict[str, Any]],
        parts: dict[str, Callable[[], Part]],
    ) -> None:
        self.page = page
        self.twin = twin
        self.asked = asked
        self.parts = parts
        """What /health asks beside page, process and devices."""

    def ask(
        self, path: str, body: bytes | None = None, *, method: str = "", **headers: str
    ) -> tuple[int, str, HTTPResponse]:
        """Status, text and the answer; names of headers with `_` for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        with closing(HTTPConnection("127.0.0.1", self.page.port, timeout=60)) as connection:
            connection.request(method or ("GET" if body is None else "POST"), path, body, sent)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer

    @property
    def application(self) -> Flask:
        return self.page._answer  # type: ignore[return-value]  # once something is shown

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.page.token}"}

    def cookie(self) -> dict[str, str]:
        """Of a browser that has opened the link."""
        _, _, answer = self.ask(self.page.link.removeprefix(self.page.url))
        return {"Cookie": (answer.getheader("Set-Cookie") or "").partition(";")[0]}

    def callbacks(self) -> dict[str, dict[str, Any]]:
        """What Dash calls, by outputs."""
        view = self.application.view_functions[DASH_PATH]
        cells = [cell.cell_contents for cell in view.__closure__ or ()]
        (app,) = [cell for cell in cells if hasattr(cell, "callback_map")]
        return dict(app.callback_map)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    with ExitStack() as open_:
        store = open_.enter_context(Store(folder / "store.sqlite"))
        twin = Twin(scenario(folder), store, Bench(speed=None))
        open_.callback(twin.close)
        asked: list[dict[str, Any]] = []

        def calibrate(zone: str, values: dict[str, int], **how: Any) -> Any:
            twin.checked(zone, values)
            asked.append({"zone": zone, "values": values, **how})
            return SimpleNamespace(result=lambda _timeout_s: values)

        twin.calibrate = calibrate  # type: ignore[method-assign]
        twin.try_out = lambda *_: pytest.fail("a dry run")  # type: ignore[method-assign]
        parts: dict[str, Callable[[], Part]] = {}
        page = open_.enter_context(Page(twin, port=0, parts=parts))
        yield Door(page, twin, asked, parts)


def one(spec: str, value: Any) -> Any:
    """An input, state or output as the page sends it."""
    part, prop = spec.rsplit(".", 1)
    if part.startswith("{"):
        where = {"type": json.loads(part)["type"], "name": "on_pct"}
        return [{"id": where, "property": prop, "value": value}]
    return {"id": part, "property": prop, "value": value}


GOOD: dict[str, Any] = {
    "url.pathname": "/zone/maize",
    "tile.id": {"type": "tile", "name": "maize"},
    "node-name.data": "maize",
    "zone-name.data": "maize",
    "zone-window.value": "7 d",
    "parameter-now.id": {"type": "parameter-now", "name": "on_pct"},
    "parameter-now.children": "70 %",
    "parameter.id": {"type": "parameter", "name": "on_pct"},
    "parameter.value": "60",
    "calibrate-try.n_clicks": 1,
    "calibrate-set.n_clicks": 1,
    "calibrate-who.value": "Mallory",
    "calibrate-expiry.value": "until changed",
    "history-zone.value": "maize",
    "history-signals.value": ["raw theta"],
    "history-start.value": "2023-07-06",
    "history-end.value": "2023-07-08",
    "history-moment.value": 500,
}


def body_of(output: str, callback: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """A request to a callback as the page makes it."""

    def part(spec: dict[str, str]) -> Any:
        name = json.loads(spec["id"])["type"] if spec["id"].startswith("{") else spec["id"]
        return one(f"{spec['id']}.{spec['property']}", values.get(f"{name}.{spec['property']}"))

    wanted = callback["output"]
    outputs = [
        one(f"{o.component_id_str()}.{o.component_property}", None)
        for o in (wanted if isinstance(wanted, list) else [wanted])
    ]
    return {
        "output": output,
        "outputs": outputs if isinstance(wanted, list) else outputs[0],
        "inputs": [part(spec) for spec in callback["inputs"]],
        "state": [part(spec) for spec in callback["state"]],
        "changedPropIds": [],
    }


def test_every_callback_answers_what_the_page_asks_and_what_changes_something_needs_the_token(
    door: Door,
) -> None:
    locked = set()
    for output, callback in door.callbacks().items():
        status, text, _ = door.ask(DASH_PATH, json.dumps(body_of(output, callback, GOOD)).encode())
        assert status in (200, 204, 403), (output, text)
        if status == 403:
            assert "token" in json.loads(text)["error"]
            locked.add(output.strip(".").split(".")[0])
    assert locked == {"calibrate-tried", "calibrate-done", "rollout-said"}
    assert door.asked == []


def test_a_callback_calibrates_with_the_cookie_and_not_without(door: Door) -> None:
    (output,) = [key for key in door.callbacks() if "calibrate-done" in key]
    body = json.dumps(body_of(output, door.callbacks()[output], GOOD)).encode()
    cookie = door.cookie()
    for wrong in ({}, {"Cookie": cookie["Cookie"] + "x"}, {"Authorization": "Bearer guess"}):
        assert door.ask(DASH_PATH, body, **wrong)[0] == 403
    assert door.asked == []
    status, text, _ = door.ask(DASH_PATH, body, **cookie)
    assert status == 200 and "on_pct = 60" in text
    asked = door.asked.pop()
    assert (asked["who"], asked["values"]) == ("Mallory", {"on_pct": 60})


def test_every_route_that_takes_more_than_a_reading_needs_the_token(door: Door) -> None:
    reading = {"GET", "HEAD", "OPTIONS"}
    values = {"path": "x", "zone": "maize", "_rest": "x", "package_name": "dash"}
    seen = 0
    for rule in door.application.url_map.iter_rules():
        path = rule.rule
        for name in rule.arguments:
            start, end = path.index("<"), path.index(">")
            path = f"{path[:start]}{values.get(name, 'x')}{path[end + 1 :]}"
        for method in (rule.methods or set()) - reading:
            seen += 1
            assert door.ask(path, b"{}", method=method)[0] == 403, (method, path)
    assert seen >= 3
    assert door.ask("/anything", b"{}", method="PUT")[0] == 403


def test_the_link_opens_one_browser_by_one_click(door: Door) -> None:
    path = door.page.link.removeprefix(door.page.url)
    assert door.ask(path, method="HEAD")[0] == 405  # a preview does not use it up
    assert door.ask(path, Sec_Purpose="prefetch")[0] == 503
    status, _, answer = door.ask(path)
    assert (status, answer.getheader("Location")) == (303, "/")
    cookie = (answer.getheader("Set-Cookie") or "").split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie)
    assert door.page.token not in cookie[0] and door.page.token not in door.page.link
    assert door.ask(path)[0] == 403  # used
    assert door.ask(path, Cookie=cookie[0])[0] == 303  # the same browser, once more
    assert door.page.link.removeprefix(door.page.url) != path
    assert answer.getheader("Referrer-Policy") == "no-referrer"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),  # another port is another's page
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, 200),  # through a tunnel
        ({"Host": "[::1]", "Origin": "http://[::1]"}, 200),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({}, 200),
    ],
)
def test_a_foreign_page_gets_nowhere_even_with_the_token(
    door: Door, headers: dict[str, str], status: int
) -> None:
    body = json.dumps({"values": {"on_pct": 50}, "who": "Ada"}).encode()
    for token in (door.bearer, door.cookie()):
        assert door.ask(CALIBRATION, body, **headers, **token)[0] == status
    assert [asked["who"] for asked in door.asked] == ["Ada"] * (2 if status == 200 else 0)
    door.asked.clear()


@pytest.mark.parametrize("who", ["expiry", "MQTT", "", "  ", 5, ["Ada"]])
def test_nobody_stands_in_the_record_under_the_twins_own_names(door: Door, who: Any) -> None:
    body = json.dumps({"values": {"on_pct": 50}, "who": who}).encode()
    assert door.ask(CALIBRATION, body, **door.bearer)[0] == 400
    assert door.asked == []


@pytest.mark.parametrize("path", ["/", "/health", "/assets/levada.css", CALIBRATION, DASH_PATH])
def test_a_body_beyond_the_bound_is_refused_before_it_is_read(door: Door, path: str) -> None:
    with socket.create_connection(("127.0.0.1", door.page.port), timeout=60) as line:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000000\r\n\r\n"
        line.sendall(head.encode())
        for _ in range(200):  # 200 MB would be 3,000 of these; it is answered and forgotten
            line.sendall(bytes(65_536))
        assert line.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_a_body_in_chunks_and_long_headers_have_their_bounds_too(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.page.port), timeout=60) as line:
        line.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(MOST_BODY // 65_536 + 2):
            line.sendall(b"10000\r\n" + bytes(65_536) + b"\r\n")
        assert line.recv(65_536).startswith(b"HTTP/1.1 413 ")
    status, text, _ = door.ask("/health", X_Long="x" * MOST_HEADERS)
    assert status == 431
    assert str(MOST_HEADERS) in json.loads(text)["error"]


def test_idle_and_trickling_connections_keep_nobody_out(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "IDLE_S", 2.0)
    with ExitStack() as idle:
        for number in range(300):  # three times as many as there are places
            line = socket.create_connection(("127.0.0.1", door.page.port), timeout=60)
            idle.callback(line.close)
            if number % 2:
                line.sendall(b"GET /health HTTP/1.1\r\n")
        assert door.ask("/health")[0] == 200
        assert door.page._servers[0].connections <= bounded.MOST_CONNECTIONS
    until(lambda: door.page._servers[0].connections <= 1)


@pytest.mark.parametrize("silent", [True, False])
def test_a_trickle_is_no_progress(
    door: Door, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    """A request has its time as a whole, however its bytes are spread."""
    monkeypatch.setattr(bounded, "IDLE_S", 1.0)
    with socket.create_connection(("127.0.0.1", door.page.port), timeout=0.05) as line:
        answer = b""
        for byte in b"GET /health HTTP/1.1\r\n" + b"X-Slow: x\r\n" * 1_000_000:
            try:
                line.sendall(b"" if silent else bytes([byte]))
                answer = line.recv(100)
                break  # hung up
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert answer == b""


def test_health_names_every_part_and_fails_with_one(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, text, _ = door.ask("/health")
    found = json.loads(text)
    assert status == 200 and found["ok"]
    assert set(found["parts"]) == {"process", "page"} and found["devices"]["maize"]["ok"]
    trouble = Part(ok=False, detail="mqtt://me:s3cret@host does not answer")
    monkeypatch.setitem(door.parts, "broker", lambda: trouble)
    status, text, _ = door.ask("/health")
    assert status == 503 and not json.loads(text)["ok"]
    assert json.loads(text)["parts"]["broker"]["detail"] == "mqtt://***@host does not answer"
    assert door.ask("/health/own")[0] == 503
    monkeypatch.setitem(door.parts, "broker", lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    assert "ZeroDivisionError" in door.ask("/health")[1]


def test_health_says_that_the_twin_does_not_get_on(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = door.twin
    monkeypatch.setattr(twin, "view", replace(twin.view, ended=False))
    monkeypatch.setitem(door.parts, "twin", twin.part)
    monkeypatch.setattr(twin, "_attended_s", time.monotonic() - HUNG_S / 2)
    assert door.ask("/health")[0] == 200
    monkeypatch.setattr(twin, "_attended_s", time.monotonic() - 2 * HUNG_S)
    status, text, _ = door.ask("/health")
    assert status == 503
    assert json.loads(text)["parts"]["twin"]["detail"].startswith("has not got on for 1")


def test_a_silent_device_is_told_but_is_no_reason_to_restart_the_twin(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = door.twin.view
    zones = tuple(replace(zone, lost="no answer") for zone in view.zones)
    monkeypatch.setattr(door.twin, "view", replace(view, zones=zones))
    for path, expected in (("/health", 503), ("/health/own", 200)):
        status, text, _ = door.ask(path)
        assert status == expected
        assert json.loads(text)["ok"] == (expected == 200)
        assert json.loads(text)["devices"]["maize"] == {"ok": False, "detail": "no answer"}
    assert door.ask("/health/x")[0] == 404


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def told_once(status: int, text: str) -> None:
    """Refused, in one line, without a traceback or SQL."""
    assert 200 <= status < 500, text
    if status >= 400:
        assert "Traceback" not in text and "SELECT" not in text and "\n" not in text.strip()


@FEW
@given(body=ANY | st.binary(max_size=40) | st.just("[" * 100_000), data=st.data())
def test_any_body_is_answered_in_one_line(door: Door, body: Any, data: st.DataObject) -> None:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    if isinstance(body, str) and body.startswith("[["):
        sent = body.encode()
    path = data.draw(st.sampled_from([DASH_PATH, CALIBRATION, "/", "/health"]))
    headers = data.draw(st.sampled_from([{}, door.bearer]))
    told_once(*door.ask(path, sent, **headers)[:2])


@FEW
@given(data=st.data())
def test_any_value_in_a_request_of_the_page_is_answered_in_one_line(
    door: Door, data: st.DataObject
) -> None:
    callbacks = door.callbacks()
    output = data.draw(st.sampled_from(sorted(key for key in callbacks if "tried" not in key)))
    hostile = st.sampled_from(
        [None, "", "\0", "\ud800", "9" * 5_000, -1, 2**64, 1e308, [], {}, "%00", "nowhere"]
    )
    values = {key: data.draw(st.just(GOOD.get(key)) | hostile | ANY) for key in KINDS}
    body = body_of(output, callbacks[output], values)
    if data.draw(st.booleans()):
        body[data.draw(st.sampled_from(sorted(body)))] = data.draw(ANY)
    told_once(*door.ask(DASH_PATH, json.dumps(body).encode(), **door.bearer)[:2])
    door.asked.clear()


def test_no_zone_chosen_leaves_the_history_as_it_is(door: Door) -> None:
    callbacks = door.callbacks()
    outputs = [key for key, made in callbacks.items() if "history-zone" in str(made["inputs"])]
    assert len(outputs) == 3
    for output in outputs:
        for zone, expected in (("maize", 200), (None, 204)):
            body = body_of(output, callbacks[output], {**GOOD, "history-zone.value": zone})
            assert door.ask(DASH_PATH, json.dumps(body).encode(), **door.bearer)[0] == expected
    door.asked.clear()


@FEW
@given(
    data=st.data(),
    value=st.text(max_size=12) | st.integers().map(str) | st.sampled_from(["\0", "%", "9" * 5_000]),
)
def test_any_question_is_answered_in_one_line(door: Door, data: st.DataObject, value: str) -> None:
    from urllib.parse import quote

    word = quote(value, safe="")
    forms = (
        "/api/series?zone={}",
        "/api/series/{}/raw/theta.json",
        "/api/series/maize/{}/theta.csv?start_ms={}",
        "/api/series/maize/raw/{}.json?points={}",
        "/api/events?after={}&limit={}&kind={}",
        "/api/calibrations?zone={}",
        "/api/export.csv?zone={}",
        "/_dash-component-suites/{}/{}",
        "/assets/{}",
        "/open/{}",
        "/{}",
    )
    path = data.draw(st.sampled_from(forms)).replace("{}", word)
    status, text, answer = door.ask(path)
    is_json = "json" in (answer.getheader("Content-Type") or "")
    if is_json or (status >= 400 and not path.startswith("/open/") and "<html" not in text):
        told_once(status, text)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/zone/maize", 200),
        ("/node/maize", 200),
        ("/nodes", 200),
        ("/history", 200),
        ("/zone/nowhere", 404),
        ("/node", 404),
        ("/nothing", 404),
        ("/nodes.php", 404),
        ("/nodes/maize", 404),
        ("/history/x", 404),
    ],
)
def test_a_path_without_a_page_is_not_found(door: Door, path: str, status: int) -> None:
    assert door.ask(path)[0] == status


def test_a_link_that_does_not_open_says_why_in_words(door: Door) -> None:
    path = door.page.link.removeprefix(door.page.url)
    assert door.ask(path)[0] == 303
    for stale, says in ((path, "has been used"), ("/open/abc", "is no link of the twin")):
        status, text, answer = door.ask(stale)
        assert status == 403 and says in text
        assert (answer.getheader("Content-Type") or "").startswith("text/html")


def test_a_fault_of_ours_is_one_line_too(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_arguments: object, **_named: object) -> None:
        raise OperationalError("SELECT secret FROM t", {}, Exception("disk I/O error"))

    monkeypatch.setattr(door.twin.store.reader, "calibrations", broken)
    (output,) = [key for key in door.callbacks() if "node-facts" in key]
    body = json.dumps(body_of(output, door.callbacks()[output], GOOD)).encode()
    status, text, _ = door.ask(DASH_PATH, body)
    assert (status, json.loads(text)) == (503, {"error": "disk I/O error"})
    assert "SELECT" not in caplog.text
    monkeypatch.setattr(door.twin.store.reader, "calibrations", lambda *_, **__: 1 / 0)
    status, text, _ = door.ask("/api/calibrations")
    assert status == 500 and "ZeroDivisionError" in text and "Traceback" not in text


def test_a_log_line_that_repeats_is_counted_instead() -> None:
    now_s = [0.0]
    sparing = Sparing(lambda: now_s[0])
    shown = []
    for second in range(0, 90):
        now_s[0] = float(second)
        record = logging.LogRecord("x", logging.WARNING, "file", 7, "again %d", (second,), None)
        if sparing.filter(record):
            shown.append(record.getMessage())
    # a minute of 60 lines shows 20; the next one tells of the other 40
    assert shown[PER_MINUTE - 1 : PER_MINUTE + 1] == [
        "again 19",
        "again 60 (40 more like it before)",
    ]
