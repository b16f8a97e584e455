"""One permutohedral lattice: built from features, then used to filter any number of rows.

N pixels, d features, M vertices, K columns of whatever is filtered.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from globalconv.arrays import Float32Array, Int32Array, Int64Array
from globalconv.crf import kernels, simplex
from globalconv.crf.kernels import WIDTH
from globalconv.crf.thread_pool import Buffers, ThreadPool
from globalconv.errors import InputError

_LARGEST = 2.0**20
"""Lattice coordinates beyond this leave float32 too few digits to tell the corners of a simplex apart."""
_PARTS = 4
"""Parts of the pixels that threads splat at the same time. Fixed, so that sums do not depend on the threads."""


@dataclass(frozen=True)
class Lattice:
    """The Gaussian filter exp(-|f_i - f_j|^2 / 2) over pixels with features f, approximately.

    As the reference implementation: splat by barycentric weights, blur by (1/2, 1, 1/2) along the axes 0 .. d in turn,
    slice by the same weights, and scale by 1 / (1 + 2^-d).
    """

    offsets_Nr: Int32Array
    """The vertices of each pixel, one of each remainder."""
    places_Nr: Int32Array
    """Where it splats to: a vertex, or what stands in for it in its part; ~place for the first pixel that does."""
    weights_Nr: Float32Array
    """Its barycentric weights."""
    vertices: int
    """M, in the order in which pixels touch them first."""
    touched: int
    """How many of them have a pixel; the others only pass on what reaches them."""
    parts: tuple["Band", ...]
    """The pixels, cut into parts that are splatted at the same time."""
    orders: tuple[Int32Array, ...]
    """Per axis the vertices to blur, chain after chain; see `simplex.chains`."""
    alpha: float

    @property
    def nbytes(self) -> int:
        """The memory it holds."""
        return 2 * self.offsets_Nr.nbytes + self.weights_Nr.nbytes + sum(order.nbytes for order in self.orders)

    def values(self, columns: int, buffers: Buffers) -> Float32Array:
        """Return memory for the values of all vertices and stand-ins."""
        return buffers.empty((self.parts[-1].last, columns), np.float32)

    def splat(self, values_MK: Float32Array, rows_NK: Float32Array, scale_N: Float32Array, number: int) -> None:
        """Fill the vertices that the pixels of one part touch first, and its stand-ins for others."""
        part = self.parts[number]
        kernels.splat(values_MK, rows_NK, self.places_Nr, self.weights_Nr, scale_N, part.begin, part.end)

    def merge(self, values_MK: Float32Array) -> None:
        """Add all stand-ins to their vertices."""
        for part in self.parts:
            kernels.merge(values_MK, part.shared, part.first)
        values_MK[self.touched : self.vertices] = 0

    def blur(self, values_MK: Float32Array, pool: ThreadPool) -> None:
        """Blur along the axes in turn; threads share the chains of each."""
        for order in self.orders:

            def part(index: int, order: Int32Array = order) -> None:
                begin, end = (_next_chain(order, len(order) * place // pool.threads) for place in (index, index + 1))
                kernels.blur(values_MK, order, begin, end)

            pool.run_on_each_thread(part)

    def gather(
        self,
        rows_nK: Float32Array,
        more_nK: Float32Array,
        values_MK: Float32Array,
        scale_N: Float32Array,
        begin: int,
        end: int,
    ) -> None:
        """Write more + scale * sliced values of pixels begin .. end-1 into their rows; `more` may be the rows."""
        kernels.gather(rows_nK, more_nK, values_MK, self.offsets_Nr, self.weights_Nr, scale_N, begin, end)

    def filter_ones(self, pool: ThreadPool) -> Float32Array:
        """Return the filter's answer to 1 everywhere (N,), which normalisation divides by."""
        with Buffers() as buffers:
            rows_NK = buffers.empty((len(self.offsets_Nr), WIDTH), np.float32)
            values_MK = self.values(WIDTH, buffers)
            rows_NK[:] = 1
            scale_N = np.ones(len(rows_NK), np.float32)
            splat_all([(self, values_MK, scale_N)], rows_NK, pool)
            self.blur(values_MK, pool)
            rows_NK[:], scale_N[:] = 0, self.alpha

            def gather(begin: int, end: int) -> None:
                rows_nK = rows_NK[begin:end]
                self.gather(rows_nK, rows_nK, values_MK, scale_N, begin, end)

            pool.run_ranges(len(rows_NK), gather)
            return rows_NK[:, 0].copy()


