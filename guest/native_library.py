"""The C source of a guest as a shared library of this computer: the native engine of fog and cloud.

The compiler is that of the module, so both forms of a guest come from one source by one compiler.
What the library cannot do is stop a guest: a loop without an end, a division by zero or a wrong
pointer are those of this process, as on a native board.  So only sources one trusts are built.
"""

from __future__ import annotations

import ctypes
import tempfile
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from levada.guest.build import build_library
from levada.guest.errors import AbiError, BuildError

__all__ = ["SHIPPED_SOURCE", "NativeLibrary", "native_library"]

CALLS_SOURCE: Final = Path(__file__).parent / "native" / "calls.c"
SHIPPED_SOURCE: Final = Path(__file__).parent / "irrigation" / "irrigation.c"

Image = npt.NDArray[np.uint8]


class NativeLibrary:
    """A guest that is loaded; its calls take turns, whoever makes them."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._lock = threading.Lock()
        library.call_nodes.restype = ctypes.c_int64
        self.fresh: Image = np.zeros(library.image_bytes(), dtype=np.uint8)
        """Of a node that was not called yet."""
        library.save_image(ctypes.c_void_p(self.fresh.ctypes.data))

    def call(
        self,
        name: str,
        images: Image,
        nodes: npt.NDArray[np.int32],
        arguments: npt.NDArray[np.int32],
        results: npt.NDArray[np.int32],
        begin: int,
    ) -> tuple[int, int]:
        """Call an export from `begin` on; index of the first denied call, and which it asked for.

        `images` [nodes, bytes] are changed; `arguments` [calls, k], all arrays C-contiguous.
        """
        denied = ctypes.c_int()
        with self._lock:
            index: int = self._library.call_nodes(
                self._function(name),
                ctypes.c_int(arguments.shape[1]),
                *(ctypes.c_void_p(images.ctypes.data), ctypes.c_int64(begin)),
                ctypes.c_int64(nodes.size),
                *(ctypes.c_void_p(a.ctypes.data) for a in (nodes, arguments, results)),
                ctypes.byref(denied),
            )
        return index, denied.value

    def _function(self, name: str) -> Any:
        try:
            return getattr(self._library, f"levada_{name}")
        except AttributeError:
            raise AbiError(f"the C source does not define levada_{name}") from None


@lru_cache(maxsize=8)
def native_library(source: Path) -> NativeLibrary:
    """The guest compiled from a C file for this computer, once in a process.

    Raises BuildError with the compiler's output, with what is missing, or why it cannot be loaded.
    """
    with tempfile.NamedTemporaryFile(prefix="levada-guest-", suffix=".so") as file:
        file.write(build_library(source, CALLS_SOURCE))
        file.flush()
        try:
            return NativeLibrary(ctypes.CDLL(file.name))
        except OSError as error:  # a file system from which nothing may be run, and the like
            raise BuildError(f"the native guest cannot be loaded: {error}") from error
