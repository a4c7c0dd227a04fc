"""The network: it owns its layers, and has the one forward pass."""

import tomllib

import keras

from mdnn.config.load import Config
from mdnn.errors import MdnnError
from mdnn.models.call_options import CallOptions
from mdnn.models.mixing import MixingBlock
from mdnn.models.network_layers import is_causal, make_layers
from mdnn.models.thinking.recurrence import Refeed, run_blocks
from mdnn.tokens.features import WIDTH


@keras.saving.register_keras_serializable(package="mdnn")
class Network(keras.Model):
    """A network of a config: tokens in, scores of the next tokens out.

    Tokens are embedded, laid out as a grid, changed by the backbone's blocks (several times where
    the config asks for it) and scored by the heads. It is a functional `keras.Model`: `fit`,
    `summary`, `save`, `keras.models.clone_model` and the like work on it as on any other. Whoever
    needs more than its output calls `hidden`, `scores` or, of the pieces that these are made of,
    `embed`, `first_states`, `iterate` and `read_out`.

    Args:
        config: `mdnn.Config`. `mdnn.build` is the way to make a network of one: it checks limits
            and explains what does not fit.
        words: the table of words (strings), for configs with `tokens.words` above 0.
        options: `CallOptions`, how the network is run where a call does not say otherwise;
            `None`: as the config says.
        shared: another `Network`, whose layers this one uses; `None` for new ones.
        name: string.

    Call arguments:
        inputs: dict of `tokens`, int32 `[batch, positions, 8]`, and `targets`, the tokens that
            answer them, of the same shape (`None` where they are not known: bytes are then
            conditioned on the likeliest earlier bytes).

    Returns:
        float32 `[batch, positions, classes]`, the scores of `decoding_steps`.

    Attributes:
        config, words, options: as above.
        embedding, to_grid, to_positions, heads: layers.
        blocks: list of layers, the backbone's, in the order in which they run.
        refeed: the `Refeed` that holds the blocks where the config steps them, or `None`.
        final_norm: layer or `None`.
        halt: `HaltHead` or `None`.
        grid: tuple of ints, the sizes of the context's axes, slowest first, behind the candidates
            of puzzles that have them.
        positions: int, positions of a context.
        axis_names: tuple of strings, the names of the grid's axes.
        width: int, channels.
        row: int, positions of the fastest axis.
        rows: int, rows of a context (times its candidates).
        causal, steps: those of `options`.
        can_be_causal: whether it can be run with `causal=True`.
        row_wise: whether positions of a row take from other rows through folds alone.

    Example:

    >>> network = mdnn.build(mdnn.load_config("configs/text.toml"))
    >>> hidden = network.hidden(tokens, causal=False)
    >>> twice = network.with_options(steps=2)
    """

    def __init__(self, config, words=(), options=None, shared=None, name="mdnn", **kwargs):
        inner = make_layers(config, tuple(words)) if shared is None else shared
        options = options or CallOptions(causal=is_causal(config), steps=config.refeed.steps)
        # Set past Keras' tracking: the functional model below tracks every layer itself, in the
        # order in which they run.
        own = {
            "config": config,
            "words": tuple(words),
            "options": options,
            "embedding": inner.embedding,
            "to_grid": inner.to_grid,
            "blocks": list(inner.blocks),
            "refeed": inner.refeed,
            "final_norm": inner.final_norm,
            "to_positions": inner.to_positions,
            "heads": inner.heads,
            "halt": inner.halt,
            "axis_names": inner.axis_names,
        }
        for key, value in own.items():
            object.__setattr__(self, key, value)
        shape = (self.positions, WIDTH)
        tokens = keras.Input(shape, dtype="int32", name="tokens")
        targets = keras.Input(shape, dtype="int32", name="targets", optional=True)
        scores = self.scores(tokens, targets)
        inputs = {"tokens": tokens, "targets": targets}
        super().__init__(inputs=inputs, outputs=scores, name=name, **kwargs)

    @property
    def positions(self):
        return self.config.context.positions

    @property
    def grid(self):
        return tuple(self.to_grid.target_shape[:-1])

    @property
    def width(self):
        return self.to_grid.target_shape[-1]

    @property
    def row(self):
        return self.grid[-1]

    @property
    def rows(self):
        return self.to_positions.target_shape[0] // self.row

    @property
    def causal(self):
        return self.options.causal

    @property
    def steps(self):
        return self.options.steps

    @property
    def can_be_causal(self):
        return all(block.can_be_causal for block in self.blocks)

    @property
    def row_wise(self):
        rank = len(self.grid)
        mixing = (block for block in self.blocks if isinstance(block, MixingBlock))
        return all(block.stays_in_rows(rank) for block in mixing)

    def with_options(self, causal=None, steps=None):
        """Returns the same network, run in another way: a `Network` that shares all layers.

        Args:
            causal: boolean, whether no position sees those after it; `None`: as this network.
            steps: int, how often the backbone is run on its own output; `None`: as this network.

        Raises:
            MdnnError: causal, but a mixer's wiring is not; fewer than one step.
        """
        options = self.options.changed(causal=causal, steps=steps)
        if options.causal and not self.can_be_causal:
            raise MdnnError(
                "this network cannot write in turn: it has mixers without 'causal' wiring, and was "
                "trained with train.objectives.autoregressive = 0"
            )
        return type(self)(self.config, self.words, options, shared=self, name=self.name)

    def hidden(self, tokens, causal=None, steps=None, states=None, training=None):
        """Returns what the heads are given, `[batch, positions, width]`.

        Args:
            tokens: int32 `[batch, positions, 8]`.
            causal, steps: other options than the network's own.
            states: the state to begin with, `[batch, *grid, width]` (a tuple of two with inner
                steps), in place of the first one.
            training: boolean.
        """
        options = self.options.changed(causal=causal, steps=steps)
        return self.read_out(self.backbone(self.embed(tokens), options, states, training))

    def scores(self, tokens, targets=None, causal=None, steps=None, states=None, training=None):
        """Returns the scores of every position, float32 `[batch, positions, classes]`.

        Args:
            tokens, causal, steps, states, training: see `hidden`.
            targets: see the call arguments.
        """
        return self.heads(self.hidden(tokens, causal, steps, states, training), targets)

    def embed(self, tokens):
        """Returns tokens int32 `[batch, positions, 8]` embedded on the grid."""
        return self.to_grid(self.embedding(tokens))

    def backbone(self, x, options=None, states=None, training=None):
        """Runs the blocks, as often as the options say.

        Args:
            x: `[batch, *grid, width]`, as `embed` gives it.
            options: `CallOptions`; `None`: the network's own.
            states, training: see `hidden`.

        Returns:
            `[batch, *grid, width]`, for `read_out`.
        """
        options = options or self.options
        if self.refeed is None and options.steps == 1 and states is None:
            return run_blocks(self.blocks, x, options.causal, training)
        return self._recurrence(options)(
            x, steps=options.steps, state=states, causal=options.causal, training=training
        )

    def first_states(self, x, training=None):
        """Returns the states before the first step: a tuple, in which `None` stands for zeros."""
        return (None,) if self.refeed is None else self.refeed.first_states(x, training)

    def random_states(self):
        """Returns the states before the first step outside training, where they are random.

        Returns:
            List of `[1, *grid, width]`; empty where they are not random.
        """
        if self.refeed is None or self.refeed.initial_state != "random":
            return []
        return self.refeed.random_states((*self.grid, self.width))

    def runs(self, steps):
        """Returns how often the blocks are run in so many steps of the recurrence."""
        return steps if self.refeed is None else self.refeed.runs(steps)

    def iterate(
        self, x, states, steps, no_grad_steps=0, options=None, training=None, run_block=None
    ):
        """Takes steps of the recurrence on from some states.

        Args:
            x: `[batch, *grid, width]`, as `embed` gives it.
            states: tuple, as `first_states` or this function gives it.
            steps: int, steps that gradients go through.
            no_grad_steps: int, or an integer scalar tensor where blocks have no dropout: steps
                before them, without gradient.
            options: `CallOptions`, whose `steps` says nothing here; `None`: the network's own.
            training: boolean.
            run_block: function `(block, input)` to output that stands in for a block's call.

        Returns:
            Tuple of the states after all of these steps, the first of them for `read_out`.
        """
        options = options or self.options
        return self._recurrence(options).think(
            x, states, steps, no_grad_steps, options.causal, training, run_block
        )

    def normed(self, state):
        """Returns a state of the backbone as the heads are given it, in the state's shape."""
        return state if self.final_norm is None else self.final_norm(state)

    def read_out(self, state):
        """Returns what the heads are given for a state: `[batch, positions, width]`."""
        x = self.to_positions(self.normed(state))
        return x if self.halt is None else self.halt(x)

    def _recurrence(self, options):
        """The layer that steps the blocks; without weights where the config has none."""
        if self.refeed is not None:
            return self.refeed
        return Refeed(self.blocks, options.steps, name="refeed")

    def get_config(self):
        return {
            "name": self.name,
            "config": self.config.to_toml(),
            "words": list(self.words),
            "causal": self.causal,
            "steps": self.steps,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        options = CallOptions(causal=config["causal"], steps=config["steps"])
        table = Config.from_dict(tomllib.loads(config["config"]))
        return cls(table, config["words"], options, name=config["name"])
