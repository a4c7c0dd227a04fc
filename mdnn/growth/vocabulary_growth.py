"""Grows embeddings and heads: wider vectors, more modalities, more digits of coordinates."""

import numpy as np
from keras.ops import convert_to_numpy

from mdnn.errors import MdnnError
from mdnn.growth.channel_maps import Fixed
from mdnn.growth.origins import NEW, created, placed
from mdnn.layers import FieldEmbedding, FieldHeads, ModalityEmbedding
from mdnn.models.thinking.halting import HaltHead


def grow_embedding(old, new, stream):
    """Returns the origins of the embedding's weights.

    New channels of old tables are zero. A table that old tokens would use (coordinates and item
    numbers that were not embedded before) starts with zeros; tables of new modalities start as in a
    new network.

    Args:
        old, new: embeddings.
        stream: `mdnn.growth.stream_growth.Stream`.

    Returns:
        Dict from the ids of the new variables to `mdnn.growth.origins.Origin`s.

    Raises:
        MdnnError: tables of another form, or fewer of them.
    """
    if isinstance(new, FieldEmbedding):
        return {id(new.table): placed(old.table, new.table, [None, stream.channels], 0.0)}
    slots = [getattr(layer, "slots", 0) for layer in (old, new)]
    if slots[0] != slots[1]:
        raise MdnnError(f"context.slots: growing keeps {slots[0]}, received {slots[1]}")
    _same_form(old, new, ("table", "letters"), "tokens.table")
    if new.table == "bits":
        # The bits of every token stand in the same channels; only learned slots are weights.
        _same_form(old, new, ("places", "items", "base", "digits"), "tokens")
        pairs = zip(old.weights, new.weights, strict=True)
        return {
            id(after): placed(before, after, [None, stream.channels]) for before, after in pairs
        }
    _same_dense_layers(old, new)
    known = {_last(weight): weight for weight in old.weights}
    found = {}
    for weight in new.weights:
        name = _last(weight)
        if name in known and name.endswith("_kernel"):
            found[id(weight)] = _grown_kernel(known.pop(name), weight, stream)
            continue
        if name not in known:
            # Tables that old tokens would look up start at zero.
            used = name == "item" or name.startswith("letter_")
            used |= any(name.startswith(f"{kind}_place_") for kind in old.modalities)
            found[id(weight)] = created(weight, 0.0 if used else None)
            continue
        rows = _rows(known.pop(name), weight, old, new, name)
        # A further digit of an old number is 0, and adds its row.
        channels = _channels(name, old, new, stream)
        found[id(weight)] = placed(known_weight(old, name), weight, [rows, channels], 0.0)
    if known:
        raise MdnnError(
            f"tokens: growing keeps every table, received none for {next(iter(known))!r}"
        )
    return found


def known_weight(layer, name):
    """Returns the weight of a layer by the last word of its path."""
    return next(weight for weight in layer.weights if _last(weight) == name)


def _last(weight):
    return weight.path.rsplit("/", 1)[-1]


def _same_dense_layers(old, new):
    """Refuses a dense layer between tables and stream that was not there, or no longer is."""
    for name in old.modalities:
        before, after = (layer.sizes.get(name, 0) for layer in (old, new))
        if (before > 0) != (after > 0):
            raise MdnnError(
                f"tokens.embedding_size.{name}: growing and shrinking neither add nor remove the "
                f"dense layer of a modality, received {before} before and {after} after"
            )


def _grown_kernel(before, after, stream):
    """Returns the origin of the kernel that brings a modality's tables to the stream's width.

    New channels of the tables are zero, so that their rows of the kernel may start as they do in a
    new network; what old channels of the tables add to new channels of the stream is zero.
    """
    initial = np.array(convert_to_numpy(after))
    rows = _more(before.shape[0], after.shape[0])
    return placed(
        before, after, [rows, stream.channels], lambda news: np.where(news[0], initial, 0.0)
    )


def _channels(name, old, new, stream):
    """Maps the channels of a table: those of the stream, or of its modality's own size."""
    kind = name.rsplit("_", 2)[0]
    kind = "word" if kind == "letter" else kind
    if kind not in new.sizes:
        return stream.channels
    return _more(old.sizes[kind], new.sizes[kind])


