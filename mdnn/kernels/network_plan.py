"""Lowers a whole network to a plan for the native library."""

import numpy as np

from mdnn.kernels import structures as c
from mdnn.kernels.lowering import Lowering, NotLoweredError, address, c_array, numbers
from mdnn.kernels.token_lowering import lower_embedding, lower_heads
from mdnn.tokens.modalities import modality


class NativePlan:
    """A network as operations for the native library; see source/plan.h.

    Args:
        network: `mdnn.models.network.Network` of texts that can be causal.
        steps: int, refeed steps; `None` for the network's own.
        overlap: int, tokens of a full context that the next one starts with.
        words: int, size of the table of words.
        weights: function from a variable of two axes to a float array or
            `mdnn.kernels.matrices.Codes`; `None` to read the variables.
        rounded: bool, whether products with codes round their inputs to 8 bits, see `Arrays`.

    Attributes:
        plan: `CPlan`.
        positions, slots, width, classes: ints; slots are the positions of learned vectors, classes
            those of all decoding steps of a token.
        bytes: int, bytes of the packed weights.
        roundings: int, number of matrices whose products round their inputs.

    Raises:
        NotLoweredError: a block that the library cannot run; its message names the block.
    """

    def __init__(self, network, steps=None, overlap=1, words=0, weights=None, rounded=False):
        check_single(network.config)
        options = network.options.changed(causal=True, steps=steps)
        if options.adaptive:
            raise NotLoweredError("refeed.step_schedule: positions that take steps of their own")
        if network.halt is not None:
            raise NotLoweredError("refeed.step_schedule: 'halt'")
        if not network.can_be_causal:
            raise NotLoweredError("a mixer without 'causal' wiring")
        lowering = Lowering(weights or numbers, network.grid, network.width, rounded)
        state = _backbone(lowering, network, options.steps)
        hidden = lowering.register(network.width)
        lowering.norm(network.final_norm, hidden, state)
        embedding = lower_embedding(lowering, network)
        kind_step, heads = lower_heads(lowering, network)
        every = [step for head in heads for step in list(head.step)[: head.steps]]
        every += [kind_step] if kind_step is not None else []
        self.positions, self.width = lowering.rows * lowering.columns, network.width
        self.slots = network.config.context.slots
        self.classes = sum(step.classes for step in every)
        sizes = np.array(lowering.sizes, "int32")
        caches = np.array([*lowering.caches, 0], "int64")
        parts = {
            "op": c_array(c.COperation, lowering.operations),
            "embedding": c_array(c.CEmbedding, embedding),
            "head": c_array(c.CHead, heads),
        }
        self._kept = (lowering.arrays, sizes, caches, parts, kind_step)
        self.bytes, self.roundings = lowering.arrays.bytes, lowering.arrays.roundings
        self.plan = c.CPlan(
            width=network.width,
            columns=lowering.columns,
            rows=lowering.rows,
            overlap=overlap,
            words=words,
            registers=len(sizes),
            ops=len(lowering.operations),
            caches=len(lowering.caches),
            embeddings=len(embedding),
            heads=len(heads),
            hidden=hidden,
            text_modality=modality("text").index,
            word_modality=modality("word").index,
            largest=max(step.classes for step in every),
            sizes=sizes.ctypes.data,
            cache_floats=caches.ctypes.data,
            kind_step=None if kind_step is None else address(kind_step),
            **{name: address(array) for name, array in parts.items()},
        )


def check_single(config):
    """Refuses the config of several networks in one."""
    if config.tandem.members:
        raise NotLoweredError("tandem.members: several networks in one")


def _backbone(lowering, network, steps):
    """Adds the embedding, the blocks and their refeed steps; returns the register of the state."""
    x = lowering.register(network.width)
    lowering.add(c.OP_EMBED, x)
    refeed = network.refeed
    if refeed is None and steps == 1:
        for block in network.blocks:
            lowering.block(block, x)
        return x
    if refeed is not None and refeed.feedback != "state":
        raise NotLoweredError(f"refeed.feedback: {refeed.feedback!r}")
    return _Recurrence(lowering, network, x).run(steps)


class _Recurrence:
    """Lowers refeed steps; see `mdnn.models.thinking.recurrence.Refeed`."""

    def __init__(self, lowering, network, x):
        self.lowering, self.network, self.x = lowering, network, x
        refeed = network.refeed
        self.inner = 0 if refeed is None else refeed.inner_steps
        self.damping = 0.0 if refeed is None else refeed.damping
        self.work = lowering.register(network.width)
        self.states = [self._first(k) for k in range(2 if self.inner else 1)]

    def _first(self, number):
        """Adds the initial state of a number and returns its register."""
        lowering, refeed, width = self.lowering, self.network.refeed, self.network.width
        state, flag = lowering.register(width), 0
        values = np.zeros(width, "float32")
        if refeed is not None and refeed.first is not None:
            values = numbers(refeed.first[number])
        elif randoms := self.network.random_states():
            values, flag = numbers(randoms[number]).reshape(-1), 1
        vector = lowering.arrays.vector(values)
        lowering.add(c.OP_FILL, state, vector=vector, flag=flag)
        return state

    def run(self, steps):
        """Adds all steps and returns the register of the last state."""
        refeed = self.network.refeed
        gates = None if refeed is None or refeed.gates is None else numbers(refeed.gates)
        for number in range(steps):
            before = None
            if gates is not None and number >= refeed.steps - refeed.gated_steps:
                gate = number - (refeed.steps - refeed.gated_steps)
                before = float(gates[min(gate, refeed.gated_steps - 1)])
            self._step(before)
        return self.states[0]

    def _step(self, gate):
        lowering, width = self.lowering, self.network.width
        olds = []
        if gate is not None:
            olds = [lowering.register(width) for _ in self.states]
            for old, state in zip(olds, self.states, strict=True):
                lowering.add(c.OP_COPY, old, state)
        if self.inner:
            y, z = self.states
            for _ in range(self.inner):
                self._move(z, (self.x, y, z))
            self._move(y, (y, z))
        else:
            self._move(self.states[0], (self.x, self.states[0]))
        for old, state in zip(olds, self.states, strict=False):
            lowering.add(c.OP_TOWARDS, state, old, alpha=gate)

    def _move(self, state, summed):
        """Adds `state = d state + (1 - d) F(sum of registers)`."""
        lowering, work = self.lowering, self.work
        lowering.add(c.OP_COPY, work, summed[0])
        for other in summed[1:]:
            lowering.add(c.OP_COMBINE, work, other, alpha=1.0, beta=1.0)
        for block in self.network.blocks:
            lowering.block(block, work)
        if self.damping:
            lowering.add(c.OP_COMBINE, state, work, alpha=self.damping, beta=1 - self.damping)
        else:
            lowering.add(c.OP_COPY, state, work)


def check_lowered(network):
    """Returns why the library cannot run a network, a string; `None` if it can."""
    try:
        NativePlan(network)
    except NotLoweredError as error:
        return str(error)
    return None
