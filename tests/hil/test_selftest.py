"""The self-test: passes on virtual boards, and notices a device that is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from levada.hil.errors import LinkError
from levada.hil.selftest import Check, default_guest, selftest


@pytest.mark.parametrize("board", ["wasm3", "native", "xtensa", "esp32"])
def test_a_virtual_board_passes(board: str) -> None:
    told: list[Check] = []
    result = selftest(f"virtual:{board}", default_guest(), steps=300, tell=told.append)
    failed = [check for check in result["checks"] if not check["passed"]]
    assert not failed
    assert result["passed"] is True
    assert len(told) == len(result["checks"]) == 10
    assert json.loads(json.dumps(result)) == result
    assert not any("not tried" in check["detail"] for check in result["checks"])
    assert result["figures"]["steps_per_s"] > 0.0


def test_a_device_that_does_something_else_fails_with_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from levada.hil.link import Link
    from levada.hil.wire import messages

    original = Link.exchange

    def exchange(self: Link, request: Any, body: bytes, kind: Any) -> bytes:
        if request is messages.Step:  # a probe that reads one count too much
            step = messages.Step.decode(body)
            counts, *others = step.readings
            body = replace(step, readings=(counts + 1, *others)).encode()
        return original(self, request, body, kind)

    monkeypatch.setattr(Link, "exchange", exchange)
    result = selftest("virtual", default_guest(), steps=10)
    assert result["passed"] is False
    same = next(check for check in result["checks"] if "call by call" in check["name"])
    assert not same["passed"]
    assert "read_sensor(moisture) ->" in same["detail"]


def test_no_device_no_result() -> None:
    with pytest.raises(LinkError, match="cannot be opened"):
        selftest("serial:/dev/no-such-port", default_guest())