def _more(before, after):
    """Returns the map of an axis with new places at its end."""
    return np.concatenate([np.arange(before), np.full(after - before, NEW)])


def _rows(before, after, old, new, name):
    """Maps the rows of a table; tables of digits may have more digits."""
    digits = "_place_" in name or name == "item"
    if digits and old.base != new.base:
        raise MdnnError(f"tokens.base: growing cannot change {old.base} to {new.base}")
    if after.shape[0] < before.shape[0] or (after.shape[0] > before.shape[0] and not digits):
        raise MdnnError(
            f"tokens: the table {name!r} has {before.shape[0]} rows before growing and "
            f"{after.shape[0]} after it; growing keeps rows"
        )
    return _more(before.shape[0], after.shape[0])


def grow_heads(old, new, stream):
    """Returns the origins of the heads' weights.

    Classes keep their scores. The class of a new modality starts with the smallest bias of the old
    ones; the heads of new modalities start as in a new network.

    Args and Raises: see `grow_embedding`.
    """
    if isinstance(new, FieldHeads):
        return {id(new.kernel): placed(old.kernel, new.kernel, [stream.channels])}
    _same_form(old, new, ("table",), "tokens.heads")
    if new.places and old.places:
        _same_form(old, new, ("base", "digits"), "tokens")
    if new.table == "bits":
        return {}
    steps = {step.name: step for step in old.steps}
    found = {}
    for step in new.steps:
        name = step.name
        mine = [new.kernels[name], new.biases[name], *new.gates[name]]
        if name not in steps:
            found |= {id(weight): created(weight) for weight in mine}
            continue
        classes = _classes(steps.pop(name), step)
        bias = float(np.min(np.asarray(old.biases[name])))
        found[id(mine[0])] = placed(old.kernels[name], mine[0], [stream.channels, classes])
        found[id(mine[1])] = placed(old.biases[name], mine[1], [classes], bias)
        for before, after in zip(old.gates[name], new.gates[name], strict=True):
            found[id(after)] = placed(before, after, [None, stream.channels], 0.0)
    if steps:
        raise MdnnError(
            f"tokens: growing keeps every head, received none for {next(iter(steps))!r}"
        )
    return found


def _classes(before, after):
    """Maps the classes of a decoding step; those of the modality step by their values."""
    if before.values is not None and after.values is not None:
        known = {value: number for number, value in enumerate(before.values)}
        if not set(known) <= set(after.values):
            raise MdnnError("tokens.modalities: growing cannot remove a modality")
        return np.array([known.get(value, NEW) for value in after.values])
    if before.classes != after.classes:
        raise MdnnError(
            f"tokens.heads: step {before.name!r} has {before.classes} classes before growing and "
            f"{after.classes} after it"
        )
    return None


def _same_form(old, new, names, where):
    for name in names:
        if type(old) is not type(new) or getattr(old, name) != getattr(new, name):
            raise MdnnError(
                f"{where}: growing keeps {name} = {getattr(old, name, None)!r:.60}, received "
                f"{getattr(new, name, None)!r:.60}"
            )


def grow_halt(old, new, stream):
    """Returns the origins of the halting head's weights; see `grow_embedding`."""
    if (old is None) != (new is None):
        raise MdnnError(
            "refeed.step_schedule: growing cannot add or remove the halting head ('halt')"
        )
    if not isinstance(new, HaltHead):
        return {}
    if stream.exact and stream.grid.changed and not new.each_position:
        raise MdnnError(
            "refeed.step_schedule: the halting head takes the mean over all positions, which a "
            "larger grid changes"
        )
    return {
        id(new.kernel): placed(old.kernel, new.kernel, [stream.channels], 0.0),
        id(new.bias): placed(old.bias, new.bias, []),
    }


def vocabulary_rules(embedding):
    """Returns the rules that an embedding sets for the channels of the stream, a list."""
    bits = isinstance(embedding, ModalityEmbedding) and embedding.table == "bits"
    return [Fixed("tokens.table = 'bits'")] if bits else []
