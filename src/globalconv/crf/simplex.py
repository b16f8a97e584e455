"""The compiled loops that build a permutohedral lattice: the simplex of every pixel, and the neighbours of vertices.

N pixels, d features, M vertices. A pixel lies in a simplex of d+1 vertices, one of each remainder 0 .. d: all
coordinates of a vertex are equal modulo d+1, to its remainder. So each remainder is numbered on its own, in its own
table, by whichever thread is free; a step along an axis leads from remainder r to r-1.

A vertex is identified by its key, sum over i < d of coordinate_i * multiplier_i (int64, wrapping), so that a step along
an axis adds a constant. `lattice` chooses multipliers that make keys unique.

Source: Adams, Baek, Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", 2010, section 3. Rounding
is float32 in the order of the reference implementation, so that the same vertices exist.
"""

import numpy as np

from globalconv.arrays import BoolArray, Float32Array, Int32Array, Int64Array
from globalconv.runtime.jit import compiled

_SPREAD = np.int64(-7046029254386353131)
"""2^64 / golden ratio: spreads keys over a table."""


_BLOCK = 64
"""Pixels that are placed together: the innermost loops run over them, so that the compiler makes vectors of them."""


@compiled
def embed(
    features_Nd: Float32Array,
    scale_d: Float32Array,
    multipliers_d: Int64Array,
    keys_rN: Int64Array,
    weights_Nr: Float32Array,
    begin: int,
    end: int,
) -> None:
    """Write the keys and barycentric weights of the simplex of each pixel begin .. end-1."""
    shape = (features_Nd.shape[1] + 1, _BLOCK)
    elevated, near, excess = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)
    rank, turns = np.empty(shape, np.int32), np.empty(shape, np.int64)
    for first in range(begin, end, _BLOCK):
        count = min(_BLOCK, end - first)
        _elevate(features_Nd[first : first + count], scale_d, elevated)
        _nearest(elevated, near, rank)
        _sort(elevated, near, rank, multipliers_d, excess, turns)
        _write(near, excess, turns, multipliers_d, keys_rN[:, first : first + count], weights_Nr[first : first + count])


@compiled
def _elevate(features_nd: Float32Array, scale_d: Float32Array, elevated_rB: Float32Array) -> None:
    """Place features on the plane of d+1 coordinates that add up to 0."""
    total, scaled = np.zeros(_BLOCK, np.float32), np.zeros(_BLOCK, np.float32)
    for j in range(features_nd.shape[1], 0, -1):
        for p in range(features_nd.shape[0]):
            scaled[p] = features_nd[p, j - 1] * scale_d[j - 1]
        for p in range(_BLOCK):
            elevated_rB[j, p] = total[p] - np.float32(j) * scaled[p]
            total[p] += scaled[p]
    elevated_rB[0] = total


@compiled
def _nearest(elevated_rB: Float32Array, near_rB: Float32Array, rank_rB: Int32Array) -> None:
    """Find the closest vertex of remainder 0, and the order of the distances to it: rank 0 is the largest."""
    d = elevated_rB.shape[0] - 1
    up, down = np.float32(d + 1), np.float32(1) / np.float32(d + 1)
    excess, distance = np.zeros(_BLOCK, np.float32), np.empty(elevated_rB.shape, np.float32)
    rank_rB[:] = 0
    for i in range(d + 1):
        for p in range(_BLOCK):
            rounded = np.rint(down * elevated_rB[i, p])
            near_rB[i, p] = rounded * up
            excess[p] += rounded
            distance[i, p] = elevated_rB[i, p] - near_rB[i, p]
    for i in range(d):
        for j in range(i + 1, d + 1):
            for p in range(_BLOCK):
                below = np.int32(distance[i, p] < distance[j, p])
                rank_rB[i, p] += below
                rank_rB[j, p] += np.int32(1) - below
    for i in range(d + 1):
        for p in range(_BLOCK):  # a vertex off the plane is brought back
            moved = rank_rB[i, p] + np.int32(excess[p])
            back = np.int32(moved < 0) - np.int32(moved > d)
            rank_rB[i, p] = moved + np.int32(d + 1) * back
            near_rB[i, p] += up * np.float32(back)


