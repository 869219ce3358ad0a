"""The implicit mixture of experts: limiting cases, and plain loops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scoring import accuracy
from torch.nn.functional import cosine_similarity

from fl.adapters import AdaptedModel, Adapter
from fl.adapters.adapter import draw_a
from fl.config.inference import Mixture
from fl.evaluation import Evaluator
from fl.mixture import Expert, ExpertMixture, centroid, pooled, stored_bytes
from fl.mixture.gates import keep_largest, kept_components
from fl.mixture.routing import centroid_weights, normalized_usage_entropy, routed_correctly
from fl.models.language_model import encode
from fl.tasks import Example, Task

CPU = torch.device("cpu")
IDS = torch.arange(24).reshape(2, 12)
CHOICES = Task(
    "choices",
    (),
    tuple(Example(f"sum {n} " + "a b " * (n % 4), "d e", ("c", "d e", "f g h")) for n in range(12)),
    1 / 3,
)
FREE = Task("free", (), tuple(Example(f"home of x{n}", "y") for n in range(9)), 0.0)


def experts(model: AdaptedModel, count: int) -> list[Expert]:
    """Return experts of different ranks, scales and centroids; expert n has task n."""
    made = []
    for device in range(count):
        generator = torch.Generator().manual_seed(device)
        rank = 4 + device
        b = tuple(
            0.2 * torch.randn(layer.outputs, rank, generator=generator) for layer in model.layers
        )
        means = tuple(torch.randn(layer.inputs, generator=generator) for layer in model.layers)
        a = draw_a(model.layers, rank, "kaiming", device)
        made.append(Expert(a, b, 0.5 + device, means, (device,)))
    return made


def adapter_of(expert: Expert) -> Adapter:
    return Adapter(expert.a, expert.b, expert.scale)


def delta(expert: Expert, layer: int) -> torch.Tensor:
    return expert.scale * expert.b[layer] @ expert.a[layer]


def logits_of_merged(lm: Any, some: Sequence[Expert], weights: Sequence[float]) -> torch.Tensor:
    """Return the logits of a new model whose weights are changed by a weighted sum."""
    for layer, name in enumerate(names(lm)):
        for expert, weight in zip(some, weights, strict=True):
            module = lm.get_submodule(name)
            change = weight * delta(expert, layer)
            module.weight.data += change.T if type(module).__name__ == "Conv1D" else change
    with torch.no_grad():
        return lm(IDS).logits  # type: ignore[no-any-return]


def names(lm: Any) -> list[str]:
    kinds = ("Linear", "Conv1D")
    head = lm.get_output_embeddings()
    return [n for n, m in lm.named_modules() if type(m).__name__ in kinds and m is not head]


def logits_of_mixture(
    model: AdaptedModel, some: Sequence[Expert], gate: Mixture, task: int = 0
) -> torch.Tensor:
    mixture = ExpertMixture(some, gate, CPU)
    weights = mixture.routing_weights(task, 1, lambda: pytest.fail("no gate needs features"))
    if weights is not None:
        mixture.set_weights(weights, torch.zeros(len(IDS), dtype=torch.int64))
    with torch.no_grad(), mixture.attached(model):
        return model.model(IDS).logits  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_one_expert_equals_its_adapter_merged(make_lm, kind) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm(kind))
    (one,) = experts(model, 1)
    bare = model.model(IDS).logits
    with model.merged(adapter_of(one)):
        merged = model.model(IDS).logits
    for gate in (Mixture(gate="oracle"), Mixture(gate="none")):
        mixed = logits_of_mixture(model, [one], gate)
        torch.testing.assert_close(mixed, merged, rtol=0, atol=1e-5)
    assert not torch.allclose(merged, bare, atol=1e-3)
    # Nothing stays behind.
    torch.testing.assert_close(model.model(IDS).logits, bare, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_no_gate_is_the_sum_of_all_experts(make_lm, kind) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm(kind))
    some = experts(model, 3)
    mixed = logits_of_mixture(model, some, Mixture(gate="none"))
    expected = logits_of_merged(make_lm(kind), some, [1.0, 1.0, 1.0])
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-5)


def test_the_oracle_weighs_the_experts_of_the_task_equally(make_lm) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm())
    first, second, third = experts(model, 3)
    some = [first, second, Expert(third.a, third.b, third.scale, third.centroid, (1, 2))]
    for task, weights in enumerate([[1, 0, 0], [0, 1 / 2, 1 / 2], [0, 0, 1], [1 / 3] * 3]):
        mixed = logits_of_mixture(model, some, Mixture(gate="oracle"), task)
        expected = logits_of_merged(make_lm(), some, weights)
        torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-5)


def test_the_oracle_has_the_accuracy_of_each_tasks_expert(make_lm, tokenizer) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm())
    evaluator = Evaluator(model, [CHOICES, FREE, CHOICES], tokenizer, 64)
    some = experts(model, 3)
    alone = evaluator.accuracies([adapter_of(one) for one in some])
    found, routing, load = evaluator.mixture(some, Mixture(gate="oracle"))
    assert found == [alone[task][task] for task in range(3)]
    assert routing == 1.0
    shares = np.array([12, 9, 12]) / 33
    assert load == pytest.approx(-(shares * np.log(shares)).sum() / np.log(3))
    # No device has the last task: 12 of 33 prompts are without an expert.
    assert evaluator.mixture(some[:2], Mixture(gate="oracle"))[1] == pytest.approx(21 / 33)


@pytest.mark.parametrize("top_k", [1, 5, 11, 12])
def test_top_k_keeps_the_largest_components(top_k: int) -> None:
    low = torch.randn(3, 7, 12, generator=torch.Generator().manual_seed(1))
    found = keep_largest(low, top_k)
    for token, own in zip(low.reshape(-1, 12), found.reshape(-1, 12), strict=True):
        order = sorted(range(12), key=lambda index: -abs(float(token[index])))
        expected = [float(token[i]) if i in order[:top_k] else 0.0 for i in range(12)]
        assert own.tolist() == expected


def test_number_of_components_kept() -> None:
    assert kept_components(32, Mixture(gate="paper-cosine")) == 8
    assert kept_components(2, Mixture(gate="paper-projector")) == 1
    assert (
        kept_components(32, Mixture(gate="seq-centroid"))
        == kept_components(32, Mixture(gate="none"))
        == 32
    )
    assert kept_components(32, Mixture(gate="seq-centroid", top_k=5)) == 5
    assert kept_components(32, Mixture(gate="paper-cosine", top_k=50)) == 32


def low_of(gate: str, expert: Expert, layer: int, h: torch.Tensor) -> torch.Tensor:
    """Return one expert's components of one token, from the printed equations, (rank,)."""
    a, mean = expert.a[layer], expert.centroid[layer]
    unit = mean / mean.norm()
    if gate == "paper-cosine":
        return (mean @ h) / (mean.norm() * h.norm()) * (a @ h)
    if gate == "paper-hadamard":
        return a @ torch.diag(unit) @ h
    return a @ torch.outer(unit, unit) @ h


