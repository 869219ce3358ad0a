"""Hand-written passes of decoders against the library's, and prompts with several continuations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from fl.adapters import AdaptedModel
from fl.adapters.adapter import Adapter, draw_a
from fl.adapters.decoder import LONGEST, MOST_PLACES
from fl.config import Computing
from fl.config.inference import Mixture
from fl.engine import device as processor
from fl.evaluation import Evaluator, prompt_trees
from fl.evaluation.prompt_trees import PromptTrees
from fl.mixture import Expert, ExpertMixture
from fl.models.language_model import (
    IGNORED,
    Encoded,
    encode_choices,
    load,
    predicted,
    prompt_lengths,
)
from fl.tasks import Example, Task, generate
from fl.training.loss import Batch, batch_loss

DEVICES, ROWS = 3, 4
SIZE = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "use_cache": False,
}  # fmt: skip
MODELS: dict[str, tuple[Any, Any]] = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SIZE, num_key_value_heads=4)),
    "one-block": (
        LlamaForCausalLM, LlamaConfig(**SIZE | {"num_hidden_layers": 1}, num_key_value_heads=4),
    ),
    "grouped-queries": (LlamaForCausalLM, LlamaConfig(**SIZE, num_key_value_heads=2)),
    # With biases of queries, keys and values.
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SIZE, num_key_value_heads=2)),
}  # fmt: skip


def make(kind: str) -> Any:
    family, config = MODELS[kind]
    torch.manual_seed(0)
    lm = family(config)
    for name, parameter in lm.named_parameters():
        if "norm" in name or name.endswith("bias"):
            torch.nn.init.normal_(parameter, mean=1.0 if "norm" in name else 0.0, std=0.3)
    return lm.requires_grad_(False).eval()


def pair(kind: str, targets: tuple[str, ...] = ()) -> tuple[AdaptedModel, AdaptedModel]:
    """Return a model with hand-written passes, and the same one with the library's."""
    mine, theirs = AdaptedModel(make(kind), targets), AdaptedModel(make(kind), targets)
    assert mine.takes_layouts(LONGEST)
    theirs._decoder = None
    return mine, theirs


def examples(seed: int = 0) -> list[Encoded]:
    """Return rows of different lengths for each device; one row has no labels."""
    rng = np.random.default_rng(seed)
    made = []
    for device in range(DEVICES):
        ids = torch.from_numpy(rng.integers(0, 50, (ROWS, 13)))
        mask, labels = torch.ones_like(ids), ids.clone()
        for row in range(ROWS):
            length = int(rng.integers(4, 14))
            mask[row, length:] = 0
            labels[row, length:] = IGNORED
            labels[row, : int(rng.integers(1, length))] = IGNORED
        if device == 1:
            labels[2] = IGNORED
        made.append(Encoded(ids, mask, labels))
    return made


def factors(model: AdaptedModel, train_a: bool) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return factors whose rank differs from layer to layer."""
    generator = torch.Generator().manual_seed(3)
    a, b = [], []
    for index, layer in enumerate(model.layers):
        rank = 2 + index % 3
        one = 0.2 * torch.randn(DEVICES, rank, layer.inputs, generator=generator)
        a.append(one.requires_grad_(train_a))
        other = 0.2 * torch.randn(DEVICES, rank, layer.outputs, generator=generator)
        b.append(other.requires_grad_())
    return a, b


@pytest.mark.parametrize("train_a", [True, False])
@pytest.mark.parametrize("targets", [(), ("q_proj", "v_proj", "down_proj")])
@pytest.mark.parametrize("kind", MODELS)
def test_losses_and_gradients_are_those_of_the_library(
    kind: str, targets: tuple[str, ...], train_a: bool
) -> None:
    results = []
    for model in pair(kind, targets):
        a, b = factors(model, train_a)
        batch = Batch.collate(examples(), torch.device("cpu"))
        scale = torch.tensor([0.5, 1.0, 2.0])[:, None, None]
        with model.stacked(a, b, scale):
            losses = batch_loss(model, batch)
            losses.sum().backward()
        results.append((losses.detach(), [one.grad for one in (*a, *b) if one.requires_grad]))
    (mine, my_gradients), (theirs, their_gradients) = results
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
    for my_gradient, gradient in zip(my_gradients, their_gradients, strict=True):
        size = float(gradient.abs().max())
        torch.testing.assert_close(my_gradient, gradient, rtol=0, atol=2e-5 * size + 1e-7)


class RoundedProduct(torch.autograd.Function):
    """A product in bfloat16 of which both factors are rounded, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: Any) -> torch.Tensor:
        ctx.save_for_backward(weight)
        return torch.nn.functional.linear(x.bfloat16(), weight, bias).float()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        return (grads[0].bfloat16() @ weight).float(), None, None


class Rounded(torch.nn.Linear):
    """A linear module with this product."""

    def forward(self, x: torch.Tensor) -> Any:
        bias = None if self.bias is None else self.bias.bfloat16()
        return RoundedProduct.apply(x, self.weight.bfloat16(), bias)


