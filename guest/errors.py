"""Errors of the package `guest`.

GuestError
├── ModuleError      not a module, or not one that levada can run
│   ├── FeatureError proposals of WebAssembly that not every engine has
│   ├── LinkError    imports outside the ABI (all of them), or exports missing
│   └── LimitError   larger than allowed
├── ParameterError   unknown parameter or value outside its range
├── BuildError       the toolchain refused the source
└── Trap             the guest was stopped while running
"""

from __future__ import annotations

from levada.guest.abi import TrapKind

__all__ = [
    "BuildError",
    "FeatureError",
    "GuestError",
    "LimitError",
    "LinkError",
    "ModuleError",
    "ParameterError",
    "Trap",
]


class LevadaError(Exception):
    """The root of all errors that levada raises on purpose."""


class GuestError(LevadaError):
    """Base of all errors of this package."""


class ModuleError(GuestError):
    """Not a WebAssembly module, or not one that levada can run."""


class FeatureError(ModuleError):
    """The module uses proposals outside the feature profile; every one is listed."""


class LinkError(ModuleError):
    """The module asks for imports outside the ABI, or lacks exports; every one is listed."""


class LimitError(ModuleError):
    """The module or a limit is outside the allowed range."""


class ParameterError(GuestError):
    """Unknown parameter, or a value outside the range the module declares."""


class BuildError(GuestError):
    """The toolchain refused the source; carries its output."""


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
