"""Laws of the methods: orthogonality, sparsity, and special cases in which two are equal."""

from __future__ import annotations

import itertools

import pytest
import torch

from fl.adapters import Layer
from fl.config import FfaLora, FullFt, Lora, LoriD, LoriS, SoLora
from fl.methods import METHODS, method_of
from fl.methods.frozen_a.projections import device_a, overlaps

LAYERS = (Layer("q", 128, 96), Layer("down", 352, 128))


def test_blocks_of_one_orthogonal_matrix_are_orthogonal_between_devices() -> None:
    """Law: max |A_i A_j^T| is rounding for i != j, and A_i A_i^T the identity."""
    each = [device_a(LAYERS, 8, "block-qr", 5, device, 16) for device in range(16)]
    for layer in range(2):
        for i, j in itertools.combinations_with_replacement(range(16), 2):
            product = each[i][layer] @ each[j][layer].T
            expected = torch.eye(8) if i == j else torch.zeros(8, 8)
            assert float((product - expected).abs().max()) < 1e-6


def test_overlaps_of_known_factors() -> None:
    """Law: blocks of one orthogonal matrix do not overlap; rows at 60 degrees have a cosine of a
    half, and the block norm counts lengths too."""
    blocks = [device_a(LAYERS, 8, "block-qr", 5, device, 4) for device in range(4)]
    for found in overlaps(blocks):
        assert found == pytest.approx([0.0] * 4, abs=1e-6)
    first, second = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.5, 1.5 * 3**0.5]])
    third = torch.tensor([[-1.0, 0.0]])
    cosine, norm = overlaps([(first,), (second,), (third,)])
    assert cosine == pytest.approx([(0.5 + 1) / 2, 0.5, (1 + 0.5) / 2])
    assert norm == pytest.approx([3.0, 3.0, 2.0])
    # Layers count alike in the mean; the largest one counts in the norm.
    cosine, norm = overlaps([(first, first), (second, -first)])
    assert cosine == pytest.approx([0.75, 0.75])
    assert norm == pytest.approx([4.0, 4.0])


@pytest.mark.parametrize("rank", [8, 16, 32])
def test_overlaps_of_independent_rows(rank: int) -> None:
    """Law: the mean |cos| of independent rows in k dimensions is sqrt(2 / (pi k)) for large k."""
    wide = (Layer("x", 1536, 10),)
    cosine, norm = overlaps([device_a(wide, rank, "gaussian", 3, n, 4) for n in range(4)])
    # 3 * rank^2 cosines, whose modulus has a relative spread of 0.76.
    spread = 3 * 0.76 / (3 * rank**2) ** 0.5
    assert cosine == pytest.approx([(2 / (torch.pi * 1536)) ** 0.5] * 4, rel=spread)
    # Random matrices of entries of variance 1/k: about 2 sqrt(r / k).
    assert max(norm) == pytest.approx(2 * (rank / 1536) ** 0.5, rel=0.25)


def test_overlaps_are_reported_for_frozen_private_factors_only(make_trainer) -> None:  # type: ignore[no-untyped-def]
    assert make_trainer(method=Lora(rank=4)).overlaps() is None
    assert make_trainer(method=SoLora(rank=4, shared_a=True)).overlaps() is None
    cosine, norm = make_trainer(method=LoriD(rank=4), devices=3).overlaps()
    assert len(cosine) == len(norm) == 3
    assert all(0 < each < 1 for each in cosine)


def test_too_many_orthogonal_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="17 devices times rank 8 of at most 128, the inputs of q"):
        device_a(LAYERS, 8, "block-qr", 5, 0, 17)


SO_LORA = """
name: init
devices: {{count: 4}}
fl: {{topology: {{model: full}}, method: {{model: so-lora, rank: 16, a_init: {a_init}}}}}
"""