@compiled
def _sort(
    elevated_rB: Float32Array,
    near_rB: Float32Array,
    rank_rB: Int32Array,
    multipliers_d: Int64Array,
    excess_rB: Float32Array,
    turns_rB: Int64Array,
) -> None:
    """Write by rank the distance of a coordinate from `near`, in steps of d+1, and its multiplier (the last has 0)."""
    d = elevated_rB.shape[0] - 1
    down = np.float32(1) / np.float32(d + 1)
    for i in range(d + 1):
        multiplier = multipliers_d[i] if i < d else np.int64(0)
        for rank in range(d + 1):
            for p in range(_BLOCK):
                here = rank_rB[i, p] == rank
                far = (elevated_rB[i, p] - near_rB[i, p]) * down
                excess_rB[rank, p] = far if here else excess_rB[rank, p]
                turns_rB[rank, p] = multiplier if here else turns_rB[rank, p]


@compiled
def _write(
    near_rB: Float32Array,
    excess_rB: Float32Array,
    turns_rB: Int64Array,
    multipliers_d: Int64Array,
    keys_rn: Int64Array,
    weights_nr: Float32Array,
) -> None:
    """Write keys and barycentric weights.

    From remainder to remainder every coordinate gains 1, and the one whose turn it is loses d+1.
    """
    d, step = near_rB.shape[0] - 1, multipliers_d.sum()
    for p in range(weights_nr.shape[0]):
        key = np.int64(0)
        for i in range(d):
            key += np.int64(near_rB[i, p]) * multipliers_d[i]
        keys_rn[0, p] = key
        weights_nr[p, 0] = excess_rB[d, p] + (np.float32(1) - excess_rB[0, p])
        for r in range(1, d + 1):
            key += step - (d + 1) * turns_rB[d - r + 1, p]
            keys_rn[r, p] = key
            weights_nr[p, r] = excess_rB[d - r, p] - excess_rB[d - r + 1, p]


@compiled
def _find(table: Int32Array, keys_M: Int64Array, key: np.int64) -> np.int64:
    """Return the place in a hash table of the vertex with this `key`, or the free one (-1) where it belongs."""
    mask = table.shape[0] - 1
    place: np.int64 = key * _SPREAD
    place = (place ^ place >> 32) & mask
    while table[place] >= 0 and keys_M[table[place]] != key:
        place = (place + 1) & mask
    return place


@compiled
def number(keys_N: Int64Array, offsets_Nr: Int32Array, remainder: int) -> tuple[Int32Array, Int64Array]:
    """Number the distinct keys in the order of first touch; return a hash table of the numbers, and the keys by number.

    Column `remainder` of `offsets_Nr` receives the number of each pixel's vertex. Keys beyond the pixels are numbered
    only. The table holds numbers alone and is a quarter full at most: small enough for the cache, few collisions.
    """
    table, keys_M, count = np.full(1 << 12, -1, np.int32), np.empty(1 << 10, np.int64), 0
    for n in range(keys_N.shape[0]):
        place = _find(table, keys_M, keys_N[n])
        if table[place] < 0:
            if count == keys_M.shape[0]:
                table, keys_M = _enlarge(keys_M)
                place = _find(table, keys_M, keys_N[n])
            table[place], keys_M[count] = count, keys_N[n]
            count += 1
        if n < offsets_Nr.shape[0]:
            offsets_Nr[n, remainder] = table[place]
    return table, keys_M[:count].copy()


@compiled
def _enlarge(keys_M: Int64Array) -> tuple[Int32Array, Int64Array]:
    """Return a hash table and a list of keys with room for twice as many."""
    count = keys_M.shape[0]
    more = np.empty(2 * count, np.int64)
    more[:count] = keys_M
    table = np.full(8 * count, -1, np.int32)
    for vertex in range(count):
        table[_find(table, keys_M, keys_M[vertex])] = vertex
    return table, more


