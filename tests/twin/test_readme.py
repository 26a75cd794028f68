"""What the README shows is what the commands print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from levada.twin.cli.main import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
MACHINE = {"speed"}
"""Figures that are those of a machine."""


def numbers(text: str) -> dict[str, list[float]]:
    """First word of a line -> the numbers on it, of the table of figures."""
    table = {}
    for line in text.splitlines():
        match = re.match(r"(period|zones|irrigation|rain|ET|drainage|speed) +(\S.*)", line)
        if match:
            values = re.findall(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?", match[2])
            table[match[1]] = [float(v.replace(",", "")) for v in values]
    return table


def test_the_quickstart_prints_what_the_readme_shows(tmp_path: Path) -> None:
    shown = numbers(README)
    assert len(shown) == 7
    result = CliRunner().invoke(
        app, ["run", str(ROOT / "levada/scenarios/quickstart.toml"), "--out", str(tmp_path / "run")]
    )
    assert result.exit_code == 0, result.output
    printed = numbers(result.stdout)
    for name in shown.keys() - MACHINE:
        assert printed[name] == pytest.approx(shown[name], rel=0.02, abs=0.2), name
    assert "0 failed" in README and "0 failed" in result.stdout


def test_every_scenario_is_in_the_table() -> None:
    names = {path.stem for path in (ROOT / "levada/scenarios").glob("*.toml")}
    assert names == set(re.findall(r"\(scenarios/([a-z0-9-]+)\.toml\)", README))


def test_every_command_is_in_the_readme() -> None:
    help_text = CliRunner().invoke(app, ["--help"], terminal_width=200).stdout
    commands = set(re.findall(r"^│ ([a-z]+) ", help_text, re.MULTILINE)) - {"guest"}
    assert {"run", "diff"} <= commands
    missing = {name for name in commands if f"levada {name}" not in README}
    assert not missing


def test_a_newcomer_is_told_how_levada_becomes_a_command() -> None:
    before, after = README.split(". .venv/bin/activate", 1)
    assert "levada run SCENARIO" not in before
    assert "levada run SCENARIO" in after
    for page, command in (("hardware", "\nlevada flash"), ("testing", "\nlevada run")):
        text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
        assert 0 < text.find(". .venv/bin/activate") < text.find(command)


def test_what_a_shell_would_expand_is_quoted() -> None:
    pages = [README, *(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))]
    assert not [line for page in pages for line in re.findall(r"--node [^\s']*\?.*", page)]


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing
