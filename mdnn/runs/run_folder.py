"""Opens and loads trained networks: run folders and networks in memory."""

import dataclasses
import functools
from pathlib import Path

import keras

from mdnn.config.load import Config
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.models.builder import build
from mdnn.models.network import Network
from mdnn.models.parameter_limit import TooLargeError
from mdnn.models.tandem.tandem_network import TandemNetwork
from mdnn.runs.item_statistics import ITEMS, read_item_statistics
from mdnn.runs.packed_network import can_map, can_pack, packed_network
from mdnn.runs.run_files import (
    CONFIG,
    WEIGHTS,
    check_format,
    read_config,
    read_vocabulary,
    read_weights,
    weights_dtype,
)
from mdnn.runs.safetensors_io import opened
from mdnn.tokens.item_tokenizer import ItemTokenizer
from mdnn.tokens.text_tokenizers import text_tokenizer


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained network with its config and tokenizers.

    Args:
        path: `Path` of the run folder; `None` for a network that exists only in memory.
        config: `Config` that it was trained with.
        words: tuple of strings, its vocabulary: the table of words; the two texts of the tokenizer
            of subwords (`mdnn.tokens.text_tokenizers`); empty for a vocabulary of characters.
    """

    path: Path | None
    config: Config
    words: tuple[str, ...] = ()
    # Objects that other modules cache for this run, by name; a copy starts without any.
    cache: dict = dataclasses.field(default_factory=dict, init=False, compare=False, repr=False)

    @functools.cached_property
    def model(self):
        """The network with its weights; large ones of 8 or 4 bits stay codes on TensorFlow."""
        return self.opened(packed=can_pack(self.dtype))

    @functools.cached_property
    def unpacked(self):
        """The network with all weights in float32, for code that reads individual weights."""
        return self.opened() if can_pack(self.dtype) else self.model

    @property
    def has_model(self):
        """Whether the network has been read or is given."""
        return "model" in vars(self)

    def outline(self, mapped):
        """Returns a network to be read block by block, not to be run: the model, or a new one.

        Weights of a new one, a `mdnn.models.network_outline.NetworkOutline` on TensorFlow, take no
        memory of the backend, which would keep it.

        Args:
            mapped: `mdnn.runs.mapped_arrays.MappedArrays` of the weights file.
        """
        return self.model if self.has_model else self.opened(can_map(), mapped)

    def opened(self, packed=False, mapped=None):
        """Returns a new network with the weights of the run folder.

        Args:
            packed: bool, whether large quantized weights stay codes; they cannot be trained.
            mapped: see `mdnn.runs.packed_network.packed_network`.
        """
        file = self.path / WEIGHTS
        # Open the file first, so that its size is that of a valid file. A weight takes at least
        # half a byte.
        with opened(file):
            most = 2 * file.stat().st_size
        try:
            if packed:
                return packed_network(self.config, self.words, file, most, mapped)
            model = build(self.config, self.words, max_parameters=most)
        except TooLargeError as error:
            if most >= self.config.limits.parameters:
                raise
            raise MdnnError(f"{file} holds fewer weights than {CONFIG} asks for: {error}") from None
        read_weights(model.weights, self.path / WEIGHTS)
        return model

    @functools.cached_property
    def dtype(self):
        """The storage format of its weights: `"float32"`, `"float16"`, `"int8"` or `"int4"`."""
        return weights_dtype(self.path)

    @functools.cached_property
    def tokenizer(self):
        """The tokenizer of texts."""
        return text_tokenizer(self.config.tokens, self.words)

    @functools.cached_property
    def item_tokenizer(self):
        """The tokenizer of items."""
        tokens = self.config.tokens
        return ItemTokenizer(self.words, tokens.sample_rate, tokens.spectrum)

    @functools.cached_property
    def item_statistics(self):
        """Statistics of the items that the network was trained on, a dict (layout "items").

        `longest`: dict from modalities to the number of tokens of the longest item. `shapes`: dict
        from modalities of pictures and films to a list of their shapes, tuples `(h, w)` or
        `(n, h, w)`, most frequent first; long lists are truncated.
        """
        if self.path is None:
            return {"longest": {}, "shapes": {}}
        return read_item_statistics(self.path)

    def member(self, number):
        """Returns one member of a run of networks in tandem, a `Run` of its own.

        Args:
            number: int from 0; `None` for all members together, this run.

        Returns:
            `Run`; that of a run folder is the same object in every call.

        Raises:
            MdnnError: the run holds one network, or there is no such member.
        """
        if number is None:
            return self
        if not self.config.tandem.members:
            raise MdnnError("member: this run holds one network, expected tandem.members")
        if self.path is None:
            # The members may have been trained since.
            return self._of(self.model.member(number))
        members = self.cache.setdefault("members", {})
        if number not in members:
            members[number] = self._of(self.model.member(number))
        return members[number]

    def first_members(self, count):
        """Returns a run of the first members alone; `count` 0 for all.

        Raises:
            MdnnError: the run has fewer members.
        """
        members = self.config.tandem.members
        if count in (0, members):
            return self
        if count > members or count < 2:
            raise MdnnError(f"members: expected 2 to the run's {members} members, received {count}")
        tandem = dataclasses.replace(self.config.tandem, members=count)
        network = build(dataclasses.replace(self.config, tandem=tandem), self.words)
        network.set_weights([values[:count] for values in self.model.get_weights()])
        return self._of(network)

    def _of(self, network):
        """Returns a run in memory of some members of this one."""
        run = Run(None, network.config, self.words).holding(network)
        if self.path is not None and (self.path / ITEMS).is_file():
            vars(run).update(item_statistics=self.item_statistics)
        return run

    def holding(self, model, config=None):
        """Returns a copy of this run that holds a given network instead of reading it.

        Args:
            model: `Network`.
            config: its config; `None` for that of this run.
        """
        run = dataclasses.replace(self, config=self.config if config is None else config)
        vars(run).update(model=model, dtype="float32")
        return run

    def with_config(self, config):
        """Returns a run of the same network with another config; nothing is read again."""
        run, known = dataclasses.replace(self, config=config), ("model", "unpacked", "dtype")
        vars(run).update({name: value for name, value in vars(self).items() if name in known})
        return run


def open_run(run):
    """Opens a run.

    Args:
        run: a run folder; a `.keras` file; a `Network`, trained with `fit` or loaded; or a `Run`,
            which is returned unchanged.

    Returns:
        `Run`.

    Raises:
        MdnnError: `run` is none of these, or a folder without a finished run.
    """
    if isinstance(run, Run):
        return run
    if isinstance(run, keras.Model):
        return run_of(run)
    path = as_path(run, "run")
    if path.suffix == ".keras" and path.is_file():
        network = load(path)
        return Run(None, network.config, network.words).holding(network)
    if not path.is_dir():
        what = "a file" if path.exists() else "nothing"
        raise MdnnError(f"{path} is not a run folder: there is {what} there")
    check_format(path)
    for name in (CONFIG, WEIGHTS):
        if not (path / name).is_file():
            raise MdnnError(f"{path} is not a run folder: it has no {name}")
    config = read_config(path)
    return Run(path, config, read_vocabulary(path, config.tokens))


def run_of(network):
    """Returns the `Run` of a network in memory, the same object in every call.

    Args:
        network: `Network`, from `mdnn.build`, `mdnn.load` or `keras.models.load_model`.

    Raises:
        MdnnError: the model is not a `Network` and has no config.
    """
    if not isinstance(network, (Network, TandemNetwork)):
        raise MdnnError(
            "expected a network made by mdnn.build or mdnn.load, a run folder or a .keras file; "
            f"received a {type(network).__name__} without a config"
        )
    run = vars(network).get("opened_run")
    if run is None:
        run = Run(None, network.config, network.words).holding(network)
        # The network keeps its run, not a table: a network that its caller forgets, as in
        # `mdnn.evaluate(mdnn.build(config), text)`, lives as long as the call needs it. Keras'
        # attribute tracking is bypassed: the run is not a layer.
        object.__setattr__(network, "opened_run", run)
    return run


def load(run):
    """Returns the trained `Network` of a run folder.

    Args:
        run: a run folder, or a `.keras` file (see `mdnn.safety.keras_files.load_keras`).

    Raises:
        MdnnError: `run` is neither of these, or it is damaged.
    """
    if not isinstance(run, Run) and as_path(run, "run").suffix == ".keras":
        # Imported late: run folders do not need it.
        from mdnn.safety.keras_files import load_keras

        return load_keras(run)
    run = open_run(run)
    # A network that holds codes cannot be trained.
    return run.opened() if run.path is not None and can_pack(run.dtype) else run.model
