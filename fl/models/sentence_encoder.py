"""Sentence encoders on tasks with choices: the answer is the choice that is most like the prompt.

All choices of all tasks are embedded once by the frozen encoder, and stand in the place of a
language model's words: the logit of a choice is the cosine between its embedding and that of the
prompt, as the adapted encoder sees it, times 20. An example's answer competes with the other
choices of the same example alone. So all tasks share one model, and none has a head of its own.

Sources: mean pooling, cosine and the factor of 20 as in Reimers and Gurevych, "Sentence-BERT",
EMNLP 2019, and the loss of the library that came of it.
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

Reader: TypeAlias = "PreTrainedTokenizerBase | Choices"

_SCALE = 20.0
_TOGETHER = 64
"""How many choices are embedded at once."""


class Choices:
    """The choices of all tasks, and how prompts become rows of tokens.

    Parameters
    ----------
    tasks : whose choices they are
    encoder, tokenizer : the frozen encoder; its padding token is 0
    max_length : longest text; longer ones are cut at their ends [token]

    Raises
    ------
    ValueError
        if an example has no choices, or the tokenizer pads with something else
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
        # Where each set of choices begins among all; equal texts in other sets are others.
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
        # (choices,) where the set of each begins and ends
        self.begins = torch.tensor(begins, device=device)
        self.ends = torch.tensor(ends, device=device)
        self.embeddings = self._embed(texts, encoder, max_length)

    def __len__(self) -> int:
        """Return how many choices there are."""
        return len(self.begins)

    def encode(self, examples: Sequence[Example], max_length: int) -> Encoded:
        """Return prompts as rows of tokens; the one label of a row, at its end, is its answer.

        Parameters
        ----------
        examples : at least one, of the tasks that are known
        max_length : most tokens in a row

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
            place = self._begins[example.choices] + example.choices.index(example.answer)
            encoded.labels[row, len(tokens) - 1] = place
        return encoded

    def logits(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return the logits of all choices, (texts, choices), of embedded texts (texts, width)."""
        return _SCALE * normalize(pooled.float(), dim=-1) @ self.embeddings.T

    def restrict_to_choices(self, logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        """Return logits without those of choices that the right one does not compete with.

        Parameters
        ----------
        logits : (texts, choices)
        answers : (texts,) number of the right choice of each
        """
        numbers = torch.arange(len(self), device=logits.device)
        begins, ends = self.begins[answers, None], self.ends[answers, None]
        return logits.masked_fill((numbers < begins) | (numbers >= ends), -torch.inf)

    def _embed(
        self, texts: Sequence[str], encoder: PreTrainedModel, max_length: int
    ) -> torch.Tensor:
        """Return the embeddings of choices, (choices, width), of length 1."""
        parts = []
        for start in range(0, len(texts), _TOGETHER):
            some = [text.replace("_", " ") for text in texts[start : start + _TOGETHER]]
            rows = self._tokens(some, max_length)
            ids = padded(rows, [len(row) for row in rows], 0).ids.to(encoder.device)
            with torch.no_grad():
                parts.append(normalize(pool(encoder, ids).float(), dim=-1))
        return torch.cat(parts)

    def _tokens(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        rows: list[list[int]] = self._tokenizer(
            list(texts), truncation=True, max_length=max_length, verbose=False
        )["input_ids"]
        return rows


def pool(encoder: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Return the mean of an encoder's last hidden states over the tokens of each text.

    Parameters
    ----------
    encoder : gives hidden states
    ids : (texts, length) tokens, padded with 0

    Returns
    -------
    (texts, width)
    """
    there = ids != 0
    # A row of padding alone is nobody's text, but its numbers must be finite.
    there[:, 0] = True
    hidden = encoder(input_ids=ids, attention_mask=there.long()).last_hidden_state
    share = there / there.sum(1, keepdim=True)
    pooled: torch.Tensor = torch.einsum("sl,slw->sw", share.to(hidden.dtype), hidden)
    return pooled


def rows_of(examples: Sequence[Example], reader: Reader, max_length: int) -> Encoded:
    """Return examples as rows of tokens, for a language model or an encoder.

    Parameters
    ----------
    examples, max_length : see `fl.model.encode`
    reader : the tokenizer of a language model; or the choices of an encoder
    """
    if isinstance(reader, Choices):
        return reader.encode(examples, max_length)
    return encode(examples, reader, max_length)