@pytest.mark.parametrize("kind", MODELS)
def test_frozen_products_in_bfloat16_are_those_of_rounded_factors(kind: str) -> None:
    """Law: the library's model in float32, with bfloat16 weights, whose products round both sides.

    Sums in another order round the other way now and then, by 2^-9 of a value: three blocks of four
    products stay within two percent of a gradient; the weights' own rounding is in both.
    """
    mine = AdaptedModel(make(kind).bfloat16())
    assert mine.takes_layouts(LONGEST)
    lm = make(kind).bfloat16().float()
    for name, module in lm.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            module.__class__ = Rounded
    theirs = AdaptedModel(lm)
    assert not any(module.is_plain for module in theirs.modules)
    theirs._decoder = None
    results = []
    for model in (mine, theirs):
        a, b = factors(mine, True)
        batch = Batch.collate(examples(), torch.device("cpu"))
        with model.stacked(a, b, 1.0):
            losses = batch_loss(model, batch)
            losses.sum().backward()
        results.append((losses.detach(), [one.grad for one in (*a, *b)]))
    (found, my_gradients), (expected, their_gradients) = results
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-2)
    for my_gradient, gradient in zip(my_gradients, their_gradients, strict=True):
        assert my_gradient is not None
        assert gradient is not None
        size = float(gradient.norm())
        assert float((my_gradient - gradient).norm()) < 2e-2 * size + 1e-7


@pytest.mark.parametrize("kind", MODELS)
def test_inputs_of_layers_are_those_of_the_library(kind: str) -> None:
    (one, *_) = examples()
    lengths = prompt_lengths(one)
    mine, theirs = (model.layer_inputs(one.ids, lengths) for model in pair(kind))
    assert len(mine) == len(theirs)
    for found, expected in zip(mine, theirs, strict=True):
        assert found.shape[0] == int(lengths.sum())
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_logits_keep_the_order_in_which_positions_are_given() -> None:
    mine, theirs = pair("llama")
    ids = torch.from_numpy(np.random.default_rng(1).integers(0, 50, (4, 9)))
    where = torch.tensor([30, 2, 2, 17, 0])
    with torch.no_grad():
        found, expected = mine.logits_at(ids, where), theirs.logits_at(ids, where)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_models_outside_of_the_family_and_long_texts_are_left_to_the_library() -> None:
    windowed = MistralConfig(**SIZE, num_key_value_heads=2, sliding_window=5)
    assert not AdaptedModel(MistralForCausalLM(windowed).requires_grad_(False)).takes_layouts(1)
    assert not AdaptedModel(make("llama").half()).takes_layouts(1)
    assert not AdaptedModel(make("llama"), checkpointing=True).takes_layouts(1)
    assert not AdaptedModel(make("llama")).takes_layouts(LONGEST + 1)
    changed = make("llama")
    # A factor of logits, as some models have.
    changed.lm_head.register_forward_hook(lambda _, inputs, output: output / 2)
    assert AdaptedModel(changed).takes_layouts(1)
    scaled = make("llama")
    scaled.model.embed_tokens.register_forward_hook(lambda _, inputs, output: 3 * output)
    assert not AdaptedModel(scaled).takes_layouts(1)


def choices() -> list[Example]:
    """Return examples with different numbers of choices, of one token and of several."""
    return [
        Example("color of the sea ->", "blue", ("blue", "green", "blue green", "red")),
        Example("color ->", "green", ("green", "red and blue")),
        Example("topic of the long text about the sea ->", "a", ("a", "b c", "a b c")),
    ]


def test_a_tree_holds_the_common_beginning_of_its_rows_once() -> None:
    encoded, owner, _ = encode_choices(choices(), load("tiny")[1], 64)
    rows = [torch.from_numpy(np.flatnonzero(owner == number)) for number in range(3)]
    trees = PromptTrees.of(encoded, rows)
    lengths = encoded.mask.sum(1) - 1
    for number, of_example in enumerate(rows):
        prompt = int(prompt_lengths(encoded)[of_example[0]])
        count = prompt + int((lengths[of_example] - prompt).sum())
        # Some answers begin alike, but nothing after a prompt is shared.
        assert int(trees.is_used[number].sum()) == count
        assert prompt_trees.sizes(encoded, rows)[number] == count
    chosen = torch.cat(rows)
    for index, row in enumerate(chosen.tolist()):
        place = trees.place[index * encoded.ids.shape[1] :][: int(lengths[row])]
        assert torch.equal(trees.ids.flatten()[place], encoded.ids[row, : int(lengths[row])])
        assert torch.equal(trees.depth.flatten()[place], torch.arange(int(lengths[row])))
        # A token sees those before it in its row, and no others.
        text, own = divmod(int(place[-1]), trees.ids.shape[1])
        assert torch.equal(
            (trees.mask[text, own] == 0).nonzero().squeeze(1), place - text * trees.ids.shape[1]
        )


