"""What `make demo` does beforehand."""

from __future__ import annotations

import pytest

from levada.hil import warm_up


def test_the_board_answers(capsys: pytest.CaptureFixture[str]) -> None:
    warm_up.main()
    said = capsys.readouterr().out
    assert "virtual board ready: wasm3 0.5.0, levada" in said
    assert "; try  .venv/bin/levada twin" in said  # which no shell has to be told of


def test_without_a_compiler_it_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    warm_up.main()
    assert "no virtual board: the virtual board needs make" in capsys.readouterr().out
