"""What `make demo` prepares."""

from __future__ import annotations

import pytest

from levada.hil import warm_up as prepare


def test_the_board_that_is_prepared_answers(capsys: pytest.CaptureFixture[str]) -> None:
    prepare.main()
    said = capsys.readouterr().out
    assert "virtual board ready: wasm3 0.5.0, levada" in said
    assert "; try  .venv/bin/levada twin" in said  # which no shell has to be told of


def test_without_a_compiler_it_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    prepare.main()
    assert "no virtual board: the virtual board needs make" in capsys.readouterr().out
