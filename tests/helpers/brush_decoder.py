"""The published decoder of Label Studio's brush, on its own feet."""

import numpy as np
import numpy.typing as npt


def decode_brush(packed: list[int]) -> npt.NDArray[np.uint8]:
    """The steps of `decode` in thi.ng/umbrella's `rle-pack`, which Label Studio's editor and converter run."""
    bits = "".join(f"{byte:08b}" for byte in packed)
    place = 0

    def read(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    size = read(32)
    word = read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    found = np.zeros(size, np.uint8)
    index = 0
    while index < size:
        repeats = read(1)
        end = index + 1 + read(sizes[read(2)])
        if repeats:
            found[index:end] = read(word)
            index = end
        else:
            while index < end:
                found[index] = read(word)
                index += 1
    assert len(bits) - place < 8, "bytes are left over"
    return found
