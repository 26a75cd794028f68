"""The values of an expression over the columns of a trace."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from levada.sim.scenario.expression import (
    ARITHMETIC,
    CODES,
    COMPARISONS,
    FLAGS,
    FUNCTIONS,
    Expression,
)

__all__ = ["Values", "expression_values"]

Values = npt.NDArray[Any]

_ARITHMETIC: Final[dict[type[ast.AST], Callable[[Any, Any], Any]]] = dict(
    zip(ARITHMETIC, (np.add, np.subtract, np.multiply, np.divide), strict=True)
)
_COMPARISONS: Final[dict[type[ast.AST], Callable[[Any, Any], Any]]] = dict(
    zip(
        COMPARISONS,
        (np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal),
        strict=True,
    )
)
_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = dict(
    zip(FUNCTIONS, (np.abs, np.minimum, np.maximum), strict=True)
)


def expression_values(
    expression: Expression, columns: Mapping[str, Values]
) -> tuple[Values, Values]:
    """Value at every row (bool for a condition, else float64), and whether it is known.

    It is unknown where a signal, or a side of a comparison, is not a number.
    """
    signals = expression.signals
    unknown = [np.isnan(np.asarray(columns[s], dtype=np.float64)) for s in signals]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = _value(expression.tree, columns, unknown)
    if not expression.condition:
        unknown.append(~np.isfinite(value))
    kind = np.bool_ if expression.condition else np.float64
    return np.asarray(value).astype(kind), ~np.logical_or.reduce(unknown)


def _value(node: ast.expr, columns: Mapping[str, Values], unknown: list[Values]) -> Any:
    """Value of a node; appends to `unknown` where a comparison has no answer."""

    def of(inner: ast.expr) -> Any:
        return _value(inner, columns, unknown)

    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in CODES:
            return CODES[name][1]
        case ast.Name(id=name) if name in FLAGS:
            return np.asarray(columns[name]) != 0
        case ast.Name(id=name):
            return np.asarray(columns[name], dtype=np.float64)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return np.logical_not(of(operand))
        case ast.UnaryOp(op=op, operand=operand):
            return -of(operand) if isinstance(op, ast.USub) else of(operand)
        case ast.BoolOp(op=op, values=values):
            join = np.logical_and if isinstance(op, ast.And) else np.logical_or
            return join.reduce([of(v) for v in values])
        case ast.BinOp(left=left, op=op, right=right):
            return _ARITHMETIC[type(op)](of(left), of(right))
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [of(side) for side in (left, *others)]
            unknown.extend(np.isnan(s) for s in sides if isinstance(s, np.ndarray))
            pairs = zip(ops, pairwise(sides), strict=True)
            return np.logical_and.reduce([_COMPARISONS[type(op)](a, b) for op, (a, b) in pairs])
        case ast.Call(func=ast.Name(id=name), args=args):
            return _FUNCTIONS[name](*(of(arg) for arg in args))
        case _:  # pragma: no cover - parse_expression lets nothing else pass
            raise AssertionError(ast.dump(node))
