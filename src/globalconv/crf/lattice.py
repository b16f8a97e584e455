"""The permutohedral lattice of an image: built from the features of its pixels, then used to filter any rows.

N pixels, d features, M vertices, K columns of the rows that are filtered.
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
_BANDS = 4
"""Bands of pixels that threads splat at the same time. Fixed, so that sums do not depend on the threads."""


@dataclass(frozen=True)
class Band:
    """Pixels begin .. end-1, which are splatted while other threads splat other bands.

    A vertex that pixels of an earlier band touch has a stand-in of its own here; they lie in rows first .. last-1 of
    the values, behind all vertices. There are few of them.
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


@dataclass(frozen=True)
class Lattice:
    """The Gaussian filter exp(-|f_i - f_j|^2 / 2) over pixels with features f, approximately.

    As the reference implementation: splat by barycentric weights, blur by (1/2, 1, 1/2) along the axes 0 .. d in turn,
    slice by the same weights, and scale by 1 / (1 + 2^-d).
    """

    offsets_Nr: Int32Array
    """The vertices of each pixel, one of each remainder."""
    places_Nr: Int32Array
    """The rows that it splats to: a vertex, or its stand-in in the band; ~row for the first pixel that does."""
    weights_Nr: Float32Array
    """Its barycentric weights."""
    vertices: int
    """M, in the order in which pixels touch them first."""
    touched: int
    """How many of them have a pixel; the others only pass on what reaches them."""
    bands: tuple[Band, ...]
    orders: tuple[Int32Array, ...]
    """Per axis the vertices to blur, chain after chain; see `simplex.chains`."""
    alpha: float

    @property
    def nbytes(self) -> int:
        """The memory it holds."""
        return 2 * self.offsets_Nr.nbytes + self.weights_Nr.nbytes + sum(order.nbytes for order in self.orders)

    def values(self, columns: int, buffers: Buffers) -> Float32Array:
        """Return memory for the values of all vertices and stand-ins."""
        return buffers.empty((self.bands[-1].last, columns), np.float32)

    def blur(self, values_MK: Float32Array, pool: ThreadPool) -> None:
        """Blur along the axes in turn; threads share the chains of each."""
        for order in self.orders:

            def blur_share(thread: int, order: Int32Array = order) -> None:
                edges = []
                for edge in (len(order) * thread // pool.threads, len(order) * (thread + 1) // pool.threads):
                    while 0 < edge < len(order) and order[edge - 1] >= 0:  # to where the next chain begins
                        edge += 1
                    edges.append(edge)
                kernels.blur(values_MK, order, *edges)

            pool.run_on_each_thread(blur_share)

    def filter_ones(self, pool: ThreadPool) -> Float32Array:
        """Return the filter's response to 1 everywhere (N,), which normalisation divides by."""
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
                kernels.gather(rows_nK, rows_nK, values_MK, self.offsets_Nr, self.weights_Nr, scale_N, begin, end)

            pool.run_ranges(len(rows_NK), gather)
            return rows_NK[:, 0].copy()


def splat_all(
    filters: Sequence[tuple[Lattice, Float32Array, Float32Array]], rows_NK: Float32Array, pool: ThreadPool
) -> None:
    """For each (lattice, values_MK, scale_N), fill the values of the lattice from scale * rows.

    The bands are the same for any number of threads, so that sums do not depend on it.
    """
    tasks = [(*one_filter, band) for one_filter in filters for band in one_filter[0].bands]

    def splat(task: int) -> None:
        lattice, values_MK, scale_N, band = tasks[task]
        kernels.splat(values_MK, rows_NK, lattice.places_Nr, lattice.weights_Nr, scale_N, band.begin, band.end)

    def merge(number: int) -> None:
        lattice, values_MK, _ = filters[number]
        for band in lattice.bands:
            kernels.merge(values_MK, band.shared, band.first)
        values_MK[lattice.touched : lattice.vertices] = 0

    pool.run_tasks(len(tasks), splat)
    pool.run_tasks(len(filters), merge)


def build(features_Nd: Float32Array, pool: ThreadPool) -> Lattice:
    """Return the lattice of pixels with these features (float32, already divided by their standard deviations).

    Where N is no multiple of 4, the reference places one more pixel (it works on four at a time) at feature 0. It has
    no value, but its vertices pass on what others send through them, so it is placed here, too.

    `InputError` where features are so large that float32 cannot place them.
    """
    count, d = features_Nd.shape
    remainders = d + 1
    scale_d, multipliers_d = lattice_scale(d), key_multipliers(features_Nd)
    if count % 4:
        features_Nd = np.concatenate([features_Nd, np.zeros((1, d), np.float32)])
    weights_Nr, offsets_Nr = (
        np.empty((len(features_Nd), remainders), np.float32),
        np.empty((count, remainders), np.int32),
    )
    with Buffers() as buffers:
        # The keys of each pixel's vertices, and its weights.
        keys_rN = buffers.empty((remainders, len(features_Nd)), np.int64)
        pool.run_ranges(
            len(features_Nd),
            lambda begin, end: simplex.embed(features_Nd, scale_d, multipliers_d, keys_rN, weights_Nr, begin, end),
        )

        # Number the vertices, first those of each remainder alone, then all of them in the order of first touch.
        tables = pool.run_tasks(remainders, lambda r: simplex.number(keys_rN[r], offsets_Nr, r))
        firsts = np.array([0, *np.cumsum([len(keys) for _, keys in tables])])
        ends = count * np.arange(1, _BANDS + 1) // _BANDS
        places_M, touched = simplex.arrange(offsets_Nr, firsts, ends)
        places = np.split(places_M, firsts[1:-1])

        # Find the neighbours along each axis, and chain them. A step along an axis leads from remainder r to r-1.
        steps = np.append(remainders * multipliers_d, 0) - multipliers_d.sum()
        next_jM: Int32Array = buffers.empty((remainders, len(places_M)), np.int32)
        led_jM = np.zeros(next_jM.shape, np.bool_)

        def link(r: int) -> None:
            table, keys = tables[r - 1]
            simplex.follow(tables[r][1], places[r], table, keys, places[r - 1], steps, next_jM, led_jM)
            simplex.move(offsets_Nr, r, places[r])

        pool.run_tasks(remainders, link)
        orders = pool.run_tasks(remainders, lambda j: simplex.chains(next_jM[j], led_jM[j]))
    places_Nr, bands = _bands(offsets_Nr, [0, *ends.tolist()], [0, *touched.tolist()], len(places_M), pool)
    alpha = 1 / (1 + 2.0**-d)
    return Lattice(
        offsets_Nr, places_Nr, weights_Nr[:count], len(places_M), int(touched[-1]), bands, tuple(orders), alpha
    )


def _bands(
    offsets_Nr: Int32Array, edges: list[int], touched: list[int], vertices: int, pool: ThreadPool
) -> tuple[Int32Array, tuple[Band, ...]]:
    """Return the rows that pixels splat to, and the bands; `touched` vertices have a pixel before each of `edges`."""
    places_Nr = np.empty_like(offsets_Nr)
    pixels = list(zip(edges, edges[1:], touched, strict=False))
    shared = pool.run_tasks(_BANDS, lambda band: simplex.stand_in(offsets_Nr, *pixels[band], places_Nr))
    firsts = [vertices + sum(map(len, shared[:band])) for band in range(_BANDS)]
    pool.run_tasks(_BANDS, lambda band: simplex.shift(offsets_Nr, *pixels[band], firsts[band], places_Nr))
    return places_Nr, tuple(Band(*fields) for fields in zip(edges, edges[1:], firsts, shared, strict=False))


def lattice_scale(d: int) -> Float32Array:
    """Return the factors that give the lattice's blur a standard deviation of 1 in features (Adams et al., 3.1)."""
    deviation = np.float32(math.sqrt(2 / 3) * (d + 1))
    return np.array([1 / math.sqrt((i + 2) * (i + 1)) * float(deviation) for i in range(d)], np.float32)


def key_multipliers(features_Nd: Float32Array) -> Int64Array:
    """Return the multipliers of a key (d,): the places of a mixed radix where keys fit 63 bits, so they are unique.

    Where they do not fit (many channels, tiny deviations), fixed odd numbers that scatter keys over 64 bits: with a
    million vertices, two are taken for one with a probability of about 1e-7, at the price of one wrong neighbour.
    `InputError` where features are too large for float32.
    """
    d = features_Nd.shape[1]
    largest_d = np.array([max(column.max(), -column.min()) for column in features_Nd.T], np.float32)
    scaled = (largest_d * lattice_scale(d)).tolist()
    # How far from 0 each coordinate of a vertex can lie.
    reach = [sum(scaled[j:]) + (j * scaled[j - 1] if j else 0.0) for j in range(d + 1)]
    if max(reach) > _LARGEST:
        raise InputError(
            f"features reach {largest_d.max():.3g} standard deviations from 0: too far to"
            " tell neighbours apart in float32; give larger standard deviations (appearance_rgb, appearance_xy, ...)"
        )
    multipliers = [1]
    for coordinate in reach[:d]:
        most = math.ceil(coordinate) + 3 * (d + 1)  # of a neighbour, too
        multipliers.append(multipliers[-1] * (2 * most + 1))
    if multipliers[-1] < 2**63:
        return np.array(multipliers[:-1], np.int64)
    scattered = np.random.default_rng(0).integers(-(2**63), 2**63, (d,), np.int64)
    return scattered | 1
