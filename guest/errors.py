"""The errors of levada: one root, and each class has the exit code that the program ends with.

Those of guests stand here, the others in `errors.py` of their package or in the module that raises
them.  Whoever catches `LevadaError` catches whatever levada raises on purpose; an argument that a
program should not have passed is a ValueError.  The number is the exit code; a class without one
has that of its base.

LevadaError                        3
├── ExtraError                     2 a command needs an extra that is not installed
├── GuestError                     2
│   ├── BuildError                   the toolchain refused the source
│   ├── FastPathError              3 the compiled host calls cannot be set up, and must be
│   ├── KeyFileError                 a folder or file of keys that cannot be used
│   ├── ManifestError                bytes or values that are no manifest of a module
│   ├── ModuleError                  not a module, or not one that levada can run
│   │   ├── AbiError                 imports outside the ABI, or exports missing
│   │   ├── FeatureError             proposals of WebAssembly that not every engine has
│   │   └── LimitError               larger than allowed
│   ├── ParameterError               unknown parameter, or a value outside its range
│   ├── SignatureError               no trusted key has signed a module
│   ├── TapeError                    bytes that are not a tape
│   └── Trap                         the guest was stopped while it ran
├── HilError                       4
│   ├── DeviceError                  the device answered, and refused
│   ├── DeviceRestarted              the device has started again in the middle of a session
│   ├── LinkError                    the device does not answer, or the port is gone
│   │   └── BrokerError              the broker cannot be started or reached
│   │       └── ClientIdTakenError   somebody else uses our client id
│   ├── MessageError                 a body that does not fit its message of the wire
│   ├── PayloadError                 an MQTT message outside the contract
│   ├── GuestRanForEver              the watchdog bit at every try
│   ├── UpdateError                  a device did not take a module, and why
│   └── UsageError                 2 what is asked for cannot be, whatever the device
├── SimError                       2
│   ├── EnergyFileError              a recording of a power meter that cannot be read or fitted
│   ├── ExpressionError              not an expression of the grammar
│   ├── LateError                  3 the computer could not keep up with the wall clock
│   ├── RunDirError                  a directory that no run has left, or another run has
│   ├── ScenarioError                a scenario that cannot be used, with all its problems
│   ├── SettingError                 a setting out of its range, or against another one
│   ├── SoilError                  3 the soil model cannot solve an interval
│   ├── TapeListingError             a zone or a pattern that a tape cannot be listed by
│   └── WeatherError                 a weather file that cannot be used
│       └── PeriodError              it does not cover the period that is asked for
└── TwinError                      2
    ├── CalibrationError             a parameter or its value is wrong, or was not taken
    │   └── UnansweredError          it was sent, and nobody says whether it is in force
    ├── MappingError                 a foreign payload does not fit its mapping
    ├── PageError                    the pages cannot be served
    ├── ProjectError                 a project cannot be made of what was asked, or there
    ├── PkiError                     the authority cannot issue or revoke what was asked
    ├── RolloutBusyError             another process drives the rollout
    ├── StoreError                   the store cannot do what was asked
    │   ├── BufferFullError        4 fog may keep no more for a cloud that does not answer
    │   ├── StoreBusyError           another process holds it
    │   ├── StoreFullError           no space is left
    │   ├── StoreReadOnlyError       it cannot be written
    │   └── StoreVersionError        its schema is newer than this program
    └── TwinMismatchError            a device runs another guest than its twin
"""

from __future__ import annotations

from typing import ClassVar

from levada.guest.abi import TrapKind
from levada.guest.exit_codes import Exit

__all__ = [
    "AbiError",
    "BuildError",
    "FastPathError",
    "FeatureError",
    "GuestError",
    "KeyFileError",
    "LevadaError",
    "LimitError",
    "ManifestError",
    "ModuleError",
    "ParameterError",
    "SignatureError",
    "Trap",
]


class LevadaError(Exception):
    """The root of all errors that levada raises on purpose."""

    exit_code: ClassVar[Exit] = Exit.INTERNAL
    """What the program `levada` ends with if nothing has caught the error."""


class GuestError(LevadaError):
    """Base of the errors of guests and of their modules."""

    exit_code = Exit.BAD_INPUT


class ModuleError(GuestError):
    """Not a WebAssembly module, or not one that levada can run."""


class FeatureError(ModuleError):
    """The module uses proposals outside the feature profile; every one is listed."""


class AbiError(ModuleError):
    """The module asks for imports outside the ABI, or lacks exports; every one is listed."""


class LimitError(ModuleError):
    """The module or a limit is outside the allowed range."""


class ParameterError(GuestError):
    """Unknown parameter, or a value outside the range the module declares."""


class ManifestError(GuestError):
    """Bytes or values that are no manifest of a module."""


class SignatureError(GuestError):
    """No key that is trusted has signed a module."""


class KeyFileError(GuestError):
    """A folder or a file of keys that cannot be used."""


class BuildError(GuestError):
    """The toolchain refused the source; carries its output."""


class FastPathError(GuestError):
    """The fast path cannot be set up, and the ordinary one is not what was asked for."""

    exit_code = Exit.INTERNAL


class Trap(GuestError):  # noqa: N818 - the word of WebAssembly
    """The guest was stopped.

    `kind` says why in the terms of `levada.guest.abi.TrapKind`, `function` which export was
    running, `backtrace` the wasm frames, innermost first (empty if the engine gives none).
    """

    def __init__(
        self, kind: TrapKind, function: str, detail: str = "", backtrace: tuple[str, ...] = ()
    ) -> None:
        self.kind = kind
        self.function = function
        self.detail = detail
        self.backtrace = backtrace
        text = f"guest stopped in {function}: {kind.name.lower().replace('_', ' ')}"
        super().__init__(f"{text} ({detail})" if detail else text)
