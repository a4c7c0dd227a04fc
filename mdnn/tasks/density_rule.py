"""Chooses a density for each text: `--density auto`.

The smallest width reads a text first. The mean entropy of its predictions is the difficulty of the
text. A rule, measured on validation text at the end of training, maps the difficulty to the
smallest width whose loss is close to that of the whole network.
"""

import dataclasses
import json

import numpy as np

from mdnn.config.density import check_density
from mdnn.datasets.batches.text_windows import windows
from mdnn.errors import MdnnError
from mdnn.files import write_text
from mdnn.generation.completions.many_texts import seeds_of
from mdnn.generation.token_entropy import TokenEntropy
from mdnn.generation.windows import encode_prompts, pad_features
from mdnn.growth.narrowing import at_density
from mdnn.identity.adapted_network import with_identity
from mdnn.models.compiling import predicted, without_xla
from mdnn.models.loss_model import TargetNLL
from mdnn.strict_json import read_json
from mdnn.tasks.batch_evaluator import per_character
from mdnn.tokens.features import COORDINATES, MODALITY

FILE = "density.json"
"""Name of the file of a run folder with its rule."""

AUTO = "auto"
TOLERANCE = 0.02
"""Nats per token by which a narrower network may be worse than the whole one."""

BINS, WINDOWS, BATCH = 8, 256, 32
"""Number of difficulties, of windows that are measured, and of windows per call."""

BATCH_SIZES = (1, 4, 16)
"""Numbers of prompts that are read at once."""


@dataclasses.dataclass(frozen=True)
class DensityRule:
    """Maps the difficulty of a text to a density.

    Args:
        edges: list of float, ascending: the entropies, in nats per token, that separate
            the difficulties.
        densities: list of float, one more than `edges`: the density of each difficulty.
        excess: list with a list per difficulty: the excess loss of each trained density over the
            whole network, in nats per token.
    """

    edges: list
    densities: list
    excess: list

    def density_for(self, entropies):
        """Returns the densities of texts of given mean entropies, a list of float."""
        numbers = np.searchsorted(self.edges, np.asarray(entropies), side="right")
        return [self.densities[number] for number in numbers]

    def write(self, folder):
        """Writes the rule into a run folder."""
        write_text(folder / FILE, json.dumps(dataclasses.asdict(self)) + "\n")


def read_rule(run):
    """Reads the rule of a run.

    Args:
        run: `mdnn.runs.run_folder.Run`.

    Raises:
        MdnnError: the run has none, or the file is invalid.
    """
    path = None if run.path is None else run.path / FILE
    if path is None or not path.is_file():
        raise MdnnError(
            "density: 'auto' needs a run of texts that was trained with train.density, whose "
            f"{FILE} says which width is enough for which text; this run has none (mdnn train "
            "writes it at the end)"
        )
    table = read_json(path)
    fields = [field.name for field in dataclasses.fields(DensityRule)]
    good = isinstance(table, dict) and sorted(table) == sorted(fields)
    good = good and all(_numbers(table[name]) for name in ("edges", "densities"))
    if not good or len(table["densities"]) != len(table["edges"]) + 1:
        raise MdnnError(f"{path}: expected {', '.join(fields)}")
    for density in table["densities"]:
        check_density(run.config, density)
    return DensityRule(**table)


def _numbers(values):
    return isinstance(values, list) and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in values
    )


def measure_rule(run, ids):
    """Measures which width is enough for which difficulty.

    Windows are sorted by the mean entropy of the smallest width and parted into `BINS` groups of
    one size. A group gets the smallest width whose mean loss is at most `TOLERANCE` above that of
    the whole network.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network that was trained with densities.
        ids: int32 `[n]`, the token ids of a text that was not trained on.

    Returns:
        `DensityRule`.
    """
    widths = Widths(run)
    entropies, losses = [], []
    for window in _windows(run, ids):
        counted = window["counted"]
        full = counted.any(axis=1)
        entropies.append(widths.entropies(window["tokens"], counted)[full])
        one = [widths.losses(density, window, full)[0] for density in widths.densities]
        losses.append(np.array(one)[:, full] / counted.sum(axis=1)[full])
    entropies, losses = np.concatenate(entropies), np.concatenate(losses, axis=1)
    groups = np.array_split(np.argsort(entropies, kind="stable"), min(BINS, len(entropies)))
    edges = [float(entropies[group[0]]) for group in groups[1:]]
    excess = [(losses[:, group] - losses[-1:, group]).mean(axis=1).tolist() for group in groups]
    chosen = [
        next(d for d, more in zip(widths.densities, one, strict=True) if more <= TOLERANCE)
        for one in excess
    ]
    return DensityRule(edges, chosen, excess)


