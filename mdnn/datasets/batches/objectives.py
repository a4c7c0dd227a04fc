"""Chooses the training objective of each step and the masked positions.

The objectives are the decoding modes. In all of them position s predicts the token of position
s + 1. `autoregressive` trains all positions that have a next token. The others see the whole
context with mask tokens: in the whole answer (`parallel`) or in a random share of it
(`masked_diffusion`); only positions before a mask token are trained.
"""

import numpy as np

from mdnn.datasets.random_bits import OBJECTIVE, raw_bits, unit_floats
from mdnn.errors import MdnnError
from mdnn.tokens.features import MODALITY
from mdnn.tokens.modalities import modality

OBJECTIVES = ("autoregressive", "parallel", "masked_diffusion")

MASK = modality("blank").index


def objective_weights(objectives):
    """Returns the training shares of `OBJECTIVES`, float64 `[3]` with sum 1.

    Args:
        objectives: `mdnn.config.training_tables.Objectives`, or an object with the same fields.

    Raises:
        MdnnError: a weight is negative or all are 0.
    """
    weights = np.array([float(getattr(objectives, name)) for name in OBJECTIVES])
    if not np.isfinite(weights).all() or weights.min() < 0 or not weights.sum():
        named = ", ".join(f"{name} = {w:g}" for name, w in zip(OBJECTIVES, weights, strict=True))
        raise MdnnError(f"objectives: expected weights from 0 on, one above 0; received {named}")
    return weights / weights.sum()


def objective_at(seed, step, objectives):
    """Returns the objective of a step, a pure function of the arguments.

    Args:
        seed: int.
        step: int from 0.
        objectives: `mdnn.config.training_tables.Objectives`, the training shares.

    Returns:
        `"autoregressive"`, `"parallel"` or `"masked_diffusion"`.

    Raises:
        MdnnError: a weight is negative or all are 0.
    """
    bound = np.cumsum(objective_weights(objectives))
    draw = float(unit_floats(raw_bits(seed, step, 1, OBJECTIVE))[0])
    # Scaling by the last bound avoids a gap from rounding in the sum.
    return OBJECTIVES[int(np.searchsorted(bound, draw * bound[-1], side="right"))]


def masked_positions(objective, first, stop, positions, bits, keys=None):
    """Chooses the masked positions of each answer.

    With `masked_diffusion` the number of masked positions is uniform from 1 to the length of the
    answer, and all subsets of that size are equally likely. Masked positions are weighted by the
    inverse of the masked share, so the expected weighted loss is an upper bound on the negative
    log-likelihood of the answer (Nie et al. 2025, "Large Language Diffusion Models", in the variant
    that draws the number of masked tokens instead of each mask independently).

    Args:
        objective: `"parallel"` or `"masked_diffusion"`.
        first: ints `[n]`, the first position of each answer.
        stop: ints `[n]`, the position after its last.
        positions: int, positions of a context.
        bits: uint64 `[n]`, random bits for the number of masked positions.
        keys: uint64 `[n, positions]`, random bits for their choice; `masked_diffusion` only.

    Returns:
        `(mask, weights)`: bool `[n, positions]`, and float64 `[n]`, the loss weight of a context's
        masked positions.
    """
    position = np.arange(positions)
    first, stop = np.asarray(first), np.asarray(stop)
    answer = (position >= first[:, None]) & (position < stop[:, None])
    if objective == "parallel":
        return answer, np.ones(len(first))
    number = np.maximum(stop - first, 1)
    count = 1 + (bits % number.astype(np.uint64)).astype(np.int64)
    # The top bit separates the answer from the rest: the smallest keys are all in the answer.
    keys = np.where(answer, keys >> np.uint64(1), np.uint64(2**64 - 1))
    limit = np.sort(keys, axis=1)[np.arange(len(keys)), count - 1]
    return answer & (keys <= limit[:, None]), number / count


def masked_inputs(first, stop, positions, bits, keys, most):
    """Chooses the tokens of answers that autoregressive training reads as mask tokens.

    Half of the contexts keep all their tokens; in the others each token of the answer is masked
    with a probability that is uniform from 0 to `most`. All remain targets. What the tokens before
    do not tell has to come from the prompt (word dropout: Bowman et al. 2016, "Generating Sentences
    from a Continuous Space").

    Args:
        first: ints `[n]`, the first position of each answer.
        stop: ints `[n]`, the position after its last.
        positions: int, positions of a context.
        bits: uint64 `[n]`, random bits for the probabilities.
        keys: uint64 `[n, positions]`, random bits for the choice.
        most: float from 0 to 1.

    Returns:
        bool `[n, positions]`.
    """
    position = np.arange(positions)
    answer = (position >= np.asarray(first)[:, None]) & (position < np.asarray(stop)[:, None])
    share = most * np.maximum(0.0, 2 * unit_floats(bits) - 1)
    return answer & (unit_floats(keys) < share[:, None])


def mask_tokens(rows, kinds):
    """Builds mask tokens with the coordinates and item numbers of given tokens.

    Args:
        rows: int32 `[..., 8]`, tokens.
        kinds: ints that broadcast against `[...]`: indices of the requested modalities, 0 if
            the network predicts the modality.

    Returns:
        int32 `[..., 8]`.
    """
    rows = rows.copy()
    rows[..., MODALITY] = MASK
    rows[..., 1] = kinds
    rows[..., 2:4] = 0
    return rows


def normalised(weights, targets):
    """Scales weights to mean 1 over positions with a target; others get 0.

    Args:
        weights: Floats that broadcast against `[..., positions]`.
        targets: int32 `[..., positions, 8]`; positions with modality 0 have no target.

    Returns:
        float32 `[..., positions]`.
    """
    counted = targets[..., MODALITY] != 0
    weights = np.where(counted, weights, 0.0)
    total = weights.sum()
    return (weights * (counted.sum() / total if total else 0.0)).astype(np.float32)
