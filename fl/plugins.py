"""Families of models, from which a scenario chooses by `model`, and models of a user's own.

A model of one's own is named `module:Name` and is what the models on board are, a frozen dataclass
made with `parameters`, whose field `model` has that very name. Its module must have been allowed:
a scenario that somebody sent does not import code by itself.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeAlias, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic.dataclasses import is_pydantic_dataclass
from pydantic_core import core_schema

OWN = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")
"""What names of a user's own look like."""

ALLOWED = "plugins"
"""Where the validation's context has the modules that are allowed."""

_OWN = "module:Name"
Info: TypeAlias = core_schema.ValidationInfo[Any]


class Family:
    """Lets a choice among models on board be one of a user's own, too: a mark on its type.

    Parameters
    ----------
    title : what its members are, in sentences
    needs : what a member must have: names, or the protocol that lists them

    Attributes
    ----------
    title : as given
    """

    def __init__(self, title: str, needs: tuple[str, ...] | type) -> None:
        self.title = title
        self._needs = needs if isinstance(needs, tuple) else tuple(sorted(_members(needs)))

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return how values are read and written."""
        choices: dict[str, core_schema.CoreSchema] = {
            _model_of(member): handler.generate_schema(member) for member in get_args(source)
        }
        choices[_OWN] = core_schema.with_info_plain_validator_function(self._read)
        choice = core_schema.tagged_union_schema(choices, discriminator=_chosen)
        choice["serialization"] = core_schema.wrap_serializer_function_ser_schema(_written)
        return choice

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the models on board, or any object that names its own."""
        found: Any = schema
        choices = {name: each for name, each in found["choices"].items() if name != _OWN}
        own = {
            "type": "object",
            "title": f"{self.title} of one's own, module:Name, with --plugin module",
            "properties": {"model": {"type": "string", "pattern": f"^{OWN.pattern}$"}},
            "required": ["model"],
        }
        on_board = handler(core_schema.tagged_union_schema(choices, discriminator="model"))
        return {"anyOf": [on_board, own]}

    def _read(self, value: Any, info: Info) -> Any:
        """Return a model of a user's own."""
        name = value["model"] if isinstance(value, dict) else value.model
        model = own(name, self.title, info)
        return value if isinstance(value, model) else self.made(name, model, value)

    def made(self, name: str, model: Any, values: dict[str, Any]) -> Any:
        """Return a model of a user's own, made of values.

        Parameters
        ----------
        name : its own, `module:Name`
        model : what the name stands for
        values : by field

        Raises
        ------
        ValueError
            if it is no such model, the values are not for it, or it lacks what its family has
        """
        if not (isinstance(model, type) and is_pydantic_dataclass(model)):
            raise ValueError(f"{name} must be a class made with wnsim.core.params.parameters")
        if _model_of(model) != name:
            raise ValueError(f'{name} must have the field model: Literal["{name}"] = "{name}"')
        try:
            made = TypeAdapter(model).validate_json(json.dumps(values))
        except ValidationError as error:
            raise ValueError(_first(error)) from error
        for need in self._needs:
            if not hasattr(made, need):
                raise ValueError(f"{name} must have {need}, as each {self.title} has")
        return made


def own(name: str, title: str, info: Info) -> Any:
    """Return what a name of a user's own stands for.

    Parameters
    ----------
    name : such as `module:Name`
    title : what it should be, in sentences
    info : of the validation, whose context has the modules that are allowed

    Raises
    ------
    ValueError
        if it is no such name, or its module is not allowed or lacks it
    """
    match = OWN.fullmatch(name)
    if match is None:
        raise ValueError(f"a {title} of one's own is named module:Name, got {name!r}")
    allowed = (info.context or {}).get(ALLOWED, frozenset())
    if match[1] not in allowed:
        raise ValueError(
            f"{name!r} is code that is not on board; if you trust it: --plugin {match[1]}"
        )
    return named(name)


def named(name: str) -> Any:
    """Return what a name stands for in a module that is imported already.

    Raises
    ------
    ValueError
        if it is not there
    """
    module, _, attribute = name.partition(":")
    found = getattr(sys.modules.get(module), attribute, None)
    if found is None:
        raise ValueError(f"module {module} has no {attribute}")
    return found


def own_names(data: Any) -> Iterator[str]:
    """Yield the names of a user's own in a scenario as plain values."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key in ("model", "tasks"):
                values = value if isinstance(value, list) else [value]
                yield from (each for each in values if isinstance(each, str) and _is_own(each))
            yield from own_names(value)
    elif isinstance(data, list):
        for value in data:
            yield from own_names(value)


def source_of(name: str) -> Path | None:
    """Return the file with the code behind a name of a user's own, if there is one."""
    module = sys.modules.get(name.partition(":")[0])
    path = None if module is None else inspect.getsourcefile(module)
    return None if path is None else Path(path)


def _is_own(name: str) -> bool:
    return OWN.fullmatch(name) is not None


def _model_of(model: type) -> Any:
    """Return the name by which a model is chosen."""
    fields = {field.name: field for field in dataclasses.fields(model)}
    return fields["model"].default if "model" in fields else None


def _chosen(value: Any) -> Any:
    """Return which model a value chooses."""
    name = value.get("model") if isinstance(value, dict) else getattr(value, "model", None)
    return _OWN if isinstance(name, str) and ":" in name else name


def _written(value: Any, handler: core_schema.SerializerFunctionWrapHandler) -> Any:
    if _is_own(str(getattr(value, "model", ""))):
        return json.loads(TypeAdapter(type(value)).dump_json(value))
    return handler(value)


def _first(error: ValidationError) -> str:
    """Return the first complaint about a model of a user's own, in a sentence."""
    detail = error.errors(include_url=False)[0]
    place = ".".join(map(str, detail["loc"]))
    if detail["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key {place!r}"
    message = str(detail.get("ctx", {}).get("error", detail["msg"]))
    return f"{place}: {message}, got {detail['input']!r}" if place else message


def _members(protocol: type) -> set[str]:
    """Return the public names that a protocol asks for."""
    return {
        name
        for base in protocol.__mro__
        if base not in (object, Protocol)
        for name in [*vars(base), *inspect.get_annotations(base)]
        if not name.startswith("_")
    }
