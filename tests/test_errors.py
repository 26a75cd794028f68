"""One root for what levada raises on purpose, drawn as a tree, with an exit code each."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest

from levada.guest import errors
from levada.guest.errors import LevadaError
from levada.guest.exit_codes import Exit
from levada.twin.cli.main import main

PACKAGE = Path(str(files("levada")))
NO_ERRORS = {
    "DisplacedError": "between a database and its writer, which opens it anew",
    "LogTooLongError": "between a database and its writer, which tries again",
    "Unwind": "ends the thread of a guest that is no longer wanted",
}
"""Public exceptions that no user can meet, and why."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the package, by name: the folders are read, so none is forgotten."""
    for room in ("guest", "sim", "hil", "twin"):
        for path in sorted((PACKAGE / room).rglob("*.py")):
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            name = ".".join(["levada", *(part for part in parts if part != "__init__")])
            yield name, ast.parse(path.read_text("utf-8"))


def exceptions() -> list[type[BaseException]]:
    """Every exception class that a module of the package defines."""
    found: list[type[BaseException]] = []
    for name, tree in modules():
        classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
        if any(re.search("Error|Exception|BaseException", base) for base in bases(tree)):
            module = import_module(name)
            found += [
                value
                for value in (getattr(module, each) for each in classes)
                if isinstance(value, type) and issubclass(value, BaseException)
            ]
    return found


def bases(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from (ast.unparse(base) for base in node.bases)


def drawn() -> dict[str, tuple[str, int]]:
    """The tree at the top of `levada.guest.errors`: class -> its base and its exit code."""
    found: dict[str, tuple[str, int]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"([│├└─ ]*)([A-Z]\w+) +(\d?)", line)
        if match is None or not (match[1] or match[2] == "LevadaError"):
            continue
        depth = len(match[1]) // 4
        del above[depth:]
        base = above[-1] if above else "Exception"
        found[match[2]] = base, int(match[3]) if match[3] else found[base][1]
        above.append(match[2])
    return found


def test_public_exceptions_have_one_root() -> None:
    strangers = {
        each.__name__
        for each in exceptions()
        if not each.__name__.startswith("_") and not issubclass(each, LevadaError)
    }
    assert strangers == set(NO_ERRORS)


def test_no_two_exceptions_have_one_name() -> None:
    counted = Counter(each.__name__ for each in exceptions())
    assert len(counted) > 30
    assert [name for name, count in counted.items() if count > 1] == []


def test_the_tree_shows_every_error_with_its_base_and_exit_code() -> None:
    there = {
        each.__name__: (each.__bases__[0].__name__, int(each.exit_code))
        for each in exceptions()
        if issubclass(each, LevadaError) and not each.__name__.startswith("_")
    }
    assert drawn() == there


@pytest.mark.parametrize("code", [Exit.BAD_INPUT, Exit.NODE_OR_LINK, Exit.INTERNAL])
def test_the_program_ends_with_the_code_of_the_error(
    code: Exit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class ForeseenError(LevadaError):
        exit_code = code

    def fail(*_: object) -> None:
        raise ForeseenError("the dog ate the field")

    monkeypatch.setattr("levada.twin.cli.doctor.examine", fail)
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == code
    said = capsys.readouterr().err
    assert "the dog ate the field" in said
    assert ("internal error" in said) == (code == Exit.INTERNAL)
