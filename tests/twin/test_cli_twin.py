"""Commands about twin and store that are given what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_field import scenario

from twin.cli import main


def levada(*arguments: str | Path) -> int:
    """Exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def _interruptible(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is not the end of this process."""
    monkeypatch.setattr("twin.cli.signal.signal", lambda *_: None)


@pytest.mark.parametrize("command", ["prune", "thin"])
def test_a_scenario_that_is_taken_for_a_store_is_left_as_it_is(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario(tmp_path)
    file = tmp_path / "field.toml"
    before = file.read_bytes()
    assert levada("store", command, file, "--before", "2023-07-07") == 2
    assert "field.toml is no store of levada: it is left as it is" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["field.toml"]
    assert file.read_bytes() == before