class Widths:
    """Measures windows of text with the networks of a run at each density.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network that was trained with densities.

    Attributes:
        densities: tuple of float, the trained densities.
    """

    def __init__(self, run):
        self.run, self.densities = run, run.config.train.density
        smallest = at_density(run, self.densities[0]).model
        self._entropy = TokenEntropy(smallest.with_options(causal=True))
        self._losses = {}

    def entropies(self, tokens, counted):
        """Returns the mean entropy of each window at the smallest width, float64 `[n]`.

        Args:
            tokens: int32 `[n, positions, 8]`.
            counted: bool `[n, positions]`, the positions to take the mean over.
        """
        found = np.asarray(predicted(self._entropy, tokens), "float64")
        return (found * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)

    def losses(self, density, window, chosen):
        """Returns total nats and characters of windows, two arrays `[n]`; 0 for others.

        Args:
            density: float.
            window: dict as `mdnn.datasets.batches.text_windows.windows` yields them.
            chosen: bool `[n]`, the windows to compute.
        """
        if density not in self._losses:
            network = at_density(self.run, density).model.with_options(causal=True)
            self._losses[density] = TargetNLL(network)
            without_xla(self._losses[density])
        if not chosen.any():
            return np.zeros(len(chosen)), np.zeros(len(chosen), int)
        targets = window["targets"]
        nll = self._losses[density].nll(window["tokens"], targets)
        counted = window["counted"] & chosen[:, None]
        tokenizer, lengths = self.run.tokenizer, np.zeros(counted.shape, int)
        lengths[counted] = tokenizer.lengths(tokenizer.ids_from_tokens(targets[counted]))
        return (nll * counted).sum(axis=1), (lengths * counted).sum(axis=1)


def widths_of(run):
    """Returns the `Widths` of a run with a folder, the same object in every call."""
    if "widths" not in run.cache:
        run.cache["widths"] = Widths(run)
    return run.cache["widths"]


def auto_metrics(run, ids, progress=None):
    """Evaluates a text whose consecutive windows get the densities that the rule gives them.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        ids: int32 `[n]`, token ids.
        progress: function called with the completed fraction, 0 to 1.

    Returns:
        dict: `loss`, `bits_per_character`, `characters` as `mdnn.evaluate` returns them,
        `mean_density` and `shares`, a dict from densities to shares of the windows.
    """
    rule, widths = read_rule(run), widths_of(run)
    nll, characters, counts = 0.0, 0, dict.fromkeys(widths.densities, 0)
    done = 0
    for window in _windows(run, ids):
        counted = window["counted"]
        chosen = np.array(rule.density_for(widths.entropies(window["tokens"], counted)))
        for density in widths.densities:
            some = (chosen == density) & counted.any(axis=1)
            totals, lengths = widths.losses(density, window, some)
            nll, characters = nll + float(totals.sum()), characters + int(lengths.sum())
            counts[density] += int(some.sum())
        done += int(counted.sum())
        if progress is not None:
            progress(done / (len(ids) - 1))
    total = sum(counts.values())
    shares = {f"{density:g}": count / total for density, count in counts.items()}
    mean = sum(density * count for density, count in counts.items()) / total
    return per_character(nll, characters) | {"mean_density": mean, "shares": shares}


def _windows(run, ids):
    context = run.config.context
    length, slots = context.text_positions, context.slots
    return windows(ids, run.tokenizer, length, batch_size=BATCH, slots=slots)


def chosen_densities(run, prompts):
    """Returns the density that each prompt needs, a list of float.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network.
        prompts: list of str.
    """
    rule, found = read_rule(run), []
    for start in range(0, len(prompts), BATCH_SIZES[-1]):
        part = prompts[start : start + BATCH_SIZES[-1]]
        # Compiled for few sizes of the batch only.
        size = next(size for size in BATCH_SIZES if size >= len(part))
        entropies = _prompt_entropies(run, widths_of(run), [*part, *part[:1] * (size - len(part))])
        found += rule.density_for(entropies[: len(part)])
    return found


def _prompt_entropies(run, widths, prompts):
    """Returns the mean entropy of each prompt at the smallest width, float64 `[n]`."""
    positions = run.config.context.positions
    window, lengths = encode_prompts(run.tokenizer, prompts, positions, run.config.context.slots)
    tokens = pad_features(window)
    tokens[..., COORDINATES.start] = np.arange(positions) * (tokens[..., MODALITY] > 0)
    return widths.entropies(tokens, np.arange(positions) < lengths[:, None])


def answers_at_densities(run, prompts, options, answer):
    """Answers texts, each with the network that its prompt needs, those of one density together.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network.
        prompts: list of str.
        options: `mdnn.generation.options.GenerationOptions`.
        answer: function of a run, prompts and options that returns a list of answers.

    Returns:
        List of the answers.
    """
    seeds, chosen = seeds_of(options.seed, len(prompts)), chosen_densities(run, prompts)
    answers = [None] * len(prompts)
    for density in sorted(set(chosen)):
        rows = [row for row, own in enumerate(chosen) if own == density]
        own = dataclasses.replace(options, seed=[seeds[row] for row in rows])
        found = answer(at_density(run, density), [prompts[row] for row in rows], own)
        for row, text in zip(rows, found, strict=True):
            answers[row] = text
    return answers


def run_for(run, density=None, prompt=None, identity=None):
    """Returns a run at a density, or with an identity.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        density: number; `None` for the whole network; `"auto"` to choose it by the prompt.
        prompt: str, for `"auto"`.
        identity: a file that `mdnn adapt` made, or `None`.

    Raises:
        MdnnError: a density that was not trained, `"auto"` where there is no rule for it, an
            identity of another network, or both a density and an identity.
    """
    if identity is not None:
        if density not in (None, 1):
            raise MdnnError(
                f"identity: belongs to the whole network; received density {density!r} as well"
            )
        return with_identity(run, identity)
    if density == AUTO:
        if not isinstance(prompt, str):
            read_rule(run)
            raise MdnnError("density: 'auto' is chosen for each text; expected a number here")
        (density,) = chosen_densities(run, [prompt])
    return run if density is None else at_density(run, density)
