"""Small expressions over the columns of a trace: `dr_mm <= raw_mm and not valve_open`.

The grammar is a part of Python's: numbers, signals, `+ - * /`, comparisons (also chained), `and`,
`or`, `not`, parentheses, `abs(x)`, `min(x, y)`, `max(x, y)`.  A signal is a column of the trace and
keeps its unit: adding or comparing different units is refused.  Names in capitals are codes of the
guest (`why == PROBE_STUCK`) and of traps (`trap != NONE`).  Nothing else is evaluated, so the file
of a stranger cannot do harm.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Final

from levada.guest.abi import WHY, TrapKind
from levada.sim import signals as field_signals
from levada.sim.errors import SimError
from levada.sim.settings.issue import did_you_mean

__all__ = [
    "ARITHMETIC",
    "CODES",
    "COMPARISONS",
    "FLAGS",
    "FUNCTIONS",
    "SIGNALS",
    "SUMS",
    "Expression",
    "ExpressionError",
    "parse_expression",
]

SIGNALS: Final = {
    name: signal.unit
    for name, signal in field_signals.SIGNALS.items()
    if signal.dtype and name not in ("time_ms", "zone")
}
"""Signal -> unit: every column of the trace but the two that say where a row belongs."""
FLAGS: Final = frozenset({"valve_open", "valve_commanded", "online"})
"""Signals that are true or false and need no comparison."""
SUMS: Final = frozenset(
    name for name in SIGNALS if "since the previous row" in field_signals.SIGNALS[name].meaning
) - {"valve_run_s"}
"""Signals that say how much happened since the previous row, so that a total makes sense."""
CODES: Final[dict[str, tuple[str, int]]] = {
    **{w.name: ("why", int(w)) for w in WHY},
    **{t.name: ("trap", int(t)) for t in TrapKind},
}
"""Code -> signal it belongs to, and number."""

_MAX_LENGTH: Final = 500
ARITHMETIC: Final = (ast.Add, ast.Sub, ast.Mult, ast.Div)
COMPARISONS: Final = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
FUNCTIONS: Final[dict[str, int]] = {"abs": 1, "min": 2, "max": 2}
"""Name -> number of values."""
_CONDITION: Final = "condition"
_NUMBER: Final = ""


class ExpressionError(SimError, ValueError):
    """The text is not an expression of the grammar; `column` counts from 1 within the text."""

    def __init__(self, message: str, column: int = 1, hint: str = "") -> None:
        self.column = column
        self.hint = hint
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression; `levada.sim.run.evaluate` has its values."""

    text: str
    unit: str
    """Unit of the value; empty: a pure number, or the product of two units."""
    condition: bool
    """Whether the value is true or false."""
    signals: tuple[str, ...]
    """Signals used, in the order of the text."""
    tree: ast.expr


def parse_expression(text: str) -> Expression:
    """Check `text`; raises ExpressionError."""
    if len(text) > _MAX_LENGTH:
        raise ExpressionError(f"longer than {_MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        column = getattr(error, "offset", None) or len(text) + 1
        raise ExpressionError("not an expression", column) from None
    signals: list[str] = []
    unit = _unit(tree, signals)
    if not signals:
        raise ExpressionError("no signal of the trace in it")
    condition = unit == _CONDITION
    return Expression(
        text=text.strip(),
        unit=_NUMBER if condition else unit,
        condition=condition,
        signals=tuple(dict.fromkeys(signals)),
        tree=tree,
    )


def _fail(node: ast.AST, message: str, hint: str = "") -> ExpressionError:
    return ExpressionError(message, getattr(node, "col_offset", 0) + 1, hint)


def _unit(node: ast.expr, signals: list[str]) -> str:
    """Unit of a node, `_CONDITION` for true or false; collects the signals on the way."""
    match node:
        case ast.Constant(value=bool()) | ast.Constant(value=complex()):
            raise _fail(node, f"`{ast.unparse(node)}`: only plain numbers are permitted")
        case ast.Constant(value=int() | float()):
            return _NUMBER
        case ast.Name(id=name) if name in SIGNALS:
            signals.append(name)
            return _CONDITION if name in FLAGS else SIGNALS[name]
        case ast.Name(id=name) if name in CODES:
            raise _fail(
                node, f"`{name}` is a code: write `{CODES[name][0]} == {name}` or with `!=`"
            )
        case ast.Name(id=name):
            raise _fail(
                node,
                f"unknown signal `{name}`",
                did_you_mean(name, [*SIGNALS, *CODES], "signals and codes"),
            )
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _need_condition(operand, signals)
            return _CONDITION
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return _need_number(operand, signals)
        case ast.BoolOp(values=values):
            for value in values:
                _need_condition(value, signals)
            return _CONDITION
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, ARITHMETIC):
            units = _need_number(left, signals), _need_number(right, signals)
            if isinstance(op, ast.Add | ast.Sub):
                return _same(node, *units)
            return _product(op, *units)
        case ast.Compare(left=left, ops=ops, comparators=others):
            _comparison(node, [left, *others], ops, signals)
            return _CONDITION
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            count = FUNCTIONS[name]
            if len(args) != count:
                raise _fail(node, f"`{name}` takes {count} value{'s' * (count > 1)}")
            units_of = [_need_number(arg, signals) for arg in args]
            return units_of[0] if count == 1 else _same(node, *units_of)
        case ast.Call(func=ast.Name(id=name)):
            raise _fail(node, f"unknown function `{name}`", did_you_mean(name, list(FUNCTIONS)))
        case _:
            raise _fail(node, f"`{ast.unparse(node)[:40]}` is not permitted here")


def _need_number(node: ast.expr, signals: list[str]) -> str:
    unit = _unit(node, signals)
    if unit == _CONDITION:
        raise _fail(node, f"`{ast.unparse(node)}` is true or false, a number is needed")
    return unit


def _need_condition(node: ast.expr, signals: list[str]) -> None:
    if _unit(node, signals) != _CONDITION:
        raise _fail(node, f"`{ast.unparse(node)}` is a number, a condition is needed: compare it")


def _same(node: ast.AST, a: str, b: str) -> str:
    """A pure number goes with any unit: its unit is that of the other side."""
    if a and b and a != b:
        raise _fail(node, f"units differ: {a} and {b}")
    return a or b


def _product(op: ast.operator, a: str, b: str) -> str:
    if isinstance(op, ast.Div):
        return _NUMBER if b else a
    return _NUMBER if a and b else a or b


def _comparison(
    node: ast.Compare, sides: list[ast.expr], ops: list[ast.cmpop], signals: list[str]
) -> None:
    for op in ops:
        if not isinstance(op, COMPARISONS):
            raise _fail(node, "permitted comparisons are < <= > >= == !=")
    for side, other in zip(sides, [*sides[1:], sides[0]], strict=True):
        if not isinstance(side, ast.Name) or side.id not in CODES:
            continue
        signal = CODES[side.id][0]
        if not isinstance(other, ast.Name) or len(sides) != 2 or other.id != signal:
            raise _fail(side, f"`{side.id}` is a code of `{signal}`: compare it with that")
        if not isinstance(ops[0], ast.Eq | ast.NotEq):
            raise _fail(side, "codes have no order: compare with == or !=")
    unit = _NUMBER
    for side in sides:
        if isinstance(side, ast.Name) and side.id in CODES:
            continue
        if isinstance(side, ast.Name) and side.id in FLAGS:  # valve_open == 1 reads well too
            signals.append(side.id)
            continue
        unit = _same(node, unit, _need_number(side, signals))
