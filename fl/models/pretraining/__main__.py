"""Pretraining of the built-in model: `python -m fl.models.pretraining` writes it to `fl/tiny`.

Recipe: a Llama of 4 layers with hidden size 128, 4 heads, MLP 352 and tied embeddings of 512
tokens (0.87 million parameters), trained in float32 on documents from `.corpus`, drawn for every
step and packed without splitting into rows of 80 tokens, 48 rows per step. The loss weighs the
taught part of a document fully and the given part by a tenth. AdamW (betas 0.9 and 0.98, weight
decay 0.05, gradient norm at most 1), learning rate warmed up over 200 steps to 2e-3 and lowered
along a cosine to 1e-4. Everything is drawn from one fixed seed; the same machine, thread count and
library versions give the same weights.

The tokenizer is a byte-level BPE, so that any text is encoded without loss. Each digit, each word
of the artificial world, each common word and each letter is one token; the merges that fill the
vocabulary are learned from the corpus.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ...tasks.words import LETTERS
from ..language_model import TINY
from .corpus import COMMON, WORLD, document
from .corpus_language import made_up_word

SEED = 20
STEPS = 2600
_ROWS = 48
_WIDTH = 80
_WARM_UP = 200
_LEARNING_RATE = 2e-3
_LOWEST_RATE = 1e-4
_GIVEN_WEIGHT = 0.1

_VOCABULARY = 512
_CONTEXT = 256
_PAD, _END = "<pad>", "<eos>"
# Words and single digits with the space before them, other signs, and white space.
_PIECES = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_SPACE = "\u0120"


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of the built-in model."""
    words = [*LETTERS, *"0123456789", "->", *COMMON, *WORLD]
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = list(dict.fromkeys([_PAD, _END, *alphabet, *(_SPACE + word for word in words)]))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = []
    for left, right in _learned_merges(split, alphabet, set(words)):
        if len(vocabulary) == _VOCABULARY:
            break
        if left in vocabulary and right in vocabulary:
            vocabulary.setdefault(left + right, len(vocabulary))
            merges.append((left, right))
    # Words in the vocabulary are matched without merges.
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    backend.pre_tokenizer = split
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=_PAD,
        eos_token=_END,
        model_max_length=_CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def _learned_merges(
    split: pre_tokenizers.Sequence, alphabet: list[str], known: set[str]
) -> list[tuple[str, str]]:
    """Return BPE merges, most frequent first, learned from the corpus without the known words."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = split
    rng = np.random.default_rng(SEED)

    def unknown_words() -> Iterator[str]:
        for _ in range(8000):
            yield made_up_word(rng, 3)
            drawn = document(rng)
            for word in (drawn.given + drawn.taught).split(" "):
                # The names of rules are few and frequent: each would become a token.
                if word not in known and not word.endswith(":"):
                    yield f" {word}"

    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, initial_alphabet=alphabet, show_progress=False
    )
    learner.train_from_iterator(unknown_words(), trainer)
    return [(left, right) for left, right in json.loads(learner.to_str())["model"]["merges"]]


def build_model(pad: int, end: int) -> LlamaForCausalLM:
    """Return the untrained model, initialized from torch's global generator."""
    config = LlamaConfig(
        vocab_size=_VOCABULARY,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=352,
        max_position_embeddings=_CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=pad,
        bos_token_id=None,
        eos_token_id=end,
        dtype="float32",
    )
    return LlamaForCausalLM(config)


def batches(rng: np.random.Generator, tokenizer: PreTrainedTokenizerFast) -> Iterator[Tensor]:
    """Yield packed rows indefinitely.

    Yields
    ------
    (2, rows, width) tokens, and their weights in the loss
    """
    ids = np.zeros((_ROWS, _WIDTH))
    weights = np.zeros((_ROWS, _WIDTH))
    row = filled = 0
    while True:
        drawn = [document(rng) for _ in range(_ROWS)]
        given = tokenizer([each.given for each in drawn])["input_ids"]
        taught = tokenizer([each.taught for each in drawn])["input_ids"]
        for first, second in zip(given, taught, strict=True):
            tokens = [*[*first, *second][: _WIDTH - 1], tokenizer.eos_token_id]
            if filled + len(tokens) > _WIDTH:
                row, filled = row + 1, 0
                if row == _ROWS:
                    yield torch.from_numpy(np.stack([ids, weights]))
                    ids = np.zeros((_ROWS, _WIDTH))
                    weights = np.zeros((_ROWS, _WIDTH))
                    row = 0
            end = filled + len(tokens)
            ids[row, filled:end] = tokens
            weights[row, filled:end] = 1.0
            weights[row, filled : filled + len(first)] = _GIVEN_WEIGHT
            filled = end


def learning_rate(step: int, steps: int) -> float:
    """Return the learning rate of a step: linear warm-up, then cosine decay."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * step / steps))
    rate = _LOWEST_RATE + (_LEARNING_RATE - _LOWEST_RATE) * cosine
    return rate * min(1.0, (step + 1) / _WARM_UP)


def train(steps: int, folder: Path) -> None:
    """Train the model, and write it to a folder periodically and at the end."""
    torch.manual_seed(SEED)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer.pad_token_id, tokenizer.eos_token_id)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.05
    )
    stream = batches(np.random.default_rng(SEED), tokenizer)
    started = time.perf_counter()
    for step in range(steps):
        ids, weights = next(stream)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        logits = model(input_ids=ids.long()).logits[:, :-1]
        losses = functional.cross_entropy(
            logits.transpose(1, 2), ids[:, 1:].long(), reduction="none"
        )
        weight = weights[:, 1:].to(losses.dtype)
        loss = (losses * weight).sum() / weight.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            passed = time.perf_counter() - started
            print(f"step {step + 1}: loss {loss.item():.4f} after {passed:.0f} s", flush=True)
        if (step + 1) % 1000 == 0 or step + 1 == steps:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            # The library writes weights readable by their owner only; these are public.
            (folder / "model.safetensors").chmod(0o644)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m fl.models.pretraining", description="Pretrain fl/tiny."
    )
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--folder", type=Path, default=TINY)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.steps, arguments.folder)


if __name__ == "__main__":
    main()
