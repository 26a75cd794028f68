"""What signals, parameters and facts of a link are called on the page.

A guest of somebody else's may have any names: what is not known here is shown as it is called.
"""

from __future__ import annotations

from typing import Final

__all__ = ["kind", "link", "mode", "parameter", "signal", "unit"]

_SIGNALS: Final = {
    "theta": "Water content at the probe",
    "residual": "Probe less twin",
    "counts": "Probe, raw reading",
    "raw": "Probe, as published",
    "filt": "Probe, filtered",
    "pct": "Moisture, as the guest sees it",
    "on": "Opens below",
    "off": "Closes at",
    "irrigar": "Decision to water",
    "why": "Reason of the decision (code)",
    "valve": "Valve, commanded",
    "valve_open": "Valve, share open",
    "flow": "Flow meter",
    "flow_l": "Water given",
    "temp_c": "Soil temperature",
    "battery_mv": "Battery",
    "energy_j": "Energy used (model)",
    "theta_root": "Water content of the root zone",
    "theta_fc_root": "Field capacity of the root zone",
    "theta_stress_root": "Crop stressed below",
    "dr_mm": "Depletion of the root zone",
    "raw_mm": "Readily available water",
    "ks": "Stress coefficient",
    "rain_mm": "Rain",
    "irrigation_mm": "Irrigation",
    "et_mm": "Evapotranspiration",
    "et0_mm": "Reference evapotranspiration",
    "cause": "Cause of a difference (code)",
}
_PARAMETERS: Final = {
    "on_pct": "Opens when moisture falls below",
    "off_pct": "Closes when moisture reaches",
    "max_open_s": "Longest opening",
    "min_pause_s": "Shortest pause after an opening",
    "daily_cap_l": "Most water in a day",
    "filter_kind": "Filter: 0 exponential, 1 mean",
    "ema_shift": "Strength of the exponential filter",
    "window": "Readings of the mean",
    "min_counts": "Probe broken below",
    "max_counts": "Probe broken above",
    "stuck_counts": "Probe stuck if it moves less than",
    "stuck_s": "... while water flows for",
    "flow_confirm_s": "Water has to flow within",
    "pulses_per_l": "Pulses of the flow meter a litre",
    "leak_pulses": "Leak if pulses come while closed",
    "dry_counts": "Reading in dry soil",
    "wet_counts": "Reading in wet soil",
    "limit_counts": "Threshold as a raw reading, if none in percent",
    "period_s": "Between two looks",
    "open_period_s": "Between two looks while open",
    "refill": "Opens again until the upper threshold",
}
_LINK: Final = {
    "url": "Address",
    "requests": "Requests",
    "retries": "Sent again",
    "crc_errors": "Damaged frames",
    "resyncs": "Resynchronised",
    "round_trip_p50_ms": "Round trip, median",
    "round_trip_p99_ms": "Round trip, 99 of 100",
    "jitter_ms": "Jitter",
    "lease_ms": "Outputs close without a host after",
    "restarts": "Restarts",
    "silences": "Silences",
    "messages": "Messages heard",
    "missing_or_late": "Numbers missing or late",
    "not_numbers": "Mapped values that are no numbers",
    "connections": "Connections to the broker",
    "void": "Too bad to be trusted",
}
_KINDS: Final = {"raw": "device", "filtered": "fog", "twin": "twin"}
_UNITS: Final = {"m3/m3": "m³/m³", "degC": "°C"}
_MODES: Final = {
    "hil": "live",
    "shadow": "live, real soil",
    "replay": "replay of a stored run",
}


def signal(name: str) -> str:
    """A signal; profiles by their depth."""
    if name.startswith("theta@"):
        return f"Water content at {name.removeprefix('theta@')} m"
    return _SIGNALS.get(name, name)


def parameter(name: str) -> str:
    """What a parameter does; empty if that is not known."""
    return _PARAMETERS.get(name, "")


def link(name: str) -> str:
    """A fact about a link."""
    return _LINK.get(name) or name.replace("_", " ").capitalize()


def kind(name: str) -> str:
    """Whom a series is of."""
    return _KINDS.get(name, name)


def unit(name: str) -> str:
    """A unit as it is printed."""
    return _UNITS.get(name, name)


def mode(name: str) -> str:
    """In which way the twin runs."""
    return _MODES.get(name, name)
