"""Lowers the embedding and the heads of a text network."""

import numpy as np
from keras import ops

from mdnn.kernels import structures as c
from mdnn.kernels.lowering import NotLoweredError, numbers
from mdnn.layers import ModalityEmbedding, ModalityHeads
from mdnn.layers.table_lookup import digit_rows
from mdnn.models.slot_embedding import SlotEmbedding
from mdnn.tokens.context_slots import SLOT
from mdnn.tokens.features import TOKEN_FEATURES
from mdnn.tokens.modalities import modality

TEXT_KINDS = ("text", "word", "subword")
"""Modalities of the tokens of texts."""


def lower_embedding(lowering, network):
    """Returns a list of `CEmbedding`, one per modality of texts, and one of learned slots."""
    layer, arrays = network.embedding, lowering.arrays
    if not isinstance(layer, ModalityEmbedding) or layer.table == "bits":
        raise NotLoweredError(f"embedding: {_form(layer)}")
    made = []
    for name in layer.modalities:
        if name not in TEXT_KINDS:
            continue
        kind, whole = modality(name), layer._is_whole(name)
        one = c.CEmbedding(modality=kind.index, joined=1)
        if name == "word":
            # The number of a word takes two bytes; letters are part of its row.
            one.joined, tables = 2, [arrays.table(numbers(layer.word_rows()))]
        else:
            tied = tied_tables(network.heads)
            tables = [
                lowering.tied(table)
                if id(table) in map(id, tied.values())
                else arrays.table(_stream_rows(lowering, layer, name, table))
                for table in layer.byte_tables[name]
            ]
            one.joined = kind.joined if whole else 1
        one.tables = len(tables)
        for k, table in enumerate(tables):
            one.table[k] = table
        places = _places(layer, name, network.positions)
        one.places = None if places is None else arrays.array(places)
        made.append(one)
    if isinstance(layer, SlotEmbedding):
        one = c.CEmbedding(modality=SLOT, joined=1, tables=1)
        one.table[0] = arrays.table(numbers(layer.slot_vectors))
        made.append(one)
    return made


def _stream_rows(lowering, layer, name, table):
    """Returns the rows of a modality's table as wide as the stream, codes where it holds codes."""
    if name not in layer.sizes:
        return lowering.weights(table)
    return numbers(layer.to_stream(name, ops.convert_to_tensor(table)))


def _places(layer, name, positions):
    """Returns the summed coordinate and item-number embeddings, `[positions, width]`."""
    total = np.zeros((positions, layer.width), "float32")
    tables = layer.place_tables.get(name, [])
    for k, table in enumerate(tables):
        # Texts count positions in the first coordinate; the others are 0.
        places = np.arange(positions) if k == 0 else np.zeros(positions)
        total += numbers(layer.to_stream(name, _digits(layer, table, places)))
    if layer.item_table is not None:
        total += _digits(layer, layer.item_table, np.zeros(positions))
    return total if tables or layer.item_table is not None else None


def _digits(layer, table, places):
    """Returns the sums of the rows of the digits of numbers, `[positions, width]`."""
    rows = numbers(digit_rows(ops.convert_to_tensor(places, "int32"), layer.base, layer.digits))
    return numbers(table)[rows.astype("int64")].sum(axis=1)


def lower_heads(lowering, network):
    """Returns the step of the modality (`None` with one) and a list of `CHead`."""
    heads = network.heads
    if not isinstance(heads, ModalityHeads) or heads.table == "bits":
        raise NotLoweredError(f"heads: {_form(heads)}")
    if unknown := [name for name in heads.modalities if name not in TEXT_KINDS]:
        raise NotLoweredError(f"heads: modality {unknown[0]!r}")
    kind_step = None
    if len(heads.modalities) > 1:
        kind_step = _step(lowering, heads, heads.steps[0])
    made = []
    for name in heads.modalities:
        steps = [step for step in heads.steps if step.kinds == (name,)]
        # Predicted coordinates do not change the text.
        steps = [step for step in steps if step.group != "coordinate"]
        one = c.CHead(modality=modality(name).index, steps=len(steps))
        for k, step in enumerate(steps):
            one.step[k] = _step(lowering, heads, step)
        made.append(one)
    return kind_step, made


def _step(lowering, heads, step):
    arrays, tied = lowering.arrays, tied_tables(heads)
    if step.name in tied:
        kernel = lowering.tied(tied[step.name])
    else:
        kernel = arrays.matrix(lowering.weights(heads.kernels[step.name]))
    made = c.CStep(
        classes=step.classes,
        given=len(step.given),
        column=TOKEN_FEATURES.index(step.column),
        joined=step.joined,
        kernel=kernel,
        bias=arrays.vector(numbers(heads.biases[step.name])),
    )
    for k, gate in enumerate(heads.gates[step.name]):
        made.gates[k] = arrays.table(lowering.weights(gate))
    return made


def tied_tables(heads):
    """Returns the tables of the embedding that are kernels of heads, a dict by steps' names."""
    return getattr(heads, "tied_tables", {})


def _form(layer):
    return f"{type(layer).__name__} with table {getattr(layer, 'table', None)!r}"
