"""Families of models, among which a scenario chooses by `model`, and user-defined models.

A user-defined (plugin) model is named `module:Name`. Like the built-in ones it is a frozen
dataclass made with `parameters`, whose field `model` holds its name. Its module must have been
allowed: a scenario from an untrusted source does not import code by itself.
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

PLUGIN_NAME = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")
"""Pattern of the names of user-defined models."""

ALLOWED = "plugins"
"""Key of the allowed modules in the context of a validation."""

_PLUGIN = "module:Name"
Info: TypeAlias = core_schema.ValidationInfo[Any]


class Family:
    """Annotation of a union of built-in models, which also admits user-defined ones.

    Parameters
    ----------
    title : name of a member in messages, such as `method`
    needs : required attributes of a member: their names, or the protocol that lists them

    Attributes
    ----------
    title : name of a member in messages
    """

    def __init__(self, title: str, needs: tuple[str, ...] | type) -> None:
        self.title = title
        self._needs = needs if isinstance(needs, tuple) else tuple(sorted(_members(needs)))

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return the schema of validation and serialization."""
        choices: dict[str, core_schema.CoreSchema] = {
            _model_of(member): handler.generate_schema(member)
            for member in get_args(source) or (source,)
        }
        choices[_PLUGIN] = core_schema.with_info_plain_validator_function(self._read)
        choice = core_schema.tagged_union_schema(choices, discriminator=_discriminator)
        choice["serialization"] = core_schema.wrap_serializer_function_ser_schema(_serialized)
        return choice

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the JSON schema: a built-in model, or any object with the name of a plugin."""
        found: Any = schema
        choices = {name: each for name, each in found["choices"].items() if name != _PLUGIN}
        plugin = {
            "type": "object",
            "title": f"user-defined {self.title}, module:Name, with --plugin module",
            "properties": {"model": {"type": "string", "pattern": f"^{PLUGIN_NAME.pattern}$"}},
            "required": ["model"],
        }
        built_in = handler(core_schema.tagged_union_schema(choices, discriminator="model"))
        return {"anyOf": [built_in, plugin]}

    def _read(self, value: Any, info: Info) -> Any:
        """Validate a user-defined model."""
        if not isinstance(value, dict):
            # An object of Python, whose code runs already.
            return self._with_needs(value.model, value)
        name = value["model"]
        return self.create(name, allowed_plugin(name, self.title, info), value)

    def create(self, name: str, model: Any, values: dict[str, Any]) -> Any:
        """Create a user-defined model.

        Parameters
        ----------
        name : its name, `module:Name`
        model : its class
        values : values of its fields

        Raises
        ------
        ValueError
            if the class is not a model, the values do not fit it, or it lacks an attribute that its
            family requires
        """
        if not (isinstance(model, type) and is_pydantic_dataclass(model)):
            raise ValueError(f"{name} must be a class made with wnsim.core.params.parameters")
        if _model_of(model) != name:
            raise ValueError(f'{name} must have the field model: Literal["{name}"] = "{name}"')
        try:
            created = TypeAdapter(model).validate_json(json.dumps(values))
        except ValidationError as error:
            raise ValueError(_first_message(error)) from error
        return self._with_needs(name, created)

    def _with_needs(self, name: str, made: Any) -> Any:
        """Return a model that has what its family requires."""
        for need in self._needs:
            if not hasattr(made, need):
                raise ValueError(f"{name} must have {need}, as each {self.title} has")
        return made


def allowed_plugin(name: str, title: str, info: Info) -> Any:
    """Return the object of a plugin's name, if its module is allowed.

    Parameters
    ----------
    name : name of the plugin, `module:Name`
    title : name of its family in messages
    info : context of the validation, with the allowed modules

    Raises
    ------
    ValueError
        if the name is malformed, its module is not allowed, or the module lacks it
    """
    match = PLUGIN_NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"a user-defined {title} is named module:Name, got {name!r}")
    allowed = (info.context or {}).get(ALLOWED, frozenset())
    if match[1] not in allowed:
        raise ValueError(
            f"{name!r} is user code, not a built-in; if you trust it: --plugin {match[1]}"
        )
    return resolve(name)


def resolve(name: str) -> Any:
    """Return the object of a plugin's name in a module that is already imported.

    Raises
    ------
    ValueError
        if the module is not imported or lacks the name
    """
    module, _, attribute = name.partition(":")
    found = getattr(sys.modules.get(module), attribute, None)
    if found is None:
        raise ValueError(f"module {module} has no {attribute}")
    return found


def plugin_names(data: Any) -> Iterator[str]:
    """Yield the names of plugins in a scenario of plain values."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key in ("model", "tasks"):
                values = value if isinstance(value, list) else [value]
                yield from (each for each in values if isinstance(each, str) and _is_plugin(each))
            yield from plugin_names(value)
    elif isinstance(data, list):
        for value in data:
            yield from plugin_names(value)


def source_file(name: str) -> Path | None:
    """Return the source file of a plugin, None if it is unknown."""
    module = sys.modules.get(name.partition(":")[0])
    path = None if module is None else inspect.getsourcefile(module)
    return None if path is None else Path(path)


def _is_plugin(name: str) -> bool:
    return PLUGIN_NAME.fullmatch(name) is not None


def _model_of(model: type) -> Any:
    """Return the name of a model, the default of its field `model`."""
    fields = {field.name: field for field in dataclasses.fields(model)}
    return fields["model"].default if "model" in fields else None


def _discriminator(value: Any) -> Any:
    """Return the discriminator of a value: the name of a built-in model, or that of plugins."""
    name = value.get("model") if isinstance(value, dict) else getattr(value, "model", None)
    return _PLUGIN if isinstance(name, str) and ":" in name else name


def _serialized(value: Any, handler: core_schema.SerializerFunctionWrapHandler) -> Any:
    if _is_plugin(str(getattr(value, "model", ""))):
        return json.loads(TypeAdapter(type(value)).dump_json(value))
    return handler(value)


def _first_message(error: ValidationError) -> str:
    """Return the message of the first error of a user-defined model."""
    detail = error.errors(include_url=False)[0]
    field = ".".join(map(str, detail["loc"]))
    if detail["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key {field!r}"
    message = str(detail.get("ctx", {}).get("error", detail["msg"]))
    return f"{field}: {message}, got {detail['input']!r}" if field else message


def _members(protocol: type) -> set[str]:
    """Return the public members of a protocol."""
    return {
        name
        for base in protocol.__mro__
        if base not in (object, Protocol)
        for name in [*vars(base), *inspect.get_annotations(base)]
        if not name.startswith("_")
    }
