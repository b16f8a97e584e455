"""A DenseCRF's iterations as torch operations, for a GPU: the same lattice as `simplex` and `passes` build.

N pixels, d features, M vertices, K classes. It runs on any torch device, and is tested on torch's CPU; it has not been
run on a GPU. There, `index_add_` adds in no fixed order, so that the last bits differ from call to call.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from globalconv.arrays import AnyArray, Float32Array
from globalconv.crf import inputs
from globalconv.crf.lattice import key_multipliers, lattice_scale
from globalconv.crf.thread_pool import Crew
from globalconv.errors import InputError

if TYPE_CHECKING:
    from globalconv.crf.dense import DenseCRF


@dataclass(frozen=True)
class Term:
    """A symmetrically normalised kernel, its weight, and the compatibility (None: Potts)."""

    offsets_Nr: Tensor
    weights_Nr: Tensor
    neighbours_j2M: Tensor
    """Per axis the vertices before and after each; M where there is none."""
    scale_N: Tensor
    weight: float
    matrix_KK: Tensor | None

    def message(self, beliefs_NK: Tensor) -> Tensor:
        """Return what the term adds to the scores (N, K)."""
        scale_N1 = self.scale_N[:, None]
        filtered_NK = self.filter(beliefs_NK * scale_N1) * scale_N1 * self.weight
        return filtered_NK if self.matrix_KK is None else -(filtered_NK @ self.matrix_KK)

    def filter(self, rows_NK: Tensor) -> Tensor:
        """Splat, blur along the axes in turn, slice. Row M of the values stays 0: the neighbour of those without."""
        count, remainders = rows_NK.shape[0], self.offsets_Nr.shape[1]
        values_MK = rows_NK.new_zeros(self.neighbours_j2M.shape[2] + 1, rows_NK.shape[1])
        for r in range(remainders):
            values_MK.index_add_(0, self.offsets_Nr[:, r], self.weights_Nr[:, r, None] * rows_NK)
        for before_M, after_M in self.neighbours_j2M:
            values_MK[:-1] += 0.5 * (values_MK[before_M] + values_MK[after_M])
        sliced_NK = rows_NK.new_zeros(count, rows_NK.shape[1])
        for r in range(remainders):
            sliced_NK += self.weights_Nr[:, r, None] * values_MK[self.offsets_Nr[:, r]]
        return sliced_NK / (1 + 2.0 ** -(remainders - 1))


def refine(
    crf: "DenseCRF",
    image_HWC: AnyArray,
    scores_NK: Float32Array,
    classes: int,
    divergences: list[float] | None,
    device: str,
    crew: Crew,
) -> Float32Array:
    """Return beliefs (K, N) after the iterations, as `cpu.refine` does."""
    place = _device(device)
    scores = torch.from_numpy(scores_NK[:, :classes]).to(place)
    terms = _terms(crf, image_HWC, place, crew)
    beliefs_NK = scores.softmax(1)
    for step in range(crf.iterations + 1):
        if step:
            beliefs_NK = (scores + sum(term.message(beliefs_NK) for term in terms)).softmax(1)
        if divergences is not None:
            told_NK = scores + sum(term.message(beliefs_NK) for term in terms)
            divergences.append(float((beliefs_NK * (beliefs_NK.clamp_min(1e-20).log() - told_NK)).double().sum()))
    return np.ascontiguousarray(beliefs_NK.T.cpu().numpy())


def _device(name: str) -> torch.device:
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= (there := torch.cuda.device_count()):
        raise InputError(
            f"device={name!r}: torch sees {there or 'no'} GPU here; use device='{'cuda' if there else 'cpu'}'"
        )
    return device


def _terms(crf: "DenseCRF", image_HWC: AnyArray, device: torch.device, crew: Crew) -> list[Term]:
    height, width, channels = image_HWC.shape
    matrix_KK = None if crf.compatibility is None else torch.tensor(crf.compatibility, device=device)
    terms = []
    if crf.appearance_weight:
        rgb = crf.deviations(channels)
        near = inputs.bilateral(image_HWC, crf.appearance_xy, crf.appearance_xy, rgb, crew)
        terms.append(_term(near, crf.appearance_weight, matrix_KK, device))
    if crf.smoothness_weight:
        places = inputs.spatial(height, width, crf.smoothness_xy, crf.smoothness_xy)
        terms.append(_term(places, crf.smoothness_weight, matrix_KK, device))
    return terms


def _term(features_Nd: Float32Array, weight: float, matrix_KK: Tensor | None, device: torch.device) -> Term:
    count, d = features_Nd.shape
    multipliers = key_multipliers(features_Nd)
    if count % 4:  # the reference's phantom, see `lattice.build`
        features_Nd = np.concatenate([features_Nd, np.zeros((1, d), np.float32)])
    multipliers_d = torch.from_numpy(multipliers).to(device)
    scaled_Nd = torch.from_numpy(features_Nd).to(device) * torch.from_numpy(lattice_scale(d)).to(device)
    keys_Nr, weights_Nr = _embed(scaled_Nd, multipliers_d)
    known_M, offsets_Nr = keys_Nr.unique(return_inverse=True)
    steps = torch.cat([(d + 1) * multipliers_d, multipliers_d.new_zeros(1)]) - multipliers_d.sum()
    neighbours = torch.stack([torch.stack([_find(known_M, known_M - s), _find(known_M, known_M + s)]) for s in steps])
    ones_N = torch.ones(count, device=device)
    plain = Term(offsets_Nr[:count], weights_Nr[:count], neighbours, ones_N, weight, matrix_KK)
    scale_N = (plain.filter(ones_N[:, None])[:, 0] + 1e-20).rsqrt()
    return Term(plain.offsets_Nr, plain.weights_Nr, neighbours, scale_N, weight, matrix_KK)


def _find(known_M: Tensor, wanted_M: Tensor) -> Tensor:
    """Return where each wanted key is among the sorted known ones, or M."""
    place_M = torch.searchsorted(known_M, wanted_M).clamp_max(len(known_M) - 1)
    return torch.where(known_M[place_M] == wanted_M, place_M, len(known_M))


def _embed(scaled_Nd: Tensor, multipliers_d: Tensor) -> tuple[Tensor, Tensor]:
    """Return keys and barycentric weights (N, d+1) of the simplex of each pixel, as `simplex.embed` does."""
    d = scaled_Nd.shape[1]
    elevated: list[Tensor] = [torch.empty(0)] * (d + 1)
    total_N = torch.zeros_like(scaled_Nd[:, 0])
    for j in range(d, 0, -1):
        elevated[j] = total_N - j * scaled_Nd[:, j - 1]
        total_N = total_N + scaled_Nd[:, j - 1]
    elevated[0] = total_N
    elevated_Ni = torch.stack(elevated, 1)
    rounded_Ni = (elevated_Ni * float(np.float32(1) / np.float32(d + 1))).round()
    near_Ni = rounded_Ni * (d + 1)
    distance_Ni = elevated_Ni - near_Ni
    rank_Ni = torch.zeros_like(near_Ni, dtype=torch.int64)
    for i in range(d):
        for j in range(i + 1, d + 1):
            below_N = distance_Ni[:, i] < distance_Ni[:, j]
            rank_Ni[:, i] += below_N
            rank_Ni[:, j] += ~below_N
    rank_Ni += rounded_Ni.sum(1, keepdim=True).long()
    correction_Ni = (d + 1) * ((rank_Ni < 0).long() - (rank_Ni > d).long())
    rank_Ni += correction_Ni
    near_Ni = near_Ni + correction_Ni
    part_Ni = (elevated_Ni - near_Ni) * float(np.float32(1) / np.float32(d + 1))
    weights = scaled_Nd.new_zeros(len(scaled_Nd), d + 2)
    weights.scatter_add_(1, d - rank_Ni, part_Ni).scatter_add_(1, d - rank_Ni + 1, -part_Ni)
    weights[:, 0] += 1 + weights[:, d + 1]
    wrapped = torch.arange(d + 1, device=scaled_Nd.device)[:, None, None] > d - rank_Ni[:, :d]
    coordinates_rNd = near_Ni[:, :d].long() - (d + 1) * wrapped
    keys_rN = (coordinates_rNd * multipliers_d).sum(2)
    keys_rN += torch.arange(d + 1, device=scaled_Nd.device)[:, None] * multipliers_d.sum()
    return keys_rN.T, weights[:, : d + 1]
