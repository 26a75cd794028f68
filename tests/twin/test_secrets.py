"""No password is shown or kept, whatever URL it came in and whatever became of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import typer
from small_field import scenario

from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.text.logs import log_to_stderr
from levada.guest.text.redaction import redacted
from levada.hil.line.broker import EmbeddedBroker
from levada.sim.scenario.diagnostics import ScenarioError
from levada.twin.cli.main import app, main
from levada.twin.session import Options, Running, run_session

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mqtt://me:s3cret@host:1883", "mqtt://***@host:1883"),
        ("mqtt://s3cret@host", "mqtt://***@host"),
        ("mqtt://me:s%33cret@host", "mqtt://***@host"),
        ("mqtt://me:s3c/r?e#t@h@host/ic/x", "mqtt://***@host/ic/x"),
        ("a broker 'mqtt://me:s3 cret@host', no", "a broker 'mqtt://***@host', no"),
        ("postgresql:/u:s3cret@h/db: no such file", "postgresql:/***@h/db: no such file"),
        ("me:s3cret@host", "***@host"),
        ("postgresql://h/db?sslpassword=s3cret&a=1", "postgresql://h/db?sslpassword=***&a=1"),
        ("host=h password='s3 cret' user=u", "host=h password=*** user=u"),
        ("{'password': 's3cret', 'a': 1}", "{'password': ***, 'a': 1}"),
        ("maize=mqtts://u:s3cret@h/ic/x", "maize=mqtts://***@h/ic/x"),
        ("mqtt://a:b@h and mqtt://c:d@i", "mqtt://***@h and mqtt://***@i"),
        ('    1 | password = "s3cret"', "    1 | password = ***"),
        ("LEVADA_MQTT_PASSWORD = s3cret", "LEVADA_MQTT_PASSWORD = ***"),
        # what holds none stays as it is
        ("theta@0.15 of raw theta@0.2", "theta@0.15 of raw theta@0.2"),
        ("http://127.0.0.1:8050/ shows theta@0.2", "http://127.0.0.1:8050/ shows theta@0.2"),
        ("at 12:00 ask ada@example.org", "at 12:00 ask ada@example.org"),
        ("on_pct=60 tokens: 5", "on_pct=60 tokens: 5"),
    ],
)
def test_a_text_is_shown_without_its_passwords(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert redacted(shown) == shown


def options(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every parameter of every command that may be given a URL."""
    for name, sub in getattr(command, "commands", {}).items():
        yield from options(sub, (*path, name))
    for parameter in getattr(command, "params", ()):
        described = f"{parameter.metavar or ''} {getattr(parameter, 'help', '') or ''}"
        url = "://" in described or parameter.name in ("node", "replay", "store", "port")
        if url and (*path, parameter.name) not in NO_URLS:
            yield (*path, parameter.name)