@pytest.mark.parametrize("top_k", [None, 3, 15])
@pytest.mark.parametrize("gate", ["paper-cosine", "paper-hadamard", "paper-projector"])
def test_readings_of_the_paper_equal_plain_loops_over_tokens(make_lm, gate, top_k) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm())
    some = experts(model, 3)
    mixed = logits_of_mixture(model, some, Mixture(gate=gate, top_k=top_k))
    # Ranks 4, 5 and 6: a quarter of all components is 3.
    count = top_k or 3

    def hook(layer: int) -> Any:
        def add(_: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
            changed = output.clone()
            for row in range(output.shape[0]):
                for token in range(output.shape[1]):
                    lows = [low_of(gate, one, layer, inputs[0][row, token]) for one in some]
                    bound = torch.cat(lows).abs().sort(descending=True).values[count - 1]
                    for one, low in zip(some, lows, strict=True):
                        chosen = torch.where(low.abs() >= bound, low, 0.0)
                        changed[row, token] += one.scale * one.b[layer] @ chosen
            return changed

        return add

    lm = make_lm()
    for layer, name in enumerate(names(lm)):
        lm.get_submodule(name).register_forward_hook(hook(layer))
    with torch.no_grad():
        expected = lm(IDS).logits
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-5)


def vectors(rows: int, seed: int, shift: float = 0.0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(shift + torch.randn(rows, width, generator=generator) for width in (8, 20, 5))


def with_centroids(centroids: Sequence[torch.Tensor]) -> list[Expert]:
    count = len(centroids[0])
    return [Expert((), (), 1.0, tuple(of[n] for of in centroids), (n,)) for n in range(count)]


@pytest.mark.parametrize("choice", ["softmax", "argmax"])
def test_weights_of_a_prompt_sum_to_one_and_ignore_a_common_component(choice) -> None:  # type: ignore[no-untyped-def]
    features, centroids, gate = vectors(30, 1), vectors(4, 2), Mixture(choice=choice)
    weights = centroid_weights(features, with_centroids(centroids), gate)
    torch.testing.assert_close(weights.sum(1), torch.ones(30))
    assert (weights >= 0).all()
    # The same vector on everything changes nothing; it is different from layer to layer.
    common = [10 * one[0] for one in vectors(1, 3)]
    features = tuple(x + y for x, y in zip(features, common, strict=True))
    centroids = tuple(x + y for x, y in zip(centroids, common, strict=True))
    again = centroid_weights(features, with_centroids(centroids), gate)
    torch.testing.assert_close(again, weights, rtol=0, atol=1e-4)


def test_a_choice_takes_the_nearest_centred_centroid() -> None:
    features, centroids = vectors(30, 1), vectors(4, 2, shift=3.0)
    some = with_centroids(centroids)
    weights = centroid_weights(features, some, Mixture(choice="argmax"))
    soft = centroid_weights(features, some, Mixture(temperature=0.3))
    for row in range(30):
        scores = [
            np.mean([
                float(cosine_similarity(x[row] - c.mean(0), c[n] - c.mean(0), dim=0))
                for x, c in zip(features, centroids, strict=True)
            ])
            for n in range(4)
        ]  # fmt: skip
        assert weights[row].tolist() == [float(score == max(scores)) for score in scores]
        expected = np.exp(np.array(scores) / 0.3)
        np.testing.assert_allclose(soft[row], expected / expected.sum(), atol=1e-5)
    # Close to zero temperature, the two are the same.
    cold = centroid_weights(features, some, Mixture(temperature=1e-4))
    torch.testing.assert_close(cold, weights, rtol=0, atol=1e-3)


@pytest.mark.parametrize("choice", ["softmax", "argmax"])
def test_duplicates_share(choice) -> None:  # type: ignore[no-untyped-def]
    distinct = vectors(3, 2)
    some = with_centroids(tuple(one[[0, 1, 0, 2, 0]] for one in distinct))
    # What is near to each of the three in turn.
    features = tuple(one.repeat(10, 1) + 0.1 for one in distinct)
    weights = centroid_weights(features, some, Mixture(choice=choice))
    torch.testing.assert_close(weights[:, 0], weights[:, 2], rtol=0, atol=1e-6)
    torch.testing.assert_close(weights[:, 0], weights[:, 4], rtol=0, atol=1e-6)
    if choice == "argmax":
        third = 1 / 3
        expected = torch.tensor([[third, 0, third, 0, third], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]])
        torch.testing.assert_close(weights, expected.repeat(10, 1))