@pytest.mark.parametrize("a_init", ["gaussian", "kaiming", "block-qr"])
def test_the_frozen_factor_of_so_lora(scenario_of, a_init: str) -> None:  # type: ignore[no-untyped-def]
    """Law: k times the variance of entries is 1 if normal, 1/3 if uniform within 1/sqrt(k), and 1
    in orthonormal rows; A's of two devices are orthogonal in blocks of one matrix only."""
    method = method_of(scenario_of(SO_LORA.format(a_init=a_init)).fl.method)
    wide = (Layer("x", 2000, 10),)
    first, second = (method.initial(wide, 5, device, 4).a[0] for device in (0, 1))
    variance = {"gaussian": 1.0, "kaiming": 1 / 3, "block-qr": 1.0}[a_init]
    # 32,000 entries: the variance is known to 0.8 %.
    assert float(first.var() * 2000) == pytest.approx(variance, rel=0.03)
    assert bool((first.abs() <= 2000**-0.5).all()) == (a_init == "kaiming")
    orthogonal = a_init == "block-qr"
    assert (float((first @ second.T).abs().max()) < 1e-6) == orthogonal
    assert (float((first @ first.T - torch.eye(16)).abs().max()) < 1e-6) == orthogonal


@pytest.mark.parametrize(("distribution", "variance"), [("gaussian", 1.0), ("kaiming", 1 / 3)])
def test_drawn_rows_have_the_variance_of_their_distribution(distribution, variance: float) -> None:  # type: ignore[no-untyped-def]
    """Law: entries have the variance 1/k or 1/(3k); rows of two devices a cosine of 1/sqrt(k)."""
    wide = (Layer("x", 2000, 10),)
    first, second = (device_a(wide, 32, distribution, 5, device, 2)[0] for device in (0, 1))
    # 64,000 entries: the variance is known to 1 %.
    assert float(first.var() * 2000) == pytest.approx(variance, rel=0.03)
    cosine = torch.nn.functional.normalize(first) @ torch.nn.functional.normalize(second).T
    assert float(cosine.square().mean().sqrt()) == pytest.approx(2000**-0.5, rel=0.1)


def states(trainer, rounds: int = 1):  # type: ignore[no-untyped-def]
    """Return the states of devices after rounds on the complete graph."""
    devices = range(len(trainer.task_of))
    current = [None for _ in devices]
    for number in range(1, rounds + 1):
        trained = [trainer.train(d, number, current[d]) for d in devices]
        sent = [trainer.outgoing_update(d, number, trained[d]) for d in devices]
        current = [
            trainer.aggregate(
                d, trained[d], [sent[o] for o in devices if o != d], [1.0] * len(sent)
            )
            for d in devices
        ]
    return [state.value().adapter for state in current]


