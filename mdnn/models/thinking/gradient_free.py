"""Refeed steps without gradient, in memory that does not grow with their number."""

from keras import ops

# Smallest number of runs of F that is compiled as a loop instead of unrolled.
UNROLLED = 4


def run_without_gradient(refeed, x, states, count, run, noise=None):
    """Runs steps without gradient: as a loop, or unrolled if there are few or with dropout.

    Args:
        refeed: `mdnn.models.thinking.recurrence.Refeed`.
        x: `[batch, t1, ..., tk, channels]`.
        states: tuple of tensors of the shape of x, or of `None` for zeros.
        count: int or int scalar tensor, number of steps.
        run: function that computes F.
        noise: `mdnn.models.thinking.state_noise.StateNoise` or `None`.

    Returns:
        Tuple of the states after all steps.
    """
    states = tuple(ops.zeros_like(x) if state is None else state for state in states)
    dropout = any(block.dropout is not None for block in refeed.blocks)
    if isinstance(count, int) and (count * refeed.runs(1) < UNROLLED or dropout):
        for _ in range(count):
            states = _step(refeed, x, states, run, noise)
        return states
    shape = ops.shape(x)

    def step(number, states):
        found = _step(refeed, x, states, run, noise and noise.at(number))
        return tuple(ops.cast(ops.reshape(state, shape), x.dtype) for state in found)

    if noise is not None:
        noise.begin()
    states = ops.fori_loop(0, count, step, states)
    return tuple(ops.stop_gradient(state) for state in states)


def _step(refeed, x, states, run, noise):
    """Runs one step and stops its gradients, which frees the graph recorded by PyTorch."""
    return tuple(ops.stop_gradient(state) for state in refeed.step(x, states, run, noise))
