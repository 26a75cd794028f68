"""Settings of `levada fog`: from a file, from flags, and what is said of wrong ones."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from command import levada

from levada.guest.shipped import DEFAULT_GUEST
from levada.sim.scenario.diagnostics import ScenarioError
from levada.twin.continuum.config import BrokerFile, CloudFile, EdgeFile, FogFile, read_config
from levada.twin.continuum.tier import Tier
from levada.twin.mqtt.messages import Ack, Processed, Relayed, decode

FILE = """\
edge_broker = "mqtt://127.0.0.1:1884"
buffer = "kept/fog.sqlite"
[fog]
name = "north"
window = "20 min"
parameters = { filter_kind = 2 }
"""


def test_a_file_is_read_and_flags_win_over_it(tmp_path: Path) -> None:
    file = tmp_path / "fog.toml"
    file.write_text(FILE)
    found = read_config(FogFile, file, {("fog", "name"): ("--name south", "south")})
    assert (found.fog.name, found.fog.window) == ("south", timedelta(minutes=20))
    assert found.fog.parameters == {"filter_kind": 2}
    assert found.buffer == str(tmp_path / "kept/fog.sqlite")  # relative to the file
    assert found.module == DEFAULT_GUEST
    assert found.health_port == 8060
    given = read_config(FogFile, file, {("buffer",): ("--buffer x.sqlite", "x.sqlite")})
    assert given.buffer == "x.sqlite"  # relative to where the command was given


DOCS = Path(__file__).parents[3] / "docs"


def test_the_file_in_the_documentation_is_one(tmp_path: Path) -> None:
    page = (DOCS / "continuum.md").read_text("utf-8")
    file = tmp_path / "fog.toml"
    (block,) = (b for b in page.split("```toml\n")[1:] if b.startswith("edge_broker"))
    file.write_text(block.split("```")[0])
    found = read_config(FogFile, file, {})
    assert found.fog.name == "north"
    with Tier(DEFAULT_GUEST.read_bytes(), "wasm", found.fog.parameters, 0, 0):
        pass  # the guest takes them


@pytest.mark.parametrize(
    ("command", "kind"),
    [("broker", BrokerFile), ("edge", EdgeFile), ("fog", FogFile), ("cloud", CloudFile)],
)
def test_the_keys_and_defaults_in_the_documentation_are_those_in_force(
    command: str, kind: type[BrokerFile | EdgeFile | FogFile | CloudFile]
) -> None:
    page = (DOCS / "continuum.md").read_text("utf-8")
    rows = re.search(rf"^\| `{command}` (\| `.*?\n)(?=\| `|\n)", page, re.M | re.S)
    assert rows is not None
    told = dict(re.findall(r"^(?:\| )?\| `(\w+)` \| ([^|]+) \|", rows[1], re.M))
    assert told.keys() == kind.model_fields.keys() - {"fog", "cloud"}
    for key, said in told.items():
        default = kind.model_fields[key].default
        if default is not None:
            assert said.strip('`"') == str(default)


def test_the_messages_in_the_documentation_are_such() -> None:
    page = (DOCS / "mqtt.md").read_text("utf-8")
    block = re.search(r"^    ic/fog/relayed .*?\n\n", page, re.M | re.S)
    assert block is not None
    kinds = {"relayed": Relayed, "processed": Processed, "ack": Ack}
    found = re.split(r"ic/fog/(\w+)", block[0])[1:]
    decoded = [
        decode(kinds[name], text.encode())
        for name, text in zip(found[::2], found[1::2], strict=True)
    ]
    relayed, processed, ack = decoded
    assert processed.seq == relayed.seq + len(relayed.rows)
    assert ack.seq == processed.seq + len(processed.rows) - 1
    assert [(row.node, row.boot, row.seq, row.t) for row in relayed.rows] == [
        (row.node, row.boot, row.seq, row.t) for row in processed.rows
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[fog]\nengine = 'jit'\n", "fog.toml:2:10: `engine` = "),
        ("[fog]\nwindov = '1 h'\n", "fog.toml:2:1: unknown key `windov`"),
        ("[fog]\nwindow = '7 h'\n", "must divide a day, or be whole days"),
        ("[fog]\nbuffer_rows = 5\n", "permitted 1000 to 1000000000"),
        ("health_port = 70000\n", "permitted 0 to 65535"),
        ("buffer = 'fog.json'\n", 'name a file such as "fog.sqlite"'),
        ("[fog\n", "not TOML"),
        ("fog = 3\n", "`fog`"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_what_is_permitted(
    text: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "fog.toml"
    file.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        read_config(FogFile, file, {})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "jit"], "--engine jit: `engine`"),
        (["--window", "soon"], "--window soon: "),
        (["--buffer-full", "drop"], "--buffer-full drop: `buffer_full`"),
        (["--name", "a/b"], "--name a/b: "),
        (["--parameter", "filter_kind"], "must be key=value"),
        (["--parameter", "filter_kind=x"], "must be a whole number"),
        (["--parameter", "window=99999999999"], "`window` = 99999999999: permitted at most 214"),
        (["--parameter", "speed=1"], "parameter 'speed': the guest has confirm, "),
        (["--parameter", "filter_kind=7"], "filter_kind"),
        (["--edge-broker", "http://x"], "write mqtt://HOST"),
        (["--log", "xml"], "permitted are plain and json"),
        (["--guest", "none.wasm"], "none.wasm: No such file"),
        (["--config", "none.toml"], "none.toml: cannot be read: No such file"),
        (["--buffer", "/proc/x/fog.sqlite"], "/proc/x"),
    ],
)
def test_a_wrong_flag_is_named_and_nothing_is_started(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    base = ["fog", "--edge-broker", "mqtt://127.0.0.1:1", "--health-port", "0"]
    done = levada(*base, *arguments, cwd=tmp_path)
    assert done.returncode == 2, done
    assert said in " ".join(done.stderr.split())
    assert not list(tmp_path.glob("*.json"))


def test_help_names_every_setting() -> None:
    done = levada("fog", "--help", cwd=Path.cwd())
    assert done.returncode == 0
    for option in ("--config", "--edge-broker", "--cloud-broker", "--buffer", "--health-port"):
        assert option in done.stdout
    for key in FogFile.model_fields["fog"].annotation.model_fields:  # type: ignore[union-attr]
        option = {"parameters": "parameter"}.get(key, key).replace("_", "-")
        assert f"--{option}" in done.stdout, key


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = levada(
            *("fog", "--edge-broker", "mqtt://127.0.0.1:1", "--health-port", str(port)),
            *("--engine", "off"),
            cwd=tmp_path,
        )
    assert done.returncode == 2
    assert f"health port {port}: Address already in use" in done.stderr
