"""Sentence encoders on tasks with choices: the answer is the choice most similar to the prompt.

All choices of all tasks are embedded once by the frozen encoder and take the place of a vocabulary:
the logit of a choice is the cosine between its embedding and that of the prompt by the adapted
encoder, times 20. The candidates of an example are its own choices only. All tasks thus share one
model without task-specific heads.

Sources: mean pooling, cosine and the factor of 20 as in Reimers and Gurevych, "Sentence-BERT",
EMNLP 2019, and the loss of the library based on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch.nn.functional import normalize

from .language_model import Encoded, encode, padded

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..tasks import Example, Task

ExampleEncoder: TypeAlias = "PreTrainedTokenizerBase | Choices"
"""Encoder of examples as token rows: the tokenizer of a language model, or an encoder's choices."""

_SCALE = 20.0
_BATCH_SIZE = 64
"""Number of choices embedded per pass."""


class Choices:
    """Embedded choices of all tasks, and encoder of their prompts as token rows.

    Parameters
    ----------
    tasks : the tasks
    encoder, tokenizer : the frozen encoder; its padding token is 0
    max_length : maximum length of a text [token]; longer prompts are cut from the left, as for
        language models, and longer choices are refused

    Raises
    ------
    ValueError
        if an example has no choices, a choice does not fit, or the padding token is not 0
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
    ) -> None:
        if tokenizer.pad_token_id != 0:
            raise ValueError(
                "scoring similarity needs an encoder whose padding token is number 0, "
                f"got {tokenizer.pad_token_id}"
            )
        self._tokenizer = tokenizer
        self._tokenizer.truncation_side = "left"
        # Index of the first choice of each set; equal texts in different sets are distinct.
        self._begins: dict[tuple[str, ...], int] = {}
        texts: list[str] = []
        ends: list[int] = []
        for example in (each for task in tasks for each in (*task.train, *task.test)):
            if not example.choices:
                raise ValueError(
                    "scoring similarity needs tasks with choices, got none for prompt "
                    f"{example.prompt[:80]!r}"
                )
            if example.choices not in self._begins:
                self._begins[example.choices] = len(texts)
                texts += example.choices
                ends += [len(texts)] * len(example.choices)
        begins = [begin for of, begin in self._begins.items() for _ in of]
        device = encoder.device
        # (choices,) first index of the set of each choice, and last index + 1
        self.begins = torch.tensor(begins, device=device)
        self.ends = torch.tensor(ends, device=device)
        self.embeddings = self._embed(texts, encoder, max_length)

    def __len__(self) -> int:
        """Return the number of choices."""
        return len(self.begins)

    def encode(self, examples: Sequence[Example], max_length: int) -> Encoded:
        """Return prompts as token rows; the last token of a row has its answer as label.

        Parameters
        ----------
        examples : at least one, of the given tasks
        max_length : maximum length of a row [token]

        Raises
        ------
        ValueError
            if there are no examples
        """
        if not examples:
            raise ValueError("there must be at least one example, got none")
        rows = self._tokens([example.prompt for example in examples], max_length)
        encoded = padded(rows, [len(row) for row in rows], 0)
        for row, (tokens, example) in enumerate(zip(rows, examples, strict=True)):
            answer = self._begins[example.choices] + example.choices.index(example.answer)
            encoded.labels[row, len(tokens) - 1] = answer
        return encoded

    def logits(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return the logits of all choices, (texts, choices), for embedded texts (texts, width)."""
        return _SCALE * normalize(pooled.float(), dim=-1) @ self.embeddings.T

    def restrict_to_choices(self, logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        """Return logits in which the choices of other sets than the answer's are -inf.

        Parameters
        ----------
        logits : (texts, choices)
        answers : (texts,) index of the correct choice
        """
        numbers = torch.arange(len(self), device=logits.device)
        begins, ends = self.begins[answers, None], self.ends[answers, None]
        return logits.masked_fill((numbers < begins) | (numbers >= ends), -torch.inf)

    def _embed(
        self, texts: Sequence[str], encoder: PreTrainedModel, max_length: int
    ) -> torch.Tensor:
        """Return the unit embeddings of choices, (choices, width)."""
        parts = []
        for start in range(0, len(texts), _BATCH_SIZE):
            some = [text.replace("_", " ") for text in texts[start : start + _BATCH_SIZE]]
            rows = self._tokens(some, None)
            for text, row in zip(some, rows, strict=True):
                if len(row) > max_length:
                    raise ValueError(
                        f"choice must fit into max_length {max_length}, "
                        f"got {len(row)} tokens: {text[:80]!r}"
                    )
            ids = padded(rows, [len(row) for row in rows], 0).ids.to(encoder.device)
            with torch.no_grad():
                parts.append(normalize(pool(encoder, ids).float(), dim=-1))
        return torch.cat(parts)

    def _tokens(self, texts: Sequence[str], max_length: int | None) -> list[list[int]]:
        """Return the tokens of texts, cut from the left; the special ones at the ends stay."""
        rows: list[list[int]] = self._tokenizer(
            list(texts), truncation=max_length is not None, max_length=max_length, verbose=False
        )["input_ids"]
        return rows


def pool(encoder: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Return the mean of an encoder's last hidden states over the tokens of each text.

    Parameters
    ----------
    encoder : encoder without a head
    ids : (texts, length) tokens, padded with 0

    Returns
    -------
    (texts, width)
    """
    is_token = ids != 0
    # Rows of padding only must have finite numbers too.
    is_token[:, 0] = True
    hidden = encoder(input_ids=ids, attention_mask=is_token.long()).last_hidden_state
    share = is_token / is_token.sum(1, keepdim=True)
    pooled: torch.Tensor = torch.einsum("sl,slw->sw", share.to(hidden.dtype), hidden)
    return pooled


def encode_examples(
    examples: Sequence[Example], example_encoder: ExampleEncoder, max_length: int
) -> Encoded:
    """Return examples as token rows, for a language model or a sentence encoder.

    Parameters
    ----------
    examples, max_length : see `fl.models.language_model.encode`
    example_encoder : tokenizer of a language model, or choices of a sentence encoder
    """
    if isinstance(example_encoder, Choices):
        return example_encoder.encode(examples, max_length)
    return encode(examples, example_encoder, max_length)
