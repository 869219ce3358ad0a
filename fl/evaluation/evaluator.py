"""Evaluation of adapters on every task; it takes no simulated time.

A free answer is correct if each of its tokens, and the end of text, has the highest likelihood in
one teacher-forced pass, which is equivalent to greedy decoding. Among choices, a scoring rule
selects the model's answer by the log-likelihoods of all.

With few test tokens several adapters run in one batch; with many, one adapter at a time is merged
into the weights, which then costs no more than the bare model. The experts of a mixture run beside
the weights, with a gate for each prompt or token.
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

from ..adapters.flat_parameters import FlatParameters
from ..mixture import ExpertMixture, pooled, routing
from ..models.checks import check_token
from ..models.language_model import IGNORED, Encoded, encode_choices, predicted
from ..models.sentence_encoder import Choices, ExampleEncoder, encode_examples
from . import prompt_trees
from .prompt_trees import PromptTrees
from .scoring import ChoiceScorer, Score

if TYPE_CHECKING:
    from ..adapters import AdaptedModel, Adapter
    from ..config.inference import Mixture
    from ..mixture import Expert
    from ..tasks import Example, Task

_MERGED_TOKENS = 512
"""Number of tokens per adapter above which merging is cheaper than separate factors."""

_BATCH_TOKENS = 1024
"""Tokens per forward pass; many more exceed the cache of a core."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Texts of similar length, run in one pass.

    A text is a row, or all rows of an example: their common beginning once, then the rest of each.

    Parameters
    ----------
    ids : (texts, length) tokens
    positions : (answers,) index of the token from which each answer token is predicted
    tokens : (answers,) the answer tokens
    row : (answers,) row of each answer token
    rows : number of rows
    trees : places of the texts if they hold several rows; None if each is a row
    """

    ids: torch.Tensor
    positions: torch.Tensor
    tokens: torch.Tensor
    row: torch.Tensor
    rows: int
    trees: PromptTrees | None = None

    @staticmethod
    def of(encoded: Encoded, chosen: torch.Tensor, device: torch.device) -> Batch:
        """Return chosen rows on a torch device, without their common padding."""
        length = int(encoded.mask[chosen].sum(1).max())
        ids, labels = encoded.ids[chosen, :length], encoded.labels[chosen, :length]
        positions = predicted(labels)
        row = torch.div(positions, length, rounding_mode="floor")
        tokens = labels.flatten()[positions + 1]
        ids, positions, tokens, row = (part.to(device) for part in (ids, positions, tokens, row))
        return Batch(ids, positions, tokens, row, len(chosen))

    @staticmethod
    def of_trees(encoded: Encoded, examples: Sequence[torch.Tensor]) -> Batch:
        """Return examples in main memory, the rows of each as one text.

        Parameters
        ----------
        encoded : all rows
        examples : rows of each example
        """
        trees = PromptTrees.of(encoded, examples)
        chosen = torch.cat([*examples])
        labels = encoded.labels[chosen]
        positions = predicted(labels)
        row = torch.div(positions, labels.shape[1], rounding_mode="floor")
        tokens = labels.flatten()[positions + 1]
        return Batch(trees.ids, trees.place[positions], tokens, row, len(chosen), trees)

    @property
    def computed_tokens(self) -> int:
        """Number of tokens that a model computes, padding included where it does."""
        return self.ids.numel() if self.trees is None else int(self.trees.is_used.sum())

    def exact(self, model: AdaptedModel, adapters: int) -> torch.Tensor:
        """Return 1 for each row whose answer is exact and 0 for others, (1, adapters, rows)."""
        logits, tokens = self._logits(model, adapters)
        sums = self._sums((logits.argmax(-1) == tokens).float().view(adapters, -1))
        return (sums / torch.bincount(self.row, minlength=self.rows) == 1.0).float()[None]

    def log_likelihoods(self, model: AdaptedModel, adapters: int) -> torch.Tensor:
        """Return the log-likelihood of each row's answer, and of its last token alone [nat].

        Parameters
        ----------
        model : the shared model, with the adapters attached
        adapters : number of adapters

        Returns
        -------
        (2, adapters, rows)
        """
        logits, tokens = self._logits(model, adapters)
        value = -torch.nn.functional.cross_entropy(logits, tokens, reduction="none")
        value = value.view(adapters, -1)
        last = torch.bincount(self.row, minlength=self.rows).cumsum(0) - 1
        return torch.stack((self._sums(value), value[:, last]))

    def _logits(self, model: AdaptedModel, adapters: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits of all answer tokens for all adapters, and these tokens."""
        tokens = self.tokens.repeat(adapters)
        shift = torch.arange(adapters, device=self.positions.device)[:, None]
        positions = (self.positions + shift * self.ids.numel()).flatten()
        if self.trees is None:
            logits = model.logits_at(self.ids.repeat(adapters, 1), positions).float()
        else:
            devices = model.devices_of(len(self.ids))
            logits = model.logits_of(self.trees.layout(positions, adapters, devices))
        return model.restrict_to_choices(logits, tokens), tokens

    def _sums(self, values: torch.Tensor) -> torch.Tensor:
        """Return sums over the answer tokens of each row, (adapters, rows)."""
        sums = torch.zeros(len(values), self.rows, device=values.device)
        return sums.index_add(1, self.row, values)


