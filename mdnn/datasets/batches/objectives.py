"""What a step trains: in turn, all at once, or by unmasking; and which positions are blank for it.

Position s answers the unit of position s + 1, in every way of writing. In turn, every position that
something follows does. The two others see the whole context, in which positions are blank: all of
the answer (`once`), or a random share of it (`unmask`), and only positions before a blank one
answer.
"""

import numpy as np

from mdnn.datasets.random_bits import OBJECTIVE, raw_bits
from mdnn.errors import MdnnError
from mdnn.tokens.features import MODALITY, modality

OBJECTIVES = ("autoregressive", "parallel", "masked_diffusion")

BLANK = modality("blank").index


def objective_weights(objectives):
    """Returns how often each of `OBJECTIVES` is trained, float64 `[3]`, their sum 1.

    Args:
        objectives: `mdnn.config.training_tables.Objectives`, or anything with such fields.

    Raises:
        MdnnError: If a weight is negative or all are 0.
    """
    weights = np.array([float(getattr(objectives, name)) for name in OBJECTIVES])
    if not np.isfinite(weights).all() or weights.min() < 0 or not weights.sum():
        named = ", ".join(f"{name} = {w:g}" for name, w in zip(OBJECTIVES, weights, strict=True))
        raise MdnnError(f"objectives: expected weights from 0 on, one above 0; received {named}")
    return weights / weights.sum()


def objective_at(seed, step, objectives):
    """Returns the objective of a step, a pure function of the arguments.

    Args:
        seed: Integer.
        step: Integer from 0.
        objectives: `mdnn.config.training_tables.Objectives`: how often each is trained.

    Returns:
        `"autoregressive"`, `"parallel"` or `"masked_diffusion"`.

    Raises:
        MdnnError: If a weight is negative or all are 0.
    """
    bound = np.cumsum(objective_weights(objectives))
    # 53 bits, as many as a float64 holds exactly
    draw = (int(raw_bits(seed, step, 1, OBJECTIVE)[0]) >> 11) / 2**53
    # scaled by the last bound, so that rounding in the sum leaves no gap above it
    return OBJECTIVES[int(np.searchsorted(bound, draw * bound[-1], side="right"))]


def masked_positions(objective, first, stop, positions, bits, keys=None):
    """Chooses the positions of each answer that are blank.

    With `unmask`, the number of blank positions is uniform from 1 to all of them and each position
    is as likely as any other. A blank position then weighs the inverse of their share, so that the
    sum of weighted nats is, on average, a bound on the answer's nats (Nie et al. 2025, "Large
    Language Diffusion Models", in the form that draws the number of blanks and not each blank by
    itself).

    Args:
        objective: `"parallel"` or `"masked_diffusion"`.
        first: Integers `[n]`, each context's first position of the answer.
        stop: Integers `[n]`, the position behind its last.
        positions: Integer, positions of a context.
        bits: uint64 `[n]`, random bits for the number of blank positions.
        keys: uint64 `[n, positions]`, random bits for which they are; `unmask` only.

    Returns:
        `(blank, weights)`: bool `[n, positions]` and float64 `[n]`, what a blank position weighs.
    """
    position = np.arange(positions)
    first, stop = np.asarray(first), np.asarray(stop)
    answer = (position >= first[:, None]) & (position < stop[:, None])
    if objective == "parallel":
        return answer, np.ones(len(first))
    number = np.maximum(stop - first, 1)
    count = 1 + (bits % number.astype(np.uint64)).astype(np.int64)
    # The top bit tells answer from rest, so that the smallest keys are all within the answer.
    keys = np.where(answer, keys >> np.uint64(1), np.uint64(2**64 - 1))
    limit = np.sort(keys, axis=1)[np.arange(len(keys)), count - 1]
    return answer & (keys <= limit[:, None]), number / count


def mask_tokens(rows, kinds):
    """Returns the blank rows that ask for the units of rows: their places and items, no bytes.

    Args:
        rows: int32 `[..., 8]`.
        kinds: Integers that broadcast against `[...]`: indices of the modalities that are asked
            for, 0 where the network is to decide.

    Returns:
        int32 `[..., 8]`.
    """
    rows = rows.copy()
    rows[..., MODALITY] = BLANK
    rows[..., 1] = kinds
    rows[..., 2:4] = 0
    return rows


def normalised(weights, targets):
    """Returns weights whose mean over the counted positions is 1; 0 at the others.

    Args:
        weights: Floats that broadcast against `[..., positions]`.
        targets: int32 `[..., positions, 8]`; a position counts where its modality is not 0.

    Returns:
        float32 `[..., positions]`.
    """
    counted = targets[..., MODALITY] != 0
    weights = np.where(counted, weights, 0.0)
    total = weights.sum()
    return (weights * (counted.sum() / total if total else 0.0)).astype(np.float32)
