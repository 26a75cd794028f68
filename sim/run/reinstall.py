"""Installs a guest again on a node that runs, as an update does: the fault `reinstall`."""

from __future__ import annotations

from functools import cache
from typing import Final

from levada.guest.node import Node

__all__ = ["reinstall"]

IDLE: Final = """
(module (memory (export "memory") 1)
  (func (export "abi_version") (result i32) i32.const 1)
  (func (export "init") (result i32) i32.const 3600000)
  (func (export "step") (result i32) i32.const 3600000))
"""
"""A guest that does nothing."""


def reinstall(node: Node, module: bytes) -> None:
    """Install a guest that does nothing, then `module`, which runs from the next boot.

    A node that has a module already does not fetch it again, so another one comes between.
    """
    node.install(_idle())
    node.install(module)


@cache
def _idle() -> bytes:
    import wasmtime

    return bytes(wasmtime.wat2wasm(IDLE))
