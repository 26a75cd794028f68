"""Building guests from C: the same bytes everywhere, clear errors where it fails."""

from __future__ import annotations

import configparser
import hashlib
import importlib.metadata
import json
import os
import shutil
from pathlib import Path

import pytest

from levada.guest.abi import ABI_VERSION
from levada.guest.build import INCLUDE, TOOLCHAIN, build
from levada.guest.errors import BuildError
from levada.guest.module.inspect import inspect
from levada.guest.module.sections import CUSTOM, sections

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "levada/guest" / "irrigation"
EXAMPLES = ROOT / "levada/guest" / "examples"
SMALLEST = "int levada_init(void) { return 1; }\nint levada_step(void) { return 1; }\n"


def test_the_shipped_module_rebuilds_to_the_same_bytes() -> None:
    built = build([SHIPPED / "irrigation.c"])
    assert hashlib.sha256(built.module).hexdigest() == (
        hashlib.sha256((SHIPPED / "irrigation.wasm").read_bytes()).hexdigest()
    )
    assert built.warnings == ""


def test_directory_home_and_language_leave_no_trace_in_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "another place" / "häuschen"
    elsewhere.mkdir(parents=True)
    source = Path(shutil.copy(SHIPPED / "irrigation.c", elsewhere))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    monkeypatch.chdir(elsewhere)
    out = Path("named-otherwise.wasm")
    build([Path(source.name)], out)
    assert out.read_bytes() == (SHIPPED / "irrigation.wasm").read_bytes()


def test_of_the_custom_sections_only_metadata_and_function_names_stay() -> None:
    data = (SHIPPED / "irrigation.wasm").read_bytes()
    assert [s.name for s in sections(data) if s.kind == CUSTOM] == ["levada", "name"]
    assert str(ROOT).encode() not in data


def test_function_names_stay_for_backtraces() -> None:
    data = (SHIPPED / "irrigation.wasm").read_bytes()
    names = next(s.payload for s in sections(data) if s.name == "name")
    assert b"levada_step" in names


def test_the_toolchain_is_the_one_that_the_package_pins() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert f"ziglang == {TOOLCHAIN}" in config["options.extras_require"]["build"].splitlines()


@pytest.mark.parametrize(("name", "kind"), [("threshold", "reactor"), ("loop", "command")])
def test_the_examples_build_without_a_warning_and_fit_the_abi(name: str, kind: str) -> None:
    built = build([EXAMPLES / f"{name}.c"])
    info = inspect(built.module)
    assert built.warnings == ""
    assert (info.kind, info.problems, info.notes) == (kind, (), ())
    assert info.metadata is not None
    assert (info.metadata.name, info.metadata.abi) == (name, ABI_VERSION)


def test_a_guest_of_several_sources_with_headers_and_macros_builds(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "answer.h").write_text("int answer(void);\n")
    (tmp_path / "answer.c").write_text('#include "answer.h"\nint answer(void) { return ANSWER; }\n')
    (tmp_path / "main.c").write_text(
        '#include "levada.h"\n#include "answer.h"\n'
        'LEVADA_GUEST({"name": "two", "version": "2"})\n'
        "int levada_init(void) { return 1; }\nint levada_step(void) { return answer(); }\n"
    )
    built = build(
        [tmp_path / "main.c", tmp_path / "answer.c"],
        include=[tmp_path / "own"],
        defines=["ANSWER=600000"],
    )
    assert inspect(built.module).fits


def test_metadata_may_hold_any_text_that_json_may(tmp_path: Path) -> None:
    text = '{"name": "odd", "version": "1", "remark": "a \\"quote\\", 5 %, °C, \\\\"}'
    assert json.loads(text)["remark"] == 'a "quote", 5 %, °C, \\'
    source = tmp_path / "odd.c"
    source.write_text(f'#include "levada.h"\nLEVADA_GUEST({text})\n{SMALLEST}')
    data = build([source]).module
    assert next(s.payload for s in sections(data) if s.name == "levada").decode() == text


def test_a_source_that_does_not_compile_is_refused_with_the_words_of_the_compiler(
    tmp_path: Path,
) -> None:
    source = tmp_path / "wrong.c"
    source.write_text('#include "levada.h"\nint levada_step(void) { return mistake; }\n')
    out = tmp_path / "wrong.wasm"
    with pytest.raises(BuildError, match=r"(?s)wrong\.c does not compile.*wrong\.c:2:.*'mistake'"):
        build([source], out)
    assert not out.exists()


def test_a_function_that_nobody_defines_is_refused_by_name(tmp_path: Path) -> None:
    source = tmp_path / "missing.c"
    source.write_text(
        '#include "levada.h"\nint printf(const char *, ...);\n'
        'int levada_step(void) { return printf("x"); }\n'
    )
    with pytest.raises(BuildError, match="printf"):
        build([source])


def test_warnings_are_handed_on(tmp_path: Path) -> None:
    source = tmp_path / "odd.c"
    source.write_text("static int unused;\n")
    assert "unused" in build([source]).warnings


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"nothing\.c: no such file"):
        build([tmp_path / "nothing.c"])
    with pytest.raises(BuildError, match="no source given"):
        build([])


def test_another_toolchain_is_refused_with_the_command_that_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.9.1")
    with pytest.raises(BuildError, match=rf"0\.9\.1.*pip install ziglang=={TOOLCHAIN}"):
        build([SHIPPED / "irrigation.c"])


def test_a_missing_toolchain_is_said_with_the_command_that_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(BuildError, match=rf"not installed.*pip install ziglang=={TOOLCHAIN}"):
        build([SHIPPED / "irrigation.c"])


def test_the_header_is_where_the_build_looks_for_it() -> None:
    assert os.listdir(INCLUDE) == ["levada.h"]


def test_a_missing_shell_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "guest.c"
    source.write_text(SMALLEST)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"guest\.c: the compiler cannot be started .*`sh`"):
        build([source])
