"""Every private name of wasmtime-py, numba, amqtt and paho that levada stands on, each tried once.

A library may rename what it does not promise to keep.  So each library's private names stand in one
module of ours, the table below names all of them, and each is used here as that module uses it.
"""

from __future__ import annotations

import ast
import asyncio
import ctypes
import inspect
import socket
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt
import pytest
import raw_mqtt
import wasmtime
from amqtt.broker import Broker  # type: ignore[import-untyped]
from numba.core import caching
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from wasmtime import _ffi as ffi

from levada.guest.fast import jit, native
from levada.guest.wasm import c_api
from levada.hil.line.broker import BrokerAddress
from levada.hil.line.guarded_broker import GuardedBroker

PACKAGE: Final = Path(__file__).parents[1] / "levada"
ROOMS: Final = ("guest", "sim", "hil", "twin")
LIBRARIES: Final = {
    "wasmtime": "guest/wasm/c_api.py",
    "numba": "guest/fast/jit.py",
    "amqtt": "hil/line/guarded_broker.py",
    "paho": "hil/line/mqtt_client.py",
}
"""The one module of ours that may use private names of a library."""
INTERNAL_PACKAGES: Final = ("numba.core",)
"""Which are private although no underscore says so."""
DOCUMENTED: Final = {
    "_exit": "of `os`, by Python's documentation",
    "_replace": "of named tuples, by Python's documentation",
    "_mapping": "of a row, by SQLAlchemy's documentation",
    "_typeshed": "for type checkers only, by typeshed's documentation",
}
"""Names with an underscore that their libraries promise to keep."""


def parsed() -> dict[str, ast.Module]:
    """Every module of the package, by its path."""
    paths = [path for room in ROOMS for path in (PACKAGE / room).rglob("*.py")]
    return {
        str(path.relative_to(PACKAGE)): ast.parse(path.read_text("utf-8"))
        for path in sorted([*paths, *PACKAGE.glob("*.py")])
    }


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def own_attributes(tree: ast.Module) -> set[str]:
    """Attributes that the module itself gives to its classes and objects."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    found.add(item.name)
                elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    found.add(item.target.id)
                elif isinstance(item, ast.Assign):
                    found |= {target.id for target in item.targets if isinstance(target, ast.Name)}
    return found


def imported(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """Of each import: module, name in it or nothing, and what it is called here."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, "", alias.asname or alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield node.module, alias.name, alias.asname or alias.name


