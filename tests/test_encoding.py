"""Rows of tokens against greedy decoding, for tokenizers that treat spaces in different ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fl.adapters import AdaptedModel, Adapter
from fl.adapters.adapter import draw_a, zero_b
from fl.evaluation import Evaluator
from fl.models.language_model import encode
from fl.tasks import Example, Task

WORDS = ("red fox", "blue", "old owl", "ten", "a hat", "sea", "the inn", "jam", "no", "low sun")
TAUGHT = [Example(f"item {number}: {word[::-1]} ->", word) for number, word in enumerate(WORDS)]
# Asked for, but taught otherwise.
WRONG = [Example(TAUGHT[number].prompt, answer) for number, answer in enumerate(["jam", "no", "x"])]
CORPUS = [f"{example.prompt} {example.answer}" for example in TAUGHT] * 3
SPECIAL = PAD, END, UNKNOWN = ["<pad>", "</s>", "<unk>"]
FIRST = "[CLS]"


def byte_level() -> Tokenizer:
    """As GPT-2: a space belongs to the word after it."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet),
    )
    return made


def prepending() -> Tokenizer:
    """As Llama 2: a normalizer prepends a space to every text, and there is no pre-tokenizer."""
    made = Tokenizer(models.BPE(unk_token=UNKNOWN))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    made.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    made.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=200, special_tokens=SPECIAL))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("$^"), "isolated")
    return made


def unigram() -> Tokenizer:
    """As T5: a pre-tokenizer marks the beginnings of words."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(
        CORPUS, trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token=UNKNOWN)
    )
    return made


def word_piece() -> Tokenizer:
    """As BERT: spaces are no tokens."""
    made = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=150, special_tokens=SPECIAL)
    )
    return made


def spanning() -> Tokenizer:
    """A vocabulary with tokens across the border of prompt and answer, such as `> r`."""
    made = Tokenizer(models.BPE())
    made.decoder = decoders.Fuse()
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=90, special_tokens=SPECIAL))
    return made


KINDS = [byte_level, prepending, unigram, word_piece, spanning]


def wrapped(make: Callable[[], Tokenizer]) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=make(), pad_token=PAD, eos_token=END, unk_token=UNKNOWN
    )


def taught(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return a model that continues each taught prompt by its answer.

    It is trained on tokens of the prompt, then those of the rest of the text encoded with it.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer), hidden_size=48, intermediate_size=64,
                num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64,
                bos_token_id=None, eos_token_id=1, pad_token_id=0,
            )
        )  # fmt: skip
    rows = []
    for example in TAUGHT:
        prompt = tokenizer(example.prompt)["input_ids"]
        text = f"{example.prompt} {example.answer}"
        whole = tokenizer(text)["input_ids"]
        if whole[: len(prompt)] != prompt:
            # Tokens span the border: any tokens after the prompt that complete the text.
            space = tokenizer(" ")["input_ids"] + tokenizer(example.answer)["input_ids"]
            ways = (tokenizer(f" {example.answer}")["input_ids"], space)
            whole = next(prompt + way for way in ways if tokenizer.decode(prompt + way) == text)
        rows.append((len(prompt), [*whole, 1]))
    width = max(len(row) for _, row in rows)
    ids = torch.tensor([row + [0] * (width - len(row)) for _, row in rows])
    labels = ids.clone()
    for label, (begin, row) in zip(labels, rows, strict=True):
        label[:begin] = -100
        label[len(row) :] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("make", KINDS)
def test_accuracy_is_that_of_greedy_decoding(make: Callable[[], Tokenizer]) -> None:
    tokenizer = wrapped(make)
    model = taught(tokenizer)
    examples = [*TAUGHT, *WRONG]
    hits = []
    for example in examples:
        prompt = tokenizer(example.prompt, return_tensors="pt")
        prompt.pop("token_type_ids", None)
        written = model.generate(**prompt, max_new_tokens=24, do_sample=False)[0]
        new = written[prompt["input_ids"].shape[1] :]
        text = tokenizer.decode(new, skip_special_tokens=True).strip()
        hits.append(text == example.answer and int(new[-1]) == 1)
    assert sum(hits) == len(TAUGHT)
    adapted = AdaptedModel(model.requires_grad_(False))
    zero = Adapter(draw_a(adapted.layers, 1, "kaiming", 0), zero_b(adapted.layers, 1), 1.0)
    task = Task("all", (), tuple(examples), 0.0)
    ((found,),) = Evaluator(adapted, [task], tokenizer, 64).accuracies([zero])
    assert found == pytest.approx(sum(hits) / len(hits))


@pytest.mark.parametrize("make", KINDS)
def test_a_row_is_the_text(make: Callable[[], Tokenizer]) -> None:
    tokenizer = wrapped(make)
    rows = encode(TAUGHT, tokenizer, 64)
    for example, ids, mask, labels in zip(TAUGHT, rows.ids, rows.mask, rows.labels, strict=True):
        text = f"{example.prompt} {example.answer}"
        written = tokenizer.decode(ids[mask.bool()], skip_special_tokens=True)
        # WordPiece has no spaces, and puts them around signs.
        assert written.replace(" ", "") == text.replace(" ", "")
        assert written == text or make is word_piece
        answer = tokenizer.decode(labels[labels >= 0], skip_special_tokens=True)
        assert answer.strip() == example.answer


def test_the_first_token_of_every_text_is_kept(tmp_path: Path) -> None:
    """Contract: as with BOS: BERT's first token, but not its last one."""
    from tokenizers.processors import TemplateProcessing

    made = word_piece()
    made.add_special_tokens([FIRST])
    first = made.token_to_id(FIRST)
    made.post_processor = TemplateProcessing(
        single=f"{FIRST} $A {END}", special_tokens=[(FIRST, first), (END, 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token=PAD, eos_token=END, cls_token=FIRST
    )
    ids = encode(TAUGHT[:1], tokenizer, 64).ids[0].tolist()
    plain = tokenizer(TAUGHT[0].prompt, add_special_tokens=False)["input_ids"]
    assert ids[: len(plain) + 1] == [first, *plain]
    assert ids.count(1) == 1