class TestSet:
    """Encoded test examples of a task.

    Parameters
    ----------
    examples : scored by choice if all of them have choices
    example_encoder, max_length : encoder of the examples, and maximum length of a row [token]
    model : the shared model
    scoring : scoring rule of choices
    """

    def __init__(
        self,
        examples: Sequence[Example],
        example_encoder: ExampleEncoder,
        max_length: int,
        model: AdaptedModel,
        scoring: str,
    ) -> None:
        self._scorer: ChoiceScorer | None = None
        self._scoring = scoring
        by_choice = all(example.choices for example in examples)
        if not isinstance(example_encoder, Choices) and by_choice:
            encoded, owner, correct = encode_choices(examples, example_encoder, max_length)
            texts = [choice for example in examples for choice in example.choices]
            tokens = (encoded.labels != IGNORED).sum(1).numpy()
            self._scorer = ChoiceScorer(texts, tokens, owner, correct)
        else:
            encoded = encode_examples(examples, example_encoder, max_length)
            owner = np.arange(len(examples))
        # All rows of an example start with its prompt.
        first = torch.from_numpy(np.unique(owner, return_index=True)[1])
        self._prompts = Encoded(encoded.ids[first], encoded.mask[first], encoded.labels[first])
        self._features: tuple[torch.Tensor, ...] | None = None
        self.count = len(first)
        self.token_count, self.largest_token = encoded.ids.numel(), int(encoded.ids.max())
        owners = torch.from_numpy(owner)
        rows = [torch.from_numpy(one) for one in np.split(np.arange(len(owner)), first[1:].numpy())]
        length = encoded.ids.shape[1]
        sizes = prompt_trees.sizes(encoded, rows) if model.takes_layouts(length) else [0]
        if model.takes_layouts(length, max(sizes)):
            groups = _grouped(sizes)
            self._batches = [
                Batch.of_trees(encoded, [rows[one] for one in group]) for group in groups
            ]
            self._owners = [torch.tensor(group) for group in groups]
            self._order = torch.cat([rows[one] for group in groups for one in group])
        else:
            # Sorting by length reduces padding.
            self._order = torch.argsort(encoded.mask.sum(1), stable=True)
            step = max(1, _BATCH_TOKENS // encoded.ids.shape[1])
            split = self._order.split(step)
            self._batches = [Batch.of(encoded, chosen, model.device) for chosen in split]
            self._owners = [*owners[self._order].split(step)]

    @property
    def computed_tokens(self) -> int:
        """Number of tokens that a model computes for one adapter."""
        return sum(batch.computed_tokens for batch in self._batches)

    def features(self, model: AdaptedModel) -> tuple[torch.Tensor, ...]:
        """Return the features of the prompts in the frozen model, per layer (examples, inputs)."""
        if self._features is None:
            self._features = pooled(model, self._prompts)
        return self._features

    def scores(
        self,
        model: AdaptedModel,
        adapters: int,
        before_batch: Callable[[torch.Tensor], None] | None = None,
    ) -> list[Score]:
        """Return the score of each attached adapter.

        Parameters
        ----------
        model : the shared model
        adapters : number of attached adapters
        before_batch : called before each pass with the example of each text, (texts,)
        """
        parts = []
        for batch, owner in zip(self._batches, self._owners, strict=True):
            if before_batch is not None:
                before_batch(owner)
            measure = batch.exact if self._scorer is None else batch.log_likelihoods
            parts.append(measure(model, adapters))
        in_order = torch.cat(parts, dim=2).cpu()
        found = torch.empty_like(in_order)
        found[:, :, self._order] = in_order
        return [self._score(*found[:, adapter].numpy()) for adapter in range(adapters)]

    def _score(self, *values: NDArray[np.float32]) -> Score:
        """Return the score of exact answers (rows,), or of two kinds of log-likelihoods."""
        if self._scorer is None:
            return Score(float(values[0].mean(dtype=np.float64)), {})
        by_rule = self._scorer.accuracies(*values)
        return Score(by_rule[self._scoring], by_rule)


class Evaluator:
    """Test sets of all tasks.

    Parameters
    ----------
    model : the shared model
    tasks : the tasks
    example_encoder, max_length : encoder of the examples, and maximum length of a row [token]
    scoring : scoring rule of choices, one of `SCORING_RULES`
    """

    def __init__(
        self,
        model: AdaptedModel,
        tasks: Sequence[Task],
        example_encoder: ExampleEncoder,
        max_length: int,
        scoring: str = "mean",
    ) -> None:
        self._model = model
        self._sets = [
            TestSet(task.test, example_encoder, max_length, model, scoring) for task in tasks
        ]
        check_token(model.model, max(one.largest_token for one in self._sets))
        self._token_count = sum(one.token_count for one in self._sets)
        self._without_adapter: list[Score] | None = None

    @property
    def computed_tokens(self) -> int:
        """Number of tokens that the model computes to test one adapter on every task."""
        return sum(one.computed_tokens for one in self._sets)

    def accuracies(self, adapters: Sequence[Adapter]) -> list[list[float]]:
        """Return the accuracy of each adapter on each task, between 0 and 1."""
        return [[one.accuracy for one in of_adapter] for of_adapter in self.scores(adapters)]

    def scores(self, adapters: Sequence[Adapter]) -> list[list[Score]]:
        """Return the score of each adapter on each task."""
        # Devices that aggregated the same updates, or none, may share one adapter.
        distinct = {id(adapter): adapter for adapter in adapters}
        trained = [adapter for adapter in distinct.values() if not adapter.is_zero()]
        with torch.inference_mode():
            if len(trained) < len(distinct) and self._without_adapter is None:
                self._without_adapter = self._measure(1)[0]
            known = dict(zip(map(id, trained), self._scores_of(trained), strict=True))
        return [known.get(id(adapter)) or list(self._without_adapter or ()) for adapter in adapters]

    def mixture(self, experts: Sequence[Expert], gate: Mixture) -> tuple[list[float], float, float]:
        """Return the accuracies and routing statistics of a mixture; see `mixture_scores`."""
        found, *routed = self.mixture_scores(experts, gate)
        return [one.accuracy for one in found], routed[0], routed[1]

    def mixture_scores(
        self, experts: Sequence[Expert], gate: Mixture
    ) -> tuple[list[Score], float, float]:
        """Return the scores and routing statistics of a mixture of experts.

        Parameters
        ----------
        experts, gate : the experts, and the gate that weighs them

        Returns
        -------
        the score on each task; the routing accuracy, the share of all test prompts whose heaviest
        expert has the update of a device with the prompt's task; and the normalized usage entropy
        of the experts; both NaN if the gate has no weights for a whole prompt
        """
        found: list[Score] = []
        correct, routed = [], []
        mixture = ExpertMixture(experts, gate, self._model.device)
        with torch.inference_mode():
            for task, one in enumerate(self._sets):
                weights = mixture.routing_weights(
                    task, one.count, partial(one.features, self._model)
                )
                before_batch = None
                if weights is not None:
                    correct.append(routing.routed_correctly(weights, task, experts))
                    routed.append(weights)
                    before_batch = partial(mixture.set_weights, weights)
                with mixture.attached(self._model):
                    found += one.scores(self._model, 1, before_batch)
        if not correct:
            return found, math.nan, math.nan
        entropy = routing.normalized_usage_entropy(torch.cat(routed))
        return found, float(torch.cat(correct).double().mean()), entropy

    def _scores_of(self, adapters: Sequence[Adapter]) -> list[list[Score]]:
        results: list[list[Score]] = []
        if self._token_count >= _MERGED_TOKENS:
            for adapter in adapters:
                with self._model.merged(adapter):
                    results += self._measure(1)
            return results
        step = max(1, _BATCH_TOKENS // self._token_count)
        for start in range(0, len(adapters), step):
            some = adapters[start : start + step]
            # Without training no factor needs a gradient, so that methods can be mixed.
            rows = FlatParameters(some, self._model.device)
            a, b = rows.factors(len(some))
            with self._model.stacked(a, b, rows.scales(len(some))):
                results += self._measure(len(some))
        return results

    def _measure(self, adapters: int) -> list[list[Score]]:
        """Return the score of each attached adapter on each task."""
        of_tasks = [one.scores(self._model, adapters) for one in self._sets]
        return [list(of_adapter) for of_adapter in zip(*of_tasks, strict=True)]


def _grouped(sizes: Sequence[int]) -> list[list[int]]:
    """Return numbers of texts in groups of similar sizes [token], each for one pass."""
    groups: list[list[int]] = []
    tokens = 0
    for number in np.argsort(sizes, kind="stable").tolist():
        if not groups or tokens + sizes[number] > _BATCH_TOKENS:
            groups.append([])
            tokens = 0
        groups[-1].append(number)
        tokens += sizes[number]
    return groups
