"""Mean field as torch operations, for a GPU: on the same lattice as `simplex` and `kernels` build.

N pixels, d features, M vertices, K classes. It runs on any torch device, and is tested on torch's CPU; it has not been
run on a GPU. There, `index_add_` adds in no fixed order, so that the last bits differ from call to call.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from globalconv.arrays import Float32Array
from globalconv.crf.inputs import CrfProblem, spatial_features
from globalconv.crf.lattice import key_multipliers, lattice_scale
from globalconv.crf.thread_pool import ThreadPool
from globalconv.errors import InputError


@dataclass(frozen=True)
class TorchPairwiseTerm:
    """A symmetrically normalised kernel, its weight, and the costs of disagreement (None: Potts)."""

    offsets_Nr: Tensor
    weights_Nr: Tensor
    neighbours_j2M: Tensor
    """Per axis the vertices before and after each; M where there is none."""
    scale_N: Tensor
    weight: float
    costs_KK: Tensor | None

    def message(self, beliefs_NK: Tensor) -> Tensor:
        """Return what the term adds to the scores (N, K)."""
        scale_N1 = self.scale_N[:, None]
        filtered_NK = self.filter(beliefs_NK * scale_N1) * scale_N1 * self.weight
        return filtered_NK if self.costs_KK is None else -(filtered_NK @ self.costs_KK)

    def filter(self, rows_NK: Tensor) -> Tensor:
        """Splat, blur along the axes in turn, slice. Row M of the values stays 0: the neighbour where there is none."""
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


def refine(problem: CrfProblem, device: str, pool: ThreadPool, divergences: list[float] | None = None) -> Float32Array:
    """Return beliefs (K, N) after the iterations, as `solver_cpu.refine` does."""
    place = torch.device(device)
    if place.type == "cuda" and (place.index or 0) >= (gpus := torch.cuda.device_count()):
        raise InputError(
            f"device={device!r}: torch sees {gpus or 'no'} GPU here; use device='{'cuda' if gpus else 'cpu'}'"
        )
    costs_KK = None if problem.costs_KK is None else torch.tensor(problem.costs_KK, device=place)
    terms = []
    if problem.appearance_weight:
        features_Nd = problem.appearance_features(pool)
        terms.append(_term(features_Nd, problem.appearance_weight, costs_KK, place))
    if problem.smoothness_weight:
        height, width, _ = problem.image_HWC.shape
        features_Nd = spatial_features(height, width, problem.smoothness_xy, problem.smoothness_xy)
        terms.append(_term(features_Nd, problem.smoothness_weight, costs_KK, place))
    scores_NK = torch.from_numpy(problem.scores_NK[:, : problem.classes]).to(place)
    beliefs_NK = scores_NK.softmax(1)
    for step in range(problem.iterations + 1):
        if step:
            beliefs_NK = (scores_NK + sum(term.message(beliefs_NK) for term in terms)).softmax(1)
        if divergences is not None:
            sums_NK = scores_NK + sum(term.message(beliefs_NK) for term in terms)
            divergences.append(float((beliefs_NK * (beliefs_NK.clamp_min(1e-20).log() - sums_NK)).double().sum()))
    return np.ascontiguousarray(beliefs_NK.T.cpu().numpy())


def _term(features_Nd: Float32Array, weight: float, costs_KK: Tensor | None, device: torch.device) -> TorchPairwiseTerm:
    """Return the term of pixels with these features: the lattice that `lattice.build` makes, and its normalisation."""
    count, d = features_Nd.shape
    multipliers = key_multipliers(features_Nd)
    if count % 4:  # the reference's additional pixel, see `lattice.build`
        features_Nd = np.concatenate([features_Nd, np.zeros((1, d), np.float32)])
    multipliers_d = torch.from_numpy(multipliers).to(device)
    scaled_Nd = torch.from_numpy(features_Nd).to(device) * torch.from_numpy(lattice_scale(d)).to(device)
    keys_Nr, weights_Nr = _embed(scaled_Nd, multipliers_d)
    keys_M, offsets_Nr = keys_Nr.unique(return_inverse=True)

    def find(wanted_M: Tensor) -> Tensor:  # the vertices of these keys; M for those that no vertex has
        place_M = torch.searchsorted(keys_M, wanted_M).clamp_max(len(keys_M) - 1)
        return torch.where(keys_M[place_M] == wanted_M, place_M, len(keys_M))

    steps = torch.cat([(d + 1) * multipliers_d, multipliers_d.new_zeros(1)]) - multipliers_d.sum()
    neighbours_j2M = torch.stack([torch.stack([find(keys_M - step), find(keys_M + step)]) for step in steps])
    ones_N = torch.ones(count, device=device)
    plain = TorchPairwiseTerm(offsets_Nr[:count], weights_Nr[:count], neighbours_j2M, ones_N, weight, costs_KK)
    return replace(plain, scale_N=(plain.filter(ones_N[:, None])[:, 0] + 1e-20).rsqrt())


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
