"""Label Studio's run lengths come back as the mask by the decoder that is published for them."""

import numpy as np
from helpers.brush_decoder import decode_brush
from hypothesis import example, given
from hypothesis import strategies as st

from globalconv.serving.brush_rle import encode_brush


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(1, 60))
@example(0, 300, 300, 0.0, 1)  # one run, longer than the longest
@example(0, 256, 64, 1.0, 1)  # of exactly the longest
def test_masks_come_back(seed: int, height: int, width: int, share: float, stretch: int) -> None:
    drawn = np.random.default_rng(seed).random((height, width)) < share
    mask = np.repeat(drawn, stretch, axis=1)
    rgba = decode_brush(encode_brush(mask)).reshape(*mask.shape, 4)
    assert np.array_equal(rgba, np.repeat(mask[..., None] * np.uint8(255), 4, axis=2))


def test_the_bytes_of_a_small_mask() -> None:
    """By hand: 8 bytes; words of 8 bits; sizes 3, 4, 8, 16; four of 0 and four of 255, each in a length of 3 bits."""
    bits = "0000000000000000000000000000100000111001000110111111110001100000000"
    bits += "10001111111111"
    bits += "0" * (-len(bits) % 8)
    assert encode_brush(np.array([[False, True]])) == [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
