"""Probes, valves and flow meters beside published measurements; see `validation.comparison`.

Every published number is a citation, none is a measurement of a device of ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from levada.sim.devices.kernels import command_valve, probe_counts, valve_segment
from levada.sim.devices.probe import Probes, ideal_counts
from levada.sim.devices.valve import Valves, ValveState, flow_l_min
from levada.sim.scenario.load import load
from levada.sim.seeds import zone_keys
from levada.sim.settings.explain import bounds
from levada.sim.settings.probe import ADC_MAX, Probe
from levada.sim.settings.valve import Valve
from levada.sim.soil.model import FloatArray, new_forcing
from levada.sim.units import MINUTE_MS
from validation.cited import Cited, beside, by_key, compared, curve_off, table
from validation.comparison import ROOT, Comparison, figure

PROBES = "[probes](models/probe.md)"
VALVES = "[valves](models/valve.md)"

HRISKO = "J. Hrisko 2020"
METER_10, METER_12 = "METER TEROS 10 manual", "METER TEROS 11/12 manual"
NAGAHAGE = "doi:10.3390/agriculture9070141"
FARES = "A. Fares 2009, Pedosphere 19:588"
KIZITO = "doi:10.1016/j.jhydrol.2008.01.021"
SPANS = "DFRobot SEN0193 wiki; hackaday.io/project/165551; Arduino forum t/561363"

ABOVE = "Verdicts as in the section on nodes above."
COUNTS_PER_MV = (ADC_MAX + 1) / 3_300.0
"""Of a converter of 12 bits over 3.3 V."""
HERTZ = ((2.0, 16.0), (4.0, 32.5), (6.0, 49.3), (8.0, 65.5), (10.0, 82.0), (12.0, 90.2))
"""Flow [L/min] and frequency of a YF-S201 by the table of its maker."""
SOILS = 2_000
"""Zones whose probes and soils are drawn."""


# --- probes


def told(probe: Probe, theta: float, zones: int = SOILS) -> FloatArray:
    """Water content that the counts of so many probes tell whoever knows the nominal curve."""
    names = [f"n{i}" for i in range(zones)]
    probes = Probes(
        [probe] * zones,
        keys=zone_keys(1, "probe", names),
        start_ms=0,
        temp_c=probe.reference_c,
    )
    arrays = (probes.parameters, probes.state, probes.keys)
    counts = [probe_counts(i, 0.0, theta, np.nan, *arrays) for i in range(zones)]
    water = np.linspace(-0.3, 0.9, 12_001)
    curve = ideal_counts(probe, water)
    rising = np.argsort(curve)
    return np.interp(counts, curve[rising], water[rising])


def rmse(probe: Probe, thetas: FloatArray) -> float:
    """Error of the water content told, over probes and water contents."""
    errors = [told(probe, float(theta)) - theta for theta in thetas]
    return float(np.sqrt(np.mean(np.square(errors))))


def off(probe: Probe, counts: FloatArray, theta: FloatArray) -> float:
    """Greatest difference in water content between a published curve and ours."""
    water = np.linspace(0.0, 0.45, 4_501)
    ours = ideal_counts(probe, water)
    rising = np.argsort(ours)
    return float(np.max(np.abs(np.interp(counts, ours[rising], water[rising]) - theta)))


def curves() -> list[Cited]:
    """Published curves between 0 and 0.45 m3/m3 and ours through the same two ends."""
    theta = np.linspace(0.0, 0.45, 451)
    volts = 2.48 / (theta + 0.72)
    rows = [
        curve_off(
            f"potting soil, v1.2, `{curve}`",
            "theta = 2.48 V/U - 0.72",
            off(
                Probe(
                    curve=curve,
                    dry_counts=1_000.0 * float(volts[0]),
                    wet_counts=1_000.0 * float(volts[-1]),
                ),
                1_000.0 * volts,
                theta,
            ),
            0.03,
            HRISKO,
            is_source=curve == "inverse",
        )
        for curve in ("inverse", "linear", "topp")
    ]
    mv = np.linspace(1_000.0, 2_500.0, 15_001)
    cubic = 4.824e-10 * mv**3 - 2.278e-6 * mv**2 + 3.898e-3 * mv - 2.154
    raw = (theta + 0.6956) / 3.879e-4
    for name, text, counts, source in (
        ("TEROS 10", "cubic of mV", np.interp(theta, cubic, mv), METER_10),
        ("TEROS 12", "theta = 3.879e-4 RAW - 0.6956", raw, METER_12),
    ):
        straight = Probe(dry_counts=float(counts[0]), wet_counts=float(counts[-1]))
        rows.append(
            curve_off(
                f"mineral soil, {name}, `linear`", text, off(straight, counts, theta), 0.03, source
            )
        )
    return rows


def errors() -> list[Cited]:
    """What probes are off by, what temperature does, ends and noise."""
    real, ideal = Probe(preset="realistic"), Probe()
    capacity, all_of_it = np.array([0.25]), np.linspace(0.02, 0.45, 10)
    span = real.dry_counts - real.wet_counts
    names = [f"n{i}" for i in range(SOILS)]
    keys = zone_keys(1, "probe", names)
    ends = Probes([real.but(noise_counts=0.0, theta_error=0.0)] * SOILS, keys=keys, start_ms=0)
    arrays = (ends.parameters, ends.state, ends.keys)
    spans = [
        probe_counts(i, 0.0, 0.0, np.nan, *arrays) - probe_counts(i, 0.0, 0.45, np.nan, *arrays)
        for i in range(SOILS)
    ]
    at = np.array([0.25, 0.251])
    slope = float(np.diff(ideal_counts(real, at))[0]) / 0.001
    per_10c = abs(10.0 * real.temperature_counts_per_c / slope)
    return [
        beside(
            "RMSE near field capacity, calibrated for the soil, `realistic`", 0.05, "m3/m3",
            rmse(real, capacity), NAGAHAGE, is_source=True,
        ),
        beside(
            "RMSE from dry to saturated, `realistic`", 0.09, "m3/m3", rmse(real, all_of_it),
            NAGAHAGE,
        ),
        beside(
            "RMSE near field capacity, `ideal`", 0.05, "m3/m3", rmse(ideal, capacity), NAGAHAGE
        ),
        beside(
            "RMSE of a calibrated TEROS 12, `ideal`", (0.01, 0.02), "m3/m3",
            rmse(ideal, all_of_it), METER_12,
        ),
        beside(
            "RMSE of a TEROS 12 in any mineral soil, `realistic`", 0.03, "m3/m3",
            rmse(real, all_of_it), METER_12,
        ),
        beside(
            "soil temperature, in water, `realistic`", -0.779, "mV/degC",
            real.temperature_counts_per_c / COUNTS_PER_MV, FARES, is_source=True,
        ),
        beside(
            "soil temperature, 70 MHz probe, `realistic`", 0.02, "m3/m3 for 10 degC", per_10c,
            KIZITO,
        ),
        beside("span from dry to wet", (1_577.0, 1_929.0), "counts", span, SPANS),
        beside(
            "least span of 95 % of probes, `realistic`", 1_577.0, "counts",
            float(np.quantile(spans, 0.025)), SPANS, is_source=True,
        ),
        beside(
            "greatest span of 95 % of probes, `realistic`", 1_929.0, "counts",
            float(np.quantile(spans, 0.975)), SPANS, is_source=True,
        ),
        beside("noise over hours, `ideal` [d]", (2.6, 3.0), "counts", ideal.noise_counts, SPANS),
        beside(
            "noise over hours, `realistic` [d]", (2.6, 3.0), "counts", real.noise_counts, SPANS,
            is_source=True,
        ),
    ]  # fmt: skip


def validate_probes() -> Comparison:
    """Curves, errors, temperature, ends and noise."""
    rows = [*curves(), *errors()]

    def draw(axes: Any) -> None:
        theta = np.linspace(0.0, 0.45, 91)
        volts = 2.48 / (theta + 0.72)
        axes.plot(theta, volts, "k", lw=3, alpha=0.4, label="Hrisko 2020, v1.2")
        for curve, style in (("inverse", "r--"), ("linear", "b"), ("topp", "g")):
            keys: dict[str, Any] = {"curve": curve}
            keys["dry_counts"], keys["wet_counts"] = (1e3 * float(v) for v in volts[[0, -1]])
            probe = Probe(**keys)
            axes.plot(theta, ideal_counts(probe, theta) / 1e3, style, lw=1, label=curve)
        axes.set(xlabel="water content [m3/m3]", ylabel="output [V]")
        axes.legend()

    return compared(
        rows,
        model=PROBES,
        name="published measurements of probes",
        data=f"{len(rows)} quantities of capacitive probes, by citation; {SOILS:,} probes drawn",
        limit=8.5,
        figure=figure("probe_curves", draw),
        note=f"{ABOVE}\n\n{table(rows)}\n\n`realistic` is as far off at every water "
        "content as near field capacity, and so too good for dry and for saturated soil. Its "
        "temperature is that of a probe in water; probes at 70 MHz respond several times as much. "
        "Soil and electronics act in opposite directions (Fares 2009); the size of the second is "
        "our estimate, so nothing is compared.",
    )


# --- valves, emitters, meters


def counted(valve: Valve, minutes: int, name: str = "a", openings: int = 1) -> list[float]:
    """Pulses of each of some openings of so many minutes."""
    valve = valve.but(opening_delay_s=0.0, closing_delay_s=0.0)
    valves = Valves([valve], [100.0], zone_keys(1, "meter", [name]))
    forcing = new_forcing(1)
    found, now_ms = [], 0.0
    for _ in range(openings):
        before = valves.state[0, ValveState.PULSES]
        for state in (1, 0):
            command_valve(0, now_ms, state, valves.parameters, valves.state)
            end_ms = now_ms + minutes * MINUTE_MS
            valve_segment(0, now_ms, end_ms, valves.parameters, valves.state, forcing)
            now_ms = end_ms
        found.append(float(valves.state[0, ValveState.PULSES] - before))
    return found


def emitters() -> list[Cited]:
    """Emitters and latching valves."""
    spread = load(ROOT / "scenarios" / "fleet-100.toml").zone[0].spread["valve.flow_l_min"]
    exponent = bounds(Valve.model_fields["emitter_exponent"])
    return [
        beside(
            "coefficient of variation of emitters; levada: between zones of `fleet-100`",
            (0.02, 0.08), "", spread, "Texas Tech thesis, tdl-ir.tdl.org, 60 emitters each",
        ),
        beside(
            "greatest pressure exponent; levada: permitted", 1.038, "", float(exponent["high"]),
            "Mofoke 2004; irriworks.com", is_source=True,
        ),
        by_key(
            "least pressure of compensating emitters", "55 to 83 kPa",
            f"`emitter_least_kpa`, 0; with 69 kPa, 6 kPa drive "
            f"{flow_l_min(1.0, 6.0, 100.0, 0.0, 69.0):.2f} of the flow",
            "digcorp.com; ITRC R 13-004",
        ),
        by_key(
            "flow lost to clogging in 12 months",
            "2 to 3 % (sand filter), 11 to 16 % (septic), one emitter 80 %",
            "`clog`, `valve-clog`: 0 to 100 %, as given", "Rowan 2004, ASAE 701P0104",
        ),
        by_key(
            "pulse of a latching valve", "about 0.6 J; 100 to 150 ms after up to 320 ms of boost",
            "`valve_pulse_j`, 0", "alahotvalve.com; OpenSprinkler firmware",
        ),
    ]  # fmt: skip


def meters() -> list[Cited]:
    """The YF-S201."""
    sheet, bench = "YF-S201 data sheet; components101.com", "iot-lnu repository, github.com"

    def yf(**changes: Any) -> Valve:
        return Valve(**{"meter": "yf-s201", "meter_scatter": 0.0, **changes})

    rows = [
        beside(
            "pulses a litre by its table", (451.0, 493.0), "1/L",
            counted(yf(), 60)[0] / 600.0, sheet,
        ),
        beside(
            "pulses a litre, weighed [d]", (392.0, 406.0), "1/L",
            counted(yf(), 60)[0] / 600.0, bench,
        ),
    ]  # fmt: skip
    for flow, hertz in (HERTZ[0], HERTZ[2], HERTZ[4], HERTZ[5]):
        valve = yf(flow_l_min=flow, pulses_per_l=492.0)
        rows.append(
            beside(
                f"frequency at {flow:g} L/min, `pulses_per_l` = 492", hertz, "Hz",
                counted(valve, 60)[0] / 3_600.0, sheet, is_source=flow < 12.0,
            )
        )  # fmt: skip
    scattered = counted(yf(meter_scatter=0.012), 10, openings=400)
    leak = yf(flow_l_min=0.9)
    rows += [
        by_key(
            "from meter to meter", "10 % to either side", "`spread.valve.pulses_per_l`, 0", sheet
        ),
        beside(
            "coefficient of variation from run to run", (0.007, 0.017), "",
            float(np.std(scattered) / np.mean(scattered)), bench, is_source=True,
        ),
        beside(
            "pulses at 0.9 L/min in an hour, `yf-s201`", 0.0, "", counted(leak, 60)[0], sheet,
            is_source=True,
        ),
        beside(
            "pulses at 0.9 L/min in an hour, `ideal`", 0.0, "",
            counted(Valve(flow_l_min=0.9), 60)[0], sheet,
        ),
    ]  # fmt: skip
    return rows


def validate_valves() -> Comparison:
    """Emitters, latching valves and a turbine meter."""
    rows = [*emitters(), *meters()]

    def draw(axes: Any) -> None:
        flows = np.linspace(0.2, 13.0, 65)
        yf = Valve(meter="yf-s201", meter_scatter=0.0, pulses_per_l=492.0)
        ours = [counted(yf.but(flow_l_min=float(q)), 60)[0] / (60.0 * q) for q in flows]
        axes.plot(flows, ours, "r", lw=1, label="levada, yf-s201")
        table_l_min = [flow for flow, _ in HERTZ]
        pulses = [60.0 * hertz / flow for flow, hertz in HERTZ]
        axes.plot(table_l_min, pulses, "ko", ms=4, label="table of the maker")
        axes.axhspan(392.0, 406.0, color="b", alpha=0.3, label="two meters, weighed")
        axes.set(xlabel="flow [L/min]", ylabel="pulses a litre")
        axes.legend(loc="lower center")

    return compared(
        rows,
        model=VALVES,
        name="published measurements of emitters and meters",
        data=f"{len(rows)} quantities of emitters, latching valves and a YF-S201, by citation",
        limit=2.5,
        figure=figure("meter_pulses", draw),
        note=f"{ABOVE}\n\n{table(rows)}\n\nTwo meters that were weighed counted a tenth "
        "less than their table: `spread.valve.pulses_per_l` makes meters differ. What a meter "
        "loses at the upper end of its range is left out, and so is variation among the emitters "
        "of one zone, whose water is one number.",
    )
