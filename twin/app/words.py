"""What signals, parameters and facts of a link are called on the page.

A guest of somebody else's may have any names: what is not known here is shown as it is called.
"""

from __future__ import annotations

from typing import Final

from levada.sim.signals import PRINTED_UNITS, SIGNALS

__all__ = ["anomaly", "kind", "link", "mode", "parameter", "signal", "unit"]

_PARAMETERS: Final = {
    "on_pct": "Opens when moisture falls below",
    "off_pct": "Closes when moisture reaches",
    "max_open_s": "Longest opening",
    "min_pause_s": "Shortest pause after an opening",
    "daily_cap_l": "Most water in a day",
    "filter_kind": "Filter: 0 exponential, 1 mean, 2 median",
    "ema_shift": "Strength of the exponential filter",
    "window": "Readings of mean and median",
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
    "flat_s": "Fog calls a probe stuck if it does not move for",
    "most_rate": "Fog calls a change too fast from",
    "hampel_readings": "Fog looks for outliers among so many readings",
    "hampel_tenths": "Outliers are off by so many tenths of a standard deviation",
    "window_s": "Fog sums up readings over",
    "source": "Goes by: 0 the weather, 1 the probe",
    "taw_mm": "Water that the roots can take, full",
    "refill_mm": "Opens when so much is missing",
    "leave_mm": "Closes when so much is still missing",
    "limit_mm": "Waits for no rain from there on",
    "start_mm": "Missing at the first start",
    "efficiency_pct": "Share of irrigation that reaches the roots",
    "rain_pct": "Share of rain that reaches the roots",
    "rain_skip": "Waits if so much rain is expected",
    "tip": "Rain of one tip of the gauge",
    "kc_ini_pct": "Crop coefficient at the start and on bare ground",
    "kc_mid_pct": "Crop coefficient in mid-season",
    "kc_end_pct": "Crop coefficient at the end",
    "planting_doy": "Day of the year of planting; 0: always mid-season",
    "ini_d": "Length of the initial stage",
    "dev_d": "Length of development",
    "mid_d": "Length of mid-season",
    "late_d": "Length of the late season",
    "et_wait_s": "Assumes reference ET if none comes for",
    "et_else": "Reference ET that is assumed then",
    "area_m2": "Area",
    "rate": "Water by time, without a flow meter",
    "settle_s": "Probe is not asked after an opening for",
    "no_flow_limit": "Openings without water that lock the valve",
    "confirm": "Unlocks, if another number than before",
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
    "refused": "Messages refused",
    "refused_why": "The newest was refused",
    "not_numbers": "Mapped values that are no numbers",
    "connections": "Connections to the broker",
    "void": "Too bad to be trusted",
}
_KINDS: Final = {"raw": "device", "filtered": "fog", "twin": "twin"}
_MODES: Final = {
    "hil": "live",
    "shadow": "live, following the nodes",
    "replay": "replay of a stored run",
}

_ANOMALIES: Final = {"range": "out of range", "rate": "changed too fast", "Hampel": "outlier"}


def anomaly(name: str) -> str:
    """An anomaly of a reading, by the name that the comparison of streams gives it."""
    return _ANOMALIES.get(name, name)


def signal(name: str) -> str:
    """A signal; profiles by their depth."""
    if name.startswith("theta@"):
        return f"Water content at {name.removeprefix('theta@')} m"
    return SIGNALS[name].label if name in SIGNALS else name


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
    return PRINTED_UNITS.get(name, name)


def mode(name: str) -> str:
    """In which way the twin runs."""
    return _MODES.get(name, name)
