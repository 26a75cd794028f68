"""Pure functions of a module, called one by one without any host."""

from __future__ import annotations

from typing import Any

import wasmtime

from levada.guest.errors import AbiError, ParameterError
from levada.guest.fast import fastpath
from levada.guest.fast.fastpath import PathName
from levada.guest.lifecycle import Closing
from levada.guest.limits import FOG, Budget, Profile
from levada.guest.module.inspect import ModuleInfo, inspect
from levada.guest.wasm.engine import exported_functions
from levada.guest.wasm.instances import Instances

__all__ = ["PureGuest"]


class PureGuest(Closing):
    """Functions of a module that keeps no step: `PureGuest(module).call("process", 1800, ...)`."""

    def __init__(
        self,
        module: bytes,
        *,
        name: str = "esp32",
        budget: Budget = Budget(),  # noqa: B008 - immutable
        profile: Profile = FOG,
        path: PathName | None = None,
    ) -> None:
        self.functions = exported_functions(module, budget)
        self.info: ModuleInfo = inspect(bytes(module), budget=budget).require()
        self._host = Instances(
            module,
            [name],
            budget=budget,
            profile=profile,
            tape=False,
            path=path or fastpath.chosen(),
        )
        self._started = False

    def call(self, name: str, *arguments: float) -> int | float | None:
        """Result of a function; it keeps its memory from call to call.

        Raises AbiError if there is no such function, ParameterError for wrong arguments, Trap if
        it is stopped; the call after that has a clean instance.
        """
        signature = self.functions.get(name)
        if signature is None:
            known = ", ".join(sorted(self.functions)) or "none"
            raise AbiError(f"no function {name!r}; there are {known}")
        values = _arguments(name, signature, arguments)
        host = self._host
        host.enter()
        try:
            if not self._started or 0 in host.traps:
                host.instantiate(0)
                self._started = True
            result: int | float | None = host.call(0, name, *values)
            return result
        finally:
            host.busy = False

    def close(self) -> None:
        """Release the instance."""
        self._host.close()


def _arguments(name: str, ty: wasmtime.FuncType, values: tuple[float, ...]) -> list[Any]:
    kinds = [str(param) for param in ty.params]
    if len(kinds) != len(values):
        raise ParameterError(f"{name}({', '.join(kinds)}): {len(values)} arguments given")
    converted: list[Any] = []
    for kind, value in zip(kinds, values, strict=True):
        if kind.startswith("f"):
            converted.append(float(value))
            continue
        bits = int(kind[1:])
        if int(value) != value or not -(1 << bits - 1) <= value < 1 << bits - 1:
            raise ParameterError(f"{name}: {value} is not an integer of {bits} bits")
        converted.append(int(value))
    return converted
