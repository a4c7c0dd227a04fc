"""Decodes by masked diffusion: predicts all masked positions of a context in parallel.

A single denoising step is parallel decoding. Over several denoising steps the most confident tokens
are kept first.
"""

from keras import ops

from mdnn.generation.sampling import uniform
from mdnn.generation.token_decoder import TokenDecoder, at_positions
from mdnn.layers.decoding_steps import is_any
from mdnn.models.loss import token_nll
from mdnn.tokens.features import COORDINATES, MODALITY

_NEVER = -1e30

NOISE_SCALE = 4.5
"""Scale of the Gumbel noise in the confidence of tokens, at temperature 1.

Measured on configs/digits.toml in 16 steps (docs/sound.md), words to sounds at temperature 1.0: 10%
right with 1, 62% with 4.5, 59% with 1,000, which is practically a random order; words to pictures
at temperature 0.5: 92.5% with 1, 97% with 4.5. With little noise the silent parts of a sound,
which are the most certain, are always kept first.
"""

# Stream number for random confidences; the decoding steps of a token use the numbers from 0.
_RANK = 1_000


class MaskedDiffusionDecoder(TokenDecoder):
    """Decodes masked positions in one denoising step, or in several with remasking.

    Denoising step p of P decodes every masked position. Then the ceil(tokens * p / P) most
    confident tokens of the answer are kept (the first ones in case of a tie), and all others are
    masked again, including tokens kept before. The fraction of masks thus decreases linearly. A
    token keeps the confidence of the denoising step that decoded it.

    Confidence is the log-probability of the token. At a temperature T above 0, Gumbel noise with
    scale `NOISE_SCALE` T (1 - p / P) is added, as in MaskGIT (Chang et al. 2022, arXiv 2202.04200).
    Without noise the first tokens kept are always the same, such as the empty border of a picture,
    and the answers become more similar with every additional denoising step.

    A kept [EOS] ends the answer: positions after it become padding, unless it is masked again.

    With `revises` the least certain tokens of the answer are then decoded again, one after another,
    the least certain first: each is masked alone, so that it is decoded given everything else that
    was written, those revised before it included (as the repeated re-masking of the least confident
    tokens in Mask-Predict, Ghazvininejad et al. 2019, arXiv 1904.09324, one token at a time). The
    length of the answer and its coordinates stay.

    Args:
        network, kinds, steps, sampler, words: see `TokenDecoder`.
        max_tokens: int, number of positions of the longest answer.
        parallel: bool, whether to use a single denoising step and ignore `num_denoising_steps`.
        coordinates: bool, whether confidence includes the coordinates that the heads decide.
        revises: bool, whether the least certain tokens are revised.

    Call arguments:
        inputs: see `TokenDecoder`, where `count` includes the position of the [EOS]. Additionally
            `masks` int32 `[n, max_tokens, 8]`, mask tokens for the positions starting at `first`;
            `num_masked` int32 `[n]`, number of mask tokens in the context, at least `count`;
            `num_denoising_steps` int32 `[n]`; with `revises` also `revise` int32 `[n]`, how many
            tokens are revised.

    Returns:
        dict of `tokens` int32 `[n, max_tokens, 8]`; `written` int32 `[n]`, the lengths of the
        answers; and `stopped` int32 `[n]`, 1 if an [EOS] follows the answer, else 0.
    """

    def __init__(
        self, network, max_tokens, parallel=False, coordinates=False, revises=False, **kwargs
    ):
        super().__init__(network, **kwargs)
        self.max_tokens, self.parallel, self.coordinates = max_tokens, parallel, coordinates
        self.revises = revises

    def call(self, inputs):
        masks = inputs["masks"]
        number = ops.zeros_like(masks[..., 0]) + ops.arange(masks.shape[1], dtype="int32")
        nothing = ops.zeros_like(number)
        certainty = ops.cast(nothing, "float32")
        state = (masks, certainty + _NEVER, nothing, certainty)
        if self.parallel:
            tokens, _, is_kept, certainty = self._denoise(0, state, number, inputs)
        else:
            last = ops.max(inputs["num_denoising_steps"])
            _, tokens, _, is_kept, certainty = ops.while_loop(
                lambda step, *state: step < last,
                lambda step, *state: (step + 1, *self._denoise(step, state, number, inputs)),
                (ops.convert_to_tensor(0, dtype="int32"), *state),
            )
        if self.revises:
            tokens = self._revised(tokens, is_kept, certainty, number, inputs)
        end = self._end(tokens, is_kept, number, inputs)
        written = ops.minimum(end, ops.sum(is_kept, axis=1))
        stopped = ops.cast(end < masks.shape[1], "int32")
        return {"tokens": tokens, "written": written, "stopped": stopped}

    def _end(self, tokens, is_kept, number, inputs):
        """Returns the index of the first kept token that ends the answer, int32 `[n]`.

        Without such a token, returns the number of tokens.
        """
        ends = ops.logical_and(is_kept > 0, ops.logical_not(self.belongs(tokens, inputs)))
        return ops.min(ops.where(ends, number, number.shape[1]), axis=1)

    def _denoise(self, step, state, number, inputs):
        """Performs one denoising step.

        Args:
            step: int32, number of the denoising step, from 0.
            state: tokens int32 `[n, max_tokens, 8]`, confidences float32 `[n, max_tokens]`, 1 for
                each kept token, int32 `[n, max_tokens]`, and confidences without noise, zeros where
                they are not needed.
            number: int32 `[n, max_tokens]`, indices of the tokens in their answers.
            inputs: the inputs of the call.

        Returns:
            The updated state.
        """
        tokens, confidence, is_kept, certainty = state
        end = self._end(tokens, is_kept, number, inputs)[:, None]
        live = ops.logical_and(number < inputs["count"][:, None], number <= end)
        stays = ops.logical_and(is_kept > 0, live)
        positions = inputs["first"][:, None] + number
        hidden = at_positions(self._hidden(tokens, stays, number <= end, inputs), positions - 1)
        decoded = self.decode(hidden, inputs, positions, number, step)
        new = self.with_coordinates(decoded, inputs["masks"][..., COORDINATES], inputs)
        tokens = ops.where(stays[..., None], tokens, new)
        certain = certainty
        if self.revises or not self.parallel:
            certain = self.of_prompts(self._confidence(hidden, decoded), inputs)
        if self.revises:
            certainty = ops.where(stays, certainty, certain)
        if self.parallel:
            return tokens, confidence, ops.cast(live, "int32"), certainty
        now = certain + self._noise(inputs, positions, step)
        confidence = ops.where(live, ops.where(stays, confidence, now), _NEVER)
        count = ops.sum(ops.cast(live, "int32"), axis=1)
        steps = inputs["num_denoising_steps"]
        done = ops.minimum(step + 1, steps)
        # ceil(count * done / steps) without a product that could overflow 32 bits.
        whole, rest = count // steps, count % steps
        kept = whole * done + (rest * done + steps - 1) // steps
        rank = ops.argsort(ops.argsort(-confidence, axis=1), axis=1)
        best = ops.cast(rank, "int32") < kept[:, None]
        return tokens, confidence, ops.cast(ops.logical_and(best, live), "int32"), certainty

    def _revised(self, tokens, is_kept, certainty, number, inputs):
        """Decodes the least certain tokens again, each given all the others, one after another.

        Args:
            tokens, is_kept, certainty: the state after the last denoising step, see `_denoise`.
            number: int32 `[n, max_tokens]`, indices of the tokens in their answers.
            inputs: the inputs of the call.

        Returns:
            int32 `[n, max_tokens, 8]`, the tokens.
        """
        end = self._end(tokens, is_kept, number, inputs)[:, None]
        live = ops.logical_and(is_kept > 0, number < end)
        order = ops.argsort(ops.where(live, certainty, -_NEVER), axis=1)
        count = ops.minimum(inputs["revise"], ops.sum(ops.cast(live, "int32"), axis=1))
        # The answer ends where it did, and its tokens have the coordinates that they had.
        fixed = inputs | {"allowed": inputs["answer"], "decoded": ops.zeros_like(inputs["decoded"])}

        def revise(k, tokens):
            index = ops.cast(ops.take(order, k, axis=1), "int32")[:, None]
            here = ops.equal(number, index)
            shown = ops.logical_and(is_kept > 0, ops.logical_not(here))
            positions = inputs["first"][:, None] + index
            hidden = self._hidden(tokens, shown, number <= end, inputs)
            # The random numbers differ from those of all denoising steps.
            new = self.decode(at_positions(hidden, positions - 1), fixed, positions, index, -1 - k)
            new = self.with_coordinates(new, at_positions(tokens, index)[..., COORDINATES], fixed)
            here = ops.logical_and(here, (k < count)[:, None])
            return k + 1, ops.where(here[..., None], new, tokens)

        start = ops.convert_to_tensor(0, dtype="int32"), tokens
        return ops.while_loop(lambda k, _: k < ops.max(count), revise, start)[1]

    def _hidden(self, tokens, shown, within, inputs):
        """Returns the inputs of the heads for an answer that is partly masked.

        Args:
            tokens: int32 `[n, max_tokens, 8]`.
            shown: bool `[n, max_tokens]`, which tokens are shown; the others are masked.
            within: bool `[n, max_tokens]`; positions after the end are padding.
            inputs: the inputs of the call.
        """
        tokens = ops.where(shown[..., None], tokens, inputs["masks"])
        context = self._context(ops.where(within[..., None], tokens, 0), inputs)
        return self.network.hidden(context, False, self.steps, training=False)

    def _context(self, tokens, inputs):
        """Inserts tokens into the contexts, `num_masked` of them starting at position `first`."""
        number = ops.arange(self.positions, dtype="int32")[None, :] - inputs["first"][:, None]
        inside = ops.logical_and(number >= 0, number < inputs["num_masked"][:, None])
        return ops.where(inside[..., None], at_positions(tokens, number), inputs["tokens"])

    def _noise(self, inputs, positions, step):
        """Returns the Gumbel noise of the confidences, float32 `[n, max_tokens]`, or 0.0."""
        if self.sampler == "greedy":
            return 0.0
        steps = ops.cast(inputs["num_denoising_steps"], "float32")
        left = 1.0 - ops.cast(step + 1, "float32") / steps
        scale = NOISE_SCALE * inputs["temperature"] * ops.maximum(left, 0.0)
        u = uniform(inputs["seed"][:, None], positions, _RANK, step)
        # Keep u away from 0 and 1 so that the logarithms are finite.
        u = ops.clip(u, 2.0**-25, 1.0 - 2.0**-25)
        return -ops.log(-ops.log(u)) * scale[:, None]

    def _confidence(self, hidden, tokens):
        """Returns the log-probabilities of tokens, float32 `[n, max_tokens]`.

        The modality counts only if there are several kinds, coordinates only with `coordinates`.
        """
        heads = self.heads
        weights = {"coordinate": float(self.coordinates), "modality": float(len(self.kinds) > 1)}
        if heads.table == "bits":
            options = {"places": heads.places, "base": heads.base, "digits": heads.digits}
            scores = heads(hidden, tokens)
            options |= {"table": "bits"}
            return -token_nll(tokens, scores, heads.modalities, weights, **options)[0]
        # Compute logits only for the requested kinds; those of all kinds would be many times more.
        flat = ops.reshape(hidden, (-1, hidden.shape[-1]))
        each = ops.reshape(tokens, (-1, tokens.shape[-1]))
        total = 0.0
        for name in self.kinds:
            belongs = is_any(each[:, MODALITY], [name])
            total = total + belongs * heads.nll(name, flat, each, weights)
        return -ops.reshape(total, ops.shape(tokens)[:-1])
