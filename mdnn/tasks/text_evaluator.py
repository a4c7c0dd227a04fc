"""Evaluates text networks: loss and bits per character."""

import numpy as np

from mdnn.config.training_tables import Objectives
from mdnn.datasets.batches.text_batches import TextBatches
from mdnn.datasets.batches.text_windows import windows
from mdnn.errors import MdnnError
from mdnn.models.compiling import predicted
from mdnn.models.head_options import decoding
from mdnn.models.network_nll import NetworkNLL
from mdnn.tasks.batch_evaluator import (
    StepCounter,
    compile_models,
    contexts_at_once,
    per_character,
)
from mdnn.tasks.positions.piece_losses import PieceLosses
from mdnn.tasks.positions.position_losses import PositionLosses

# Maximum number of tokens in a quick evaluation, spread over the text.
QUICK_TOKENS = 8192


class TextEvaluator:
    """Computes the loss of texts in each decoding mode; compiled once.

    Args:
        networks: dict from decoding modes to networks, as returned by
            `mdnn.tasks.base.Task.networks`.
        config: `mdnn.Config` of the networks.
        tokenizer: `mdnn.tokens.characters.TextTokenizer`.
        batch: int, largest number of windows per call.
    """

    def __init__(self, networks, config, tokenizer, batch=32):
        self.models = compile_models(
            networks,
            lambda network: NetworkNLL(network, slab=config.backbone.slab, **decoding(config)),
        )
        self.pieces = None
        if 0 < config.backbone.slab < config.context.positions and "autoregressive" in networks:
            network = networks["autoregressive"]
            if network.decoder().piece:
                self.pieces = PieceLosses(network, **decoding(config))
        self.counter = StepCounter.of(next(iter(networks.values())))
        self.config, self.tokenizer = config, tokenizer
        self.positions, self.slots = config.context.positions, config.context.slots
        self.room = config.context.text_positions
        self.batch = contexts_at_once(config, batch)

    def metrics(self, ids, progress=None, sliding=False, by_position=False):
        """Returns the metrics of a text, as in `mdnn.evaluate`.

        Args:
            ids: int32 `[n]`, token ids of the text.
            progress: function called with the completed fraction, 0 to 1.
            sliding: bool, whether to also evaluate autoregressive decoding in windows that overlap
                by half.
            by_position: bool, whether to also return `by_position`, the loss of autoregressive
                decoding in ranges of positions (see `PositionLosses.table`).

        Returns:
            Dict with `loss` (nats per character), `bits_per_character` and `characters` (number of
            predicted characters) in consecutive windows, counting every position, as in nanoGPT.
            With `sliding` also the same three keys with the suffix `_sliding`, in windows that
            overlap by half and count their second half, so that at least half a context precedes
            every counted character. If modes other than `autoregressive` are trained, `modes` maps
            each mode to its metrics, and the top-level metrics are those of the first mode. If
            positions take numbers of steps of their own, `mean_steps` is their mean on pieces
            spread over the text.

        Raises:
            MdnnError: the text is too short.
        """
        least = 2 if list(self.models) == ["autoregressive"] else self.positions + 1
        if len(ids) < least:
            kind = "characters or words" if self.tokenizer.words else "characters"
            kind = "subwords" if self.config.tokens.subwords else kind
            number = {2: "two"}.get(least, least)
            raise MdnnError(
                f"expected a text of at least {number} {kind} to evaluate, received {len(ids)}"
            )
        sliding = sliding and "autoregressive" in self.models
        # Sliding windows read every character about twice.
        passes = len(self.models) + 2 * sliding
        tell = progress or (lambda part: None)
        places = PositionLosses(self.positions) if by_position else None
        modes = self.modes(ids, None, lambda p: tell(p * len(self.models) / passes), places)
        result = dict(next(iter(modes.values())))
        if by_position and "autoregressive" in modes:
            result["by_position"] = places.table()
        if sliding:
            start = len(self.models) / passes
            stride = max(1, self.room // 2)
            total = self.total(ids, stride, lambda p: tell(start + p * (1 - start)))
            for name, value in per_character(*total).items():
                result[f"{name}_sliding"] = value
        if list(modes) != ["autoregressive"]:
            result["modes"] = modes
        if self.counter is not None:
            result["mean_steps"] = self.counter.mean(self._windows(spread(ids, QUICK_TOKENS)))
        return result

    def _windows(self, ids):
        """Yields tokens and counted positions of the first mode, for `StepCounter.mean`."""
        mode = next(iter(self.models))
        if mode == "autoregressive":
            for window in self._text_windows(ids, self.room):
                yield window["tokens"], window["counted"]
            return
        batch = self._masked_batches(ids, mode).at(0)
        yield batch["tokens"], batch["targets"][..., 0] > 0

    def _text_windows(self, ids, stride):
        return windows(ids, self.tokenizer, self.room, stride, self.batch, self.slots)

    def _masked_batches(self, ids, mode):
        one = Objectives(**{"autoregressive": 0.0, mode: 1.0})
        return TextBatches(
            ids, self.tokenizer, self.positions, self.batch, self.config.seed, objectives=one
        )

    def quick(self, ids):
        """Returns the loss of each mode on pieces spread over a text.

        Returns:
            dict from modes to nats per character.
        """
        return {name: metrics["loss"] for name, metrics in self.modes(ids, QUICK_TOKENS).items()}

    def modes(self, ids, limit=None, progress=None, places=None):
        """Returns the metrics of each mode, a dict of dicts.

        Args:
            ids: int32 `[n]`, token ids of the text.
            limit: int, maximum number of tokens, spread over the text; `None`: all.
            progress: function called with the completed fraction, 0 to 1.
            places: `PositionLosses` that collects the losses of autoregressive decoding, or `None`.
        """
        metrics = {}
        for number, name in enumerate(self.models):

            def tell(fraction, done=number):
                if progress is not None:
                    progress((done + fraction) / len(self.models))

            if name == "autoregressive":
                some = ids if limit is None else spread(ids, limit)
                metrics[name] = per_character(*self.total(some, self.room, tell, places))
            else:
                metrics[name] = per_character(*self.masked_total(ids, name, limit, tell))
        return metrics

    def total(self, ids, stride, progress=None, places=None):
        """Evaluates autoregressive decoding in windows that advance by `stride` positions.

        Args:
            ids: int32 `[n]`, token ids of the text.
            stride: int, distance between the starts of windows.
            progress: function called with the completed fraction, 0 to 1.
            places: `PositionLosses` that collects the losses by position, or `None`.

        Returns:
            Total nats, float, and number of predicted characters, int.
        """
        nll, characters, done = 0.0, 0, 0
        for window in self._text_windows(ids, stride):
            counted = window.pop("counted")
            share = int(counted.sum()) / (len(ids) - 1)
            before = done / (len(ids) - 1)

            def tell(fraction, before=before, share=share):
                if progress is not None:
                    progress(before + fraction * share)

            found = self._losses(window, counted, tell)
            nll += float(found[counted].sum())
            targets = self.tokenizer.ids_from_tokens(window["targets"][counted])
            lengths = self.tokenizer.lengths(targets)
            characters += int(lengths.sum())
            if places is not None:
                of_each = np.zeros(counted.shape)
                of_each[counted] = lengths
                places.add(np.where(counted, found, 0.0), of_each)
            done += int(counted.sum())
            if progress is not None:
                progress(done / (len(ids) - 1))
        return nll, characters

    def _losses(self, window, counted, progress):
        """Returns the losses of windows, float64 `[batch, positions]`, in pieces of long ones."""
        if self.pieces is None:
            found = predicted(self.models["autoregressive"], window)
        else:
            filled = int(np.flatnonzero(counted.any(axis=0))[-1]) + 1
            found = self.pieces.of(window["tokens"], window["targets"], filled, progress)
        return np.asarray(found, dtype="float64")

    def masked_total(self, ids, mode, limit=None, progress=None):
        """Evaluates masked positions in random windows, which are the same in each evaluation.

        The windows read about as many tokens as the text has, at most `limit`. With
        `"masked_diffusion"` the weight of a masked position is the inverse of the masked fraction,
        so that the nats per character estimate an upper bound.

        Args:
            ids: int32 `[n]`, token ids of the text.
            mode: str, `"parallel"` or `"masked_diffusion"`.
            limit: int, maximum number of tokens; `None`: no limit.
            progress: function called with the completed fraction, 0 to 1.

        Returns:
            Weighted nats and weighted number of characters, floats.
        """
        batches = self._masked_batches(ids, mode)
        steps = max(1, round(min(len(ids), limit or len(ids)) / (self.positions * self.batch)))
        nll = characters = 0.0
        for step in range(steps):
            batch = batches.at(step)
            weights = batch.pop("weights").astype("float64")
            found = np.asarray(predicted(self.models[mode], batch), dtype="float64")
            nll += float((weights * found).sum())
            counted = batch["targets"][..., 0] > 0
            targets = self.tokenizer.ids_from_tokens(batch["targets"][counted])
            characters += float((weights[counted] * self.tokenizer.lengths(targets)).sum())
            if progress is not None:
                progress((step + 1) / steps)
        return nll, characters


def spread(ids, limit, pieces=16):
    """Returns at most `limit` elements of an array, as `pieces` evenly spaced runs.

    Args:
        ids: array `[n]`.
        limit: int, most elements of the result.
        pieces: int, number of runs.
    """
    if len(ids) <= limit:
        return ids
    starts = np.linspace(0, len(ids) - limit // pieces, pieces).astype(int)
    return np.concatenate([ids[start : start + limit // pieces] for start in starts])
