"""The guest ABI, version 1.1, as constants: one table that every host reads.

`guest/include/levada.h` is the same table for guests and firmware, and `docs/abi.md` the same for
people; a test compares the three.  Integers only: no guest needs float or 64-bit arithmetic, so
every engine and CPU gives the same bits.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

__all__ = [
    "ABI_VERSION",
    "DEFAULT_PINS",
    "IMPORTS",
    "IMPORT_MODULE",
    "KEEP_SLOTS",
    "LOOK_BACK",
    "REACTOR_EXPORTS",
    "TIER_EXPORTS",
    "WHY",
    "Anomaly",
    "Call",
    "ConfigKey",
    "ErrorCode",
    "Sensor",
    "TrapKind",
    "Window",
]

ABI_VERSION: Final = 1
"""Of the exports.  What 1.1 added are imports that a guest may do without."""
IMPORT_MODULE: Final = "env"

DEFAULT_PINS: Final = (23, 18, 19, 21)
"""Outputs of the reference board: valve relay, then three LEDs."""

IMPORTS: Final[dict[str, tuple[str, str]]] = {
    "read_sensor": ("i", "i"),
    "set_output": ("ii", ""),
    "get_config": ("i", "i"),
    "mqtt_publish": ("ii", "i"),
    "wasm_log": ("i", ""),
    "log_int": ("i", ""),
    "delay_ms": ("i", ""),
    "now_s": ("", "i"),
    "uptime_s": ("", "i"),
    "keep_get": ("i", "i"),
    "keep_set": ("ii", "i"),
}
"""Import name -> (parameter types, result types); `i` is i32.  The last three are of ABI 1.1."""

KEEP_SLOTS: Final = 8
"""Values that a node keeps for its guest over a restart."""

REACTOR_EXPORTS: Final[dict[str, tuple[str, str]]] = {
    "abi_version": ("", "i"),
    "init": ("", "i"),
    "step": ("", "i"),
    "param_get": ("i", "i"),
    "param_set": ("ii", "i"),
    "process": ("iiii", "i"),
    "filter": ("i", "i"),
    "anomaly": ("ii", "i"),
    "window_add": ("ii", "i"),
    "window_get": ("i", "i"),
    "look_back": ("i", "i"),
    "filter_state": ("", "i"),
}
"""What a reactor guest exports; all from `process` on are what fog and cloud call.

The last five are of ABI 1.1.
"""
TIER_EXPORTS: Final = tuple(REACTOR_EXPORTS)[5:]
"""What fog and cloud call."""
LOOK_BACK: Final = 16
"""So many readings, and its state, make a restarted filter what it was."""


class Sensor(IntEnum):
    """`kind` of `read_sensor`.  Those from RAIN on are of ABI 1.1, and few nodes have them."""

    MOISTURE = 0
    """Soil moisture, ADC counts 0..4095."""
    TEMPERATURE = 1
    """Soil temperature, 0.01 degC."""
    BATTERY = 2
    """Battery, mV."""
    FLOW = 3
    """Flow meter pulses since the last read."""
    RAIN = 4
    """Rain gauge tips since the last read."""
    FORECAST = 5
    """Rain expected in the next 24 h, 0.1 mm."""
    ET0 = 6
    """Reference ET since the last read, 0.01 mm."""


class ConfigKey(IntEnum):
    """`key` of `get_config`."""

    DRY = 0
    """Counts of the probe in dry soil."""
    WET = 1
    """Counts of the probe in wet soil."""
    LIMIT = 2
    """Counts above which the soil is too dry."""


class ErrorCode(IntEnum):
    """Negative results of host calls, the same on every tier."""

    OK = 0
    INVALID = -1
    """An argument outside its range: unknown kind, key, pin, or slot."""
    UNAVAILABLE = -2
    """The sensor is missing or did not answer."""
    REFUSED = -3
    """Topic or message not allowed: wildcard, `$`, foreign prefix, not UTF-8, too long."""
    OFFLINE = -4
    """There is no link at present."""


class Anomaly(IntFlag):
    """What `anomaly` finds wrong with a reading."""

    RANGE = 1
    """Missing, or outside its plausible range."""
    STUCK = 2
    """Has not moved for too long."""
    RATE = 4
    """Changed faster than soil does."""
    HAMPEL = 8
    """Far from the median of the last readings."""


class Window(IntEnum):
    """`kind` of `window_get`; plus `BEFORE` it is that of the window before the open one."""

    COUNT = 0
    MEAN = 1
    """Rounded to the nearest integer, halves away from 0."""
    MINIMUM = 2
    MAXIMUM = 3
    SUM = 4
    BEFORE = 8


class Call(IntEnum):
    """Record types on the tape; 1 to 11 are the imports in the order of the header."""

    STEP = 0
    READ_SENSOR = 1
    SET_OUTPUT = 2
    GET_CONFIG = 3
    MQTT_PUBLISH = 4
    WASM_LOG = 5
    LOG_INT = 6
    DELAY_MS = 7
    NOW_S = 8
    UPTIME_S = 9
    KEEP_GET = 10
    KEEP_SET = 11
    RETURN = 16
    TRAP = 17
    PARAM_SET = 18
    BOOT = 19


class TrapKind(IntEnum):
    """Why a guest was stopped: the same classes on every engine."""

    NONE = 0
    OUT_OF_FUEL = 1
    """Instruction budget or watchdog: the guest ran too long."""
    DEADLINE = 2
    """Wall-clock guard."""
    MEMORY_OUT_OF_BOUNDS = 3
    STACK_OVERFLOW = 4
    UNREACHABLE = 5
    INTEGER_DIVIDE = 6
    """Division by zero or overflow of a signed division."""
    BAD_INDIRECT_CALL = 7
    POINTER = 8
    """A pointer handed to a host call lies outside memory, or the string has no end."""
    DENIED = 9
    """The capability profile of this tier does not allow the import."""
    HOST_CALLS = 10
    """More host calls in one step than allowed."""
    LOG_BYTES = 11
    PUBLISH_BYTES = 12
    GUEST_FAULT = 13
    """`init` or `step` returned a negative number."""
    OTHER = 14


class WHY(IntEnum):
    """Reason codes in the telemetry of the shipped guests (`why`)."""

    HOLD = 0
    """Between the thresholds: nothing changes."""
    OPENED = 1
    """Filtered moisture fell below the lower threshold."""
    CLOSED_WET = 2
    """Filtered moisture rose above the upper threshold."""
    CLOSED_MAX_OPEN = 3
    """Open for the longest time allowed."""
    WAIT_PAUSE = 4
    """Dry, but the shortest pause has not passed."""
    WAIT_DAILY_CAP = 5
    """Dry, but the volume of the day is used up (closes an open valve)."""
    PROBE_RANGE = 6
    """Probe reading outside its plausible range."""
    PROBE_STUCK = 7
    """Probe reading has not moved while water flowed."""
    PROBE_MISSING = 8
    """Probe did not answer."""
    NO_FLOW = 9
    """Valve commanded open, no flow seen."""
    LEAK = 10
    """Valve commanded closed, flow seen."""
    STARTING = 11
    """The filter is not filled yet."""
    CLOCK = 12
    """The time since the start went back or stands still: an open valve closes."""
    LOCKED = 13
    """Opened too often without flow: stays closed until somebody confirms."""
    WAIT_RAIN = 14
    """Dry, but enough rain is expected (guest `et`)."""
