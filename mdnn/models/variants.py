"""Other ways to run a network: with other wiring, with other refeeds, part by part.

All of them use the network's own layers, and so its weights.
"""

import keras
from keras import ops

from mdnn.errors import MdnnError
from mdnn.models.mixing import MixBranch
from mdnn.models.refeeding import Refeed, refed


class Parts(keras.layers.Layer):
    """The layers of a network, to be run in other ways than as it was built.

    It holds the network's weights, so that a model that holds it has them, too.

    Args:
        model: a network as `mdnn.build` makes it.

    Call arguments:
        tokens, causal, refeeds: see `hidden`.

    Attributes:
        embedding, to_grid, to_slots, heads: layers.
        branches: list of layers, the backbone's, in the order in which they run.
        refeed: the `Refeed` that holds them, or `None`.
        final_norm: layer or `None`.
        halt: the `HaltHead`, or `None`.
        refeeds: int, steps where no other number is asked for.
        grid: tuple of ints, the sizes of the context's axes.
        row: int, slots of the fastest axis.
        rows: int, rows of a context.
        can_be_causal: whether it can be run with `causal=True`.
        row_wise: whether slots of a row take from other rows through folds alone, so that
            `additions` and `row_hidden` together give what `hidden` gives.
    """

    def __init__(self, model, name="parts"):
        super().__init__(name=name)
        found = {layer.name: layer for layer in model.layers}
        self.embedding, self.to_grid = found["embedding"], found["grid"]
        self.to_slots, self.heads = found["slots"], found["heads"]
        self.final_norm, self.refeed = found.get("final_norm"), found.get("refeed")
        self.halt = found.get("halt")
        self.branches = (
            list(self.refeed.branches)
            if self.refeed is not None
            else [layer for layer in model.layers if layer.name.startswith("block_")]
        )
        self.refeeds = 1 if self.refeed is None else self.refeed.steps
        *grid, self.width = self.to_grid.target_shape
        self.grid, self.row = tuple(grid), grid[-1]
        self.rows = self.to_slots.target_shape[0] // self.row
        self.can_be_causal = all(branch.can_be_causal for branch in self.branches)
        self.row_wise = all(
            branch.stays_in_rows(len(grid))
            for branch in self.branches
            if isinstance(branch, MixBranch)
        )
        self.built = True

    def call(self, tokens, causal=True, refeeds=None, training=None):
        return self.hidden(tokens, causal, refeeds, training)

    def hidden(self, tokens, causal=True, refeeds=None, training=None):
        """What the heads are given.

        Args:
            tokens: int32 `[batch, slots, 8]`.
            causal: whether no slot sees those after it.
            refeeds: int, steps; `None`: as the network was built.
            training: boolean.

        Returns:
            `[batch, slots, width]`.
        """
        x = self.to_grid(self.embedding(tokens))
        return self.answer_of(self.backbone(x, causal, refeeds, training))

    def answer_of(self, state):
        """What the heads are given for a state of the backbone: `[batch, slots, width]`."""
        return self.to_slots(self._normed(state))

    def backbone(self, x, causal=True, refeeds=None, training=None, **folds):
        """The backbone with its refeeds: `[batch, *grid, width]` to the same.

        `folds`: `folded` and `kept` of `mdnn.models.refeeding.refed`.
        """
        steps = refeeds or self.refeeds
        if self.refeed is not None and not folds:
            return self.refeed(x, steps=steps, causal=causal, training=training)
        first = None if self.refeed is None else self.refeed.first_states(x)[0]
        return refed(self.branches, x, steps, first, causal=causal, training=training, **folds)

    def _normed(self, x):
        return x if self.final_norm is None else self.final_norm(x)

    def additions(self, tokens, refeeds=None):
        """What the folds of a causal pass add to every row.

        A row's additions depend on the rows before it alone, so they can be taken once before
        the row is written.

        Args:
            tokens: int32 `[batch, slots, 8]`.
            refeeds: as for `hidden`.

        Returns:
            List of `[batch, rows, row, width]`, one per step and fold, in the order in which they
            run.
        """
        kept = []
        x = self.to_grid(self.embedding(tokens))
        self.backbone(x, refeeds=refeeds, kept=kept)
        return [ops.reshape(y, (-1, self.rows, self.row, self.width)) for y in kept]

    def row_hidden(self, tokens, additions, refeeds=None):
        """What the heads are given for one row alone, where the network is `row_wise`.

        Args:
            tokens: int32 `[batch, row, 8]`, the slots of one row.
            additions: list of `[batch, row, width]`, that row of what `additions` gave.
            refeeds: as for `hidden`, and as `additions` was told.

        Returns:
            `[batch, row, width]`: that row of what `hidden` gives causally.
        """
        alone = (-1, *(1 for _ in self.grid[1:]), self.row, self.width)
        folded = [ops.reshape(addition, alone) for addition in additions]
        x = ops.reshape(self.embedding(tokens), alone)
        y = self._normed(self.backbone(x, refeeds=refeeds, folded=folded))
        return ops.reshape(y, (-1, self.row, self.width))


def variant(model, causal, refeeds=None):
    """The same network, with the same weights, wired or refed in another way.

    Args:
        model: a network as `mdnn.build` makes it.
        causal: whether no slot sees those after it; otherwise every slot sees the whole context.
        refeeds: int, steps; `None`: as the network was built.

    Returns:
        A functional `keras.Model` with the inputs and output of `model`.

    Raises:
        MdnnError: causal, but the network's wiring is not; or fewer than one step.
    """
    if refeeds is not None and (not isinstance(refeeds, int) or refeeds < 1):
        raise MdnnError(f"refeeds: expected a number of steps from 1, received {refeeds!r}")
    parts = Parts(model)
    if causal and not parts.can_be_causal:
        raise MdnnError(
            "this network cannot write in turn: it has mixers without 'causal' wiring, and was "
            "trained with train.objectives.turn = 0"
        )
    inputs = {
        name: keras.Input(tensor.shape[1:], dtype="int32", name=name, optional=name == "targets")
        for name, tensor in model.input.items()
    }
    x = _run(parts, parts.to_grid(parts.embedding(inputs["tokens"])), causal, refeeds)
    x = parts.answer_of(x)
    if parts.halt is not None:
        x = parts.halt(x)
    scores = parts.heads(x, inputs["targets"])
    found = keras.Model(inputs, scores, name=model.name)
    # For those who run its layers one by one.
    found.causal = causal
    return found


def _run(parts, x, causal, refeeds):
    refeed = parts.refeed
    if refeed is None and (refeeds or 1) > 1:
        refeed = Refeed(parts.branches, refeeds, name="refeed")
    if refeed is not None:
        return refeed(x, steps=refeeds, causal=causal)
    for branch in parts.branches:
        x = branch(x, causal=causal)
    return x
