"""Language models and their tokenizers, and encoding of examples as token rows.

Convention: a row consists of the tokens of the prompt, those that a space and the answer add to it,
and the end-of-text token, so that no token spans prompt and answer. The labels are the tokens after
the prompt: what greedy decoding of the prompt would have to yield.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..tasks import Example
from .gguf import converted
from .gguf_files import gguf_file
from .loading import four_bit_config, load_from

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TINY = Path(__file__).parent.parent / "tiny"
IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """Examples as rows of tokens, padded on the right.

    Attributes
    ----------
    ids : (n, s) tokens, int64
    mask : (n, s) 1 where there is a token and 0 where there is padding, int64
    labels : (n, s) the tokens of the answer and end of text at their positions in `ids`, -100
        elsewhere, int64; not shifted
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.ids)

    def take(self, rows: Tensor) -> Encoded:
        """Return the examples of some rows (k,)."""
        return Encoded(self.ids[rows], self.mask[rows], self.labels[rows])

    @property
    def width(self) -> int:
        """Length of the rows [token]."""
        return self.ids.shape[1]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What the rows consist of, for their digest."""
        return self.ids, self.mask, self.labels


def prompt_lengths(encoded: Encoded) -> Tensor:
    """Return the number of tokens of each row's prompt, (n,)."""
    return ((encoded.mask == 1) & (encoded.labels == IGNORED)).sum(1)


def predicted(labels: Tensor) -> Tensor:
    """Return the positions from which labels are predicted, as indices into the flattened rows.

    Parameters
    ----------
    labels : (sequences, length) -100 where nothing is predicted
    """
    # A token is predicted from the one before it, the first one never.
    following = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
    return (following != IGNORED).flatten().nonzero().squeeze(1)


