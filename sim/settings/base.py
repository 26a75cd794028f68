"""The common base of everything a user may set.

A class of settings is declared once, with the bounds at each field: a table of the scenario file
is such a class, and a model takes the very same object.  None of them needs NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from levada.sim.errors import SettingError
from levada.sim.settings.explain import explain
from levada.sim.settings.issue import Issue, refusal

__all__ = ["Settings", "as_tuple"]


if TYPE_CHECKING:
    _Explained = BaseModel
else:

    class _Explaining(type(BaseModel)):
        """Says in the words of the scenario file why an object cannot be made.

        A scenario is validated as a whole, without this, and its errors get their place in the
        file.
        """

        def __call__(cls, **values):
            try:
                return super().__call__(**values)
            except ValidationError as error:
                reasons = "; ".join(issue.message for issue in explain(error, cls))
            raise SettingError(reasons)

    class _Explained(BaseModel, metaclass=_Explaining):
        pass


class Settings(_Explained):
    """Frozen; unknown keys, conversions of type, NaN and infinity are errors.

    Making one with values that are not permitted raises SettingError.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    def troubles(self) -> Iterator[Issue]:
        """What is wrong between the keys of this table; asked when each key is right by itself."""
        return iter(())

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = list(self.troubles())
        if found:
            raise refusal(*found)
        return self

    def but(self, **changes: Any) -> Self:
        """The same with some keys changed, checked again; raises SettingError."""
        return type(self)(**{**dict(self), **changes})


def as_tuple(value: object) -> object:
    """A TOML array as the tuple that a frozen table holds; one number is an array of one."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value,)
    return tuple(value) if isinstance(value, list) else value