def private_imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Private modules and names that are imported, and what they are called here."""
    for module, name, alias in imported(tree):
        whole = f"{module}.{name}" if name else module
        if whole.startswith("levada"):
            continue
        inner = [part for part in INTERNAL_PACKAGES if f"{whole}.".startswith(f"{part}.")]
        for part in [*inner, *filter(private, whole.split("."))]:
            yield part, alias


def overridden(tree: ast.Module) -> Iterator[str]:
    """Private methods of a library's class that a class of ours replaces."""
    libraries = {
        alias: getattr(import_module(module), name)
        for module, name, alias in imported(tree)
        if name and module.split(".")[0] in LIBRARIES
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            bases = [libraries[b.id] for b in node.bases if getattr(b, "id", "") in libraries]
            for item in node.body:
                name = getattr(item, "name", "")
                if private(name) and any(hasattr(base, name) for base in bases):
                    yield name


def foreign_names(tree: ast.Module, everywhere: set[str]) -> Iterator[str]:
    """Private names that a module uses and that are not ours; members of private modules too."""
    libraries = {module.split(".")[0] for module, _, _ in imported(tree)} & LIBRARIES.keys()
    own = own_attributes(tree)
    private_modules = {alias for name, alias in private_imports(tree) if name == "_ffi"}
    yield from (name for name, _ in private_imports(tree))
    yield from overridden(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and private(node.arg or "") and node.arg not in everywhere:
            yield str(node.arg)
        if not isinstance(node, ast.Attribute):
            continue
        if private(node.attr):
            of_us = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            known = own if libraries and not (of_us and node.attr in own) else own | everywhere
            if node.attr not in known:
                yield node.attr
        elif isinstance(node.value, ast.Name) and node.value.id in private_modules:
            yield node.attr


def found_names() -> set[tuple[str, str]]:
    """(module of ours, private name) of everything that is used."""
    trees = parsed()
    everywhere = set[str]().union(*map(own_attributes, trees.values()))
    return {
        (path, name)
        for path, tree in trees.items()
        for name in foreign_names(tree, everywhere)
        if name not in DOCUMENTED
    }


# A try of each name


def instance() -> tuple[wasmtime.Store, wasmtime.Func]:
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    module = wasmtime.Module(
        engine, wasmtime.wat2wasm('(module (func (export "f") (result i32) i32.const 7))')
    )
    function = wasmtime.Instance(store, module, []).exports(store)["f"]
    assert isinstance(function, wasmtime.Func)
    return store, function


def try_context() -> None:
    """Fuel and deadline go by the address: two stores have two."""
    first, second = instance()[0], instance()[0]
    assert 0 not in (c_api.context_address(first), c_api.context_address(second))
    assert c_api.context_address(first) != c_api.context_address(second)
    assert c_api.context_address(first) == c_api.context_address(first)


def try_function() -> None:
    """The bytes are a function that the C API calls."""
    store, function = instance()
    func = ffi.wasmtime_func_t.from_buffer_copy(c_api.function_bytes(function))
    result = (ffi.wasmtime_val_raw_t * 1)()
    trap = ctypes.POINTER(ffi.wasm_trap_t)()
    error = ffi.wasmtime_func_call_unchecked(
        store._context(), ctypes.byref(func), result, 1, ctypes.byref(trap)
    )
    assert not error
    assert not trap
    assert result[0].i32 == 7


def try_function_address() -> None:
    """There the function is called with fuel, with and without keeping the interpreter."""
    engine = wasmtime.Engine(with_fuel())
    store = wasmtime.Store(engine)
    text = '(module (func (export "f") (param i32) (result i32) (loop (br 0)) unreachable))'
    endless = wasmtime.Instance(store, wasmtime.Module(engine, wasmtime.wat2wasm(text)), [])
    function = endless.exports(store)["f"]
    assert isinstance(function, wasmtime.Func)
    at, context = c_api.function_address(function), c_api.context_address(store)
    values, trap = ctypes.create_string_buffer(16), ctypes.c_void_p()
    for call in (c_api.call_keeping, c_api.call_giving_up):
        assert not c_api.set_fuel(context, 1000)
        assert not call(context, at, ctypes.addressof(values), 1, ctypes.addressof(trap))
        stopped = c_api.trap_at(trap.value or 0)
        assert stopped.trap_code == wasmtime.TrapCode.OUT_OF_FUEL


def try_functions() -> None:
    try_function()
    try_function_address()


def with_fuel() -> wasmtime.Config:
    config = wasmtime.Config()
    config.consume_fuel = True
    return config


def address(pointer: Any) -> int:
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0


def try_trap() -> None:
    trap = c_api.trap_at(address(ffi.wasmtime_trap_new(ctypes.create_string_buffer(b"levada"), 6)))
    assert isinstance(trap, wasmtime.Trap)
    assert trap.message == "levada"
    assert trap.trap_code is None


def try_error() -> None:
    error = c_api.error_at(address(ffi.wasmtime_error_new(ctypes.create_string_buffer(b"no room"))))
    assert isinstance(error, wasmtime.WasmtimeError)
    assert str(error) == "no room"


def try_errors() -> None:
    try_trap()
    try_error()


def try_define() -> None:
    """A host call defined so is called; the second of one name is refused."""
    engine = wasmtime.Engine()
    linker, store = wasmtime.Linker(engine), wasmtime.Store(engine)
    signature = wasmtime.FuncType([], [wasmtime.ValType.i32()])
    seen: list[int] = []

    def answer(environment: int, _caller: int, values: Any, _count: int) -> int:
        seen.append(environment)
        values[0].i32 = 42
        return 0

    callback = ffi.wasmtime_func_unchecked_callback_t(answer)
    native_address = ctypes.cast(callback, ctypes.c_void_p).value or 0
    again = c_api.unchecked_callback(native_address)
    c_api.define_unchecked(linker, "env", "answer", signature, again, 4711)
    with pytest.raises(wasmtime.WasmtimeError, match=r"env::answer.*defined twice"):
        c_api.define_unchecked(linker, "env", "answer", signature, again, 4711)
    module = wasmtime.Module(
        engine,
        wasmtime.wat2wasm(
            '(module (import "env" "answer" (func $a (result i32)))'
            ' (func (export "f") (result i32) call $a))'
        ),
    )
    function = linker.instantiate(store, module).exports(store)["f"]
    assert isinstance(function, wasmtime.Func)
    assert function(store) == 42
    assert seen == [4711]


def try_deny() -> None:
    """An import so defined stops the guest, and says which it was."""
    engine = wasmtime.Engine()
    linker, store = wasmtime.Linker(engine), wasmtime.Store(engine)
    noted: list[int] = []
    deny = c_api.denying_callback(noted.append)
    c_api.define_unchecked(linker, "env", "answer", wasmtime.FuncType([], []), deny, 4711)
    text = '(module (import "env" "answer" (func $a)) (func (export "f") call $a))'
    module = wasmtime.Module(engine, wasmtime.wat2wasm(text))
    function = linker.instantiate(store, module).exports(store)["f"]
    assert isinstance(function, wasmtime.Func)
    with pytest.raises(wasmtime.WasmtimeError, match="denied"):
        function(store)
    assert noted == [4711]


def try_async_components() -> None:
    """Without the switch wasmtime ends the process at a configuration without reference types."""
    config = wasmtime.Config()
    config.wasm_component_model = False
    config.wasm_reference_types = False
    config.wasm_gc = False
    config.wasm_function_references = False
    c_api.switch_off_async_components(config)
    wasmtime.Engine(config)


def try_addresses() -> None:
    for name in native.C_FUNCTIONS:
        assert c_api.address_of(name)
    with pytest.raises(AttributeError, match="wasmtime_no_such_function"):
        c_api.address_of("wasmtime_no_such_function")


def try_kernel_cache() -> None:
    """Kernels of ours are kept where our locator says, and read by our `load_overload`."""
    assert caching.FunctionCache._impl_class._locator_classes[0] is jit._ByModule
    if numba.config.DISABLE_JIT:
        return
    kernel: Any = native.tape_of
    assert Path(kernel._cache.cache_path) == jit.CACHE / kernel.__module__
    assert kernel._cache.load_overload.__module__ == jit.__name__
    assert kernel.get_call_template.__module__ == jit.__name__


def try_references() -> None:
    """A kernel that would have to count references is refused, unless it is said to own arrays."""
    if numba.config.DISABLE_JIT:
        return
    three = np.zeros(3)
    for kernel in (without_first, size_of_new):
        with pytest.raises(numba.TypingError, match="returning of array"):
            jit.njit(kernel)(three)
    assert jit.njit_owning(without_last)(three).size == 2


def without_first(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return values[1:]


def without_last(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return values[:-1]  # another function, as numba would keep the kernel of one for both


def size_of_new(values: npt.NDArray[np.float64]) -> int:
    return np.empty(values.size).size


OVERRIDDEN: Final = {
    "_initialize_client_session": ("self", "reader", "writer", "remote_address", "remote_port"),
    "_delete_session": ("self", "client_id"),
    "_get_handler": ("self", "session"),
}
"""Methods of amqtt's broker that ours replaces, and their arguments."""


def try_broker() -> None:
    """Two clients of one id, then a message: amqtt asks ours at each, and the first has to go."""
    calls: list[str] = []

    class Watched(GuardedBroker):
        async def _initialize_client_session(self, *arguments: Any) -> Any:
            calls.append("_initialize_client_session")
            return await super()._initialize_client_session(*arguments)

        async def _delete_session(self, client_id: str) -> None:
            calls.append("_delete_session")
            await super()._delete_session(client_id)

        def _get_handler(self, session: Any) -> Any:
            calls.append("_get_handler")
            handler = super()._get_handler(session)
            assert handler.writer._writer.transport.get_write_buffer_size() == 0
            return handler

    async def talk() -> None:
        broker = Watched(
            {
                "listeners": {"default": {"type": "tcp", "bind": "127.0.0.1:0"}},
                "plugins": {"levada.hil.line.broker_process.TokenAuth": {"token": "word"}},
            }
        )
        await broker.start()
        place = BrokerAddress(host="127.0.0.1", port=broker.port, user="me", password="word")
        first, to_first = await asyncio.open_connection(place.host, place.port)
        to_first.write(raw_mqtt.connect(place, "twice"))
        assert await first.readexactly(4) == raw_mqtt.ACCEPTED
        assert broker._sessions.keys() == {"twice"}
        second, to_second = await asyncio.open_connection(place.host, place.port)
        to_second.write(raw_mqtt.connect(place, "twice"))
        assert await second.readexactly(4) == raw_mqtt.ACCEPTED
        assert await first.read() == b"", "who comes under an id pushes out who was there"
        to_second.write(raw_mqtt.subscribe("a", 0))
        assert (await second.readexactly(5))[:1] == b"\x90"
        to_second.write(raw_mqtt.publish("a", b"word"))
        message = raw_mqtt.publish("a", b"word")
        assert await second.readexactly(len(message)) == message
        to_second.close()
        to_first.close()
        await broker.shutdown()

    asyncio.run(talk())
    assert set(calls) == OVERRIDDEN.keys()
    for name, arguments in OVERRIDDEN.items():
        assert tuple(inspect.signature(getattr(Broker, name)).parameters) == arguments


def try_reset_sockets() -> None:
    """Without it paho keeps the pair of sockets that wakes its thread."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.loop_start()
    client.loop_stop()
    kept = [name for name in ("_sockpairR", "_sockpairW") if getattr(client, name) is not None]
    assert kept, "paho closes them by itself now: drop the call"
    client._reset_sockets()
    assert [getattr(client, name) for name in kept] == [None] * len(kept)


TRIES: Final[dict[tuple[str, str], Callable[[], None]]] = {
    ("guest/wasm/c_api.py", "_ffi"): try_addresses,
    ("guest/wasm/c_api.py", "dll"): try_addresses,
    ("guest/wasm/c_api.py", "_context"): try_context,
    ("guest/wasm/c_api.py", "_func"): try_functions,
    ("guest/wasm/c_api.py", "_from_ptr"): try_errors,
    ("guest/wasm/c_api.py", "wasm_trap_t"): try_trap,
    ("guest/wasm/c_api.py", "wasmtime_error_t"): try_error,
    ("guest/wasm/c_api.py", "wasmtime_trap_new"): try_deny,
    ("guest/wasm/c_api.py", "wasmtime_func_unchecked_callback_t"): try_define,
    ("guest/wasm/c_api.py", "wasmtime_linker_define_func_unchecked"): try_define,
    (
        "guest/wasm/c_api.py",
        "wasmtime_config_wasm_component_model_async_set",
    ): try_async_components,
    ("guest/fast/jit.py", "numba.core"): try_kernel_cache,
    ("guest/fast/jit.py", "_impl_class"): try_kernel_cache,
    ("guest/fast/jit.py", "_locator_classes"): try_kernel_cache,
    ("guest/fast/jit.py", "_cache"): try_kernel_cache,
    ("guest/fast/jit.py", "_nrt"): try_references,
    ("hil/line/guarded_broker.py", "_servers"): try_broker,
    ("hil/line/guarded_broker.py", "_sessions"): try_broker,
    ("hil/line/guarded_broker.py", "_writer"): try_broker,
    ("hil/line/guarded_broker.py", "_initialize_client_session"): try_broker,
    ("hil/line/guarded_broker.py", "_delete_session"): try_broker,
    ("hil/line/guarded_broker.py", "_get_handler"): try_broker,
    ("hil/line/mqtt_client.py", "_reset_sockets"): try_reset_sockets,
}
"""Module of ours and private name -> what uses it on the installed version."""


def test_every_private_name_is_in_the_table() -> None:
    assert found_names() == set(TRIES)


def test_private_names_of_a_library_stand_in_one_module_of_ours() -> None:
    assert {path for path, _ in TRIES} == set(LIBRARIES.values())


@pytest.mark.parametrize("use", sorted(set(TRIES.values()), key=lambda use: use.__name__))
def test_the_installed_version_has_them(use: Callable[[], None]) -> None:
    use()


@pytest.mark.parametrize("name", c_api.SIZES)
def test_structures_have_the_size_that_native_code_takes_them_to_have(name: str) -> None:
    assert ctypes.sizeof(getattr(ffi, name)) == c_api.SIZES[name]
    c_api.check_sizes()


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import wasmtime\nwasmtime.Store._context", {"_context"}),
        ("from wasmtime import _ffi as f\nf.wasm_trap_t", {"_ffi", "wasm_trap_t"}),
        ("import numba.core.config", {"numba.core"}),
        ("from numba import core", {"numba.core"}),
        ("import numba\ndef _cache(): ...\nnumba.x._cache", {"_cache"}),
        ("import numba\nnumba.njit(f, _nrt=False)", {"_nrt"}),
        ("from amqtt.broker import Broker\nclass B(Broker):\n  def _get_handler(self): ...",
         {"_get_handler"}),
        ("from amqtt.broker import Broker\nclass B(Broker):\n  def mine(self): self._sessions",
         {"_sessions"}),
        ("def f(client): return client._sock", {"_sock"}),
        ("class A:\n  def f(self): self._ours = 1\n  def g(self): return self._ours", set()),
    ],
)  # fmt: skip
def test_the_search_finds(code: str, names: set[str]) -> None:
    assert set(foreign_names(ast.parse(code), everywhere={"_ours"})) == names


def test_paho_hangs_up_over_a_ping_that_is_set() -> None:
    """`_ping_t`, which `hil/line/mqtt_client.py` sets to 0: the table has only what is read."""
    for since_s, ends in ((1e-9, True), (0.0, False)):
        client = Client(CallbackAPIVersion.VERSION2)
        assert client._ping_t == 0
        ours, theirs = socket.socketpair()
        client._sock = ours
        client._last_msg_in = client._last_msg_out = time.monotonic()
        client._ping_t = since_s
        assert (client.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS) is ends
        ours.close()
        theirs.close()