FIELD = "field.toml"
NO_URLS = {
    *(("twin", "port"), ("twin", "shadow"), ("broker", "port")),
    *(("cloud", "port"), ("up", "port"), ("pki", "broker", "port"), ("guest", "verify", "node")),
}
URLS = (
    f"mqtt://me:{SECRET}@127.0.0.1:1/ic/x",
    f"mqtt://me:{SECRET}/x@127.0.0.1:port",
    f"postgresql://me:{SECRET}@127.0.0.1:1/db?sslpassword={SECRET}",
    f"serial:socket://me:{SECRET}@127.0.0.1:1",
    f"me:{SECRET}@127.0.0.1",
)
PUSH = ["ota", "push", str(DEFAULT_GUEST), "--suite", "none"]
COMMANDS: dict[tuple[str, ...], list[str]] = {
    ("run", "node"): ["run", FIELD, "--out", "run", "--node", "URL"],
    ("diff", "node"): ["diff", FIELD, "--out", "diff", "--node", "URL", "--node", "URL"],
    ("fog", "edge_broker"): ["fog", "--health-port", "0", "--edge-broker", "URL"],
    ("fog", "cloud_broker"): ["fog", "--health-port", "0", "--cloud-broker", "URL"],
    ("cloud", "cloud_broker"): ["cloud", "--port", "0", "--out", "c", "--cloud-broker", "URL"],
    ("cloud", "store"): ["cloud", "--port", "0", "--out", "c", "--store", "URL"],
    ("up", "node"): ["up", FIELD, "--port", "0", "--out", "up", "--node", "URL"],
    ("up", "broker"): ["up", FIELD, "--port", "0", "--out", "up", "--broker", "URL"],
    ("edge", "node"): ["edge", FIELD, "--speed", "60x", "--node", "URL"],
    ("edge", "broker"): ["edge", FIELD, "--speed", "60x", "--broker", "URL"],
    ("monitor", "port"): ["monitor", "URL"],
    ("flash", "port"): ["flash", "URL", "--guest", "none.wasm"],
    ("selftest", "node"): ["selftest", "--out", "self.json", "--node", "URL"],
    ("twin", "node"): ["twin", FIELD, "--port", "0", "--out", "twin", "--node", "URL"],
    ("twin", "broker"): ["twin", FIELD, "--port", "0", "--out", "twin", "--broker", "URL"],
    ("twin", "store"): ["twin", FIELD, "--port", "0", "--out", "twin", "--store", "URL"],
    ("twin", "replay"): ["twin", FIELD, "--port", "0", "--out", "twin", "--replay", "URL"],
    ("withdraw", "node"): ["withdraw", "URL", "--broker", "mqtt://127.0.0.1:1"],
    ("withdraw", "broker"): ["withdraw", "maize", "--broker", "URL"],
    ("fuzz", "node"): ["fuzz", FIELD, "--cases", "1", "--node", "URL"],
    ("ota", "push", "node"): [*PUSH, "--node", "URL", "--node", "a/b"],
    ("ota", "push", "broker"): [*PUSH, "--node", "maize", "--broker", "URL"],
    ("ota", "push", "store"): [*PUSH, "--node", "maize", "--scenario", FIELD, "--store", "URL"],
    ("ota", "resume", "broker"): ["ota", "resume", "--broker", "URL"],
    ("ota", "status", "broker"): ["ota", "status", "--node", "maize", "--broker", "URL"],
    ("ota", "status", "node"): ["ota", "status", "--node", "URL"],
    ("sweep", "scheduler"): ["sweep", FIELD, "--scheduler", "URL"],
    ("learn", "store"): ["learn", FIELD, "URL"],
    ("store", "export", "store"): ["store", "export", "URL", "--out", "all.csv"],
    ("store", "prune", "store"): ["store", "prune", "URL", "--before", "2020-01-01"],
    ("store", "thin", "store"): ["store", "thin", "URL", "--before", "2020-01-01"],
}
"""Parameter -> a command that is given a URL there."""
ALSO = [
    ["run", FIELD, "URL"],
    ["run", FIELD, "--set", "zone.maize.node=URL"],
    ["run", FIELD, "--set", "weather.file=URL"],
    ["run", "URL"],
    ["lint", "URL"],
    ["twin", FIELD, "--port", "0", "--nodeURL"],
    ["calibrate", "maize", "on_pct=1", "--run", "URL"],
    ["replay", "URL"],
]


def test_every_parameter_that_takes_a_url_is_tried_here() -> None:
    assert set(options(typer.main.get_command(app))) == set(COMMANDS)


@pytest.mark.parametrize("command", [*COMMANDS.values(), *ALSO], ids=" ".join)
def test_a_refused_url_is_shown_without_its_password(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")  # a line that is broken would hide what is looked for
    scenario(tmp_path, days=1)
    for url in URLS:
        with pytest.raises(SystemExit) as ended:
            main([part.replace("URL", url) for part in command])
        said = capfd.readouterr()
        assert ended.value.code not in (0, 3), (url, said)
        assert SECRET not in said.out + said.err, url
    assert found_in(tmp_path) == []


def found_in(folder: Path, *secrets: str) -> list[Path]:
    """Files that hold a secret."""
    wanted = [secret.encode() for secret in secrets or (SECRET,)]
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(secret in path.read_bytes() for secret in wanted)
    ]


def test_a_scenario_shows_no_password_of_a_node(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as refused:
        scenario(tmp_path, zones=f'node = "mqtt://me:{SECRET}@host/ic/x"')
    assert SECRET not in str(refused.value) + repr(refused.value.problems)
    assert "LEVADA_MQTT_PASSWORD" in str(refused.value)


def test_a_run_leaves_no_password_anywhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of a broker that was given with its password: no file, page, answer or line holds it."""
    field = scenario(tmp_path, days=1)
    told: list[str] = []
    seen: list[str] = []
    with EmbeddedBroker() as broker:
        password = broker.address.password or ""
        url = broker.address.url.replace("://", f"://levada:{password}@")

        def started(running: Running) -> None:
            for path in ("/health", "/api/field", "/api/runs", "/api/events", "/"):
                with urlopen(running.page.url + path, timeout=60) as answer:
                    seen.append(answer.read().decode())
            assert json.loads(seen[0])["parts"]["delivery"]["ok"]
            assert found_in(tmp_path / "run", password) == []

        how = Options(speed=None, port=0, broker=url, stay=False)
        run_session(field, tmp_path / "run", how, started=started, tell=told.append)
    assert found_in(tmp_path / "run", password) == []
    said = capfd.readouterr()
    assert password not in "".join([said.out, said.err, *told, *seen])


def test_a_log_line_shows_no_password_nor_does_its_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log_to_stderr()
    handler = logging.lastResort
    assert handler is not None
    record = logging.LogRecord("x", logging.ERROR, "file", 1, "lost %s", (URLS[0],), None)
    assert SECRET not in handler.format(record)
    try:
        raise ValueError(URLS[2])
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    assert SECRET not in handler.format(record)