def tasks() -> list[Task]:
    free = generate("shift", 4, 7, 1)
    rng = np.random.default_rng(7)
    texts = tuple({"".join(map(chr, rng.integers(97, 123, 5))): None for _ in range(66)})
    many = Example("which of them", texts[0], texts)
    return [
        Task("choices", (), tuple(choices()), 0.0),
        Task("many", (), (many,), 0.0),
        Task("free", (), free.test, 0.0),
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_trees_have_the_log_likelihoods_of_their_rows(count: int) -> None:
    lm, tokenizer = load("tiny")
    mine, theirs = AdaptedModel(lm), AdaptedModel(load("tiny")[0])
    theirs._decoder = None
    a = [torch.randn(count, 2, x.inputs) * 0.1 for x in mine.layers]
    b = [torch.randn(count, 2, x.outputs) * 0.1 for x in mine.layers]
    found = []
    for model in (mine, theirs):
        sets = Evaluator(model, tasks(), tokenizer, 64)._sets
        batch = sets[1]._batches[0]
        # A prompt with all its choices is one text, longer than any other text may be.
        trees = batch.trees
        assert (trees is not None) == (model is mine)
        assert trees is None or LONGEST < trees.ids.shape[1] <= MOST_PLACES
        with torch.no_grad(), model.stacked(a, b, 1.0):
            for one in sets:
                parts = [batch.log_likelihoods(model, count) for batch in one._batches]
                values = torch.cat(parts, dim=2)
                in_order = torch.empty_like(values)
                in_order[:, :, one._order] = values
                found.append(in_order)
    for of_mine, of_theirs in zip(found[:3], found[3:], strict=True):
        assert (of_mine.abs() > 0).all()
        # Sums of logarithms of up to 60.
        torch.testing.assert_close(of_mine, of_theirs, rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize("common_a", [True, False])
@pytest.mark.parametrize("by_library", [True, False])
def test_mixtures_of_sequences_are_weighted_sums_of_experts(
    common_a: bool, by_library: bool
) -> None:
    """Oracle: one merged adapter, B A of all experts with the weights of a sequence."""
    model = AdaptedModel(make("grouped-queries"))
    if by_library:
        model._decoder = None
    generator = torch.Generator().manual_seed(5)
    experts = []
    for number in range(3):
        a = draw_a(model.layers, 2, "kaiming", 0 if common_a else number)
        b = tuple(torch.randn(x.outputs, 2, generator=generator) for x in model.layers)
        centroid = tuple(torch.ones(x.inputs) for x in model.layers)
        experts.append(Expert(a, b, 0.1 * (1 + number), centroid, (number,)))
    (one, *_) = examples()
    answers = predicted(one.labels)
    weights = torch.tensor([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]])
    prompts = torch.tensor([1, 0, 1, 1])
    mixture = ExpertMixture(experts, Mixture(), torch.device("cpu"))
    assert mixture._common_a == common_a
    with torch.no_grad(), mixture.attached(model):
        mixture.set_weights(weights, prompts)
        mixed = model.logits_at(one.ids, answers)
    row_of = torch.div(answers, one.ids.shape[1], rounding_mode="floor")
    for row, prompt in enumerate(prompts.tolist()):
        a = tuple(torch.cat(of_layer) for of_layer in zip(*(x.a for x in experts), strict=True))
        scales = [float(w) * x.scale for w, x in zip(weights[prompt], experts, strict=True)]
        b = tuple(
            torch.cat([scale * x for scale, x in zip(scales, of_layer, strict=True)], dim=1)
            for of_layer in zip(*(x.b for x in experts), strict=True)
        )
        own = row_of == row
        if not own.any():
            continue
        with torch.no_grad(), model.merged(Adapter(a, b, 1.0)):
            expected = model.logits_at(one.ids, answers[own])
        torch.testing.assert_close(mixed[own], expected, rtol=0, atol=1e-5)


def test_a_backward_pass_without_its_adapters_is_an_error() -> None:
    mine, _ = pair("llama")
    a, b = factors(mine, True)
    batch = Batch.collate(examples(), torch.device("cpu"))
    scale = torch.tensor([0.5, 1.0, 2.0])[:, None, None]
    with mine.stacked(a, b, scale):
        loss = batch_loss(mine, batch).sum()
    with pytest.raises(RuntimeError, match="while its adapters are attached"):
        torch.autograd.grad(loss, b)


@pytest.mark.parametrize(
    ("width", "dtype", "speedup", "expected"),
    [(512, "auto", 2.0, True), (512, "auto", 1.4, False), (256, "auto", 2.0, False),
     (512, "float32", 2.0, False)],
)  # fmt: skip
def test_wide_models_are_converted_where_bfloat16_is_faster(
    monkeypatch: pytest.MonkeyPatch, width: int, dtype: Any, speedup: float, expected: bool
) -> None:
    monkeypatch.setattr(processor, "_bfloat16_speedup", lambda threads: speedup)
    lm = LlamaForCausalLM(LlamaConfig(**SIZE | {"hidden_size": width}))
    assert not processor.convert_if_faster(Computing(quantization="4bit"), lm)
    assert processor.convert_if_faster(Computing(dtype=dtype), lm) is expected
    assert lm.dtype == (torch.bfloat16 if expected else torch.float32)
    assert not processor.convert_if_faster(Computing(dtype=dtype), lm.bfloat16())
