"""The network: owns its layers and defines the forward pass."""

import tomllib

import keras

from mdnn.config.load import Config
from mdnn.config.schema import with_new_names
from mdnn.models.blocks.residual_block import run_blocks
from mdnn.models.call_options import CallOptions, options_for
from mdnn.models.chunks.characters_of import marks_of
from mdnn.models.incremental import IncrementalDecoder
from mdnn.models.network_layers import default_options, make_layers
from mdnn.models.shared_layers import add_own_node, without_nodes
from mdnn.models.thinking.recurrence import Refeed
from mdnn.tokens.features import NUM_FEATURES


@keras.saving.register_keras_serializable(package="mdnn")
class Network(keras.Model):
    """Maps tokens to scores of their target tokens.

    The network embeds tokens, lays them out as a grid, runs the backbone's blocks (repeatedly with
    refeeding) and scores every position with the heads. It is a functional `keras.Model`: `fit`,
    `summary`, `save` and `keras.models.clone_model` work as usual. `hidden`, `scores`, `embed`,
    `first_states`, `iterate` and `read_out` give access to intermediate results.

    Args:
        config: `mdnn.Config`. Use `mdnn.build` to make a network of a config: it checks limits
            and raises readable errors.
        words: the table of words (strings), for configs with `tokens.words` above 0.
        options: `CallOptions`, the default options of a call; `None` for those of the config.
        shared: another `Network` whose layers this one uses; `None` for new layers.
        name: str.

    Call arguments:
        inputs: dict of `tokens`, int32 `[batch, positions, 8]`, and `targets`, the target tokens,
            of the same shape; `None` if they are unknown, which conditions later bytes on the
            likeliest earlier bytes.

    Returns:
        float32 `[batch, positions, classes]`, the scores of `decoding_steps`.

    Attributes:
        config, words, options: as above.
        embedding, to_grid, to_positions, heads: layers.
        blocks: list of layers, the residual blocks of the backbone, in the order in which they
            run.
        refeed: the `Refeed` layer around the blocks, or `None`.
        final_norm: layer or `None`.
        halt: `HaltHead` or `None`.
        step_limits: `StepLimits`, if the number of steps of a position depends on the length of its
            context, or `None`.
        grid: tuple of ints, sizes of the context's axes, slowest first; preceded by the number of
            candidates if the config sets `tokens.candidates`.
        positions: int, positions of a context.
        axis_names: tuple of strings, names of the grid's axes.
        width: int, number of channels.
        row: int, positions of a row, the fastest axis.
        rows: int, rows of a context (times its candidates).
        causal, steps: values of `options`.
        can_be_causal: bool, whether the network supports `causal=True`.
        row_wise: bool, whether only folds mix positions of different rows.

    Example:

    >>> network = mdnn.build(mdnn.load_config("configs/text.toml"))
    >>> hidden = network.hidden(tokens, causal=False)
    >>> twice = network.with_options(steps=2)
    """

    def __init__(self, config, words=(), options=None, shared=None, name="mdnn", **kwargs):
        inner = make_layers(config, tuple(words)) if shared is None else shared
        options = options or default_options(config)
        # Bypass Keras' attribute tracking: the functional model below tracks all layers in the
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
            "step_limits": inner.step_limits,
            "axis_names": inner.axis_names,
        }
        for key, value in own.items():
            object.__setattr__(self, key, value)
        shape = (self.positions, NUM_FEATURES)
        tokens = keras.Input(shape, dtype="int32", name="tokens")
        targets = keras.Input(shape, dtype="int32", name="targets", optional=True)
        with without_nodes(shared):
            scores = self.scores(tokens, targets)
            inputs = {"tokens": tokens, "targets": targets}
            super().__init__(inputs=inputs, outputs=scores, name=name, **kwargs)
        if shared is not None:
            add_own_node(self)

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
        mixing = (block for block in self.blocks if hasattr(block, "stays_in_rows"))
        return all(block.stays_in_rows(rank) for block in mixing)

    def with_options(self, causal=None, steps=None):
        """Returns a network with other default options that shares all layers with this one.

        Args:
            causal: bool, whether no position sees later positions; `None` leaves it unchanged.
            steps: int, number of refeed steps; `None` leaves it unchanged.

        Returns:
            A `Network`.

        Raises:
            MdnnError: `causal` with a mixer whose wiring is not causal, or fewer than one step.
        """
        options = options_for(self, causal, steps)
        return type(self)(self.config, self.words, options, shared=self, name=self.name)

    def hidden(self, tokens, causal=None, steps=None, states=None, training=None):
        """Returns the input of the heads, `[batch, positions, width]`.

        Args:
            tokens: int32 `[batch, positions, 8]`.
            causal, steps: options of this call; `None` for the network's own.
            states: initial state `[batch, *grid, width]` (a tuple of two with inner steps); `None`
                for the network's own.
            training: bool.
        """
        options = self.options.changed(causal=causal, steps=steps)
        x, limits = self.embed(tokens), self.limits(tokens, options)
        marks = self.marks(tokens)
        return self.read_out(self.backbone(x, options, states, training, limits, marks))

    def scores(self, tokens, targets=None, causal=None, steps=None, states=None, training=None):
        """Returns the scores of every position, float32 `[batch, positions, classes]`.

        Args:
            tokens, causal, steps, states, training: see `hidden`.
            targets: see the call arguments.
        """
        return self.heads(self.hidden(tokens, causal, steps, states, training), targets)

    def embed(self, tokens):
        """Embeds tokens, int32 `[batch, positions, 8]`, to `[batch, *grid, width]`."""
        return self.to_grid(self.embedding(tokens))

    def limits(self, tokens, options):
        """Returns the largest number of steps of each position, `None` for `options.steps`.

        Args:
            tokens: int32 `[batch, positions, 8]`.
            options: `CallOptions`.

        Returns:
            int32 `[batch or 1, *grid, 1]`, or `None`.
        """
        if not options.adaptive or self.step_limits is None:
            return None
        return self.step_limits(tokens, causal=options.causal)

    def marks(self, tokens):
        """See `mdnn.models.chunks.characters_of.marks_of`."""
        return marks_of(self, tokens)

    def backbone(self, x, options=None, states=None, training=None, limits=None, marks=None):
        """Runs the blocks for the number of refeed steps in the options.

        Args:
            x: `[batch, *grid, width]`, result of `embed`.
            options: `CallOptions`; `None` for the network's own.
            states, training: see `hidden`.
            limits: result of `limits`.
            marks: result of `marks`.

        Returns:
            `[batch, *grid, width]`, for `read_out`.
        """
        options = options or self.options
        if self.refeed is None and options.steps == 1 and states is None:
            return run_blocks(self.blocks, x, options, training, marks=marks)
        more = {} if limits is None else {"limits": limits}
        return self._recurrence(options)(
            x, steps=options.steps, state=states, options=options, training=training, **more
        )

    def first_states(self, x, training=None):
        """Returns the states before the first step, a tuple; `None` stands for zeros."""
        return (None,) if self.refeed is None else self.refeed.first_states(x, training)

    def random_states(self):
        """Returns the random states before the first step, as used outside training.

        Returns:
            List of `[1, *grid, width]`; empty if the initial states are not random.
        """
        if self.refeed is None or self.refeed.initial_state != "random":
            return []
        return self.refeed.random_states((*self.grid, self.width))

    def runs(self, steps):
        """Returns the number of runs of the blocks in a number of refeed steps."""
        return steps if self.refeed is None else self.refeed.runs(steps)

    def iterate(self, x, states, steps, no_grad_steps=0, options=None, training=None, mix=None):
        """Runs refeed steps from given states.

        Args:
            x: `[batch, *grid, width]`, result of `embed`.
            states: tuple, result of `first_states` or of this method.
            steps: int, number of steps with gradient.
            no_grad_steps: int, or an integer scalar tensor if no block has dropout: number of
                steps without gradient, taken before the others.
            options: `CallOptions`, of which `steps` and `adaptive` are ignored; `None` for the
                network's own.
            training: bool.
            mix: see `mdnn.models.blocks.residual_block.run_blocks`.

        Returns:
            Tuple of the states after all steps; the first one is for `read_out`.
        """
        options = options or self.options
        recurrence = self._recurrence(options)
        return recurrence.iterate(x, states, steps, no_grad_steps, options, training, mix)

    def decoder(self, steps=None):
        """Returns the `IncrementalDecoder` that runs this network position by position."""
        return IncrementalDecoder(self, steps)

    def normed(self, state):
        """Returns a state after the final norm, of the same shape."""
        return state if self.final_norm is None else self.final_norm(state)

    def read_out(self, state):
        """Returns the input of the heads for a state: `[batch, positions, width]`."""
        x = self.to_positions(self.normed(state))
        return x if self.halt is None else self.halt(x)

    def _recurrence(self, options):
        """Returns the layer that refeeds the blocks; a new one without weights if none exists."""
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
            "adaptive": self.options.adaptive,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        adaptive = config.get("adaptive", False)
        options = CallOptions(config["causal"], config["steps"], adaptive)
        table = Config.from_dict(with_new_names(tomllib.loads(config["config"])))
        return cls(table, config["words"], options, name=config["name"])
