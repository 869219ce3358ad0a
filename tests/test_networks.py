"""Networks on arrays, against independent NumPy, torch's own modules and counts by hand."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import nn
from torch.nn.functional import conv2d, cross_entropy

from fl.adapters.adapter import Adapter, dense_adapter
from fl.config import AdamW, Arrays, FullFt, Iid, Learning, Local, Lora, Prox, Scaffold, Sgd, Shards
from fl.methods import method_of
from fl.models.nets import Labelled, Network, load_network
from fl.models.nets.bundled import BUNDLED
from fl.models.nets.network import MOST_TOGETHER
from fl.session import PROTOCOLS
from fl.tasks.arrays import ArrayTask, Samples
from fl.trainer import Trainer
from fl.training.local_steps import LocalTraining, TrainingResult, train
from fl.training.objective import ProximalTerm
from fl.updates.codec import encode

IMAGE, CLASSES = (2, 8, 8), 5
NO_BOUND = 1e9


def network(name: str = "cnn", *, full: bool = True, most: int = MOST_TOGETHER) -> Network:
    module = load_network(name, IMAGE, CLASSES, seed=3)
    return Network(module, IMAGE, full=full, most_together=most)


def samples(count: int, seed: int = 0) -> Labelled:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, *IMAGE, generator=generator)
    return Labelled(inputs, torch.randint(CLASSES, (count,), generator=generator))


def task(count: int = 60) -> ArrayTask:
    made = samples(count + 20)
    parts = [Samples(made.inputs[own].numpy(), made.labels[own].numpy())
             for own in (slice(count), slice(count, None))]  # fmt: skip
    return ArrayTask("noise", *parts, CLASSES)


def drawn(model: Network, rank: int, seed: int) -> Adapter:
    """Return an adapter of random factors, A trained."""
    generator = torch.Generator().manual_seed(seed)
    a = tuple(torch.randn(rank, x.inputs, generator=generator) * 0.1 for x in model.layers)
    b = tuple(torch.randn(x.outputs, rank, generator=generator) * 0.1 for x in model.layers)
    return Adapter(a, b, scale=0.5)


def learning(**settings: Any) -> Learning:
    values: dict[str, Any] = {
        "model": "mlp", "tasks": Arrays(arrays="digits"), "method": FullFt(learning_rate=0.1),
        "optimizer": Sgd(), "local_steps": 8, "batch_size": 4, "rounds": 2, "partition": Iid(),
    }  # fmt: skip
    return Learning(**values | settings)


def trainer(devices: int = 3, *, faults: Any = None, **settings: Any) -> Trainer:
    wanted, arrays = learning(**settings), task()
    module = load_network(wanted.model, arrays.input_shape, CLASSES, seed=1)
    return Trainer(wanted, [arrays], module, None, devices, seed=1, update_faults=faults)


def stepped(model: Network, data: Labelled, rate: float) -> dict[str, torch.Tensor]:
    """Return the weights of torch's own SGD after one step on all data."""
    weights = {name: each.clone().requires_grad_() for name, each in model._start.items()}
    loss = cross_entropy(torch.func.functional_call(model.module, weights, (data.inputs,)),
                         data.labels)  # fmt: skip
    loss.backward()
    torch.optim.SGD(weights.values(), lr=rate).step()
    return {name: each.detach() for name, each in weights.items()}


@pytest.mark.parametrize("name", sorted(BUNDLED))
def test_fedavg_of_one_full_batch_step_is_a_step_on_the_union(name: str) -> None:
    model, method = network(name), method_of(FullFt(learning_rate=0.3))
    # Batches of 24 hold each example of a device equally often.
    sizes = (6, 12, 24)
    data = samples(sum(sizes))
    owned = [data.take(rows) for rows in torch.arange(sum(sizes)).split(sizes)]
    start = method.initial(model.layers, 1, 0, 3)
    works = [
        LocalTraining(start, None, [own.take(torch.arange(24) % len(own))], 0.3) for own in owned
    ]
    done = train(model, works, Sgd(), NO_BOUND)
    updates = [method.update(one.adapter, number, 1, True) for number, one in enumerate(done)]
    average = method.adopt(start, method.average(updates, [float(size) for size in sizes]))
    found, wanted = model.weights_of(average), stepped(model, data, 0.3)
    assert found.keys() == wanted.keys()
    for key, each in wanted.items():
        torch.testing.assert_close(found[key], each, rtol=0, atol=1e-6)