def load(
    name: str,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    quantization: Literal["4bit"] | None = None,
    *,
    encoder: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a causal language model, frozen and in evaluation mode, and its tokenizer.

    Parameters
    ----------
    name : `tiny` for the built-in model, a folder in Hugging Face format, a GGUF file, a folder
        with one, `package:NAME` for the one in an installed package, or the name of a model on the
        Hugging Face hub (a copy in the local cache is preferred and needs no network)
    dtype : of the weights; of the products, if the weights are quantized
    device : torch device of the model
    quantization : `4bit` stores the weights of linear layers as NF4 numbers with quantized scales
        (QLoRA: Dettmers et al., NeurIPS 2023)
    encoder : whether the model is an encoder without a head instead of a causal language model

    Raises
    ------
    ValueError
        if the folder lacks files or has its weights in pickle format only, the hub's model is
        neither cached nor available, or the library of quantization is missing; code that comes
        with a model is never run
    """
    options: dict[str, Any] = {"dtype": dtype}
    if quantization is not None:
        # Weights are quantized on their way to the device.
        options |= {"quantization_config": four_bit_config(dtype), "device_map": {"": device}}
    if encoder and name == "tiny":
        raise ValueError("scoring similarity needs a sentence encoder, and tiny is none")
    model, tokenizer = load_from(str(TINY) if name == "tiny" else name, options, encoder)
    if quantization is None:
        model.to(torch.device(device))
    return model, tokenizer


def model_source(name: str) -> str:
    """Return the folder or hub name from which other tools load the model of `load`."""
    if name == "tiny":
        return str(TINY)
    packed = gguf_file(name)
    return name if packed is None else str(converted(packed))


def encode(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Encoded:
    """Return examples as token rows, as wide as the longest of them.

    Parameters
    ----------
    examples : (n,) at least one
    tokenizer : the model's
    max_length : maximum length of a row [token]; longer prompts are cut from the left

    Raises
    ------
    ValueError
        if there are no examples, an answer does not fit, or there is no end-of-text token
    """
    texts = [(example.prompt, example.separator + example.answer) for example in examples]
    return _encode(texts, tokenizer, max_length)


def encode_choices(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[Encoded, NDArray[np.int64], NDArray[np.bool_]]:
    """Return every choice of every example as a token row.

    Parameters
    ----------
    examples, tokenizer, max_length : as in `encode`; every example has choices

    Returns
    -------
    the p rows; (p,) index of each row's example, ascending; (p,) whether the row is the correct
    choice

    Raises
    ------
    ValueError
        as `encode`, and if an example has no choices
    """
    pairs = [
        (number, example, choice)
        for number, example in enumerate(examples)
        for choice in example.choices
    ]
    if len({number for number, _, _ in pairs}) < len(examples):
        without = next(example for example in examples if not example.choices)
        raise ValueError(f"example must have choices, got none for prompt {without.prompt!r}")
    texts = [(example.prompt, example.separator + choice) for _, example, choice in pairs]
    owner = np.array([number for number, _, _ in pairs], dtype=np.int64)
    correct = np.array([choice == example.answer for _, example, choice in pairs], dtype=np.bool_)
    return _encode(texts, tokenizer, max_length), owner, correct


def _encode(
    texts: Sequence[tuple[str, str]], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Encoded:
    if not texts:
        raise ValueError("there must be at least one example, got none")
    end = tokenizer.eos_token_id
    if end is None:
        raise ValueError("tokenizer must define an end-of-text token, got none")
    # Some tokenizers prepend a token to every text; it is kept when the prompt is cut.
    of_empty_text = tokenizer("")["input_ids"]
    starts = (tokenizer.bos_token_id, getattr(tokenizer, "cls_token_id", None))
    prefix = [start for start in starts if start is not None and start in of_empty_text][:1]
    prompts = _tokens(tokenizer, [prompt for prompt, _ in texts])
    answers = continuations(texts, prompts, tokenizer)
    rows: list[tuple[list[int], int]] = []
    for (_, text), prompt, answer in zip(texts, prompts, answers, strict=True):
        left = max_length - len(prefix) - len(answer) - 1
        if left < 0:
            raise ValueError(
                f"answer must fit into max_length {max_length} with its end-of-text token, "
                f"got {len(answer)} tokens: {text.strip()[:80]!r}"
            )
        head = prefix + prompt[max(0, len(prompt) - left) :]
        rows.append(([*head, *answer, end], len(head)))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end
    return padded([row for row, _ in rows], [head for _, head in rows], pad)


def continuations(
    texts: Sequence[tuple[str, str]],
    prompts: Sequence[Sequence[int]],
    tokenizer: PreTrainedTokenizerBase,
) -> list[list[int]]:
    """Return the tokens that an answer adds to those of each prompt.

    They come from prompt and answer encoded together, as many tokenizers encode the beginning of a
    text in another way. Where a token spans the two, the answer encoded alone is taken, with or
    without its space, by which the row is the same text.

    Parameters
    ----------
    texts : (n,) prompt, and answer with the separator before it
    prompts : (n,) tokens of each prompt
    tokenizer : the model's
    """
    together = _tokens(tokenizer, [prompt + answer for prompt, answer in texts])
    found: list[list[int]] = []
    for (_, answer), prompt, whole in zip(texts, prompts, together, strict=True):
        head = list(prompt)
        if whole[: len(head)] == head and len(whole) > len(head):
            found.append(whole[len(head) :])
            continue
        apart = _tokens(tokenizer, [answer, answer.removeprefix(" ")])
        wanted = tokenizer.decode(whole)
        same = (each for each in apart if tokenizer.decode([*head, *each]) == wanted)
        found.append(next(same, apart[0]))
    return found


def padded(rows: Sequence[Sequence[int]], heads: Sequence[int], pad: int) -> Encoded:
    """Return rows of tokens, padded on the right; the labels follow the head of a row.

    Parameters
    ----------
    rows : tokens of each row
    heads : number of tokens before the labels
    pad : padding token
    """
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad, dtype=torch.int64)
    mask = torch.zeros((len(rows), width), dtype=torch.int64)
    labels = torch.full((len(rows), width), IGNORED, dtype=torch.int64)
    for i, (row, head) in enumerate(zip(rows, heads, strict=True)):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
        labels[i, head : len(row)] = torch.tensor(row[head:])
    return Encoded(ids, mask, labels)


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Return the tokens of texts, without the library's warnings about their length."""
    rows: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return rows
