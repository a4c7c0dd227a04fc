"""Items all at once, and by unmasking: blanks that a network fills seeing the whole context."""

from keras import ops

from mdnn.generation.item_writer import ItemWriter, at_positions
from mdnn.generation.sampling import uniform
from mdnn.layers.decoding_steps import is_any
from mdnn.models.loss import token_nll
from mdnn.tokens.features import MODALITY, PLACES

_NEVER = -1e30

CHANCE = 1.0
"""How much of the certainty of a unit is chance in the first pass, at temperature 1."""

# What a draw is for is numbered; units' decoding steps have the numbers from 0.
_WHICH = 1_000


class BlankWriter(ItemWriter):
    """Fills blanks, all in one pass, or over several passes the most certain first.

    In pass p of P every blank is decided. Then, of all the answer's units, those decided now
    with the certainty that they have now, those kept from earlier passes with the certainty that
    they had then, the ceil(units * p / P) most certain are kept (of equally certain ones the
    first); all others are blank again, also such as were kept before. So the share of blanks
    falls linearly. Certainty is the log-probability of the unit, and where the temperature T is
    above 0 a Gumbel-distributed number times `CHANCE` T (1 - p / P) more, as in MaskGIT (Chang et
    al. 2022, arXiv 2202.04200): without chance the first units kept are always the same ones, such
    as a picture's empty rim, and the more passes the more answers are alike. An `end` that is
    kept ends the answer: positions behind it become padding, unless it becomes blank again.

    Args:
        model, kinds, steps, sampler, words: see `ItemWriter`.
        units: int, how many rows there are to ask for, the longest answer's.
        once: whether there is one pass, `num_denoising_steps` is not looked at.
        places: whether certainty counts the places that the heads decide.

    Call arguments:
        inputs: see `ItemWriter`; `count` are positions that are answered, an `end` among them. And
            `ask` int32 `[n, units, 8]`: blank rows for the positions from `first` on; `shown` int32
            `[n]`: how many of them the context holds, at least `count`; `num_denoising_steps` int32
            `[n]`.

    Returns:
        dict of `rows` int32 `[n, units, 8]` and `written` int32 `[n]`, how many of them are the
        answer, and `stopped` int32 `[n]`, 1 where an `end` follows them.
    """

    def __init__(self, model, units, once=False, places=False, **kwargs):
        super().__init__(model, **kwargs)
        self.units, self.once, self.places = units, once, places

    def call(self, inputs):
        ask = inputs["ask"]
        number = ops.zeros_like(ask[..., 0]) + ops.arange(ask.shape[1], dtype="int32")
        nobody = ops.zeros_like(number)
        start = (ask, ops.cast(nobody, "float32") + _NEVER, nobody)
        if self.once:
            rows, _, kept = self._pass(0, start, number, inputs)
        else:
            last = ops.max(inputs["num_denoising_steps"])
            _, rows, _, kept = ops.while_loop(
                lambda turn, *state: turn < last,
                lambda turn, *state: (turn + 1, *self._pass(turn, state, number, inputs)),
                (ops.convert_to_tensor(0, dtype="int32"), *start),
            )
        end = self._end(rows, kept, number, inputs)
        written = ops.minimum(end, ops.sum(kept, axis=1))
        stopped = ops.cast(end < ask.shape[1], "int32")
        return {"rows": rows, "written": written, "stopped": stopped}

    def _end(self, rows, kept, number, inputs):
        """The first unit that is kept and ends the answer, int32 `[n]`; all units for none."""
        ends = ops.logical_and(kept > 0, ops.logical_not(self.is_own(rows, inputs)))
        return ops.min(ops.where(ends, number, number.shape[1]), axis=1)

    def _pass(self, turn, state, number, inputs):
        """Rows, certainties and which are kept, int32 `[n, units]`, after one more pass."""
        rows, certain, kept = state
        end = self._end(rows, kept, number, inputs)[:, None]
        live = ops.logical_and(number < inputs["count"][:, None], number <= end)
        keeps = ops.logical_and(kept > 0, live)
        seen = ops.where(keeps[..., None], rows, inputs["ask"])
        seen = ops.where((number <= end)[..., None], seen, 0)
        positions = inputs["first"][:, None] + number
        hidden = at_positions(self.hidden(self._laid(seen, inputs), False), positions - 1)
        found = self.decide(hidden, inputs, positions, number, turn)
        new = self.placed(found, inputs["ask"][..., PLACES], inputs)
        rows = ops.where(keeps[..., None], rows, new)
        if self.once:
            return rows, certain, ops.cast(live, "int32")
        sure = self._certainty(hidden, found) + self._chance(inputs, positions, turn)
        certain = ops.where(keeps, certain, sure)
        certain = ops.where(live, certain, _NEVER)
        count = ops.sum(ops.cast(live, "int32"), axis=1)
        num_denoising_steps = inputs["num_denoising_steps"]
        done = ops.minimum(turn + 1, num_denoising_steps)
        # ceil(count * done / passes), without a product that may leave 32 bits
        whole, rest = count // num_denoising_steps, count % num_denoising_steps
        keep = whole * done + (rest * done + num_denoising_steps - 1) // num_denoising_steps
        rank = ops.argsort(ops.argsort(-certain, axis=1), axis=1)
        best = ops.cast(rank, "int32") < keep[:, None]
        return rows, certain, ops.cast(ops.logical_and(best, live), "int32")

    def _laid(self, rows, inputs):
        """The contexts with `rows` from their first positions on, as many as are shown."""
        tokens = inputs["tokens"]
        position = ops.arange(self.positions, dtype="int32")[None, :]
        number = position - inputs["first"][:, None]
        inside = ops.logical_and(number >= 0, number < inputs["shown"][:, None])
        return ops.where(inside[..., None], at_positions(rows, number), tokens)

    def _chance(self, inputs, positions, turn):
        """The part of certainties that is chance, float32 `[n, units]`."""
        if self.sampler == "greedy":
            return 0.0
        left = 1.0 - ops.cast(turn + 1, "float32") / ops.cast(
            inputs["num_denoising_steps"], "float32"
        )
        scale = CHANCE * inputs["temperature"] * ops.maximum(left, 0.0)
        place = uniform(inputs["seed"][:, None], positions, _WHICH, turn)
        # Halves of the smallest step keep logarithms finite.
        place = ops.clip(place, 2.0**-25, 1.0 - 2.0**-25)
        return -ops.log(-ops.log(place)) * scale[:, None]

    def _certainty(self, hidden, rows):
        """Log-probability of each unit, of what the network was free to decide."""
        heads = self.heads
        weights = {"place": float(self.places), "modality": float(len(self.kinds) > 1)}
        if heads.table == "bits":
            how = {"places": heads.places, "base": heads.base, "digits": heads.digits}
            scores = heads(hidden, rows)
            return -token_nll(rows, scores, heads.modalities, weights, table="bits", **how)[0]
        # Of the kinds alone that may be answered: the scores of all would be many times as many.
        flat = ops.reshape(hidden, (-1, hidden.shape[-1]))
        units = ops.reshape(rows, (-1, rows.shape[-1]))
        total = 0.0
        for name in self.kinds:
            own = is_any(units[:, MODALITY], [name])
            total = total + own * heads.nll(name, flat, units, weights)
        return -ops.reshape(total, ops.shape(rows)[:-1])