@compiled
def arrange(offsets_Nr: Int32Array, firsts: Int64Array, ends: Int64Array) -> tuple[Int32Array, Int64Array]:
    """Give every vertex its place among all: in the order of first touch, whatever its remainder.

    So vertices that are near in the image are near in memory. `offsets_Nr` holds numbers within a remainder, where the
    one to be touched next is one more than the last. Returned are the place of each vertex, remainder after remainder
    from `firsts` on, and how many vertices the pixels before each of `ends` touch. Vertices that no pixel touches come
    last.
    """
    places_M, touched = np.empty(firsts[-1], np.int32), np.empty(ends.shape[0], np.int64)
    remainders, place = offsets_Nr.shape[1], 0
    following = np.zeros(remainders, np.int64)
    for band in range(ends.shape[0]):
        for n in range(ends[band - 1] if band else 0, ends[band]):
            for r in range(remainders):
                if offsets_Nr[n, r] == following[r]:
                    places_M[firsts[r] + following[r]] = place
                    following[r] += 1
                    place += 1
        touched[band] = place
    for r in range(remainders):
        for vertex in range(firsts[r] + following[r], firsts[r + 1]):
            places_M[vertex] = place
            place += 1
    return places_M, touched


@compiled
def move(offsets_Nr: Int32Array, remainder: int, places: Int32Array) -> None:
    """Turn the numbers within a remainder into places among all."""
    for n in range(offsets_Nr.shape[0]):
        offsets_Nr[n, remainder] = places[offsets_Nr[n, remainder]]


@compiled
def stand_in(offsets_Nr: Int32Array, begin: int, end: int, touched: int, places_Nr: Int32Array) -> Int32Array:
    """Number stand-ins 0, 1, ... for the vertices below `touched` of pixels begin .. end-1; return these vertices.

    `places_Nr` receives the stand-ins of a pixel, and its other vertices as they are; marked as ~place where no pixel
    before it touches it.
    """
    number, vertices, count = np.full(touched, -1, np.int32), np.empty(touched, np.int32), np.int32(0)
    following = touched
    for n in range(begin, end):
        for r in range(offsets_Nr.shape[1]):
            vertex = offsets_Nr[n, r]
            if vertex >= touched:
                places_Nr[n, r] = ~vertex if vertex == following else vertex
                following += vertex == following
            elif number[vertex] < 0:
                number[vertex], vertices[count], places_Nr[n, r] = count, vertex, ~count
                count += np.int32(1)
            else:
                places_Nr[n, r] = number[vertex]
    return vertices[:count].copy()


@compiled
def shift(offsets_Nr: Int32Array, begin: int, end: int, touched: int, first: int, places_Nr: Int32Array) -> None:
    """Let the stand-ins of pixels begin .. end-1 begin at row `first`."""
    for n in range(begin, end):
        for r in range(offsets_Nr.shape[1]):
            if offsets_Nr[n, r] < touched:
                place = places_Nr[n, r]
                places_Nr[n, r] = place + first if place >= 0 else place - first


@compiled
def follow(
    keys: Int64Array,
    places: Int32Array,
    table: Int32Array,
    other_keys: Int64Array,
    other_places: Int32Array,
    steps: Int64Array,
    next_jM: Int32Array,
    led_jM: BoolArray,
) -> None:
    """Write for each vertex of one remainder and each axis j the vertex one step on, or -1 where there is none.

    `table`, `other_keys` and `other_places` are those of the remainder that a step leads to. `led_jM` becomes True for
    its vertices that a step leads to.
    """
    for vertex in range(keys.shape[0]):
        for j in range(steps.shape[0]):
            number, place = table[_find(table, other_keys, keys[vertex] + steps[j])], places[vertex]
            next_jM[j, place] = other_places[number] if number >= 0 else -1
            if number >= 0:
                led_jM[j, other_places[number]] = True


@compiled
def chains(next_M: Int32Array, led_M: BoolArray) -> Int32Array:
    """Return the vertices that have a neighbour along one axis, chain after chain; the last of a chain as ~vertex."""
    order, length = np.empty(next_M.shape[0], np.int32), 0
    for head in range(next_M.shape[0]):
        if led_M[head] or next_M[head] < 0:
            continue
        vertex = head
        while next_M[vertex] >= 0:
            order[length] = vertex
            length += 1
            vertex = int(next_M[vertex])
        order[length] = ~vertex
        length += 1
    return order[:length].copy()
