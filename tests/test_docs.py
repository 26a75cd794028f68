"""Every block of the documentation is run, or is listed here with the reason why not.

Commands run as they stand, in a folder such as a reader has: the shipped scenarios copied (cut to
a few days), a guest, a board.  Only what cannot be here is replaced: the serial port of a board by
a virtual board on TCP, the port of the page by any free one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pkgutil
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pytest
import tomli_w
import typer.main
from markdown_it import MarkdownIt
from markdown_it.token import Token
from typer.core import TyperGroup
from typer.testing import CliRunner

import levada
from levada.hil.virtual import VirtualDevice
from levada.sim.run import runner
from levada.sim.scenario import load as scenarios
from levada.twin.cli.main import app, main
from levada.twin.continuum.config import CloudFile, FogFile, read_config
from levada.twin.ota.settings import read_rollout

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "levada"
"""Where the rooms are in a clone, and in a source distribution too, which has no links."""
BIN: Final = Path(sys.executable).parent
PAGES: Final = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((PACKAGE / "scenarios").rglob("*.md")),
]
MARKDOWN: Final = MarkdownIt().enable("table")
START_S: Final = 240
"""Within which a command must have said what it is waited for: no busy computer takes so long."""

SHOWN: Final = {
    ("README.md", "scenario.toml ────"): "drawing",
    ("README.md", "Maize near Greeley, Colorado"): "output; tests/twin/test_readme.py compares it",
    ("README.md", "levada run SCENARIO"): "synopsis; its commands and options are parsed below",
    ("docs/abi.md", "tiers     edge"): "output; tests/guest/test_module.py has its lines",
    ("docs/abi.md", "[2000 2000 2225"): "output; compared with what the example prints",
    ("docs/architecture.md", "scenario.toml "): "drawing",
    ("docs/continuum.md", "boards ──"): "drawing",
    ("docs/data.md", "{4: 0.0"): "output; compared with what the example prints",
    ("docs/data.md", "[(4, 0.0)"): "output; compared with what the example prints",
    ("docs/data.md", "library(arrow)"): "R, which the page says is not executed",
    ("docs/estimate.md", "zone maize: "): "output; tests/twin/test_learn.py has its lines",
    ("docs/sweep.md", "SELECT "): "SQL; tests/sim/test_sweep.py asks the like",
    ("docs/firmware.md", "firmware/core/"): "folders",
    ("docs/firmware.md", "start: the module loads"): "drawing; test_core_style.py compares",
    (
        "docs/hardware.md",
        "ic/field7/data",
    ): "messages; docs/mqtt.md and asyncapi.json have their form",
    ("docs/models.md", "rain + irrigation"): "formula",
    ("docs/models/energy.md", "q = I_alive t"): "formula",
    ("docs/models/energy.md", "U = -1.031"): "formula",
    ("docs/models/et0.md", "ET0 ="): "formula",
    ("docs/models/probe.md", "d = sqrt"): "formula",
    ("docs/models/richards.md", "[0.17  0.17"): "output; compared with what the example prints",
    ("docs/testing.md", "12 72.0"): "output; compared with what the example prints",
    ("docs/models/soil.md", "theta = theta_r"): "formula",
    ("docs/models/valve.md", "0   "): "formula",
    ("docs/models/valve.md", "q = flow_l_min"): "formula",
    ("docs/models/valve.md", "p(Q) = p_0"): "formula",
    ("docs/models/valve.md", "q = q(p_least)"): "formula",
    ("docs/mqtt.md", "node "): "drawing",
    ("docs/mqtt.md", '{"umidade"'): "messages with a comment; tests/twin/test_delivery.py has them",
    (
        "docs/mqtt.md",
        "ic/fog/relayed",
    ): "messages; tests/twin/continuum/test_fog_config.py decodes them",
    (
        "docs/mqtt.md",
        "listener 1883",
    ): "mosquitto.conf; tests/services.py starts brokers by such files",
    (
        "docs/mqtt.md",
        "user twin",
    ): "topic rights of mosquitto; tests/twin/test_delivery.py uses them",
    ("docs/sandbox.md", "22 0"): "output; compared with what the example prints",
    (
        "docs/scenario.md",
        "example.toml:19:16",
    ): "output; tests/sim/test_scenario.py has its messages",
    ("docs/threat-model.md", "guest | host"): "drawing",
    (
        "docs/testing.md",
        "link   round trip",
    ): "output of a bad line, which has other figures each time",
    ("docs/mqtt.md", "sender "): "drawing; tests/twin/ota/test_receiver.py plays it",
    (
        "docs/updates.md",
        "irrigation 1.3.0",
    ): "output for a guest made worse; tests/twin/ota/test_gate.py makes such ones",
    ("docs/updates.md", "IDLE, UPDATED, FAILED"): "drawing; test_core_style.py compares",
    ("docs/wire.md", "0x00  COBS"): "layout; tests/hil/test_messages.py compares the tables",
    ("docs/wire.md", "Hello -> Birth"): "order of messages",
}
"""Blocks that are no commands and no source: page and beginning -> what they are."""

ELSEWHERE: Final = {
    "git clone": "brings what is here already",
    "python -m pip": "needs a network; the environment of the tests was made by such a line",
    ".venv/bin/python -m pip": "needs a network, as above",
    ". .venv/bin/activate": "of a shell",
    "cd ": "of a shell",
    "rustup": "CI does not build Rust, as the page says",
    "rustc": "CI does not build Rust, as the page says",
    "idf.py": "needs ESP-IDF; docs/hardware.md says what was built with it",
    "esp_prov.py": "needs ESP-IDF and a board",
    "firmware/build/levada-device": "tests/firmware starts it by its engine",
    "levada broker": "does not end by itself",
    "levada edge": "needs a broker; tests/twin/continuum/test_up.py starts it beside one",
    "levada fog": "needs brokers; tests/twin/continuum/test_fog_process.py has them",
    "levada cloud": "needs a broker; tests/twin/continuum/test_cloud_process.py has one",
    "levada page-password": "asks for one; tests/twin/test_login.py tells it",
    "levada flash": "needs a board; tests/hil/test_flash.py writes to a boot loader",
    "levada selftest --node mqtt:": "needs a board on MQTT; tests/hil/test_mqtt_line.py has one",
    "levada run scenarios/quickstart.toml --node mqtt:": "needs a board on MQTT, as above",
    "sudo mosquitto_passwd": "of an administrator; tests/services.py runs it for its own users",
    "levada withdraw maize": "needs a broker; tests/twin/test_discovery.py has one",
    "LEVADA_MQTT_PASSWORD=... LISTEN": "needs Docker; tests/test_deploy.py reads the files",
    "sudo apt-get": "of an administrator; the list of `make test` is checked in its own tests",
    "sudo git": "of an administrator",
    "sudo python3 -m venv": "of an administrator; `make` does the same beside the clone",
    "sudo /opt/levada": "of an administrator; tests/test_package.py installs what is built",
    "sudo install": "of an administrator; makes the folder that docs/systemd names",
    "sudo cp -rT pi": "of an administrator; tests/twin/test_pki_broker.py starts mosquitto so",
    "sudo chown": "of an administrator; mosquitto reads the files as its own user",
    "sudo useradd": "of an administrator; makes the user that docs/systemd names",
    "sudo cp -r /opt/levada/src/docs/systemd": "as below",
    "sudo cp -r docs/systemd": "of an administrator; tests/test_deploy.py has systemd read them",
    "sudo systemctl": "of an administrator, as above",
    "sudo ip": "of an administrator; tests/twin/continuum/test_netem.py runs them",
    "sudo tc": "of an administrator, as above",
    "sudo -u postgres": "of an administrator; tests/twin/test_store_postgres.py runs them",
    "pg_dump": "needs a server; as above",
    "pg_restore": "needs a server; as above",
    "levada device --trust": "does not end by itself; tests/firmware starts boards with keys",
    "levada ota ": "needs nodes at a broker; tests/twin/ota/test_ota_command.py has them",
    "levada guest sign old.wasm": "answers a device; tests/hil/test_update.py has one",
    "levada init": "tests/twin/test_init.py makes such projects, and runs their tests",
    "levada sweep": "tests/sim/test_sweep.py runs several",
    "levada learn": "needs a store; tests/twin/test_learn.py has one",
    "levada experiment": "takes ten minutes; tests/twin/experiments runs its parts",
    "levada up": "does not end by itself; tests/twin/continuum/test_up.py runs it",
    "levada twin field.toml --shadow": "needs real soil; tests/twin/test_shadow.py plays it",
}
"""Commands that are not run, by their beginning: why.  Those of levada are parsed all the same."""

EXIT_CODES: Final = {"levada devices": {0, 5}}
"""Where the code depends on the computer: 5, no serial port."""


@dataclass(frozen=True)
class Block:
    """A block of source, commands or output on a page."""

    page: str
    line: int
    language: str
    text: str

    @property
    def shown(self) -> bool:
        """Whether it is listed above."""
        return any(p == self.page and self.text.lstrip().startswith(t) for p, t in SHOWN)

    @property
    def where(self) -> str:
        """Page and line, as editors find it."""
        return f"{self.page}:{self.line}"


def tokens(page: Path) -> Iterator[Token]:
    """All of a page, what stands within a line included."""
    for token in MARKDOWN.parse(page.read_text("utf-8")):
        yield token
        yield from token.children or ()


def blocks() -> Iterator[Block]:
    """Every block of every page, indented ones too."""
    for page in PAGES:
        for token in tokens(page):
            if token.type in {"fence", "code_block"}:
                name = page.relative_to(ROOT).as_posix()
                yield Block(name, (token.map or [0])[0] + 1, token.info.strip(), token.content)


def of(*languages: str) -> list[Any]:
    found = [block for block in BLOCKS if block.language in languages and not block.shown]
    return [pytest.param(block, id=block.where) for block in found]


BLOCKS: Final = list(blocks())
LANGUAGES: Final = {"sh", "python", "toml", "json", "c", "rust"}


def test_every_block_is_run_or_listed() -> None:
    unknown = [b.where for b in BLOCKS if not b.shown and b.language not in LANGUAGES]
    assert not unknown, "give it a language that is run here, or list it in SHOWN with the reason"


def test_what_is_listed_is_there() -> None:
    beginnings = [(block.page, block.text.lstrip()) for block in BLOCKS]
    gone = [(p, t) for p, t in SHOWN if not any(p == q and x.startswith(t) for q, x in beginnings)]
    lines = [line for block in BLOCKS for line in commands(block)]
    gone += [("", t) for t in ELSEWHERE if not any(line.startswith(t) for line in lines)]
    assert not gone


# -- commands -------------------------------------------------------------------------------------


def commands(block: Block) -> list[str]:
    """The commands of a block, one a line, without comments."""
    if block.language != "sh":
        return []
    joined = block.text.replace("\\\n", " ")
    return [line.strip() for raw in joined.splitlines() if (line := raw.split(" # ")[0]).strip()]


def parsed(line: str) -> None:
    """Raise ValueError if the command or an option does not exist, or there are too many words."""
    line = re.sub(r"\[(--[^\]]*)\]", r"\1", line.split("|")[0].split("&&")[0])
    words = [word for word in shlex.split(line)[1:] if word != "..."]
    command: Any = typer.main.get_command(app)
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            raise ValueError(f"{line}: no command `{words[0]}`")
        command, words = command.commands[words[0]], words[1:]
    flags = {"-h": True, "--help": True}  # option -> whether it stands alone
    for parameter in command.params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            flags[name] = getattr(parameter, "is_flag", False)
    places = [p for p in command.params if p.param_type_name == "argument"]
    given = 0
    while words:
        word = words.pop(0)
        name, has_value, _ = word.partition("=")
        if not name.startswith("-"):
            given += 1
        elif name not in flags:
            raise ValueError(f"{line}: no option `{name}`")
        elif not flags[name] and not has_value and words:
            words.pop(0)
    if given > len(places) and all(p.nargs == 1 for p in places):
        raise ValueError(f"{line}: {given} words where {len(places)} are taken")


def spans() -> Iterator[Any]:
    """Commands of levada within sentences and tables, and those of the README's list."""
    for page in PAGES:
        for token in tokens(page):
            if token.type == "code_inline" and re.match(r"levada( [a-z-]|$)", token.content):
                yield pytest.param(token.content, id=f"{page.name}: {token.content}")
    for block in BLOCKS:
        lines = commands(block)
        if block.text.startswith("levada run SCENARIO"):
            lines = [re.split(r"  +", line)[0] for line in block.text.splitlines()]
        for line in lines:
            for part in line.split(" | "):
                if part.startswith("levada "):
                    yield pytest.param(part, id=f"{block.where}: {part}")


