"""Workload of a trainer: what is trained on which examples, and how it is tested.

There are two: adapters of a language model on texts, and networks on arrays. Jobs, updates,
aggregation and methods are the same for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from ..adapters import AdaptedModel, Adapter
    from ..config.inference import Mixture
    from ..data.device_examples import Examples
    from ..engine.batching import JobSize
    from ..evaluation.scoring import Score
    from ..mixture import Expert
    from ..models.nets import Network


class Tests(Protocol):
    """Test sets of all tasks."""

    def scores(self, adapters: Sequence[Adapter]) -> list[list[Score]]:
        """Return the score of each adapter on each task."""

    def mixture_scores(
        self, experts: Sequence[Expert], gate: Mixture
    ) -> tuple[list[Score], float, float]:
        """Return the scores and routing statistics of a mixture of experts; see `Evaluator`."""


class Workload(Protocol):
    """Model, training examples and tests of all devices."""

    @property
    def model(self) -> AdaptedModel | Network:
        """The model, with the layers of its adapters."""

    @property
    def examples(self) -> Examples[Any]:
        """Training examples of each device."""

    @property
    def evaluator(self) -> Tests:
        """The tests."""

    @property
    def digest(self) -> str:
        """Digest of the model's weights, and of code that belongs to it."""

    @property
    def tests_digest(self) -> str:
        """Digest of the tests."""

    @property
    def precision(self) -> str:
        """Dtype of the frozen weights, such as `bfloat16`."""

    @property
    def sustained_share(self) -> float:
        """Share of the speed of a large product that local steps and tests sustain here."""

    def peak_bytes(self, size: JobSize, jobs: int, rank: int) -> int:
        """Return the estimated memory of local steps beyond the model [byte].

        Parameters
        ----------
        size, jobs : largest size and number of the jobs
        rank : largest rank of an adapter
        """

    def centroid(self, rows: Any) -> tuple[torch.Tensor, ...]:
        """Return the prompt centroid of a device's examples, per layer (inputs,)."""

    def query_bytes(self, device: int, prompts: int) -> tuple[int, int, int]:
        """Return the sizes of a device's prompts and of their answers [byte], and their number.

        Parameters
        ----------
        device : the device that asks
        prompts : number of prompts for each of its tasks, the first test examples
        """

    def class_sizes(self, device: int) -> Sequence[tuple[int, int]]:
        """Return the numbers of training examples of a device, and of test examples, by class.

        Empty for texts.
        """

    def exported(self, adapter: Adapter, base_model: str) -> dict[str, bytes]:
        """Return the files of a device's adapter, or of its network, by name.

        Parameters
        ----------
        adapter : the adapter
        base_model : name or folder of the model
        """

    def step_flops(self, device: int) -> float:
        """Return the operations of a local step on this machine, padding where it is computed."""

    def test_flops(self) -> float:
        """Return the operations of testing one adapter on every task on this machine [FLOP]."""
