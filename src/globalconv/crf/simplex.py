"""Where every pixel lies in the permutohedral lattice: machine code that builds a lattice.

N pixels, d features, M vertices. A pixel lies in a simplex of d+1 vertices, one of each remainder 0 .. d: all
coordinates of a vertex are equal modulo d+1, to its remainder. So each remainder is numbered on its own, in its own
table, by whichever thread is free; a step along an axis leads from remainder r to r-1.

A vertex is known by its key, sum over i < d of coordinate_i * multiplier_i (int64, wrapping), so that a step along an
axis adds a constant. `lattice` chooses multipliers that make keys unique.

Source: Adams, Baek, Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", 2010, section 3. Rounding
is float32 in the order of the reference implementation, so that the same vertices come to be.
"""

import numpy as np
import numpy.typing as npt

from globalconv.crf.compiled import compiled

Ints = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

_SPREAD = np.int64(-7046029254386353131)
"""2^64 / golden ratio: spreads keys over a table."""


@compiled
def embed(
    features_Nd: Floats, scale_d: Floats, multipliers_d: Ints, keys_rN: Ints, weights_Nr: Floats, begin: int, end: int
) -> None:
    """Write the keys and barycentric weights of the simplex of each pixel begin .. end-1."""
    d = features_Nd.shape[1]
    elevated, near = np.empty(d + 1, np.float32), np.empty(d + 1, np.float32)
    rank, holder = np.empty(d + 1, np.int64), np.empty(d + 1, np.int64)
    weights = np.empty(d + 2, np.float32)
    step = multipliers_d.sum()
    for n in range(begin, end):
        _elevate(features_Nd[n], scale_d, elevated)
        _nearest(elevated, near, rank)
        key = _weigh(elevated, near, rank, multipliers_d, weights, holder)
        for r in range(d + 1):
            if r > 0:  # from remainder to remainder every coordinate gains 1, the one whose turn it is loses d+1
                key += step
                i = holder[d - r + 1]
                if i < d:
                    key -= (d + 1) * multipliers_d[i]
            keys_rN[r, n] = key
            weights_Nr[n, r] = weights[r]


@compiled
def _elevate(feature_d: Floats, scale_d: Floats, elevated: Floats) -> None:
    """Place a feature on the plane of d+1 coordinates that add up to 0."""
    total = np.float32(0)
    for j in range(feature_d.shape[0], 0, -1):
        scaled = feature_d[j - 1] * scale_d[j - 1]
        elevated[j] = total - np.float32(j) * scaled
        total += scaled
    elevated[0] = total


@compiled
def _nearest(elevated: Floats, near: Floats, rank: Ints) -> None:
    """Find the closest vertex of remainder 0, and the order of the distances to it: rank 0 is the largest."""
    d = elevated.shape[0] - 1
    up, down = np.float32(d + 1), np.float32(1) / np.float32(d + 1)
    excess = np.float32(0)
    for i in range(d + 1):
        rounded = np.rint(down * elevated[i])
        near[i] = rounded * up
        excess += rounded
        rank[i] = 0
    for i in range(d):
        distance = elevated[i] - near[i]
        for j in range(i + 1, d + 1):
            below = distance < elevated[j] - near[j]
            rank[i] += below
            rank[j] += 1 - below
    for i in range(d + 1):  # a vertex off the plane is brought back
        rank[i] += np.int64(excess)
        if rank[i] < 0:
            rank[i] += d + 1
            near[i] += up
        elif rank[i] > d:
            rank[i] -= d + 1
            near[i] -= up


@compiled
def _weigh(elevated: Floats, near: Floats, rank: Ints, multipliers_d: Ints, weights: Floats, holder: Ints) -> np.int64:
    """Compute the barycentric weights, and which coordinate holds which rank; return the key of `near`."""
    d = elevated.shape[0] - 1
    down = np.float32(1) / np.float32(d + 1)
    weights[:] = 0
    key = np.int64(0)
    for i in range(d + 1):
        part = (elevated[i] - near[i]) * down
        weights[d - rank[i]] += part
        weights[d - rank[i] + 1] -= part
        holder[rank[i]] = i
        if i < d:
            key += np.int64(near[i]) * multipliers_d[i]
    weights[0] += np.float32(1) + weights[d + 1]
    return key


@compiled
def _slot(table: Ints, key: np.int64) -> np.int64:
    """Return where `key` is in the table of (key, number), or the free place (number -1) where it belongs."""
    mask = table.shape[0] - 1
    place: np.int64 = key * _SPREAD
    place = (place ^ place >> 32) & mask
    while table[place, 1] >= 0 and table[place, 0] != key:
        place = (place + 1) & mask
    return place


@compiled
def number(keys_N: Ints, offsets_Nr: Indices, remainder: int) -> tuple[Ints, Ints]:
    """Number the distinct keys in the order of first touch; return the table to find them in, and the keys by number.

    Column `remainder` of `offsets_Nr` receives the number of each pixel's vertex. Keys beyond the pixels only count.
    """
    table = np.full((1 << 12, 2), -1, np.int64)
    known = np.empty(1 << 11, np.int64)
    count, last_key, last = 0, np.int64(0), np.int64(-1)
    for n in range(keys_N.shape[0]):
        key = keys_N[n]
        if last < 0 or key != last_key:
            last_key = key
            place = _slot(table, key)
            last = table[place, 1]
            if last < 0:
                if count == known.shape[0]:
                    table, known = _grown(known)
                    place = _slot(table, key)
                table[place, 0], table[place, 1], known[count] = key, count, key
                last = np.int64(count)
                count += 1
        if n < offsets_Nr.shape[0]:
            offsets_Nr[n, remainder] = last
    return table, known[:count].copy()


@compiled
def _grown(known: Ints) -> tuple[Ints, Ints]:
    """Return a table and a list of keys with room for twice as many."""
    count = known.shape[0]
    more = np.empty(2 * count, np.int64)
    more[:count] = known
    table = np.full((4 * count, 2), -1, np.int64)
    for vertex in range(count):
        place = _slot(table, known[vertex])
        table[place, 0], table[place, 1] = known[vertex], vertex
    return table, more


@compiled
def follow(keys: Ints, first: int, table: Ints, table_first: int, steps: Ints, next_jM: Indices) -> None:
    """Write for each vertex of one remainder and each axis j the vertex one step on, or -1 where there is none.

    `first` is the number of this remainder's first vertex among all, `table_first` that of the remainder in `table`.
    """
    for vertex in range(keys.shape[0]):
        for j in range(steps.shape[0]):
            found = table[_slot(table, keys[vertex] + steps[j]), 1]
            next_jM[j, first + vertex] = table_first + found if found >= 0 else -1


@compiled
def chains(next_M: Indices) -> Indices:
    """Return the vertices that have a neighbour along one axis, chain after chain; the last of a chain as ~vertex."""
    led = np.zeros(next_M.shape[0], np.bool_)
    for vertex in range(next_M.shape[0]):
        if next_M[vertex] >= 0:
            led[next_M[vertex]] = True
    order, length = np.empty(next_M.shape[0], np.int32), 0
    for head in range(next_M.shape[0]):
        if led[head] or next_M[head] < 0:
            continue
        vertex = head
        while next_M[vertex] >= 0:
            order[length] = vertex
            length += 1
            vertex = int(next_M[vertex])
        order[length] = ~vertex
        length += 1
    return order[:length].copy()
