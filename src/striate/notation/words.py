"""What a word means: its parts and options against the settings that its kind of layer declares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING
from functools import lru_cache
from typing import Any

from striate.errors import Misfit, StriateError
from striate.layers import JOINS, KINDS, Layer
from striate.layers.settings import BadSetting, Choice, Identifier, Wholes, form_of, settings_of
from striate.tree import Name, Operation, Settings, Word, number_value

_KIND = re.compile(r"([a-z_]+?)(\d+(?:x\d+)?)?")


def split_kind(text: str) -> tuple[str, str | None]:
    """`conv7x1` is the kind conv and the kernel 7x1; `relu6` and any other name come back whole."""
    found = None if text in KINDS else _KIND.fullmatch(text)
    return (found[1], found[2]) if found else (text, None)


def is_reserved(name: str) -> bool:
    """Whether a block of this name could be mistaken for a layer."""
    kind, _ = split_kind(name)
    return kind in KINDS or kind in JOINS or name in ("head", "from")


def setting_for(kind: str, role: str) -> str | None:
    """The name of the setting that stands for a part of the word: conv's `-64` is its `filters`."""
    for name, each in settings_of(KINDS[kind]).items():
        if each.metadata["role"] == role:
            return name
    return None


def positional(kind: str, position: int) -> str | None:
    """The option that may stand at this position without its name."""
    for name, each in settings_of(KINDS[kind]).items():
        takes_all = isinstance(form_of(each), Wholes)
        if each.metadata["position"] is not None and (
            takes_all or each.metadata["position"] == position
        ):
            return name
    return None


def flag(kind: str, text: str) -> str | None:
    """The option that may be set by one of its values alone: `floor` is `rounding=floor`."""
    for name, each in settings_of(KINDS[kind]).items():
        form = form_of(each)
        if isinstance(form, Choice) and form.flags and text in form.names:
            return name
        if isinstance(form, Identifier) and text not in settings_of(KINDS[kind]):
            return name
    return None


def option_names(kind: str) -> list[str]:
    """What may stand in the brackets of this kind of word."""
    names: list[str] = []
    for name, each in settings_of(KINDS[kind]).items():
        form = form_of(each)
        names += form.names if isinstance(form, Choice) and form.flags else [name]
    return names


def is_list(kind: str, name: str) -> bool:
    """Whether the setting takes several values: the channels of `take(0, 1, 2)`."""
    return isinstance(form_of(settings_of(KINDS[kind])[name]), Wholes)


def is_choice(kind: str, name: str) -> bool:
    """Whether the setting takes a name: `bias=no`."""
    return isinstance(form_of(settings_of(KINDS[kind])[name]), Choice | Identifier)


def checked(kind: str, name: str, value: Any) -> Any:
    """The value in its final type; an expression waits until the block is called.

    Raises BadSetting.
    """
    form = form_of(settings_of(KINDS[kind])[name])
    if isinstance(form, Choice | Identifier):
        return form.check(str(value))
    return value if _is_open(value) else form.check(value)


def _is_open(value: Any) -> bool:
    """Whether a value waits for the arguments of its block."""
    parts = value if isinstance(value, tuple) else (value,)
    return any(isinstance(each, Name | Operation) for each in parts)


def _work_out(value: Any, known: Mapping[str, int]) -> Any:
    if isinstance(value, tuple):
        return tuple(number_value(each, known) for each in value)
    return number_value(value, known)


def canonical(kind: str, given: Mapping[str, Any]) -> Settings:
    """The settings in the kind's order, without those that say what holds anyway."""
    declared = settings_of(KINDS[kind])
    stated = {
        name: given[name]
        for name, each in declared.items()
        if name in given and given[name] != each.default
    }
    return tuple(KINDS[kind].canonical(stated).items())


def missing(kind: str, given: Mapping[str, Any]) -> list[str]:
    """The settings that the kind cannot do without."""
    return [
        name
        for name, each in settings_of(KINDS[kind]).items()
        if name not in given and each.default is MISSING
    ]


@lru_cache(maxsize=4096)
def word_of(layer: Layer) -> Word:
    """The word for a layer, as `layer_of` reads it."""
    if layer.kind not in KINDS:
        raise StriateError(f"{layer.kind} joins branches and is no word by itself")
    given = {name: getattr(layer, name) for name in settings_of(type(layer))}
    return Word(layer.kind, canonical(layer.kind, given))


def layer_of(word: Word, known: Mapping[str, int]) -> Layer:
    """The layer for a word, its expressions worked out with the block's arguments.

    Raises Misfit where a value is out of its range.
    """
    if not known:
        return _layer(word.kind, word.settings)
    worked = []
    for name, value in word.settings:
        if _is_open(value):
            try:
                value = _work_out(value, known)
                value = checked(word.kind, name, value)
            except ArithmeticError as error:
                raise Misfit(f"cannot work out its {name}", str(error)) from None
            except BadSetting as error:
                raise Misfit(f"cannot have {value} as its {name}", str(error)) from None
        worked.append((name, value))
    return _layer(word.kind, tuple(worked))


@lru_cache(maxsize=4096)
def _layer(kind: str, settings: Settings) -> Layer:
    return KINDS[kind](**dict(settings))
