"""Random streams: known answers of the counter-based generator, and independence of coordinates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from wnsim.core import streams
from wnsim.kernels.philox import philox4x32


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        # Random123 known-answer file (kat_vectors), lines "philox4x32 10".
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_known_answers(counter: str, key: str, answer: str) -> None:
    words = [np.uint64(int(word, 16)) for word in (*counter.split(), *key.split())]
    result = philox4x32(*words)
    assert [f"{int(word):08x}" for word in result] == answer.split()


def test_draws_are_bits_of_the_encrypted_link_and_block() -> None:
    # The first known answer.
    words = [(0x6627E8D5, 0xE169C58D), (0xBC57AC4C, 0x9B00DBD8)]
    expected = [((high >> 5) * 2**26 + (low >> 6)) / 2**53 for high, low in words]
    assert streams.uniforms(0, 0, 0, [0, 1]).tolist() == expected
    half, ends, key = 0x85A308D3243F6A88 >> 1, (0x13198A2E, 0x03707344), 0x299F31D0A4093822
    counter = (half & 0xFFFFFFFF, half >> 32, *ends, key & 0xFFFFFFFF, key >> 32)
    high, low = (int(word) for word in philox4x32(*map(np.uint64, counter))[2:])
    expected = [((high >> 5) * 2**26 + (low >> 6)) / 2**53]
    assert streams.uniforms(key, *ends, [2 * half + 1]).tolist() == expected


def test_uniforms_are_uniform_and_independent() -> None:
    blocks = np.arange(100_000)
    draws = streams.uniforms(streams.key(1, "test"), 3, 4, blocks)
    assert stats.kstest(draws, "uniform").pvalue > 1e-4
    for other in (
        streams.uniforms(streams.key(1, "test"), 4, 3, blocks),
        streams.uniforms(streams.key(2, "test"), 3, 4, blocks),
        streams.uniforms(streams.key(1, "other"), 3, 4, blocks),
        np.roll(draws, 1),
    ):
        # The correlation of n independent draws has standard deviation 1/sqrt(n).
        assert abs(np.corrcoef(draws, other)[0, 1]) < 4 / np.sqrt(blocks.size)


def test_uniforms_do_not_depend_on_the_shape_of_the_call() -> None:
    key = streams.key(7, "test")
    together = streams.uniforms(key, np.array([[1], [2]]), 5, np.arange(10))
    alone = streams.uniforms(key, 2, 5, 7)
    assert together[1, 7] == alone


def test_generators_of_different_index_differ() -> None:
    first, second = (streams.generator(1, "mobility", i).random(1000) for i in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15
    assert streams.generator(1, "mobility", 0).random() == first[0]


@settings(deadline=None)
@given(st.integers(0, 2**62), st.integers(0, 9))
def test_draws_of_consecutive_blocks_are_those_of_each(first: int, count: int) -> None:
    source, target = np.array([3, 7, 7]), np.array([1, 2, 2**32 - 1])
    key = streams.key(5, "errors")
    together = streams.uniform_blocks(key, source, target, first, count)
    each = streams.uniforms(
        key, source[:, None], target[:, None], np.array([first + n for n in range(count)])
    )
    assert np.array_equal(together, each)
