"""Soil probes and the rain gauge: from the state of the soil to what a node reads.

A *capacitive* probe turns the water content of its support volume into ADC counts by a calibration
curve; a *tensiometer* turns the suction at its cup into counts.  Its ends and what its soil adds to
the water content may be drawn by zone.  To these counts come ageing of the electrode, temperature
of soil and electronics, drift, warm-up and noise, then quantisation and the rails of a 12-bit
converter.  Noise is a pure function of the zone's key and the instant, so a reading depends neither
on how often the probe was read before nor on other zones.

The soil model weighs the water content over the support volume: `depth_m` plus and minus
`half_height_m`.  Soil temperature is air temperature through a first-order filter with the
attenuation of the daily wave at the probe's depth.

Left out: salinity, contact with the soil, lag of the tensiometer, radiation on the surface.
Formulas and sources: docs/models/probe.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from math import exp, isfinite, pi, sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from levada.guest.abi import ErrorCode
from levada.guest.text.ranges import check_range, out_of_range
from levada.sim.seeds import Key, deviates
from levada.sim.settings.explain import bounds_of
from levada.sim.settings.probe import ADC_MAX, MmPerTip, Probe
from levada.sim.soil.model import FloatArray
from levada.sim.units import DAY_MS, YEAR_MS

__all__ = [
    "KPA_PER_M",
    "ProbeFault",
    "ProbeParam",
    "ProbeState",
    "Probes",
    "RainGauge",
    "calibration",
    "damping_depth_m",
    "filter_time_s",
    "ideal_counts",
]

KPA_PER_M: Final = 9.80665
"""Pressure of one metre of water of 1000 kg m-3 under standard gravity [kPa m-1]."""
SOIL_DIFFUSIVITY_M2_S: Final = 5e-7
"""Thermal diffusivity of the soil above the probe."""

TOPP: Final = (3.03, 9.3, 146.0, -76.7)
"""Apparent permittivity of mineral soil as a cubic in theta; Topp et al. (1980), Water Resour.
Res. 16(3), 574-582, Eq. 6."""
INVERSE_SHIFT: Final = 0.72
"""Water content [m3 m-3] in theta = 2.48 V / U - 0.72 of a probe v1.2; J. Hrisko (2020), Capacitive
Soil Moisture Sensor Theory, Calibration, and Testing."""
MOST_DEVIATE: Final = 3.0
"""What is drawn by zone is cut at so many standard deviations, as spreads are."""


class ProbeFault(IntEnum):
    """What can happen to a probe; `magnitude` in the unit given."""

    STUCK = 0
    """Keeps the last reading (the first one, if there was none before); magnitude unused."""
    DRIFT = 1
    """Moves by `magnitude` counts a day, from the start of the fault."""
    SPIKE = 2
    """Every reading is off by `magnitude` counts."""
    OPEN = 3
    """Broken wire: reads the upper rail, 4095, or the error code `magnitude` if that is negative
    (-2: the sensor does not answer)."""


class ProbeParam(IntEnum):
    """Columns of the parameters of a probe, one row a zone."""

    TENSIOMETER = 0
    A0 = 1
    A1 = 2
    A2 = 3
    A3 = 4
    """Ideal counts as a cubic of theta, or of suction [kPa]."""
    RANGE_KPA = 5
    DRY_COUNTS = 6
    TEMPERATURE_COUNTS = 7
    REFERENCE_C = 8
    NOISE_COUNTS = 9
    DRIFT_PER_MS = 10
    AGEING_PER_MS = 11
    QUANTUM = 12
    WARMUP_COUNTS = 13
    WARMUP_MS = 14
    FILTER_S = 15
    INSTALLED_MS = 16
    SHIFT = 17
    """Over 0: the cubic is one of 1 / (theta + shift)."""
    THETA_ERROR = 18
    """Water content that the soil seems to have more."""
    ELECTRONICS_COUNTS = 19


class ProbeState(IntEnum):
    """Columns of the state of a probe, one row a zone."""

    LAST = 0
    """Last reading of a working probe [counts], NaN before the first."""
    POWERED_MS = 1
    """When power came last."""
    TEMP_C = 2
    """Soil temperature at the probe."""
    STUCK = 3
    DRIFT_PER_MS = 4
    DRIFT_SINCE_MS = 5
    SPIKE = 6
    OPEN = 7
    OPEN_VALUE = 8
    AIR_C = 9
    """Temperature of the electronics."""


def calibration(probe: Probe) -> tuple[float, float, float, float]:
    """Coefficients a0 .. a3 of the ideal counts, a cubic of theta or of suction [kPa].

    `topp` is linear in the apparent permittivity of Topp et al. (1980), Eq. 6; `inverse` is linear
    in 1 / (theta + 0.72), of which its cubic is one (Hrisko 2020).
    """
    span = probe.wet_counts - probe.dry_counts
    if probe.kind == "tensiometer":
        return probe.wet_counts, -span / probe.range_kpa, 0.0, 0.0
    dry, width = probe.theta_dry, probe.theta_wet - probe.theta_dry
    if probe.curve == "topp":
        k0, k1, k2, k3 = TOPP
        at_dry = k0 + dry * (k1 + dry * (k2 + dry * k3))
        wet = probe.theta_wet
        scale = span / (k0 + wet * (k1 + wet * (k2 + wet * k3)) - at_dry)
        return (
            probe.dry_counts + scale * (k0 - at_dry),
            scale * k1,
            scale * k2,
            scale * k3,
        )
    if probe.curve == "inverse":
        at_dry = 1.0 / (dry + INVERSE_SHIFT)
        slope = span / (1.0 / (probe.theta_wet + INVERSE_SHIFT) - at_dry)
        return probe.dry_counts - at_dry * slope, slope, 0.0, 0.0
    slope = span / width
    return probe.dry_counts - dry * slope, slope, 0.0, 0.0


def shift(probe: Probe) -> float:
    """What is added to theta before `inverse` turns it round; 0 for the other curves."""
    return INVERSE_SHIFT if probe.kind == "capacitive" and probe.curve == "inverse" else 0.0


def ideal_counts(probe: Probe, x: npt.ArrayLike) -> FloatArray:
    """Counts without any disturbance at water contents, or suctions [kPa]; shape of `x`."""
    a0, a1, a2, a3 = calibration(probe)
    x = np.asarray(x, dtype=np.float64)
    if shift(probe) > 0.0:
        x = 1.0 / (x + shift(probe))
    found: FloatArray = a0 + x * (a1 + x * (a2 + x * a3))
    return found


def damping_depth_m(diffusivity_m2_s: float, period_s: float = 86_400.0) -> float:
    """Depth at which a temperature wave has 1/e of its amplitude [m], sqrt(2 D / omega).

    Campbell and Norman (1998), An Introduction to Environmental Biophysics, 2nd ed., ch. 2 and 8.
    """
    return sqrt(diffusivity_m2_s * period_s / pi)


def filter_time_s(depth_m: float, diffusivity_m2_s: float) -> float:
    """Time constant [s] of the first-order filter that damps the daily wave as `depth_m` does.

    The wave at depth z has exp(-z/d) of its amplitude at the surface (Campbell and Norman, 1998,
    ch. 2), the filter 1 / sqrt(1 + (omega tau)^2).  Its lag is atan(omega tau), the wave's z/d:
    1.2 and 1 rad at z = d.
    """
    ratio = exp(-depth_m / damping_depth_m(diffusivity_m2_s))
    return sqrt(1.0 / ratio**2 - 1.0) * 86_400.0 / (2.0 * pi)


class Probes:
    """The probes of n zones.

    `parameters` and `state` have a row a zone and the columns `ProbeParam` and `ProbeState`;
    `levada.sim.devices.kernels` has the model as compiled functions for one zone.
    """

    def __init__(
        self, probes: Sequence[Probe], *, keys: Key, start_ms: int, temp_c: float = 15.0
    ) -> None:
        """`keys` from `seeds.zone_keys`; `temp_c` is the soil temperature at `start_ms` [degC]."""
        if len(keys) != len(probes):
            raise ValueError(f"{len(keys)} keys for {len(probes)} probes")
        self.n = len(probes)
        self.keys: Key = np.ascontiguousarray(keys, dtype=np.uint64)
        self.parameters: FloatArray = np.array(
            [_row(p, start_ms, key) for p, key in zip(probes, self.keys, strict=True)]
        ).reshape(self.n, len(ProbeParam))
        self.state: FloatArray = np.zeros((self.n, len(ProbeState)))
        self.state[:, ProbeState.LAST] = np.nan
        self.state[:, ProbeState.POWERED_MS] = start_ms
        self.state[:, ProbeState.TEMP_C] = temp_c
        self.state[:, ProbeState.AIR_C] = temp_c

    def power_up(self, time_ms: int, zones: Sequence[int] | slice = slice(None)) -> None:
        """Power came to the probes of `zones` (all by default): warm-up starts again."""
        self.state[zones, ProbeState.POWERED_MS] = time_ms

    def set_fault(
        self, time_ms: int, zone: int, kind: ProbeFault, active: bool, magnitude: float = 0.0
    ) -> None:
        """Start or end a fault at `time_ms`; unit of `magnitude`: see `ProbeFault`."""
        if not isfinite(magnitude):
            raise ValueError(f"`magnitude` = {magnitude}: must be finite")
        row = self.state[zone]
        if kind is ProbeFault.STUCK:
            row[ProbeState.STUCK] = active
        elif kind is ProbeFault.DRIFT:
            row[ProbeState.DRIFT_PER_MS] = magnitude / DAY_MS if active else 0.0
            row[ProbeState.DRIFT_SINCE_MS] = time_ms
        elif kind is ProbeFault.SPIKE:
            row[ProbeState.SPIKE] = magnitude if active else 0.0
        else:
            codes = [code.value for code in ErrorCode if code < 0]
            if magnitude < 0 and magnitude not in codes:
                raise ValueError(
                    out_of_range("magnitude", magnitude, f"0 (upper rail) and the codes {codes}")
                )
            row[ProbeState.OPEN] = active
            row[ProbeState.OPEN_VALUE] = magnitude if magnitude < 0 else ADC_MAX


def _drawn(probe: Probe, key: np.uint64) -> tuple[Probe, float]:
    """The probe with the ends it really has, and what its soil adds to the water content."""
    if probe.ends_scatter_counts == 0.0 and probe.theta_error == 0.0:
        return probe, 0.0
    dry, wet, soil = np.clip(deviates(3, key), -MOST_DEVIATE, MOST_DEVIATE).tolist()
    # not checked again: ends beyond the rails of the converter, or turned round, do happen
    real = probe.model_copy(
        update={
            "dry_counts": probe.dry_counts + dry * probe.ends_scatter_counts,
            "wet_counts": probe.wet_counts + wet * probe.ends_scatter_counts,
        }
    )
    return real, soil * probe.theta_error


def _row(probe: Probe, start_ms: int, key: np.uint64) -> list[float]:
    row = dict.fromkeys(ProbeParam, 0.0)
    probe, row[ProbeParam.THETA_ERROR] = _drawn(probe, key)
    row[ProbeParam.SHIFT] = shift(probe)
    row[ProbeParam.ELECTRONICS_COUNTS] = probe.electronics_counts_per_c
    row[ProbeParam.TENSIOMETER] = float(probe.kind == "tensiometer")
    row[ProbeParam.A0], row[ProbeParam.A1], row[ProbeParam.A2], row[ProbeParam.A3] = calibration(
        probe
    )
    row[ProbeParam.RANGE_KPA] = probe.range_kpa
    row[ProbeParam.DRY_COUNTS] = probe.dry_counts
    row[ProbeParam.TEMPERATURE_COUNTS] = probe.temperature_counts_per_c
    row[ProbeParam.REFERENCE_C] = probe.reference_c
    row[ProbeParam.NOISE_COUNTS] = probe.noise_counts
    row[ProbeParam.DRIFT_PER_MS] = probe.drift_counts_per_day / DAY_MS
    row[ProbeParam.AGEING_PER_MS] = probe.ageing_per_year / YEAR_MS
    row[ProbeParam.QUANTUM] = 2.0 ** (12 - probe.adc_bits)
    row[ProbeParam.WARMUP_COUNTS] = probe.warmup_counts
    row[ProbeParam.WARMUP_MS] = probe.warmup_s * 1000.0
    row[ProbeParam.FILTER_S] = filter_time_s(probe.depth_m, SOIL_DIFFUSIVITY_M2_S)
    row[ProbeParam.INSTALLED_MS] = start_ms
    return [row[column] for column in ProbeParam]


class RainGauge:
    """A tipping bucket: a pulse for every `mm_per_tip` of rain; the rest stays in the bucket.

    Left out: loss while the bucket tips, wind (WMO-No. 8, 2018, ch. 6).
    """

    def __init__(self, mm_per_tip: float = 0.2) -> None:
        check_range("mm_per_tip", mm_per_tip, **bounds_of(MmPerTip), unit="mm")
        self.mm_per_tip = mm_per_tip
        self.rain_mm = 0.0
        """Rain since the start."""
        self.tips = 0
        """Tips since the start."""

    def add(self, rain_mm: float) -> int:
        """Rain falls; tips that it caused."""
        check_range("rain_mm", rain_mm, 0.0, 1e4, "mm")
        self.rain_mm += rain_mm
        before = self.tips
        # from the sum, so that no rounding is lost or gathered
        self.tips = int(self.rain_mm / self.mm_per_tip + 1e-9)
        return self.tips - before