def hooked(lm: Any, tokenizer: Any, prompt: str) -> list[torch.Tensor]:
    """Return what enters every linear layer for a prompt on its own, per layer (tokens, inputs)."""
    seen: list[torch.Tensor] = []
    handles = [
        lm.get_submodule(name).register_forward_pre_hook(lambda _, x: seen.append(x[0][0]))
        for name in names(lm)
    ]
    with torch.no_grad():
        lm(torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]]))
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("targets", [(), ("lm_head", "q_proj")])
def test_centroids_equal_the_means_of_plain_hooks(make_lm, tokenizer, targets) -> None:  # type: ignore[no-untyped-def]
    examples = [Example("a b c " * (n % 5 + 1), f"{n}") for n in range(9)]
    data = encode(examples, tokenizer, 64)
    model, plain = AdaptedModel(make_lm(), targets), make_lm()
    of_prompts = [hooked(plain, tokenizer, example.prompt) for example in examples]
    place = {name: index for index, name in enumerate(names(plain))}
    of_all, of_some, means = (
        centroid(model, data, 99),
        centroid(model, data, 4),
        pooled(model, data),
    )
    assert [len(mean) for mean in of_all] == [layer.inputs for layer in model.layers]
    for index, layer in enumerate(model.layers):
        if layer.name in place:
            tokens = [seen[place[layer.name]] for seen in of_prompts]
            torch.testing.assert_close(of_all[index], torch.cat(tokens).mean(0))
            torch.testing.assert_close(of_some[index], torch.cat(tokens[:4]).mean(0))
            torch.testing.assert_close(means[index], torch.stack([x.mean(0) for x in tokens]))


