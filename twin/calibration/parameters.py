"""Parameters of a guest by name, as people write them, checked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping

from levada.guest.errors import ParameterError
from levada.guest.module.inspect import ModuleInfo
from levada.guest.module.metadata import Parameter
from levada.guest.module.rules import check_rules
from levada.guest.node import Birth
from levada.twin.errors import CalibrationError, TwinMismatchError

__all__ = ["agree", "checked", "parse", "same_guest"]


def parse(info: ModuleInfo, settings: list[str]) -> dict[str, int]:
    """`["limit=1650", ...]` -> values by full name; CalibrationError if one is wrong."""
    values: dict[str, object] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise CalibrationError(f"`{setting}`: write NAME=VALUE")
        try:
            values[name] = int(text)
        except ValueError:
            raise CalibrationError(f"{name} = `{text}`: must be a whole number") from None
    return checked(info, values)


def checked(info: ModuleInfo, values: Mapping[str, object]) -> dict[str, int]:
    """Values by full name, of the right type and range; CalibrationError otherwise.

    A name may be shortened to its beginning as long as only one parameter begins so: `limit`.
    """
    found: dict[str, int] = {}
    for name, value in values.items():
        parameter = _find(info, name)
        if parameter.name in found:
            raise CalibrationError(f"{parameter.name} is given twice")
        if not isinstance(value, int) or isinstance(value, bool):
            raise CalibrationError(f"{parameter.name} = {value!r}: must be a whole number")
        try:
            found[parameter.name] = parameter.check(value)
        except ParameterError as error:
            raise CalibrationError(str(error)) from None
    return found


def agree(info: ModuleInfo, present: Mapping[str, int], values: Mapping[str, int]) -> None:
    """CalibrationError if `values` over those at `present` break a rule between two of them."""
    try:
        check_rules(info.rules, {**present, **values})
    except ParameterError as error:
        raise CalibrationError(str(error)) from None


def _find(info: ModuleInfo, name: str) -> Parameter:
    names = {p.name: p for p in info.parameters}
    if name in names:
        return names[name]
    near = [p for p in info.parameters if name and p.name.startswith(name)]
    if len(near) == 1:
        return near[0]
    which = ", ".join(p.name for p in near) or ", ".join(names) or "none"
    raise CalibrationError(f"parameter `{name}`: {'may be' if near else 'the guest has'} {which}")


def same_guest(zone: str, birth: Birth, info: ModuleInfo) -> None:
    """TwinMismatchError unless the device runs the twin's guest, byte by byte.

    A device flashed long ago tells no guest; then nothing can be checked.
    """
    if birth.guest_sha256 not in ("", info.sha256):
        mine = info.metadata
        raise TwinMismatchError(
            f"zone {zone}: the device runs {birth.guest_name or 'a guest'} {birth.guest_version} "
            f"with SHA-256 {birth.guest_sha256}, the twin {mine.name if mine else 'one'} "
            f"{mine.version if mine else ''} with SHA-256 {info.sha256}: a twin needs equal bytes"
        )