@dataclass(frozen=True)
class Band:
    """Pixels begin .. end-1, which are splatted while other threads splat others.

    A vertex that pixels of an earlier part touch has a stand-in of its own here; they lie in rows first .. last-1 of
    the values, behind all vertices. There are few: the image is cut into bands.
    """

    begin: int
    end: int
    first: int
    shared: Int32Array
    """The vertices that have stand-ins."""

    @property
    def last(self) -> int:
        """The row behind the last stand-in."""
        return self.first + len(self.shared)


def splat_all(
    filters: Sequence[tuple[Lattice, Float32Array, Float32Array]], rows_NK: Float32Array, pool: ThreadPool
) -> None:
    """Fill the values (second) of the lattices (first) from the rows, times the third.

    The parts are the same for any number of threads, so that sums do not depend on it.
    """
    tasks = [(*one, number) for one in filters for number in range(len(one[0].parts))]

    def splat(task: int) -> None:
        lattice, values_MK, scale_N, number = tasks[task]
        lattice.splat(values_MK, rows_NK, scale_N, number)

    pool.run_tasks(len(tasks), splat)
    pool.run_tasks(len(filters), lambda index: filters[index][0].merge(filters[index][1]))


def _next_chain(order: Int32Array, place: int) -> int:
    """Return the first place at or after `place` where a chain begins, or the end."""
    while 0 < place < len(order) and order[place - 1] >= 0:
        place += 1
    return place


def build(features_Nd: Float32Array, pool: ThreadPool) -> Lattice:
    """Return the lattice of pixels with these features (float32, already divided by their standard deviations).

    Where N is no multiple of 4, the reference places one more pixel (it works on four at a time) at feature 0. It has
    no value, but its vertices pass on what others send through them, so it is placed here, too.

    `InputError` where features are so large that float32 cannot place them.
    """
    count, d = features_Nd.shape
    scale_d, multipliers_d = lattice_scale(d), key_multipliers(features_Nd)
    if count % 4:
        features_Nd = np.concatenate([features_Nd, np.zeros((1, d), np.float32)])
    weights_Nr = np.empty((len(features_Nd), d + 1), np.float32)
    with Buffers() as buffers:
        keys_rN = buffers.empty((d + 1, len(features_Nd)), np.int64)
        pool.run_ranges(
            len(features_Nd),
            lambda begin, end: simplex.embed(features_Nd, scale_d, multipliers_d, keys_rN, weights_Nr, begin, end),
        )
        return _connect(keys_rN, weights_Nr[:count], multipliers_d, pool, buffers)