@pytest.mark.parametrize("choice", ["softmax", "argmax"])
def test_each_prompt_is_answered_with_its_own_weights(make_lm, tokenizer, choice) -> None:  # type: ignore[no-untyped-def]
    """Law: equals a model merged afresh for every example, with features captured by hooks."""
    model = AdaptedModel(make_lm())
    tasks = [CHOICES, FREE]
    some = []
    for expert, task in zip(experts(model, 2), tasks, strict=True):
        data = encode(task.test[:4], tokenizer, 64)
        some.append(
            Expert(expert.a, expert.b, expert.scale, centroid(model, data, 4), expert.tasks)
        )
    gate = Mixture(choice=choice, temperature=0.5)
    evaluator = Evaluator(model, tasks, tokenizer, 64)
    hits, expected = [], []
    for number, task in enumerate(tasks):
        scores = []
        for example in task.test:
            seen = [x.mean(0)[None] for x in hooked(make_lm(), tokenizer, example.prompt)]
            weights = centroid_weights(seen, some, gate)[0].tolist()
            hits.append(weights[number] == max(weights))
            merged = make_lm()
            logits_of_merged(merged, some, weights)
            scores.append(accuracy(merged, tokenizer, [example]))
        expected.append(np.mean(scores))
    found, routing, _ = evaluator.mixture(some, gate)
    assert found == pytest.approx(expected)
    assert 0 < found[0] < 1
    assert routing == pytest.approx(np.mean(hits))
    # Experts change, what prompts look like does not.
    other, wrong, _ = evaluator.mixture(some[::-1], gate)
    assert other == pytest.approx(expected)
    assert wrong == pytest.approx(np.mean(hits))


def test_gates_of_tokens_have_no_routing(make_lm, tokenizer) -> None:  # type: ignore[no-untyped-def]
    model = AdaptedModel(make_lm())
    evaluator = Evaluator(model, [CHOICES, FREE], tokenizer, 64)
    for gate in ("paper-cosine", "paper-hadamard", "paper-projector", "none"):
        found, routing, load = evaluator.mixture(experts(model, 2), Mixture(gate=gate))
        assert math.isnan(routing)
        assert math.isnan(load)
        assert len(found) == 2
    with pytest.raises(ValueError, match="at least one expert, got none"):
        evaluator.mixture([], Mixture())


def test_experts_of_one_merged_b_have_the_tasks_of_all_its_devices() -> None:
    """Law: devices 0 and 1 share a B, trained on tasks 0 and 1; device 2 has its own."""
    merged, other = (torch.randn(3, 2, generator=torch.Generator().manual_seed(n)) for n in (1, 2))
    some = [
        Expert((torch.full((2, 4), float(n)),), (b,), 1.0, (), (n,))
        # A copy, as another device decodes it.
        for n, b in enumerate((merged, merged.clone(), other))
    ]
    weights = torch.eye(3)
    for task, expected in enumerate(([1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0])):
        assert routed_correctly(weights, task, some).tolist() == [bool(x) for x in expected]


def test_usage_entropy_of_known_loads() -> None:
    """Law: 1 if all experts have as many prompts, 0 if one has all; equals share a prompt."""
    assert normalized_usage_entropy(torch.eye(4)) == pytest.approx(1.0)
    assert normalized_usage_entropy(torch.tensor([[0.9, 0.1], [0.8, 0.2]])) == pytest.approx(0.0)
    assert normalized_usage_entropy(torch.full((3, 5), 0.2)) == pytest.approx(1.0)
    quarter = torch.tensor([[1.0, 0.0], [0.6, 0.4], [0.7, 0.3], [0.0, 1.0]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert normalized_usage_entropy(quarter) == pytest.approx(entropy / math.log(2))
    assert math.isnan(normalized_usage_entropy(torch.ones(3, 1)))


def test_stored_bytes_count_the_b_of_a_cluster_once(make_lm) -> None:  # type: ignore[no-untyped-def]
    """Law: two bytes for each of C clusters' B, M devices' A, and M times L means."""
    model = AdaptedModel(make_lm())
    rank, b = 3, [tuple(torch.zeros(y.outputs, 3) for y in model.layers) for _ in range(2)]
    some = [
        Expert(draw_a(model.layers, rank, "kaiming", n), b[n % 2], 1.0, one.centroid, (n,))
        for n, one in enumerate(experts(model, 5))
    ]
    inputs = sum(layer.inputs for layer in model.layers)
    outputs = sum(layer.outputs for layer in model.layers)
    assert stored_bytes(some) == 2 * (2 * rank * outputs + 5 * rank * inputs + 5 * inputs)
