"""Section `channel`: statistical models, the default, or links from a file of a ray tracer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from wnsim import channel
from wnsim.channel import (
    FADING,
    PATH_LOSS,
    Penetration,
    Rayleigh,
    RayTraced,
    Replay,
    Shadowing,
    UmiStreetCanyon,
)
from wnsim.core.params import parameters
from wnsim.scenario.spec.families import family

if TYPE_CHECKING:
    from wnsim.channel import Fading, PathLoss
else:
    Fading = family(FADING, "fading model", channel.Fading)
    PathLoss = family(PATH_LOSS, "path loss", channel.PathLoss)


@parameters
class StatisticalChannel:
    """Statistical models of the channel between any two nodes, or measured links.

    Parameters
    ----------
    path_loss : mean loss over distance, with its line-of-sight states
    shadowing : shadow fading, correlated in space
    fading : small-scale fading
    station_path_loss : path loss of links with a base station, in place of `path_loss`
    satellite_path_loss : path loss of links with a satellite; by default `ntn`
    penetration : outdoor-to-indoor loss of indoor devices
    oxygen_loss : whether oxygen absorbs power, from 52 to 68 GHz
    subbands : number of subbands with separate fading, for frequency-selective models
    replay : measured links in place of all models
    propagation_delay : whether signals travel at the speed of light, so that each hop over the air
        ends at its receiver by the distance over that speed later than at its transmitter
    """

    model: Literal["statistical"] = "statistical"
    path_loss: PathLoss = Field(default_factory=UmiStreetCanyon)
    shadowing: Shadowing = Field(default_factory=Shadowing)
    fading: Fading = Field(default_factory=Rayleigh)
    station_path_loss: PathLoss | None = None
    satellite_path_loss: PathLoss | None = None
    penetration: Penetration = Field(default_factory=Penetration)
    oxygen_loss: bool = True
    subbands: Annotated[int, Field(ge=1, le=256)] = 1
    replay: Replay | None = None
    propagation_delay: bool = False


class _ByModel:
    """Annotation of a union of models, the first of which is meant without a key `model`."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return the schema of validation and serialization."""
        members = {member.model: member for member in get_args(source)}
        first = next(iter(members))

        def model_of(value: Any) -> Any:
            if isinstance(value, dict):
                return value.get("model", first)
            return getattr(value, "model", None)

        return core_schema.tagged_union_schema(
            {name: handler.generate_schema(member) for name, member in members.items()},
            discriminator=model_of,
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the JSON schema."""
        found: Any = schema
        return handler(core_schema.tagged_union_schema(found["choices"], discriminator="model"))


ChannelChoice = Annotated[Union[StatisticalChannel, RayTraced], _ByModel()]  # noqa: UP007