@pytest.mark.parametrize("line", list(spans()))
def test_every_command_that_is_named_exists(line: str) -> None:
    for part in re.findall(r"^levada store ([a-z|]+)$", line):
        for name in part.split("|"):
            parsed(f"levada store {name}")
        return
    parsed(line)


@pytest.mark.parametrize(
    "line",
    ["levada twin calibrate maize", "levada run S --nodes sim", "levada accept S T U", "levada x"],
)
def test_a_command_that_does_not_exist_would_be_found(line: str) -> None:
    with pytest.raises(ValueError, match=line.split()[1]):
        parsed(line)


# -- a folder such as a reader has ----------------------------------------------------------------


def shortened(path: Path, start: str, end: str) -> None:
    """Cut the period of a scenario, and leave away what it expects of the whole season."""
    data = tomllib.loads(path.read_text("utf-8"))
    data["period"] |= {"start": tomllib.loads(f"x = {start}")["x"]}
    data["period"] |= {"end": tomllib.loads(f"x = {end}")["x"]}
    data["expect"] = [e for e in data["expect"] if e["name"] in {"No trap", "Water balance closes"}]
    data.pop("fault", None)
    for zone in data["zone"]:
        if "count" in zone:
            zone["count"] = 2
    path.write_text(tomli_w.dumps(data), "utf-8")


