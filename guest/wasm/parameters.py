"""Parameters of a guest that runs: judged by its metadata, set in an order that it accepts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from levada.guest.errors import ParameterError
from levada.guest.module.inspect import ModuleInfo

__all__ = ["check_values", "set_values"]

I32_MIN: Final = -(1 << 31)
I32_MAX: Final = (1 << 31) - 1


def check_values(info: ModuleInfo, values: Mapping[int, int], present: Mapping[int, int]) -> None:
    """Raise ParameterError unless values by id, over the present ones, keep ranges and rules."""
    for parameter, value in values.items():
        if info.parameters:
            info.parameter(parameter).check(value)
        elif not I32_MIN <= value <= I32_MAX:
            raise ParameterError(f"parameter {parameter} = {value}: not an integer of 32 bits")
    info.check_rules({**present, **values})


def set_values(
    info: ModuleInfo, param_set: Callable[[int, int], int], values: Mapping[int, int]
) -> None:
    """Set parameters in an order that the guest accepts, ParameterError if there is none.

    A rule between two may hold only once the other is set, so what is refused is asked for again
    after the rest; two that change places pass through 0 (docs/abi.md).
    """
    waiting = dict(values)
    passed = False
    while waiting:
        refused = {p: v for p, v in waiting.items() if param_set(p, v) != 0}
        if len(refused) == len(waiting):
            if passed or len(refused) < 2:
                raise _refusal(info, *next(iter(refused.items())))
            passed = True
            for parameter in refused:
                param_set(parameter, 0)
        waiting = refused


def _refusal(info: ModuleInfo, parameter: int, value: int) -> ParameterError:
    declared = next((p for p in info.parameters if p.id == parameter), None)
    if declared is None:
        return ParameterError(f"parameter {parameter} = {value}: the guest refuses it")
    return ParameterError(
        f"{declared.name} = {value} {declared.unit}".rstrip()
        + ": the guest refuses it, although it declares "
        f"{declared.minimum} to {declared.maximum}"
    )