def _connect(
    keys_rN: Int64Array, weights_Nr: Float32Array, multipliers_d: Int64Array, pool: ThreadPool, buffers: Buffers
) -> Lattice:
    """Number the vertices, and find the chains of neighbours along each axis."""
    remainders = len(keys_rN)
    offsets_Nr = np.empty(weights_Nr.shape, np.int32)
    found: list[tuple[Int32Array, Int64Array]] = [(offsets_Nr[:0, 0], keys_rN[0, :0])] * remainders

    def number(r: int) -> None:
        found[r] = simplex.number(keys_rN[r], offsets_Nr, r)

    pool.run_tasks(remainders, number)
    firsts = np.array([0, *np.cumsum([len(keys) for _, keys in found])])
    cuts = len(offsets_Nr) * np.arange(1, _PARTS + 1) // _PARTS
    places_M, known = simplex.arrange(offsets_Nr, firsts, cuts)
    places = np.split(places_M, firsts[1:-1])
    steps = np.append(remainders * multipliers_d, 0) - multipliers_d.sum()
    next_jM: Int32Array = buffers.empty((remainders, len(places_M)), np.int32)
    led_jM = np.zeros(next_jM.shape, np.bool_)

    def link(r: int) -> None:
        table, keys = found[r - 1]
        simplex.follow(found[r][1], places[r], table, keys, places[r - 1], steps, next_jM, led_jM)
        simplex.move(offsets_Nr, r, places[r])

    pool.run_tasks(remainders, link)
    orders = [next_jM[0]] * remainders

    def chain(j: int) -> None:
        orders[j] = simplex.chains(next_jM[j], led_jM[j])

    pool.run_tasks(remainders, chain)
    places_Nr, parts = _parts(offsets_Nr, [0, *cuts.tolist()], [0, *known.tolist()], len(places_M), pool)
    alpha = 1 / (1 + 2.0 ** (1 - remainders))
    return Lattice(offsets_Nr, places_Nr, weights_Nr, len(places_M), int(known[-1]), parts, tuple(orders), alpha)


def _parts(
    offsets_Nr: Int32Array, cuts: list[int], known: list[int], vertices: int, pool: ThreadPool
) -> tuple[Int32Array, tuple[Band, ...]]:
    """Return where pixels splat to, and their parts; `known` vertices are touched before each of `cuts`."""
    places_Nr, shared = np.empty_like(offsets_Nr), [offsets_Nr[:0, 0]] * _PARTS

    def stand_in(part: int) -> None:
        shared[part] = simplex.stand_in(offsets_Nr, cuts[part], cuts[part + 1], known[part], places_Nr)

    pool.run_tasks(_PARTS, stand_in)
    firsts = [vertices + sum(map(len, shared[:part])) for part in range(_PARTS)]

    def shift(part: int) -> None:
        simplex.shift(offsets_Nr, cuts[part], cuts[part + 1], known[part], firsts[part], places_Nr)

    pool.run_tasks(_PARTS, shift)
    return places_Nr, tuple(Band(*edges) for edges in zip(cuts, cuts[1:], firsts, shared, strict=False))


def lattice_scale(d: int) -> Float32Array:
    """Return what brings features into the lattice so that its blur has standard deviation 1 (Adams et al., 3.1)."""
    deviation = np.float32(math.sqrt(2 / 3) * (d + 1))
    return np.array([1 / math.sqrt((i + 2) * (i + 1)) * float(deviation) for i in range(d)], np.float32)


def _reach(features_Nd: Float32Array) -> list[int]:
    """Return how far from 0 each of the first d coordinates of a vertex, or of a neighbour, can lie."""
    d = features_Nd.shape[1]
    largest_d = np.array([max(column.max(), -column.min()) for column in features_Nd.T], np.float32)
    scaled = (largest_d * lattice_scale(d)).tolist()
    reach = [sum(scaled[j:]) + (j * scaled[j - 1] if j else 0.0) for j in range(d + 1)]
    if max(reach) > _LARGEST:
        raise InputError(
            f"features reach {largest_d.max():.3g} standard deviations from 0: too far to"
            " tell neighbours apart in float32; give larger standard deviations (appearance_rgb, appearance_xy, ...)"
        )
    return [math.ceil(most) + 3 * (d + 1) for most in reach[:d]]


def key_multipliers(features_Nd: Float32Array) -> Int64Array:
    """Return the multipliers of a key (d,): the places of a mixed radix where keys fit 63 bits, so they are unique.

    Where they do not fit (many channels, tiny deviations), fixed odd numbers that scatter keys over 64 bits: with a
    million vertices, two are taken for one with a probability of about 1e-7, at the price of one wrong neighbour.
    """
    reach, places = _reach(features_Nd), [1]
    for most in reach:
        places.append(places[-1] * (2 * most + 1))
    if places[-1] < 2**63:
        return np.array(places[:-1], np.int64)
    scattered = np.random.default_rng(0).integers(-(2**63), 2**63, len(reach), np.int64)
    return scattered | 1