def softmax_gradient(weights: Any, bias: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Return the gradient of the mean cross-entropy of a linear classifier, in NumPy."""
    logits = x @ weights.T + bias
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    shares[np.arange(len(y)), y] -= 1.0
    return shares.T @ x / len(y), shares.mean(0)


def test_scaffold_follows_its_update_rule() -> None:
    # Karimireddy et al., Algorithm 1, Option II with eta_g = 1, in double precision.
    features, devices, steps, rounds, rate = 6, 3, 4, 3, 0.2
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Linear(features, CLASSES)
    model = Network(module, (features,), full=True)
    method: Any = method_of(Scaffold(rank="full", learning_rate=rate))
    rng = np.random.default_rng(5)
    x = rng.normal(size=(devices, rounds, steps, 8, features))
    y = rng.integers(CLASSES, size=(devices, rounds, steps, 8))
    adapters = [method.initial(model.layers, 1, device, devices) for device in range(devices)]
    weights, bias = (each.detach().double().numpy() for each in (module.weight, module.bias))
    common: list[Any] = [0.0, 0.0]
    own: list[list[Any]] = [[0.0, 0.0] for _ in range(devices)]
    for round_ in range(rounds):
        works = [
            LocalTraining(
                adapters[device], None,
                [Labelled(torch.tensor(x[device, round_, step], dtype=torch.float32),
                          torch.tensor(y[device, round_, step])) for step in range(steps)],
                rate, objectives=[method.objective(adapters[device], 0)],
            )
            for device in range(devices)
        ]  # fmt: skip
        results = train(model, works, Sgd(), NO_BOUND)
        after = [
            method.trained(work.adapter, one.adapter, steps, rate, one.loss)
            for work, one in zip(works, results, strict=True)
        ]
        updates = [method.update(each, number, 1, True) for number, each in enumerate(after)]
        average = method.average(updates, [1.0] * devices)
        adapters = [method.adopt(each, average) for each in after]
        ends, controls = [], []
        for device in range(devices):
            now = [weights, bias]
            for step in range(steps):
                gradient = softmax_gradient(*now, x[device, round_, step], y[device, round_, step])
                pairs = zip(now, gradient, own[device], common, strict=True)
                now = [value - rate * (g - c_i + c) for value, g, c_i, c in pairs]
            ends.append(now)
            moved = zip(own[device], common, (weights, bias), now, strict=True)
            controls.append([c_i - c + (x0 - xk) / (steps * rate) for c_i, c, x0, xk in moved])
        # c + mean of the changes of the c_i is their mean, if all devices take part.
        changes = list(zip(controls, own, strict=True))
        common = [
            c + np.mean([new[part] - old[part] for new, old in changes], axis=0)
            for part, c in enumerate(common)
        ]
        own = controls
        weights, bias = (np.mean([end[part] for end in ends], axis=0) for part in (0, 1))
    found = model.weights_of(adapters[0])
    np.testing.assert_allclose(found["weight"], weights, atol=2e-6)
    np.testing.assert_allclose(found["bias"], bias, atol=2e-6)
    corrections = torch.cat([method.objective(each, 0)._shift[None] for each in adapters])
    assert float(corrections.abs().max()) > 1e-3
    torch.testing.assert_close(corrections.mean(0), torch.zeros_like(corrections[0]))


def test_lora_of_a_convolution_is_two_convolutions() -> None:
    # The factors as a convolution of `rank` filters and one of 1 by 1, beside the frozen one.
    module = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.Flatten())
    model = Network(module, IMAGE, full=False)
    adapter, data = drawn(model, 2, 1), samples(3)
    (a,), (b,) = adapter.a, adapter.b
    inner = conv2d(data.inputs, a.view(2, 2, 3, 3), stride=2, padding=1)
    frozen = module[0]
    wanted = conv2d(data.inputs, frozen.weight, frozen.bias, stride=2, padding=1)
    wanted = wanted + 0.5 * conv2d(inner, b.view(4, 2, 1, 1))
    found = model.logits(model.weights_of(adapter), data.inputs)
    torch.testing.assert_close(found, wanted.flatten(1), rtol=1e-5, atol=1e-6)
    dense = frozen.weight + adapter.delta_weight(0).view(4, 2, 3, 3)
    torch.testing.assert_close(model.weights_of(adapter)["0.weight"], dense)


def works_of(model: Network, kind: str) -> list[LocalTraining]:
    """Return trainings of devices with unequal numbers of steps."""
    made = []
    for device, steps in enumerate((3, 1, 2)):
        start = dense_adapter(model.layers) if kind == "full" else drawn(model, 1 + device, device)
        batches = [samples(4, seed=10 * device + step) for step in range(steps)]
        terms = [ProximalTerm(0.1)] if device else []
        made.append(LocalTraining(start, None, batches, 0.01 * (1 + device), objectives=terms))
    return made


@pytest.mark.parametrize("name", sorted(BUNDLED))
@pytest.mark.parametrize("kind", ["full", "lora"])
# Adam's steps do not fall with the gradient, so that entries with hardly any may differ.
@pytest.mark.parametrize(
    ("optimizer", "tolerance"), [(Sgd(momentum=0.9), 1e-5), (AdamW(), 1e-3)], ids=["sgd", "adamw"]
)
def test_devices_together_are_devices_one_by_one(
    name: str, kind: str, optimizer: Any, tolerance: float
) -> None:
    batched, single = (network(name, full=kind == "full", most=most) for most in (MOST_TOGETHER, 0))
    assert batched.runs_together(4)
    assert not single.runs_together(4)
    found = train(batched, works_of(batched, kind), optimizer, 1.0)
    alone = [train(single, [work], optimizer, 1.0)[0] for work in works_of(single, kind)]
    for one, other in zip(found, alone, strict=True):
        assert one.loss == pytest.approx(other.loss, abs=1e-5)
        for mine, theirs in zip(parts(one), parts(other), strict=True):
            apart = torch.linalg.norm(mine - theirs)
            assert float(apart) <= tolerance * float(torch.linalg.norm(theirs))


def parts(result: TrainingResult) -> tuple[torch.Tensor, ...]:
    adapter = result.adapter
    return (*adapter.b, *(() if adapter.dense else adapter.a))


def test_large_activations_run_one_by_one() -> None:
    model = network()
    assert model.activations[0] == 16 * 64
    assert model.runs_together(MOST_TOGETHER // (16 * 64))
    assert not model.runs_together(MOST_TOGETHER // (16 * 64) + 1)


class Branching(nn.Module):
    """A branch on a value, which no rule for batches covers."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(128, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.out(x.flatten(1))
        return -found if float(found.detach().sum()) > 1e9 else found


def test_a_module_without_rules_for_batches_runs_one_by_one() -> None:
    model = Network(Branching(), IMAGE, full=True)
    assert not model.runs_together(1)
    assert len(train(model, works_of(model, "full"), Sgd(), 1.0)) == 3


def convolution_flops(inputs: int, outputs: int, kernel: int, pixels: int) -> int:
    return 2 * inputs * outputs * kernel**2 * pixels


def test_operations_are_those_counted_by_hand() -> None:
    first = convolution_flops(2, 16, 3, 64)
    others = convolution_flops(16, 32, 3, 16) + 2 * 128 * 64 + 2 * 64 * CLASSES
    # A backward pass has two products of each layer, but no gradient of the network's input.
    assert network().flops_per_item == (first + others, 2 * first + 3 * others)
    assert network(full=False).flops_per_item == (first + others, 2 * (first + others))


def test_parameters_and_bytes_are_those_counted_by_hand() -> None:
    weights = 16 * 2 * 9, 32 * 16 * 9, 64 * 128, CLASSES * 64
    count = sum(weights) + 16 + 32 + 64 + CLASSES
    assert network().parameter_count == count
    made = trainer(model="cnn")
    # Half precision and a header of 32 bytes.
    assert made.cost_model.size_bytes(True) == 32 + 2 * count
    assert made.cost_model.values == count
    assert made.cost_model.stored_bytes(1, 1, 0) == 2 * count
    full: Any = method_of(FullFt())
    update = full.update(dense_adapter(made.model.layers), 1, 1, True)
    assert len(encode(update)) == made.cost_model.size_bytes(True)
    scaffold = trainer(model="cnn", method=Scaffold(rank="full"))
    assert scaffold.cost_model.size_bytes(False) == 32 + 4 * count
    assert scaffold.cost_model.average_bytes == 32 + 4 * count
    lora = trainer(model="cnn", method=Lora(rank=3))
    factors = 3 * ((16 + 18) + (32 + 144) + (64 + 128) + (CLASSES + 64))
    assert lora.cost_model.size_bytes(True) == 32 + 2 * factors
    assert lora.flops(0, 0) == 8 * 4 * lora.model.flops_per_item[1]


def test_resnet8_has_seven_convolutions_and_two_projections() -> None:
    first, blocks = 9 * 2 * 16, ((16, 16), (16, 32), (32, 64))
    found = sum(9 * (i * o + o * o) + 4 * o + (i * o if i != o else 0) for i, o in blocks)
    assert network("resnet8").parameter_count == first + 2 * 16 + found + 64 * CLASSES + CLASSES


def run_session(make_network: Any, made: Trainer, wanted: Learning, devices: int) -> Any:
    radio = make_network(tuple((20.0 * each, 0.0) for each in range(devices)))
    session = PROTOCOLS[type(wanted.protocol)](
        radio, made, wanted, lambda *_: 1.0, devices, 1, lambda *_: None
    )
    radio.env.run(until=session.done)
    return session


def check_classes(made: Trainer, session: Any) -> None:
    """Check that the accuracies by class make up that on all test samples."""
    rows = [row for row in session.classes if (row.round, row.device) == (2, 1)]
    labels = made.examples.rows[1].labels
    assert [row.train_examples for row in rows] == np.bincount(labels, minlength=CLASSES).tolist()
    assert sum(row.test_examples for row in rows) == 20
    correct = sum(row.accuracy * row.test_examples for row in rows)
    (whole,) = (row for row in session.evaluations if (row.round, row.device) == (2, 1))
    assert correct / 20 == pytest.approx(whole.accuracy)


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": Prox(mu=0.1)},
        {"method": Scaffold(rank="full", learning_rate=0.1)},
        {"method": Lora(rank=2, learning_rate=1e-2), "optimizer": AdamW()},
        {"method": Local(rank="full", learning_rate=0.1), "partition": Shards(per_device=2)},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_network_learns_in_a_session(make_network: Any, settings: dict[str, Any]) -> None:
    made, wanted = trainer(4, **settings), learning(**settings)
    wanted = replace(wanted, topology=wanted.topology.__class__(degree=2))
    session = run_session(make_network, made, wanted, 4)
    losses = [
        np.mean([row.loss for row in session.rounds if row.round == number]) for number in (1, 2)
    ]
    assert losses[1] < losses[0]
    assert {row.task for row in session.evaluations} == {"noise"}
    assert all(row.examples == 20 and 0.0 <= row.accuracy <= 1.0 for row in session.evaluations)
    check_classes(made, session)
    weights = load(made.exported(session.adapters[0], "mlp")["weights.safetensors"])
    module = load_network("mlp", IMAGE, CLASSES, seed=1)
    module.load_state_dict(weights)
    with torch.no_grad():
        logits = module(torch.from_numpy(task().test.inputs))
    found = float((logits.argmax(1).numpy() == task().test.labels).mean())
    last = [row.accuracy for row in session.evaluations if row.round == 2]
    assert found == last[0]


def test_flipped_labels_are_the_next_classes() -> None:
    from fl.config import Byzantine, UpdateFaults

    faults = UpdateFaults((Byzantine(devices=(1,), attack="label-flip"),))
    honest, flipped = trainer(), trainer(faults=faults)
    for device in range(3):
        before, after = (each.examples.rows[device].labels for each in (honest, flipped))
        wanted = (before + 1) % CLASSES if device == 1 else before
        assert torch.equal(after, wanted)


class Norm(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.BatchNorm1d(128), nn.Linear(128, CLASSES))


class Narrow(nn.Sequential):
    def __init__(self, classes: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(128, classes - 1))


class Grey(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, CLASSES, 8), nn.Flatten())


