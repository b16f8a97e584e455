"""One permutohedral lattice: built from features, then used to filter any number of rows.

N pixels, d features, M vertices, K columns of whatever is filtered.
"""

import math
from dataclasses import dataclass

import numpy as np

from globalconv.crf import passes, simplex
from globalconv.crf.crew import Crew
from globalconv.crf.passes import Floats, Indices, Ints
from globalconv.errors import InputError

_LARGEST = 2.0**20
"""Lattice coordinates beyond this leave float32 too few digits to tell the corners of a simplex apart."""


@dataclass(frozen=True)
class Lattice:
    """The Gaussian filter exp(-|f_i - f_j|^2 / 2) over pixels with features f, approximately.

    As the reference implementation: splat by barycentric weights, blur by (1/2, 1, 1/2) along the axes 0 .. d in turn,
    slice by the same weights, and scale by 1 / (1 + 2^-d).
    """

    offsets_Nr: Indices
    """The vertices of each pixel, padded to a multiple of 3 by vertex 0 with weight 0."""
    weights_Nr: Floats
    starts: Ints
    """The entries of vertex v in `pixels` and `pixel_weights` are starts[v] .. starts[v+1]-1."""
    pixels: Indices
    pixel_weights: Floats
    orders: tuple[Indices, ...]
    """Per axis the vertices to blur, chain after chain; see `simplex.chains`."""
    alpha: float

    @property
    def vertices(self) -> int:
        """M."""
        return len(self.starts) - 1

    @property
    def nbytes(self) -> int:
        """The memory it holds."""
        pixels = self.offsets_Nr.nbytes + self.weights_Nr.nbytes + self.pixels.nbytes + self.pixel_weights.nbytes
        return pixels + self.starts.nbytes + sum(order.nbytes for order in self.orders)

    def splat(self, values_MK: Floats, rows_NK: Floats, pixel_weights: Floats, part: int, parts: int) -> None:
        """Fill one part's share of the vertices from the pixels."""
        begin, end = np.searchsorted(self.starts, [len(self.pixels) * p // parts for p in (part, part + 1)])
        end = self.vertices if part + 1 == parts else end
        passes.splat(values_MK, self.starts, self.pixels, pixel_weights, rows_NK, int(begin), int(end))

    def blur(self, values_MK: Floats, axis: int, part: int, parts: int) -> None:
        """Blur one part's share of the chains along one axis."""
        order = self.orders[axis]
        begin, end = (_next_chain(order, len(order) * p // parts) for p in (part, part + 1))
        passes.blur(values_MK, order, begin, end)

    def filter_ones(self, crew: Crew) -> Floats:
        """Return the filter's answer to 1 everywhere (N,), which normalisation divides by."""
        ones_N1 = np.ones((len(self.offsets_Nr), 1), np.float32)
        values_M1 = np.empty((self.vertices, 1), np.float32)
        crew.every(lambda part: self.splat(values_M1, ones_N1, self.pixel_weights, part, crew.threads))
        for axis in range(len(self.orders)):
            crew.every(lambda part, axis=axis: self.blur(values_M1, axis, part, crew.threads))  # type: ignore[misc]
        scale_N = np.full(len(ones_N1), self.alpha, np.float32)
        ones_N1[:] = 0
        crew.ranges(
            len(ones_N1),
            lambda begin, end: passes.gather(
                ones_N1, values_M1, self.offsets_Nr, self.weights_Nr, scale_N, begin, end, begin
            ),
        )
        return ones_N1[:, 0]


def _next_chain(order: Indices, place: int) -> int:
    """Return the first place at or after `place` where a chain begins, or the end."""
    while 0 < place < len(order) and order[place - 1] >= 0:
        place += 1
    return place


def build(features_Nd: Floats, crew: Crew) -> Lattice:
    """Return the lattice of pixels with these features (float32, already divided by their standard deviations).

    Where N is no multiple of 4, the reference places one more pixel (it works on four at a time) at feature 0. It has
    no value, but its vertices pass on what others send through them, so it is placed here, too.

    `InputError` where features are so large that float32 cannot place them.
    """
    count, d = features_Nd.shape
    scale_d, multipliers_d = lattice_scale(d), key_multipliers(features_Nd)
    if count % 4:
        features_Nd = np.concatenate([features_Nd, np.zeros((1, d), np.float32)])
    keys_rN = np.empty((d + 1, len(features_Nd)), np.int64)
    columns = math.ceil((d + 1) / 3) * 3
    weights_Nr = np.zeros((len(features_Nd), columns), np.float32)
    crew.ranges(
        len(features_Nd),
        lambda begin, end: simplex.embed(features_Nd, scale_d, multipliers_d, keys_rN, weights_Nr, begin, end),
    )
    return _connect(keys_rN, weights_Nr[:count], multipliers_d, crew)


def _connect(keys_rN: Ints, weights_Nr: Floats, multipliers_d: Ints, crew: Crew) -> Lattice:
    """Number the vertices, find their neighbours along each axis and the pixels of each."""
    remainders, count = len(keys_rN), len(weights_Nr)
    offsets_Nr = np.zeros(weights_Nr.shape, np.int32)
    found: list[tuple[Ints, Ints]] = [(keys_rN[:0], keys_rN[0, :0])] * remainders

    def number(r: int) -> None:
        found[r] = simplex.number(keys_rN[r], offsets_Nr, r)

    crew.tasks(remainders, number)
    firsts = [0, *np.cumsum([len(keys) for _, keys in found]).tolist()]
    steps = np.append(remainders * multipliers_d, 0) - multipliers_d.sum()
    next_jM = np.empty((remainders, firsts[-1]), np.int32)
    starts = np.zeros(firsts[-1] + 1, np.int64)
    pixels = np.empty(count * remainders, np.int32)
    pixel_weights = np.empty(count * remainders, np.float32)

    def link(r: int) -> None:
        before = (r - 1) % remainders
        simplex.follow(found[r][1], firsts[r], found[before][0], firsts[before], steps, next_jM)
        vertices = len(found[r][1])
        simplex.invert(offsets_Nr, weights_Nr, r, firsts[r], vertices, starts, pixels, pixel_weights)

    crew.tasks(remainders, link)
    orders = [next_jM[0]] * remainders

    def chain(j: int) -> None:
        orders[j] = simplex.chains(next_jM[j])

    crew.tasks(remainders, chain)
    alpha = 1 / (1 + 2.0 ** -(remainders - 1))
    return Lattice(offsets_Nr, weights_Nr, starts, pixels, pixel_weights, tuple(orders), alpha)


def lattice_scale(d: int) -> Floats:
    """Return what brings features into the lattice so that its blur has standard deviation 1 (Adams et al., 3.1)."""
    deviation = np.float32(math.sqrt(2 / 3) * (d + 1))
    return np.array([1 / math.sqrt((i + 2) * (i + 1)) * float(deviation) for i in range(d)], np.float32)


def _reach(features_Nd: Floats) -> list[int]:
    """Return how far from 0 each of the first d coordinates of a vertex, or of a neighbour, can lie."""
    d = features_Nd.shape[1]
    largest_d = np.maximum(features_Nd.max(0), -features_Nd.min(0))
    scaled = (largest_d * lattice_scale(d)).tolist()
    reach = [sum(scaled[j:]) + (j * scaled[j - 1] if j else 0.0) for j in range(d + 1)]
    if max(reach) > _LARGEST:
        raise InputError(
            f"features reach {largest_d.max():.3g} standard deviations from 0: too far to"
            " tell neighbours apart in float32; give larger standard deviations (appearance_rgb, appearance_xy, ...)"
        )
    return [math.ceil(most) + 3 * (d + 1) for most in reach[:d]]


def key_multipliers(features_Nd: Floats) -> Ints:
    """Return the multipliers of a key (d,): the places of a mixed radix where keys fit 63 bits, so they are unique.

    Where they do not fit (many channels, tiny deviations), fixed odd numbers that scatter keys over 64 bits: a million
    vertices then hold two of one key with a probability of 3e-8, and the price would be one wrong neighbour.
    """
    reach, places = _reach(features_Nd), [1]
    for most in reach:
        places.append(places[-1] * (2 * most + 1))
    if places[-1] < 2**63:
        return np.array(places[:-1], np.int64)
    scattered = np.random.default_rng(0).integers(-(2**63), 2**63, len(reach), np.int64)
    return scattered | 1
