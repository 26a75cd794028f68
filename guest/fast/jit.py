"""The compiler's decorator, and a cache that notices a change in any compiled file.

numba keys its cache by path and time of the function's file: a kernel that calls another file's
kernel would go on with the old one, and two copies of one version, such as a clone and what was
installed from it, would compile everything twice.  So the cache lives in a folder named after the
text of all compiled files together, and in it by the name of the module.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import numba
from numba.core import caching

from levada.guest.fast import kernel_cache

__all__ = [
    "CACHE",
    "KEEPING",
    "VERSION",
    "compiled",
    "config",
    "mark_compiled",
    "njit",
    "njit_inline",
    "njit_owning",
    "not_kept",
]

config: Any = numba.config  # its attributes are made at run time

PACKAGE: Final = Path(__file__).parents[2]


def _kernel_files() -> list[Path]:
    """Files of ours that use this module's decorator."""
    folders = (PACKAGE / "guest", PACKAGE / "sim", PACKAGE / "hil")
    files = (path for folder in folders for path in folder.rglob("*.py"))
    return sorted(path for path in files if b"levada.guest.fast.jit" in path.read_bytes())


def _version() -> str:
    text = hashlib.sha256()
    for path in _kernel_files():
        text.update(path.read_bytes())
    return text.hexdigest()[:16]


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "levada" / VERSION


VERSION: Final = _version()
"""Of the kernels: their text."""
CACHE: Final = Path(config.CACHE_DIR) if config.CACHE_DIR else _cache()
"""Where compiled kernels are kept; NUMBA_CACHE_DIR overrides it."""
_troubles: list[OSError] = []
"""Why compiled kernels could not be kept."""


def _try_cache() -> bool:
    """Whether the folder can be had; numba itself would end the program where it cannot."""
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=CACHE).close()
    except OSError as error:
        _troubles.append(error)
        return False
    return True


KEEPING: Final = bool(config.DISABLE_JIT) or _try_cache()
"""Whether compiled kernels are kept."""


def not_kept() -> str | None:
    """Why kernels are compiled at every run, if they are."""
    if not _troubles:
        return None
    return (
        f"kernels are compiled at every run: {CACHE} cannot be written ({_troubles[0].strerror}); "
        "NUMBA_CACHE_DIR names another folder"
    )


class _ByModule:
    """Where numba keeps a kernel of ours, for all copies of one version."""

    @classmethod
    def from_function(cls, function: Any, _file: str) -> _ByModule | None:
        return cls(function) if function.__module__.startswith("levada.") else None

    def __init__(self, function: Any) -> None:
        self._function = function

    def get_cache_path(self) -> str:
        return str(CACHE / self._function.__module__)

    def ensure_cache_path(self) -> None:
        Path(self.get_cache_path()).mkdir(exist_ok=True)

    def get_source_stamp(self) -> str:
        return VERSION

    def get_disambiguator(self) -> str:
        return str(self._function.__code__.co_firstlineno)


caching.FunctionCache._impl_class._locator_classes.insert(0, _ByModule)  # type: ignore[arg-type]

if TYPE_CHECKING:
    _A = ParamSpec("_A")
    _R = TypeVar("_R")

    def njit(function: Callable[_A, _R], /) -> Callable[_A, _R]:
        """What the decorator does to types: nothing."""
        ...

    def njit_inline(function: Callable[_A, _R], /) -> Callable[_A, _R]:
        """The same."""
        ...

    def njit_owning(function: Callable[_A, _R], /) -> Callable[_A, _R]:
        """The same."""
        ...
else:
    from numba import njit as _njit
    from numba import types as _types

    def _spare(cache: Any) -> None:
        """Let nothing that the cache cannot read or write end a run."""
        load, save = cache.load_overload, cache.save_overload

        def load_overload(*arguments: Any) -> Any:
            try:
                return load(*arguments)
            except (OSError, EOFError, ValueError, pickle.UnpicklingError):
                return None  # damaged, as by a disk that was full: it is compiled again

        def save_overload(*arguments: Any) -> None:
            try:
                save(*arguments)
            except OSError as error:
                _troubles.append(error)

        cache.load_overload, cache.save_overload = load_overload, save_overload

    def njit(function: Any) -> Any:
        """Compile a function when it is first called: one that makes and returns no array.

        Its arrays are lent by its caller, so numba need not count references to them; it would at
        every array taken out of a group, with atomic operations, and refuses what needs counting.

        Once for integers, not once for every constant it is called with: LLVM puts the constants
        in where it inlines, and a first run takes several seconds less.
        """
        return _dispatcher(function, _nrt=False)

    def njit_inline(function: Any) -> Any:
        """As `njit`, put into every caller.

        For named parts of one loop that take groups of arrays: a call would hand over hundreds of
        words by value.
        """
        return _dispatcher(function, _nrt=False, forceinline=True)

    def njit_owning(function: Any) -> Any:
        """As `njit`, of a function that makes or returns arrays: references are counted."""
        return _dispatcher(function, _nrt=True)

    def _dispatcher(function: Any, **options: bool) -> Any:
        dispatcher = _njit(function, cache=KEEPING, nogil=True, error_model="numpy", **options)
        if KEEPING and hasattr(dispatcher, "_cache"):
            _spare(dispatcher._cache)
        if hasattr(dispatcher, "get_call_template"):
            of_literals = dispatcher.get_call_template

            def of_plain(args: Any, kws: Any) -> Any:
                plain = {name: _types.unliteral(kind) for name, kind in kws.items()}
                return of_literals(tuple(_types.unliteral(kind) for kind in args), plain)

            dispatcher.get_call_template = of_plain
        return dispatcher


def compiled() -> bool:
    """Whether the kernels were compiled before, so that a run starts at once."""
    return bool(config.DISABLE_JIT) or kernel_cache.is_whole(CACHE)


def mark_compiled() -> None:
    """Remember that everything a run needs is in the cache now; old versions of it go."""
    if config.DISABLE_JIT or _troubles:
        return
    try:
        if kernel_cache.is_whole(CACHE):
            kernel_cache.mark_used(CACHE)
            return
        kernel_cache.mark_whole(CACHE)
        if CACHE.parent.name == "levada":
            kernel_cache.remove_old(CACHE.parent, keep=CACHE)
    except OSError as error:
        _troubles.append(error)