class Wide(nn.Sequential):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(width, classes))


class Random(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(128, CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(super().forward(x), 0.5, training=True)


class Dropping(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Dropout(0.5), nn.LazyLinear(CLASSES))

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits, labels, label_smoothing=0.1)


class PerExample(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(128, CLASSES))

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits, labels, reduction="none")


class Alone(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(128, CLASSES))

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.square().mean()


class Detached(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(128, CLASSES))

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits.detach(), labels)


class Frozen(nn.Sequential):
    def __init__(self) -> None:
        hidden = nn.Linear(128, 6).requires_grad_(False)
        super().__init__(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(6, CLASSES))


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x[:, 0]
        logits: torch.Tensor = self.head(
            self.attention(rows, rows, rows, need_weights=False)[0].mean(1)
        )
        return logits


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("own")
    classes = (
        Norm, Narrow, Grey, Wide, Random, Dropping, PerExample, Alone, Detached, Frozen, Attending,
    )  # fmt: skip
    for each in classes:
        setattr(module, each.__name__, each)
    module.number = 3
    monkeypatch.setitem(sys.modules, "own", module)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("Norm", "1 normalises batches"),
        ("Narrow", "a logit for each of 5 classes, got 4"),
        ("Grey", "must take inputs of shape (batch, 2, 8, 8)"),
        ("Wide", "must need no arguments but input_shape and classes, needs width"),
        ("Random", "the same logits each time"),
        ("PerExample", "must return a tensor of shape (), got (2,)"),
        ("Alone", "must take logits and labels"),
        ("Detached", "must have a gradient"),
        ("number", "must be a torch.nn.Module, got a int"),
        ("missing", "has no missing"),
    ],
)
def test_modules_that_do_not_fit_are_refused(name: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("(", r"\(").replace(")", r"\)")):
        load_network(f"own:{name}", IMAGE, CLASSES, seed=1)


