"""How well adapters do on every task: an instrument that costs no simulated time.

A free answer is right if every one of its tokens, and the end of text, is the likeliest in one
teacher-forced pass, which is when greedy decoding would give exactly that answer. Where there are
choices, the one with the highest mean log-likelihood per token is the model's answer.

Few tokens are run through several adapters at once; many tokens through one adapter at a time,
merged into the weights, which then costs no more than the bare model. Adapters that answer
together, as experts, are run beside the weights, with a gate for each prompt or token.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from .adapters.flat_parameters import FlatParameters
from .mixture import Mixed, pooled, routing
from .models.checks import check_token
from .models.language_model import Encoded, encode_choices, predicted
from .models.sentence_encoder import Choices, Reader, rows_of

if TYPE_CHECKING:
    from .adapters import AdaptedModel, Adapter
    from .config.inference import Mixture
    from .mixture import Expert
    from .tasks import Example, Task

_MERGED_TOKENS = 512
"""From how many tokens per adapter on merging is cheaper than carrying factors along."""

_BATCH_TOKENS = 1024
"""How many tokens are run at once; many more do not fit a core's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows of similar length, run together.

    Parameters
    ----------
    ids : (rows, length) tokens
    where : (answers,) index of the token from which each answer token is predicted
    tokens : (answers,) the answer tokens
    row : (answers,) the row of each
    """

    ids: torch.Tensor
    where: torch.Tensor
    tokens: torch.Tensor
    row: torch.Tensor

    @staticmethod
    def of(encoded: Encoded, chosen: torch.Tensor, device: torch.device) -> Batch:
        """Return chosen rows on a torch device, without the padding that all of them have."""
        length = int(encoded.mask[chosen].sum(1).max())
        ids, labels = encoded.ids[chosen, :length], encoded.labels[chosen, :length]
        where = predicted(labels)
        row = torch.div(where, length, rounding_mode="floor")
        parts = (ids, where, labels.flatten()[where + 1], row)
        return Batch(*(part.to(device) for part in parts))

    def scores(self, model: AdaptedModel, adapters: int, exact: bool) -> torch.Tensor:
        """Return whether each row's answer is exact, or its mean log-likelihood, (adapters, rows).

        Parameters
        ----------
        model : the shared model, with as many adapters on it
        """
        shift = torch.arange(adapters, device=self.where.device)[:, None]
        where = (self.where + shift * self.ids.numel()).flatten()
        tokens = self.tokens.repeat(adapters)
        logits = model.logits_at(self.ids.repeat(adapters, 1), where).float()
        logits = model.restrict_to_choices(logits, tokens)
        if exact:
            value = (logits.argmax(-1) == tokens).float()
        else:
            value = -torch.nn.functional.cross_entropy(logits, tokens, reduction="none")
        sums = torch.zeros(adapters, len(self.ids), device=value.device)
        sums = sums.index_add(1, self.row, value.view(adapters, -1))
        mean = sums / torch.bincount(self.row, minlength=len(self.ids))
        return (mean == 1.0).float() if exact else mean


class TestSet:
    """A task's test examples as tokens.

    Parameters
    ----------
    examples : scored by choice if all of them have choices
    tokenizer, max_length : how they become tokens
    device : on which torch device the model is
    """

    def __init__(
        self,
        examples: Sequence[Example],
        tokenizer: Reader,
        max_length: int,
        device: torch.device,
    ) -> None:
        self._right: NDArray[np.bool_] | None = None
        if not isinstance(tokenizer, Choices) and all(example.choices for example in examples):
            encoded, self._owner, self._right = encode_choices(examples, tokenizer, max_length)
        else:
            encoded = rows_of(examples, tokenizer, max_length)
            self._owner = np.arange(len(examples))
        # All rows of an example have its prompt.
        first = torch.from_numpy(np.unique(self._owner, return_index=True)[1])
        self._prompts = Encoded(encoded.ids[first], encoded.mask[first], encoded.labels[first])
        self._features: tuple[torch.Tensor, ...] | None = None
        self.count = len(first)
        self.token_count, self.largest_token = encoded.ids.numel(), int(encoded.ids.max())
        # Rows of similar length waste little on padding.
        self._order = torch.argsort(encoded.mask.sum(1), stable=True)
        step = max(1, _BATCH_TOKENS // encoded.ids.shape[1])
        self._batches = [Batch.of(encoded, chosen, device) for chosen in self._order.split(step)]
        owner = torch.from_numpy(self._owner)[self._order]
        self._owners = owner.split(step)

    def features(self, model: AdaptedModel) -> tuple[torch.Tensor, ...]:
        """Return what prompts look like to the bare model, per layer (examples, inputs)."""
        if self._features is None:
            self._features = pooled(model, self._prompts)
        return self._features

    def accuracies(
        self,
        model: AdaptedModel,
        adapters: int,
        announce: Callable[[torch.Tensor], None] | None = None,
    ) -> list[float]:
        """Return the accuracy of each adapter that is on the model.

        Parameters
        ----------
        model : the shared model
        adapters : how many are on it
        announce : is told the example of each row, (rows,), before these are run
        """
        exact = self._right is None
        parts = []
        for batch, owner in zip(self._batches, self._owners, strict=True):
            if announce is not None:
                announce(owner)
            parts.append(batch.scores(model, adapters, exact))
        sorted_scores = torch.cat(parts, dim=1).cpu()
        scores = torch.empty_like(sorted_scores)
        scores[:, self._order] = sorted_scores
        return [self._accuracy(row) for row in scores.numpy()]

    def _accuracy(self, score: NDArray[np.float32]) -> float:
        if self._right is None:
            return float(score.mean(dtype=np.float64))
        # The likeliest choice of each example, the first of equals.
        order = np.lexsort((np.arange(len(score)), -score, self._owner))
        first = np.unique(self._owner[order], return_index=True)[1]
        return float(np.mean(self._right[order][first]))


class Evaluator:
    """The test sets of all tasks.

    Parameters
    ----------
    model : the shared model
    tasks : what is tested
    tokenizer, max_length : how examples become tokens
    """

    def __init__(
        self,
        model: AdaptedModel,
        tasks: Sequence[Task],
        tokenizer: Reader,
        max_length: int,
    ) -> None:
        self._model = model
        self._sets = [TestSet(task.test, tokenizer, max_length, model.device) for task in tasks]
        check_token(model.model, max(one.largest_token for one in self._sets))
        self._token_count = sum(one.token_count for one in self._sets)
        self._untrained: list[float] | None = None

    def accuracies(self, adapters: Sequence[Adapter]) -> list[list[float]]:
        """Return the accuracy of each adapter on each task, between 0 and 1."""
        # Devices that heard the same, or nothing, have the same adapter.
        different = {id(adapter): adapter for adapter in adapters}
        trained = [adapter for adapter in different.values() if not adapter.is_zero()]
        with torch.inference_mode():
            if len(trained) < len(different) and self._untrained is None:
                self._untrained = self._measure(1)[0]
            known = dict(zip(map(id, trained), self._trained(trained), strict=True))
        return [known.get(id(adapter)) or list(self._untrained or ()) for adapter in adapters]

    def mixed(self, experts: Sequence[Expert], gate: Mixture) -> tuple[list[float], float, float]:
        """Return how well experts do together.

        Parameters
        ----------
        experts, gate : who answers, and how much each of them counts

        Returns
        -------
        the accuracy on each task; the share of all test prompts whose heaviest expert is of a
        device with the prompt's task; and how evenly these are spread over the experts, see
        `routing.evenness`; both nan if the gate makes no choice for a whole prompt
        """
        found, hits, chosen = [], [], []
        mixture = Mixed(experts, gate, self._model.device)
        with torch.inference_mode():
            for task, one in enumerate(self._sets):
                weights = mixture.weights(task, one.count, partial(one.features, self._model))
                announce = None
                if weights is not None:
                    hits.append(routing.right(weights, task, experts))
                    chosen.append(weights)
                    announce = partial(mixture.weigh, weights)
                with mixture.on(self._model):
                    found += one.accuracies(self._model, 1, announce)
        if not hits:
            return found, math.nan, math.nan
        evenness = routing.evenness(torch.cat(chosen))
        return found, float(torch.cat(hits).double().mean()), evenness

    def _trained(self, adapters: Sequence[Adapter]) -> list[list[float]]:
        results: list[list[float]] = []
        if self._token_count >= _MERGED_TOKENS:
            for adapter in adapters:
                with self._model.merged(adapter):
                    results += self._measure(1)
            return results
        step = max(1, _BATCH_TOKENS // self._token_count)
        for start in range(0, len(adapters), step):
            some = adapters[start : start + step]
            # Factors that are nobody's to train need no gradients, whatever their method.
            rows = FlatParameters(some, self._model.device)
            a, b = rows.factors(len(some))
            with self._model.stacked(a, b, rows.scales(len(some))):
                results += self._measure(len(some))
        return results

    def _measure(self, adapters: int) -> list[list[float]]:
        """Return the accuracy of each adapter that is on the model on each task."""
        of_tasks = [one.accuracies(self._model, adapters) for one in self._sets]
        return [list(of_adapter) for of_adapter in zip(*of_tasks, strict=True)]