def in_process(line: str) -> int:
    """Exit code of a command of levada, without the start of an interpreter."""
    before = signal.getsignal(signal.SIGINT)
    try:
        main(shlex.split(line)[1:])
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        signal.signal(signal.SIGINT, before)
    return 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a reader has when he comes to a page: scenarios, guest, headers, a run."""
    path = tmp_path_factory.mktemp("reader")
    for name in ("guest", "firmware"):
        (path / name).symlink_to(PACKAGE / name)
    with contextlib.chdir(path):
        for name in ("quickstart", "fleet-100"):
            assert in_process(f"levada scenarios copy {name} scenarios") == 0
        shortened(path / "scenarios/quickstart.toml", "2023-07-01", "2023-07-03")
        shortened(path / "scenarios/fleet-100.toml", "2023-06-15", "2023-06-15")
        assert in_process("levada scenarios copy dry-spell .") == 0
        (path / "guest.wasm").write_bytes(
            (PACKAGE / "guest/irrigation/irrigation.wasm").read_bytes()
        )
        (path / "mine.c").write_text(next(b.text for b in BLOCKS if b.language == "c"), "utf-8")
        mine = tomllib.loads((path / "scenarios/quickstart.toml").read_text("utf-8"))
        (path / "mine.toml").write_text(tomli_w.dumps(mine), "utf-8")
        mine["zone"][0]["parameters"] = {"pause_s": 7200}  # as docs/abi.md says
        (path / "scenarios/mine.toml").write_text(tomli_w.dumps(mine), "utf-8")
        past = "levada twin scenarios/quickstart.toml --node sim --speed max --no-stay --port 0"
        assert in_process(f"{past} --out past") == 0
        yield path


@pytest.fixture(scope="module")
def board() -> Iterator[VirtualDevice]:
    """In the place of the board on the reader's desk."""
    device = VirtualDevice(tcp=0)
    yield device
    device.close()


