"""What a guest remembers can be given to another bank, and nothing is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import wasmtime

from levada.guest.errors import GuestError
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.wasm.bank import Bank

MODULE = DEFAULT_GUEST.read_bytes()
READINGS = np.random.default_rng(8).integers(0, 4_096, 400)


def judged(bank: Bank, node: int, readings: Any, begin: int) -> list[Any]:
    """Everything the functions say of readings of one node, a minute apart."""
    nodes = np.full(len(readings), node)
    times = begin + 60 * np.arange(len(readings))
    both = np.stack((readings, times), axis=1)
    results = [bank.call("anomaly", nodes, both), bank.call("filter", nodes, readings)]
    results.append(bank.call("window_add", nodes, both))
    return [batch.results.tolist() for batch in results]


@pytest.mark.parametrize("engine", ["wasm", "native"])
def test_a_guest_goes_on_in_another_bank_with_what_it_remembers(engine: Any) -> None:
    with (
        Bank(MODULE, 3, engine=engine, parameters={5: 1}) as one,
        Bank(MODULE, 2, engine=engine) as other,
    ):
        judged(one, 0, READINGS[:100], 0)
        judged(one, 2, READINGS[100:250], 0)
        image = one.image(2)
        assert image is not None
        assert len(image) < 8_192
        judged(other, 1, READINGS[:30], 0)  # is forgotten
        other.restore(1, image)
        later = READINGS[250:]
        assert judged(other, 1, later, 9_000) == judged(one, 2, later, 9_000)
        assert other.image(1) == one.image(2)
        assert other.call("param_get", [0, 1], [5, 5]).results.tolist() == [0, 1]


@pytest.mark.parametrize("engine", ["wasm", "native"])
def test_an_image_of_something_else_is_refused(engine: Any) -> None:
    with Bank(MODULE, 1, engine=engine) as bank:
        image = bank.image(0)
        assert image is not None
        outside = image[:8] + b"\xff\xff\0\0" + image[12:]
        wrong = [b"", b"x", image[:-1], image + b"\0"]
        for bad in [*wrong, outside] if engine == "wasm" else wrong:
            with pytest.raises(GuestError, match="of another guest"):
                bank.restore(0, bad)
        bank.restore(0, image)
        assert bank.image(0) == image


def test_a_guest_that_keeps_something_outside_its_memory_has_no_image() -> None:
    text = """(module (global $n (mut i32) (i32.const 0)) (memory (export "memory") 1)
      (func (export "filter") (param i32) (result i32)
        (global.set $n (i32.add (global.get $n) (local.get 0))) (global.get $n)))"""
    with Bank(bytes(wasmtime.wat2wasm(text)), 1) as bank:
        assert bank.call("filter", [0, 0], [3, 4]).results.tolist() == [3, 7]
        assert bank.image(0) is None


def test_a_guest_without_a_memory_has_an_empty_image() -> None:
    text = '(module (func (export "filter") (param i32) (result i32) (local.get 0)))'
    with Bank(bytes(wasmtime.wat2wasm(text)), 1) as bank:
        image = bank.image(0)
        assert image is not None
        bank.restore(0, image)
        assert bank.call("filter", [0], [5]).results.tolist() == [5]
