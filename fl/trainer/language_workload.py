"""Workload of a language model or sentence encoder with adapters; see `Workload`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..adapters import AdaptedModel
from ..adapters.memory import MemoryEstimate
from ..adapters.peft_format import files
from ..adapters.stacked import FORWARD_FLOPS, TRAINING_FLOPS
from ..data.device_examples import text_examples
from ..digests import digest_of_model
from ..engine.jobs import digest
from ..evaluation import Evaluator
from ..mixture.features import centroid
from ..models.checks import check_length, check_token
from ..models.sentence_encoder import Choices

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..adapters import Adapter
    from ..config import Learning
    from ..engine.batching import JobSize
    from ..models.language_model import Encoded
    from ..tasks import Task

CENTROID_PROMPTS = 64
"""Number of a device's prompts over which its centroid is averaged."""
_LARGE = 20_000_000
"""Number of parameters from which products outweigh everything else."""


class LanguageWorkload:
    """Adapters of devices on one frozen language model.

    Parameters
    ----------
    learning : configuration of the learning
    tasks : the tasks, in order
    model, tokenizer : shared model, wrapped in place, and its tokenizer
    devices : number of devices
    seed : seed of the partition and order of the examples
    flips_labels : returns whether a device trains on flipped labels
    pooled : see `text_examples`

    Attributes
    ----------
    model, examples, evaluator, digest, tests_digest : see `Workload`
    """

    def __init__(
        self,
        learning: Learning,
        tasks: Sequence[Task],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        devices: int,
        seed: int,
        flips_labels: Callable[[int], bool],
        *,
        pooled: bool,
    ) -> None:
        check_length(model, learning.max_length)
        self._learning, self._tasks = learning, tasks
        self.digest = digest_of_model(model)
        choices = None
        if learning.scoring == "similarity":
            choices = Choices(tasks, model, tokenizer, learning.max_length)
        encoder = choices or tokenizer
        checkpointing = learning.trainer.checkpointing
        self.model = AdaptedModel(model, learning.target_modules, checkpointing, choices)
        self.examples = text_examples(
            learning, tasks, encoder, devices, seed, flips_labels, pooled=pooled
        )
        check_token(model, max(int(rows.ids.max()) for rows in self.examples.rows))
        self._memory = MemoryEstimate(self.model)
        self.evaluator = Evaluator(
            self.model, tasks, encoder, learning.max_length, learning.scoring
        )
        self.tests_digest = digest(
            [[[e.prompt, e.answer, e.choices] for e in task.test] for task in tasks],
            learning.max_length,
            learning.scoring,
        )

    @property
    def precision(self) -> str:
        """Dtype of the frozen weights, such as `bfloat16`."""
        return str(self.model.model.dtype).removeprefix("torch.")

    @property
    def sustained_share(self) -> float:
        """Share of the speed of a large product that local steps and tests sustain here.

        By tests/benchmarks/training.py and real_model.py; good within a factor of about two.
        """
        return 0.65 if self.model.inner_parameter_count >= _LARGE else 0.3

    def peak_bytes(self, size: JobSize, jobs: int, rank: int) -> int:
        """Return the estimated memory of local steps beyond the model [byte]."""
        return self._memory.peak_bytes(size.width * size.rows, jobs, rank, training=True)

    def centroid(self, rows: Encoded) -> tuple[torch.Tensor, ...]:
        """Return the prompt centroid of a device's examples, per layer (inputs,)."""
        return tuple(centroid(self.model, rows, CENTROID_PROMPTS))

    def query_bytes(self, device: int, prompts: int) -> tuple[int, int, int]:
        """Return the sizes of a device's prompts and of their answers, and their number."""
        tasks = self.examples.task_of[device]
        asked = [one for task in tasks for one in self._tasks[task].test[:prompts]]
        prompts_bytes = sum(len(one.prompt.encode()) for one in asked)
        return prompts_bytes, sum(len(one.answer.encode()) for one in asked), len(asked)

    def class_sizes(self, device: int) -> Sequence[tuple[int, int]]:
        """Return nothing: texts have no classes."""
        return ()

    def exported(self, adapter: Adapter, base_model: str) -> dict[str, bytes]:
        """Return the files of a device's adapter by name, in PEFT's format."""
        return files(adapter, self.model.layers, base_model, self.model.transposed)

    def step_flops(self, device: int) -> float:
        """Return the operations of a local step on this machine, padding where it is computed."""
        tokens = self._learning.batch_size * self._computed_tokens(device)
        return TRAINING_FLOPS * self.model.inner_parameter_count * tokens

    def test_flops(self) -> float:
        """Return the operations of testing one adapter on every task on this machine [FLOP]."""
        tokens = self.evaluator.computed_tokens
        return float(FORWARD_FLOPS * self.model.inner_parameter_count * tokens)

    def _computed_tokens(self, device: int) -> float:
        """Return the mean number of tokens of a device's examples that the model computes."""
        rows: Any = self.examples.rows[device]
        if self.model.takes_layouts(rows.width):
            return float(rows.mask.sum(1, dtype=torch.float64).mean())
        return float(rows.width)