@pytest.mark.usefixtures("own")
def test_dropout_is_off_and_a_loss_of_ones_own_is_used() -> None:
    with pytest.warns(UserWarning, match="its dropout is off"):
        module = load_network("own:Dropping", IMAGE, CLASSES, seed=1)
    model, data = Network(module, IMAGE, full=True), samples(4)
    (done,) = train(model, [LocalTraining(dense_adapter(model.layers), None, [data], 0.1)],
                    Sgd(), NO_BOUND)  # fmt: skip
    wanted = cross_entropy(module(data.inputs), data.labels, label_smoothing=0.1).detach()
    assert done.loss == pytest.approx(float(wanted), rel=1e-6)


@pytest.mark.usefixtures("own")
def test_frozen_parameters_stay_as_they_are() -> None:
    module, data = load_network("own:Frozen", IMAGE, CLASSES, seed=1), samples(4)
    model = Network(module, IMAGE, full=True)
    assert [layer.name for layer in model.layers] == ["3.weight", "3.bias"]
    (done,) = train(model, [LocalTraining(dense_adapter(model.layers), None, [data], 0.1)],
                    Sgd(), NO_BOUND)  # fmt: skip
    after = model.weights_of(done.adapter)
    moved = {name for name, each in module.named_parameters() if not torch.equal(each, after[name])}
    assert moved == {"3.weight", "3.bias"}
    with pytest.raises(ValueError, match="has no module with parameters to be trained"):
        Network(module.requires_grad_(False), IMAGE, full=True)


