"""The guest's functions in the cloud, beside what fog has found by the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

import pytest
from fog_rows import DAY

from levada.guest.shipped import DEFAULT_GUEST
from levada.sim.scenario.continuum import Cloud
from levada.twin.continuum.recomputation import AGREEING, Recomputation
from levada.twin.continuum.tier import Sample, Tier
from levada.twin.continuum.view import Agreement
from levada.twin.mqtt.messages import ForwardedRow

MODULE = DEFAULT_GUEST.read_bytes()
Engine = Literal["wasm", "native"]


def readings(count: int) -> list[Sample]:
    chance = random.Random(5)
    found = []
    for n in range(count):
        value = chance.choice([-1, 4_095]) if chance.random() < 0.05 else chance.gauss(1_800, 30)
        found.append(Sample("maize", 7, n, DAY + n * 60_000, {"raw": float(int(value))}))
    return found


def of_fog(samples: Sequence[Sample], engine: Engine = "wasm") -> list[ForwardedRow]:
    with Tier(MODULE, engine, {}, 0, 0) as tier:
        return [ForwardedRow(**row) for row in tier.take(samples)]


def relayed(sample: Sample) -> tuple[str, ForwardedRow]:
    row = ForwardedRow(
        node=sample.node,
        boot=sample.boot,
        seq=sample.seq,
        t=sample.t_ms,
        **sample.signals,  # type: ignore[arg-type]
    )
    return sample.node, row


def compared(
    samples: Sequence[Sample],
    rows: Sequence[ForwardedRow],
    *,
    before: Sequence[Sample] = (),
    cloud: Cloud = Cloud(engine="wasm"),  # noqa: B008 - frozen
) -> Agreement:
    with Recomputation(MODULE, cloud, lambda _name, _row: before) as own:
        own.take(map(relayed, samples))
        for row in rows:
            own.compare("maize", row)
        found = own.found("maize")
    assert found is not None
    return found


@pytest.mark.parametrize("fog", ["wasm", "native"])
@pytest.mark.parametrize("cloud", ["wasm", "native"])
def test_every_engine_gives_the_same_bits(fog: Engine, cloud: Engine) -> None:
    samples = readings(300)
    found = compared(samples, of_fog(samples, fog), cloud=Cloud(engine=cloud))
    assert (found.equal, found.different, found.catching_up) == (300, 0, 0)


def test_one_count_of_difference_is_found_and_told() -> None:
    samples = readings(20)
    rows = of_fog(samples)
    filt = int(rows[9].signals()["filt"])
    rows[9] = rows[9].model_copy(update={"filt": filt + 1})
    found = compared(samples, rows)
    assert (found.equal, found.different) == (19, 1)
    assert found.newest_difference == {
        "boot": 7,
        "seq": 9,
        "fog": {"anomaly": 0, "filt": filt + 1},
        "cloud": {"anomaly": 0, "filt": filt},
    }


def test_a_suppressed_sample_that_fog_has_filtered_all_the_same_differs() -> None:
    samples = [*readings(1), Sample("maize", 7, 1, DAY + 60_000, {"raw": -1.0})]
    rows = of_fog(samples)
    assert "filt" not in rows[1].signals()
    rows[1] = rows[1].model_copy(update={"filt": 1_800})
    assert compared(samples, rows).different == 1


def test_another_parameter_differs() -> None:
    samples = readings(100)
    found = compared(samples, of_fog(samples), cloud=Cloud(parameters={"ema_shift": 5}))
    assert found.different > 50


def test_a_cloud_that_begins_in_the_middle_catches_up() -> None:
    samples = readings(400)
    rows = of_fog(samples)
    found = compared(samples[200:], rows[200:], before=samples[184:200])
    assert found.different == 0
    assert found.equal + found.catching_up == 200
    assert found.equal > 200 - AGREEING
    whole = compared(samples[200:], rows[200:], before=samples[:200])
    assert (whole.equal, whole.catching_up) == (200, 0)


def test_a_tier_that_is_off_computes_nothing() -> None:
    with Recomputation(MODULE, Cloud(engine="off"), lambda _name, _row: ()) as own:
        own.take(map(relayed, readings(3)))
        assert own.found("maize") is None
        assert own.process(1_500, (2_500, 500, 1_400)) is None
        assert (own.engine, own.guest_sha256) == ("off", "")
