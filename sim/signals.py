"""The signals of a field: name, unit, label and meaning, declared once.

Those of the trace come first and in the order of its columns; the rest is what devices publish and
what the twin stores.  Trace, scenario file, report, store, page and MQTT take units and labels from
here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["PRINTED_UNITS", "SIGNALS", "Signal", "units_of"]


class Signal(NamedTuple):
    """One signal."""

    unit: str
    """As it is stored; empty: a pure number or a state."""
    label: str
    """As a page calls it."""
    meaning: str
    """One sentence for documents."""
    dtype: str = ""
    """NumPy type of its column in the trace; empty: it has none."""


SIGNALS: Final[dict[str, Signal]] = {
    "time_ms": Signal(
        "ms", "Time", "Virtual time since 1970, local standard time of the site.", "i8"
    ),
    "zone": Signal("", "Zone", "Index of the zone.", "i2"),
    "rain_mm": Signal("mm", "Rain", "Rain since the previous row.", "f4"),
    "irrigation_mm": Signal(
        "mm", "Irrigation", "Irrigation that reached the surface since the previous row.", "f4"
    ),
    "evaporation_mm": Signal(
        "mm", "Soil evaporation", "Soil evaporation since the previous row.", "f4"
    ),
    "transpiration_mm": Signal(
        "mm", "Transpiration", "Transpiration since the previous row.", "f4"
    ),
    "drainage_mm": Signal(
        "mm", "Drainage", "Water lost below the soil since the previous row.", "f4"
    ),
    "runoff_mm": Signal("mm", "Runoff", "Surface runoff since the previous row.", "f4"),
    "et0_mm": Signal(
        "mm",
        "Reference evapotranspiration",
        "Evapotranspiration of the crop's reference surface since the previous row.",
        "f4",
    ),
    "storage_mm": Signal(
        "mm", "Water in the soil", "All water in the soil, ponding included.", "f4"
    ),
    "ponding_mm": Signal("mm", "Water on the surface", "Water standing on the surface.", "f4"),
    "theta_root": Signal(
        "m3/m3", "Water content of the root zone", "Mean water content of the root zone.", "f4"
    ),
    "theta_fc_root": Signal(
        "m3/m3",
        "Field capacity of the root zone",
        "Water content of the root zone at field capacity.",
        "f4",
    ),
    "theta_stress_root": Signal(
        "m3/m3", "Crop stressed below", "Water content below which the crop is stressed.", "f4"
    ),
    "dr_mm": Signal(
        "mm", "Depletion of the root zone", "Root zone depletion below field capacity.", "f4"
    ),
    "taw_mm": Signal(
        "mm", "Total available water", "Total available water of the root zone.", "f4"
    ),
    "raw_mm": Signal(
        "mm", "Readily available water", "Readily available water of the root zone.", "f4"
    ),
    "ks": Signal("", "Stress coefficient", "Water stress coefficient, 1 = no stress.", "f4"),
    "zr_m": Signal("m", "Root depth", "Root depth.", "f4"),
    "theta_probe": Signal(
        "m3/m3", "Water content at the probe, true", "True water content around the probe.", "f4"
    ),
    "head_probe_m": Signal(
        "m",
        "Pressure head at the probe",
        "Pressure head at the probe, NaN if the soil model has none.",
        "f4",
    ),
    "counts": Signal(
        "counts",
        "Probe, raw reading",
        "Probe reading given to the guest; negative: error code.",
        "i4",
    ),
    "temp_c": Signal("degC", "Soil temperature", "Soil temperature at the probe.", "f4"),
    "battery_mv": Signal("mV", "Battery", "Battery of the node.", "i4"),
    "flow_pulses": Signal("", "Flow meter", "Flow meter pulses since the previous row.", "i4"),
    "flow_l": Signal("L", "Water given", "Water through the valve since the previous row.", "f4"),
    "valve_commanded": Signal("", "Valve, commanded", "State the guest asked for.", "i1"),
    "valve_open": Signal("", "Valve, share open", "Whether water can pass.", "i1"),
    "valve_open_s": Signal("s", "Time open", "Time open since the previous row.", "f4"),
    "valve_run_s": Signal(
        "s", "Longest opening", "Longest uninterrupted opening seen since the previous row.", "f4"
    ),
    "energy_j": Signal(
        "J", "Energy used (model)", "Energy of the node since the previous row.", "f4"
    ),
    "steps": Signal("", "Guest steps", "Guest steps since the previous row.", "i4"),
    "pct": Signal(
        "%",
        "Moisture, as the guest sees it",
        "Moisture the guest published last, -1: none yet.",
        "i2",
    ),
    "why": Signal(
        "",
        "Reason of the decision (code)",
        "Reason code the guest published last, -1: none yet.",
        "i1",
    ),
    "trap": Signal(
        "", "Trap (code)", "Class of the trap that stopped the guest, 0: running.", "i1"
    ),
    "online": Signal("", "Link", "Whether the node had a link.", "i1"),
    "fault": Signal(
        "",
        "Faults (bits)",
        "Bit i is set while fault i (modulo 31) of the scenario acts on this zone.",
        "i4",
    ),
    # what devices and the twin say beside these
    "raw": Signal("counts", "Probe, as published", "Probe reading that the device published."),
    "filt": Signal("counts", "Probe, filtered", "Probe reading after the guest's filter."),
    "anomaly": Signal(
        "",
        "Anomaly found",
        "Bits: 1 out of range, 2 stuck, 4 changes too fast, 8 outlier (Hampel).",
    ),
    "on": Signal("%", "Opens below", "Moisture below which the guest opens."),
    "off": Signal("%", "Closes at", "Moisture at which the guest closes."),
    "irrigar": Signal("", "Decision to water", "Whether the guest wants to water."),
    "flow": Signal("pulses", "Flow meter", "Flow meter pulses that the device published."),
    "theta": Signal(
        "m3/m3", "Water content at the probe", "Water content that the probe's reading stands for."
    ),
    "valve": Signal("", "Valve, commanded", "State the guest asked for."),
    "et_mm": Signal("mm", "Evapotranspiration", "Evaporation and transpiration."),
    "residual": Signal(
        "m3/m3", "Probe less twin", "Water content of the device's probe less that of the twin."
    ),
    "cause": Signal("", "Cause of a difference (code)", "Code of the cause of a difference."),
}
"""Name -> unit, label, meaning."""

PRINTED_UNITS: Final = {"m3/m3": "m³/m³", "degC": "°C"}
"""Unit as it is stored -> as it is printed, where they differ."""


def units_of(*names: str) -> dict[str, str]:
    """Name -> unit of some signals."""
    return {name: SIGNALS[name].unit for name in names}
