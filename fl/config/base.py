"""Types that the parameters of several models share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Share = Annotated[float, Field(gt=0, le=1)]
Rank = Annotated[int, Field(ge=1, le=65_536)]
RankOrFull = Annotated[
    Annotated[Rank, Tag("number")] | Annotated[Literal["full"], Tag("word")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "number"),
]
Alpha = Annotated[float, Field(gt=0, le=1e6)]
LearningRate = Annotated[float, Field(gt=0, le=1e3)]
Text = Annotated[str, Field(min_length=1)]
