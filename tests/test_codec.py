"""Binary format of updates: every byte accounted for, exact decoding, corruption detected."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fl.adapters import Layer
from fl.methods.frozen_a.density import largest_mask
from fl.updates.codec import HEADER_BYTES, Update, decode, encode, encoded_bytes

LAYERS = (Layer("q", 24, 16), Layer("up", 16, 40))
RANK = 4
RANKS = [RANK] * len(LAYERS)
B_ENTRIES = (16 + 40) * RANK
A_ENTRIES = (24 + 16) * RANK


def factors(seed: int = 0) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(seed)
    a = tuple(
        torch.randn(RANK, layer.inputs, generator=generator).half().float() for layer in LAYERS
    )
    b = tuple(
        torch.randn(layer.outputs, RANK, generator=generator).half().float() for layer in LAYERS
    )
    return a, b


def sparse(count: int, includes_mask: bool = True, a_seed: int | None = None) -> Update:
    a, b = factors()
    mask = tuple(largest_mask(one, count) for one in b)
    masked = tuple(one * where for one, where in zip(b, mask, strict=True))
    return Update(
        7, 3, masked, mask, a if includes_mask and a_seed is None else None, a_seed, includes_mask
    )


def test_dense_update_has_the_length_of_its_values() -> None:
    a, b = factors()
    data = encode(Update(1, 2, b, a=a))
    assert HEADER_BYTES == 32
    assert len(data) == 32 + 2 * (A_ENTRIES + B_ENTRIES)


@pytest.mark.parametrize("count", [1, 13, 64])
def test_sparse_update_has_the_length_of_its_parts(count: int) -> None:
    values = 2 * 2 * count
    bitmap = B_ENTRIES // 8
    assert len(encode(sparse(count, includes_mask=False))) == 32 + values
    assert len(encode(sparse(count))) == 32 + values + bitmap + 2 * A_ENTRIES
    assert len(encode(sparse(count, a_seed=5))) == 32 + values + bitmap + 8


@pytest.mark.parametrize(
    "update", [sparse(13), sparse(13, a_seed=2**62), Update(1, 2, factors()[1])]
)
def test_decoding_returns_what_was_sent(update: Update) -> None:
    again = decode(encode(update), LAYERS, RANKS)
    assert (again.device, again.round) == (update.device, update.round)
    assert (again.a_seed, again.includes_mask) == (update.a_seed, update.includes_mask)
    for name in ("a", "b", "mask"):
        sent, received = getattr(update, name), getattr(again, name)
        assert (sent is None) == (received is None)
        if sent is not None:
            assert all(torch.equal(x, y) for x, y in zip(sent, received, strict=True))


@pytest.mark.parametrize("bits", [16, 8, 4])
@pytest.mark.parametrize(
    "update",
    [
        sparse(0),
        sparse(13),
        sparse(13, includes_mask=False),
        sparse(13, a_seed=5),
        replace(sparse(13), a_frozen=True),
        Update(1, 2, factors()[1]),
        Update(1, 2, factors()[1], a=factors()[0]),
    ],
)
def test_bytes_are_counted_as_they_are_encoded(update: Update, bits: int) -> None:
    update = replace(update, bits=bits)
    assert encoded_bytes(update) == len(encode(update))


def test_parameters_without_a_mask_need_it() -> None:
    update = sparse(13, includes_mask=False)
    again = decode(encode(update), LAYERS, RANKS, update.mask)
    assert all(torch.equal(x, y) for x, y in zip(again.b, update.b, strict=True))
    with pytest.raises(ValueError, match="mask of device 7 is not known"):
        decode(encode(update), LAYERS, RANKS)


def test_values_beyond_half_precision_are_refused() -> None:
    _, b = factors()
    with pytest.raises(ValueError, match="at most 65504"):
        encode(Update(0, 0, (b[0] * 1e6, b[1])))


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed_or_harmless(position: int, bit: int) -> None:
    data = bytearray(encode(sparse(13)))
    position %= len(data)
    data[position] ^= 1 << bit
    # Sender and round are not under the checksum's protection; everything else is.
    try:
        again = decode(bytes(data), LAYERS, RANKS)
    except ValueError:
        return
    assert 4 <= position < 16
    assert again.b[0].shape == (16, RANK)


@given(st.binary(max_size=400), st.integers(0, 500))
def test_arbitrary_bytes_never_do_harm(noise: bytes, cut: int) -> None:
    good = encode(sparse(13))
    for data in (noise, good[:cut] if cut < len(good) else good + b"x", good[:32] + noise):
        with pytest.raises(ValueError, match="update"):
            decode(data, LAYERS, RANKS)


def test_an_adapter_of_other_shapes_is_refused() -> None:
    with pytest.raises(ValueError, match="other shapes"):
        decode(encode(sparse(13)), LAYERS[:1], RANKS[:1])


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("count", [1, 13])
def test_few_bits_take_their_computed_bytes(bits: int, count: int) -> None:
    # A scale of four bytes for each layer; a frozen A stays in half precision, bytes are whole.
    values = 2 * 4 + -(-2 * count * bits // 8)
    few = replace(sparse(count), bits=bits, a_frozen=True)
    assert len(encode(few)) == 32 + B_ENTRIES // 8 + 2 * A_ENTRIES + values
    a, b = factors()
    both = len(encode(Update(1, 2, b, a=a, bits=bits)))
    assert both == 32 + 4 * 4 + (A_ENTRIES + B_ENTRIES) * bits // 8


@pytest.mark.parametrize("bits", [8, 4])
def test_few_bits_are_off_by_less_than_a_level(bits: int) -> None:
    a, b = factors(1)
    again = decode(encode(Update(1, 2, b, a=a, bits=bits, rounding=5)), LAYERS, RANKS)
    assert again.bits == bits
    assert again.a is not None
    for sent, got in zip((*a, *b), (*again.a, *again.b), strict=True):
        step = float(sent.abs().max()) / (2 ** (bits - 1) - 1)
        assert float((sent - got).abs().max()) <= step * (1 + 1e-5)
        assert float((got / step - (got / step).round()).abs().max()) < 1e-4


@pytest.mark.parametrize("bits", [8, 4])
def test_rounding_has_no_bias(bits: int) -> None:
    """The mean over n keys is the value within five standard errors, at most step / 2 sqrt(n)."""
    _, b = factors(2)
    count = 400
    total = torch.zeros_like(b[0])
    for rounding in range(count):
        total += decode(encode(Update(1, 2, b, bits=bits, rounding=rounding)), LAYERS, RANKS).b[0]
    step = float(b[0].abs().max()) / (2 ** (bits - 1) - 1)
    assert float((total / count - b[0]).abs().max()) < 5 * step / (2 * count**0.5)


@pytest.mark.parametrize("bits", [8, 4])
def test_zeros_and_layers_without_entries_survive_few_bits(bits: int) -> None:
    b = (torch.zeros(16, RANK), torch.ones(40, RANK))
    mask = (torch.zeros(16, RANK, dtype=torch.bool), torch.ones(40, RANK, dtype=torch.bool))
    again = decode(encode(Update(1, 2, b, mask, includes_mask=True, bits=bits)), LAYERS, RANKS)
    assert all(torch.equal(x, y) for x, y in zip(again.b, b, strict=True))


def test_other_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="16, 8 or 4 bits, got 7"):
        encode(Update(1, 2, factors()[1], bits=7))


@given(st.binary(max_size=400), st.sampled_from([8, 4]))
def test_arbitrary_bytes_of_few_bits_never_do_harm(noise: bytes, bits: int) -> None:
    good = bytearray(encode(Update(1, 2, factors()[1], bits=bits)))
    body = (noise * (len(good) // max(1, len(noise)) + 1))[: len(good) - HEADER_BYTES]
    good[HEADER_BYTES:] = body if noise else bytes(len(good) - HEADER_BYTES)
    good[HEADER_BYTES - 4 : HEADER_BYTES] = struct.pack("<I", zlib.crc32(good[HEADER_BYTES:]))
    # With a checksum that fits, any levels are values; scales must be finite sizes.
    try:
        again = decode(bytes(good), LAYERS, RANKS)
    except ValueError as error:
        assert "update" in str(error)  # noqa: PT017
    else:
        assert all(bool(torch.isfinite(b).all()) for b in again.b)
