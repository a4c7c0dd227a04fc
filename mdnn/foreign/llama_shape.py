"""The shape of a LLaMA network and the config that builds it."""

import dataclasses

from mdnn.config.load import Config
from mdnn.errors import MdnnError

DEFAULT_CONTEXT = 2048
"""Largest context of an imported network unless more is asked for: caches take memory with it."""

MAX_WIDTH, MAX_BLOCKS = 1 << 16, 1 << 12


@dataclasses.dataclass(frozen=True)
class LlamaShape:
    """Sizes of a network of the LLaMA family.

    Args:
        vocabulary: int, number of tokens.
        width, hidden: ints, channels of the stream and inside the feed-forward blocks.
        blocks: int.
        heads, kv_heads: ints, attention heads, and heads of keys and values.
        context: int, positions that it was trained with.
        rotary_base, epsilon: floats.
        tied: bool, whether the embedding is also the head.
    """

    vocabulary: int
    width: int
    hidden: int
    blocks: int
    heads: int
    kv_heads: int
    context: int
    rotary_base: float = 10_000.0
    epsilon: float = 1e-5
    tied: bool = True

    def check(self, where):
        """Refuses sizes that no such network has.

        Raises:
            MdnnError: names the first wrong size.
        """
        limits = {
            "vocabulary": 1 << 20,
            "width": MAX_WIDTH,
            "hidden": 1 << 20,
            "blocks": MAX_BLOCKS,
            "heads": MAX_WIDTH,
            "kv_heads": MAX_WIDTH,
            "context": 1 << 24,
        }
        for name, most in limits.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise MdnnError(f"{where}: expected a {name} of 1 to {most:,}, received {value!r}")
        if self.width % self.heads or self.width // self.heads % 2 or self.heads % self.kv_heads:
            raise MdnnError(
                f"{where}: expected heads of an even size that divide the width {self.width} and "
                f"share keys evenly, received {self.heads} heads, {self.kv_heads} of keys"
            )
        if not 1 <= self.rotary_base <= 1e12 or not 0 <= self.epsilon <= 1:
            raise MdnnError(
                f"{where}: expected a rotary base from 1 on and a norm epsilon below 1, received "
                f"{self.rotary_base} and {self.epsilon}"
            )
        return self

    @property
    def parameters(self):
        """Number of weights, with the bias of the head."""
        shared = self.width // self.heads * self.kv_heads
        attention = self.width * 2 * (self.width + shared)
        block = attention + 3 * self.width * self.hidden + 2 * self.width
        tables = self.vocabulary * self.width * (1 if self.tied else 2) + self.vocabulary
        return self.blocks * block + tables + self.width

    def matrices(self):
        """Returns a dict from names of weights to shapes, matrices as `(outputs, inputs)`."""
        shared = self.width // self.heads * self.kv_heads
        found = {"embedding": (self.vocabulary, self.width), "norm": (self.width,)}
        if not self.tied:
            found["head"] = (self.vocabulary, self.width)
        for block in range(self.blocks):
            found |= {
                f"{block}.attention_norm": (self.width,),
                f"{block}.query": (self.width, self.width),
                f"{block}.key": (shared, self.width),
                f"{block}.value": (shared, self.width),
                f"{block}.result": (self.width, self.width),
                f"{block}.hidden_norm": (self.width,),
                f"{block}.gate": (self.hidden, self.width),
                f"{block}.up": (self.hidden, self.width),
                f"{block}.down": (self.width, self.hidden),
            }
        return found

    def config(self, positions=None):
        """Returns the `mdnn.Config` of the network.

        Args:
            positions: int, positions of its context; `None` for its own, at most
                `DEFAULT_CONTEXT`.
        """
        positions = min(self.context, DEFAULT_CONTEXT) if positions is None else positions
        mixer = {"kind": "attention", "heads": self.heads, "rotary_base": float(self.rotary_base)}
        if self.kv_heads < self.heads:
            mixer["kv_heads"] = self.kv_heads
        attention = {"kind": "mix", "project": False, "mixer": [mixer]}
        feedforward = {"kind": "feedforward", "gate": "silu", "width": self.hidden}
        table = {
            "tokens": {"modalities": ["subword"], "subwords": self.vocabulary, "tied": self.tied},
            "context": {"grid": [positions]},
            "backbone": {
                "width": self.width,
                "depth": self.blocks,
                "norm_epsilon": float(self.epsilon),
                "layer": [attention, feedforward],
            },
            "train": {"steps": 1000, "batch_size": 1, "optimizer": {"learning_rate": 1e-5}},
        }
        if self.parameters > Config().limits.parameters:
            table["limits"] = {"parameters": self.parameters}
        return Config.from_dict(table)