@pytest.mark.usefixtures("own")
def test_attention_in_evaluation_mode_is_trained() -> None:
    module = load_network("own:Attending", IMAGE, CLASSES, seed=1)
    model, data = Network(module, IMAGE, full=True), samples(4)
    (done,) = train(model, [LocalTraining(dense_adapter(model.layers), None, [data], 0.1)],
                    Sgd(), NO_BOUND)  # fmt: skip
    wanted = cross_entropy(module.train()(data.inputs), data.labels).detach()
    assert done.loss == pytest.approx(float(wanted), rel=1e-5)


def test_initial_weights_are_those_of_their_seed() -> None:
    state = torch.random.get_rng_state()
    one, same, other = (load_network("cnn", IMAGE, CLASSES, seed) for seed in (1, 1, 2))
    assert torch.equal(one[0].weight, same[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"model": "tiny"}, "tasks from arrays need a network as model"),
        ({"tasks": ("home",)}, "which needs tasks such as"),
        ({"scoring": "sum"}, "scoring is for language models, got sum"),
        ({"max_length": 64}, "max_length is for language models"),
    ],
)
def test_what_networks_do_not_have_is_refused(settings: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        learning(**settings)


def test_full_rank_has_no_alpha() -> None:
    with pytest.raises(ValueError, match="alpha scales the factors"):
        Scaffold(rank="full", alpha=2.0)
