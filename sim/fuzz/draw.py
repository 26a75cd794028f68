"""What hypothesis draws a case of: the choices, and how often each is made.

Times are whole minutes of the period and a few seconds more, since guests run at whole minutes
mostly, and what happens one second before a step is worth as much as what happens at it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from hypothesis import strategies as st

from levada.sim.fuzz.case import Base, Case, CaseFault
from levada.sim.scenario.fault import FAULTS

__all__ = ["cases"]

DAYS: Final = (1, 2, 4)
PARAMETERS: Final[Mapping[str, tuple[int, ...]]] = {
    "on_pct": (95, 70),
    "max_open_s": (1200, 300, 3600, 10_800),
    "min_pause_s": (2400, 0, 600, 7200),
    "daily_cap_l": (200, 30, 100, 1000),
    "flow_confirm_s": (120, 60, 600, 0),
    "period_s": (600, 60, 300, 1800),
    "open_period_s": (60, 300, 0),
    "no_flow_limit": (3, 1, 0),
    "refill": (1, 0),
    "filter_kind": (0, 1, 2),
    "ema_shift": (2, 0),
    "stuck_counts": (0, 2),
    "stuck_s": (3600, 600),
    "pause_s": (3600, 60, 600),
}
"""Parameter of a guest -> values that are tried, if it has one of this name."""
OFF_PCT: Final = 100
"""Goes with `on_pct`, so that a short case is never wet enough for long."""
VALVES: Final[tuple[Mapping[str, float], ...]] = (
    {},
    {"max_open_s": 1800},
    {"max_open_s": 300},
    {"pulses_per_l": 0.001},
    {"opening_delay_s": 30, "closing_delay_s": 30},
    {"opening_delay_s": 0, "closing_delay_s": 0},
)
"""The last but three is a flow meter that is dead."""
SUPPLIES: Final[tuple[Mapping[str, float | str], ...]] = (
    {},
    {"battery": "li-ion", "capacity_mah": 5, "initial_charge": 0.3, "solar_w": 0.2},
    {"battery": "li-ion", "capacity_mah": 40, "initial_charge": 0.1, "valve_ma": 300, "solar_w": 1},
)
"""Batteries that run flat within hours, and come back by day."""
KINDS: Final = (
    ("reboot", "brown-out", "keep-loss", "reinstall"),
    ("clock-skew",),
    tuple(kind for kind in FAULTS if kind.startswith("valve-")),
    tuple(kind for kind in FAULTS if kind.startswith("probe-")),
    ("link-loss",),
)
"""Kinds of fault by what they are about; each group is as likely as the others."""
CLOCK_S: Final = (86_400, -86_400, 3600, -3600, 43_200, -21_600, 31_000_000, -31_000_000)
SECONDS: Final = (0, 59, 1, 30)
MAGNITUDES: Final[Mapping[str, Callable[[], st.SearchStrategy[str | None]]]] = {
    "probe-drift": lambda: st.integers(-4000, 4000).map(lambda n: f"{n or 1} counts/d"),
    "probe-spike": lambda: st.integers(-4095, 4095).map(lambda n: f"{n or 1} counts"),
    "probe-open": lambda: st.sampled_from((None, "-1 code", "-2 code", "-4 code")),
    "valve-leak": lambda: st.integers(1, 100).map("{} %".format),
    "valve-clog": lambda: st.integers(1, 100).map(lambda n: f"{101 - n} %"),
    "clock-skew": lambda: st.one_of(
        st.sampled_from(CLOCK_S), st.integers(-90_000, 90_000).map(lambda n: n or 1)
    ).map("{} s".format),
}


def cases(base: Base) -> st.SearchStrategy[Case]:
    """Cases over a scenario."""
    days = st.sampled_from([n for n in DAYS if n == 1 or n <= base.days])
    return days.flatmap(lambda n: _case(base, n))


@st.composite
def _case(draw: st.DrawFn, base: Base, days: int) -> Case:
    return Case(
        first_day=draw(st.integers(0, base.days - days)),
        days=days,
        seed=draw(st.integers(1, 255)),
        rain_factor=draw(st.sampled_from((None, None, 0, 1, 5))),
        available_pct=draw(st.sampled_from((30, 0, 60, 100))),
        parameters=draw(_parameters(base)),
        valve=draw(_rarely(VALVES)),
        energy=draw(_rarely(SUPPLIES)),
        faults=tuple(draw(st.lists(_fault(days), max_size=6))),
    )


def _rarely(choices: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """The first one, which changes nothing, more often than all others together."""
    return st.sampled_from(choices[:1] * (len(choices) + 1) + choices[1:])


def _parameters(base: Base) -> st.SearchStrategy[dict[str, int]]:
    """A few parameters of the guest, changed; none if the guest does not take them together."""
    declared = {p.name: p for p in base.info.parameters}
    choices = [
        (name, value)
        for name, values in PARAMETERS.items()
        if name in declared
        for value in values
        if declared[name].minimum <= value <= declared[name].maximum
    ]
    if not choices:
        return st.just({})

    def chosen(pairs: list[tuple[str, int]]) -> dict[str, int]:
        found = dict(pairs)
        if "on_pct" in found and "off_pct" in declared:
            found["off_pct"] = OFF_PCT
        return found if base.parameters_hold(found) else {}

    return st.lists(st.sampled_from(choices), max_size=8).map(chosen)


@st.composite
def _fault(draw: st.DrawFn, days: int) -> CaseFault:
    kind = draw(st.sampled_from(draw(st.sampled_from(KINDS))))
    start_s = 60 * draw(st.integers(0, days * 1440 - 1)) + draw(st.sampled_from(SECONDS))
    many = draw(st.integers(0, 2)) == 2
    return CaseFault(
        kind=kind,
        start_s=start_s,
        duration_s=0 if FAULTS[kind].instant else 60 * draw(st.integers(1, days * 1440)),
        magnitude=draw(MAGNITUDES[kind]()) if kind in MAGNITUDES else None,
        times=draw(st.integers(2, 12)) if many else 1,
        every_s=60 * draw(st.integers(2, 360)) if many else 0,
    )