def test_so_lora_of_density_1_with_a_shared_a_is_ffa_lora(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: with every entry active and the mean over all, masks change nothing, to the last bit."""
    ffa = make_trainer(method=FfaLora(rank=4))
    full = make_trainer(
        method=LoriS(rank=4, density=1.0, shared_a=True, aggregation="mean", calibration_batches=2)
    )
    for one, other in zip(states(ffa, 2), states(full, 2), strict=True):
        assert all(bool(mask.all()) for mask in other.mask)
        for x, y in zip((*one.a, *one.b), (*other.a, *other.b), strict=True):
            assert torch.equal(x, y)


def test_shared_a_is_one_and_private_ones_differ(make_trainer) -> None:  # type: ignore[no-untyped-def]
    shared = states(make_trainer(method=LoriD(rank=4, shared_a=True)))
    private = states(make_trainer(method=LoriD(rank=4)))
    assert torch.equal(shared[0].a[0], shared[1].a[0])
    assert not torch.equal(private[0].a[0], private[1].a[0])


def test_lori_thresholds_all_layers_at_once(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: as many entries as the density says in all, layers differ in how many."""
    trainer = make_trainer(method=LoriS(rank=4, density=0.1, calibration_batches=5))
    for adapter in states(trainer):
        entries = sum(mask.numel() for mask in adapter.mask)
        assert sum(int(mask.sum()) for mask in adapter.mask) == round(0.1 * entries)
        shares = [float(mask.float().mean()) for mask in adapter.mask]
        assert max(shares) > 1.5 * min(shares)


def test_lori_restarts_under_its_mask(make_trainer) -> None:  # type: ignore[no-untyped-def]
    trainer = make_trainer(method=LoriS(rank=4, calibration_batches=5))
    calibrated = trainer._base_adapter(0).value()
    assert calibrated.is_zero()
    assert calibrated.mask is not None


def test_full_fine_tuning_follows_the_gradient_of_the_weights(make_trainer, make_lm) -> None:  # type: ignore[no-untyped-def]
    """Law: with the identity for A, one step changes B as torch's AdamW changes the weight."""
    from fl.training.loss import answer_loss

    rate = 1e-3
    trainer = make_trainer(method=FullFt(learning_rate=rate), local_steps=1, clip_norm=1e9)
    adapter = trainer.train(1, 1, None).value().adapter
    (batch,) = trainer.examples.batches(1, "batches", 1, 1)
    answer_loss(trainer.model, batch.ids, batch.labels, 1)
    model = make_lm()
    weights = [model.get_submodule(layer.name).weight for layer in trainer.model.layers]
    before = [weight.detach().clone() for weight in weights]
    for weight in weights:
        weight.requires_grad_()
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
    labels = torch.where(batch.mask == 1, batch.labels, -100)
    model(input_ids=batch.ids, attention_mask=batch.mask, labels=labels).loss.backward()
    large = [weight.grad.abs() > 1e-4 for weight in weights]
    optimizer.step()
    for index, (weight, old) in enumerate(zip(weights, before, strict=True)):
        moved = (weight.detach() - old)[large[index]]
        # Where a gradient is near zero, Adam's first step is the sign of rounding.
        torch.testing.assert_close(adapter.b[index][large[index]], moved, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "first", "later"),
    [
        (Lora(rank=8), 1.0, 1.0),
        (FfaLora(rank=8), 0.0, 0.0),
        (LoriD(rank=8), 1.0, 0.0),
        (LoriD(rank=8, shared_a=True), 0.0, 0.0),
        (LoriS(rank=8), 1.0, 0.0),
        (SoLora(rank=8, density=0.54), 1.0, 0.0),
    ],
    ids=lambda value: getattr(value, "model", None),
)
def test_a_is_sent_when_it_is_needed(config, first: float, later: float) -> None:  # type: ignore[no-untyped-def]
    """Law: bytes are those of active entries, a bit per entry for a mask, and A at most once."""
    from fl.updates.codec import HEADER_BYTES, encoded_bytes

    method = METHODS[type(config)](config)
    b_entries = 8 * sum(layer.outputs for layer in LAYERS)
    a_bytes = 2 * 8 * sum(layer.inputs for layer in LAYERS)
    density = getattr(config, "density", 1.0)
    values = 2 * round(density * b_entries)
    for contact, share in ((True, first), (False, later)):
        mask = b_entries // 8 if contact and hasattr(config, "density") else 0
        size = encoded_bytes(method.shapes_update(LAYERS, contact))
        assert size == HEADER_BYTES + values + mask + share * a_bytes


def test_every_method_exports_for_peft(make_trainer, make_lm, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from peft import PeftModel

    from fl.adapters.peft_format import files

    for config in (FfaLora(rank=4), LoriS(rank=4, calibration_batches=2), FullFt()):
        trainer = make_trainer(method=config)
        adapter = states(trainer)[0]
        folder = tmp_path / config.model
        folder.mkdir()
        for name, data in files(adapter, trainer.model.layers, "x", False).items():
            (folder / name).write_bytes(data)
        peft = PeftModel.from_pretrained(make_lm(), folder)
        ids = torch.arange(20).reshape(2, 10)
        with torch.no_grad(), trainer.model.merged(adapter):
            mine = trainer.model.model(ids).logits
            assert torch.allclose(mine, peft(ids).logits, atol=1e-5)