def as_here(line: str, board: VirtualDevice) -> str:
    """The line with what can be reached here in the place of a board at a serial port."""
    line = re.sub(r"serial:/dev/ttyUSB0(\?baud=\d+)?", f"serial:{board.url}", line)
    return line.replace("/dev/ttyUSB0", board.url)


@contextlib.contextmanager
def twin(line: str) -> Iterator[str]:
    """A twin that runs, and what it has said until it could be used; Ctrl-C ends it with 130."""
    command = [str(BIN / "levada"), *shlex.split(line)[1:], "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        said = ""
        try:
            for text in process.stdout:
                said += text
                if "/open/" in text:
                    break
            yield said
            process.send_signal(signal.SIGINT)
            said += process.communicate(timeout=START_S)[0]
            assert process.returncode == 130, said
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


TARGETS: Final = {
    name: set(re.findall(r"^([\w-]+):", (folder / "Makefile").read_text("utf-8"), re.M))
    for name, folder in (("", ROOT), ("firmware/", PACKAGE / "firmware"))
}
"""What `make` can make.  It is not run: most of it runs the tests, these among them."""


def targets(line: str) -> set[str]:
    """What a line of `make` asks for."""
    words = shlex.split(line.replace("-C firmware", ""))[1:]
    return {word for word in words if "=" not in word}


CALIBRATIONS: Final = [
    line for b in BLOCKS for line in commands(b) if line.startswith("levada calibrate")
]
"""Asked of the first twin of their page, while it runs."""


def calibrated(line: str) -> None:
    """Calibrate as soon as there is a past to try it on."""
    until_s = monotonic() + START_S
    while True:
        done = CliRunner().invoke(app, shlex.split(line)[1:], input="y\n")
        if "no past yet" not in done.output or monotonic() > until_s:
            break
    assert done.exit_code == 0, done.output


def run_line(line: str, board: VirtualDevice) -> None:
    """Run one command as its page means it."""
    if why := next((why for start, why in ELSEWHERE.items() if line.startswith(start)), None):
        assert why
        return
    if line in CALIBRATIONS:
        return
    line = as_here(line, board)
    if line.startswith("make "):
        assert targets(line) <= TARGETS["firmware/" if " -C firmware" in line else ""]
        return
    if line.startswith("levada twin"):
        with twin(line.replace("runs/twin/.../store.sqlite", "past/store.sqlite")) as said:
            assert "http://127.0.0.1:" in said, said
            if line.endswith("--node virtual --speed 600x"):
                for calibration in CALIBRATIONS:
                    calibrated(calibration)
        return
    if line.startswith("levada"):
        allowed = next((c for start, c in EXIT_CODES.items() if line.startswith(start)), {0})
        assert in_process(line) in allowed
        return
    program, *arguments = shlex.split(line)
    assert program in {"python", "pytest"}, f"{line}: neither run nor listed in ELSEWHERE"
    done = subprocess.run([BIN / program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", of("sh"))
def test_commands_run_as_they_stand(block: Block, folder: Path, board: VirtualDevice) -> None:
    if block.text.startswith("for "):
        script = block.text.replace("seq 100", "seq 1")
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        subprocess.run(["sh", "-ec", script], check=True, env=environment)
        return
    if "pytest --levada" in block.text:
        example = next(b for b in BLOCKS if b.page == block.page and b.language == "python")
        (folder / "test_field.py").write_text(example.text, "utf-8")
    for line in commands(block):
        for part in line.split(" && "):
            run_line(part, board)


# -- source and data ------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("python"))
def test_examples_in_python_print_what_is_shown(
    block: Block, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "import pytest" in block.text:
        return  # run with the command below it
    exec(compile(block.text, block.where, "exec"), {})
    after = BLOCKS[BLOCKS.index(block) + 1]
    assert after.language == "text", "show what the example prints"
    assert capsys.readouterr().out.split() == after.text.split()


def test_the_example_of_the_package_runs(folder: Path) -> None:
    (example,) = re.findall(r"((?:^    .*\n|\n)+)", levada.__doc__ or "", re.MULTILINE)[:1] or [""]
    names: dict[str, Any] = {}
    exec(re.sub(r"^    ", "", example, flags=re.MULTILINE), names)
    assert names["run"].summary["irrigation_mm"] > 0


@pytest.mark.parametrize("block", of("toml"))
def test_pieces_of_a_scenario_are_such(block: Block, folder: Path) -> None:
    text = block.text
    if text.startswith(("edge_broker", "cloud_broker")):
        kind = FogFile if text.startswith("edge") else CloudFile
        (folder / "tier.toml").write_text(text, "utf-8")
        read_config(kind, folder / "tier.toml", {})
        return
    if text.startswith("[rollout]"):
        (folder / "rollout.toml").write_text(text, "utf-8")
        read_rollout(folder / "rollout.toml", {})
        return
    if text.startswith("{"):
        text = f'[[mapping]]\ntopic = "a/+/b"\nfield = [{text}]'
    data = tomllib.loads((folder / "scenarios/quickstart.toml").read_text("utf-8"))
    data |= tomllib.loads(text)
    (folder / "stops.wasm").write_bytes((folder / "guest.wasm").read_bytes())
    (folder / "weather").mkdir(exist_ok=True)
    (folder / "piece.toml").write_text(tomli_w.dumps(data), "utf-8")
    assert in_process("levada lint piece.toml") == 0


@pytest.mark.parametrize("block", of("json"))
def test_json_is_json(block: Block) -> None:
    json.loads(f"{{{block.text}}}" if block.text.startswith('"') else block.text)


@pytest.mark.parametrize("block", of("c"))
def test_c_is_built(block: Block, folder: Path) -> None:
    (folder / "page.c").write_text(block.text, "utf-8")
    assert in_process("levada guest build page.c -o page.wasm") == 0


def test_rust_is_shown_and_not_built() -> None:
    rust = [block for block in BLOCKS if block.language == "rust"]
    assert {block.page for block in rust} == {"docs/abi.md"}
    assert "CI does not build Rust" in (ROOT / "docs/abi.md").read_text("utf-8")
    for block in rust:
        assert block.text in (PACKAGE / "guest/examples/threshold.rs").read_text("utf-8")


# -- names ----------------------------------------------------------------------------------------

ROOMS: Final = ("guest", "sim", "hil", "twin")
PATH: Final = re.compile(
    rf"(?:{'|'.join(ROOMS)}|levada|firmware|scenarios|docs|tests|validation|benchmarks)/[\w./-]*"
)


def test_every_path_that_is_named_exists() -> None:
    missing = set()
    for page in PAGES:
        for token in tokens(page):
            word = token.content.removeprefix("./")
            if token.type == "code_inline" and PATH.fullmatch(word) and "..." not in word:
                places = (ROOT, PACKAGE, PACKAGE / "scenarios")
                found = any((place / word).exists() for place in places)
                made = word.startswith(("firmware/build/", "scenarios/mine"))
                if not found and not made:
                    missing.add(f"{page.relative_to(ROOT)}: {word}")
    assert not missing


def test_every_name_in_the_package_exists() -> None:
    for page in PAGES:
        for token in tokens(page):
            name = re.match(r"levada(?:\.\w+)+", token.content)
            if token.type != "code_inline" or name is None or "..." in token.content:
                continue
            if Path(name[0]).suffix not in {".conf", ".h", ".x", ".json", ".toml"}:
                pkgutil.resolve_name(name[0])


def test_every_module_that_is_to_be_run_is_there() -> None:
    for page in PAGES:
        for name in re.findall(r"python -m (levada[\w.]*\w)", page.read_text("utf-8")):
            assert importlib.util.find_spec(name), f"{page.name}: {name}"


def test_every_link_leads_somewhere() -> None:
    gone = set()
    for page in PAGES:
        for token in tokens(page):
            target = str(token.attrGet("href") or token.attrGet("src") or "").partition("#")[0]
            if not target or "://" in target or (page.parent / target).exists():
                continue
            room = os.path.relpath(page.parent / target, ROOT)
            if not (PACKAGE / room).exists():
                gone.add(f"{page.relative_to(ROOT)}: {target}")
    assert not gone


def test_imports_go_one_way() -> None:
    for position, room in enumerate(ROOMS):
        beyond = re.compile(
            rf"^\s*(?:from|import) levada\.({'|'.join(ROOMS[position + 1 :])})\b", re.M
        )
        for path in (PACKAGE / room).rglob("*.py") if position < len(ROOMS) - 1 else ():
            assert not beyond.search(path.read_text("utf-8")), path


SETTINGS: Final = re.findall(r"`--set ([^`]+)`", (ROOT / "docs/scenario.md").read_text("utf-8"))


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_the_page_sets_can_be_set_in_the_quickstart(setting: str) -> None:
    key, value = setting.split("=")
    document = scenarios.read(PACKAGE / "scenarios/quickstart.toml", [(key, value)])
    runner.check(document)


# -- help -----------------------------------------------------------------------------------------


def all_commands() -> Iterator[tuple[str, Any]]:
    """Every command and group, by the words that call it."""
    waiting: list[tuple[str, Any]] = [("", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop()
        yield name, command
        if isinstance(command, TyperGroup):
            waiting += [(f"{name} {n}".strip(), c) for n, c in command.commands.items()]


COMMANDS: Final = dict(all_commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_swallows_no_brackets(name: str) -> None:
    command = COMMANDS[name]
    texts = [command.help or "", command.epilog or ""]
    texts += [getattr(p, "help", None) or "" for p in command.params]
    texts += [str(p.metavar or "") for p in command.params]
    written = {w for text in texts for w in re.findall(r"\[[^\s]*\]", text.replace("\\[", "["))}
    result = CliRunner().invoke(app, [*name.split(), "--help"], terminal_width=200)
    assert result.exit_code == 0
    assert not {word for word in written if word not in result.output}


# -- faults ---------------------------------------------------------------------------------------

FAULTS: Final = ROOT / "docs/faults.md"
THREATS: Final = ROOT / "docs/threat-model.md"
NAMED: Final = re.compile(r"`([\w/]+\.(?:py|c))`(?:: ([^`;|]*))?")
"""A file of tests and, after a colon, parts of names of tests in it, with commas between them."""


def named_tests() -> list[tuple[str, str]]:
    """(file, part of a name) of everything in the last column, and in sentences."""
    found = []
    for file, parts in NAMED.findall(FAULTS.read_text("utf-8") + THREATS.read_text("utf-8")):
        if file.startswith(("test_", "unit_")):
            words = parts.split(".")[0].split(",") if parts else [""]
            found += [(file, re.sub(r"\W+", "_", word.strip().lower())) for word in words]
    return found


@pytest.mark.parametrize(("file", "part"), sorted(set(named_tests())))
def test_every_test_that_is_named_exists(file: str, part: str) -> None:
    (path,) = (ROOT / "tests").rglob(file)
    names = re.findall(r"(?:def test_|static void )(\w+)\(", path.read_text("utf-8"))
    assert names
    assert any(part in name.lower() for name in names), (
        f"{file} has no test with `{part}` in its name"
    )


def test_every_row_that_can_exist_has_a_test() -> None:
    rows = {}
    for line in FAULTS.read_text("utf-8").splitlines():
        if row := re.match(r"\| ([SLBDOP]\d+b?) \|", line):
            rows[row[1]] = line.rstrip(" |").rpartition("|")[2]
    wanted = [f"S{n}" for n in range(1, 21)] + [f"L{n}" for n in range(1, 13)]
    wanted += [f"B{n}" for n in range(1, 18)] + [f"D{n}" for n in range(1, 15)]
    wanted += [f"O{n}" for n in range(1, 31)] + [f"P{n}" for n in range(1, 12)]
    assert not set(wanted) - rows.keys()
    assert not [name for name, last in rows.items() if not re.search(r"`[\w/]+\.(py|c)`", last)]
