from __future__ import annotations

from pathlib import Path

import pytest

from levada.sim.run.trace import INDEX
from levada.sim.scenario.mapping import CONVERSIONS, SIGNAL_UNITS
from levada.sim.signals import PRINTED_UNITS, SIGNALS
from levada.twin import snapshot
from levada.twin.app import words
from levada.twin.store import rows


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_has_one_unit_and_one_label_wherever_it_is_shown(name: str) -> None:
    signal = SIGNALS[name]
    assert words.signal(name) == signal.label != ""
    assert signal.meaning.endswith(".")
    for units in (snapshot.UNITS, rows.UNITS, SIGNAL_UNITS):
        assert units.get(name, signal.unit) == signal.unit
    assert bool(signal.dtype) == (name in INDEX)


def test_every_unit_that_a_payload_comes_in_is_stored_as_that_of_a_signal() -> None:
    stored = {unit for unit, _, _ in CONVERSIONS.values()}
    assert stored <= {s.unit for s in SIGNALS.values()} | {"L/min", "kPa"}
    assert set(PRINTED_UNITS) <= {s.unit for s in SIGNALS.values()}


def test_the_page_on_data_has_every_column_with_its_unit_and_meaning() -> None:
    page = (Path(__file__).parents[1] / "docs/data.md").read_text("utf-8")
    table = page.partition("| column | unit | meaning |")[2].partition("\n\n")[0]
    assert table.splitlines()[2:] == [
        f"| `{name}` | {signal.unit or '-'} | {signal.meaning} |"
        for name, signal in SIGNALS.items()
        if signal.dtype
    ]
