"""Requests for items: as inputs of a decoder, and what it decoded."""

import dataclasses
import functools
import math

import numpy as np

from mdnn.generation.autoregressive import AutoregressiveDecoder
from mdnn.generation.output_spec import OutputSpec
from mdnn.generation.planning import coordinate_strides, num_masked
from mdnn.tokens.features import MODALITY, WIDTH, modality

END = modality("end").index
MASK = modality("blank").index


@dataclasses.dataclass
class PromptContext:
    """One prompt and what is answered so far.

    Args:
        tokens: int32 `[positions, 8]`.
        stop: the position behind the last item.
        items: list of `Item`, the prompt's and the answers.
        prompt_items: how many of them are the prompt's.
        seed: int.
        done: whether the network has decoded that nothing follows.
    """

    tokens: np.ndarray
    stop: int
    items: list
    prompt_items: int
    seed: int
    done: bool = False


@dataclasses.dataclass(frozen=True)
class OutputRequest:
    """One item that is requested of one context.

    Args:
        spec: `OutputSpec`; its shape is `None` where the network chooses length or coordinates.
        first: the position of its first token.
        count: the most tokens it may have.
        answer: names of the modalities that its tokens may have.
        ends: names of the modalities that end it, where the network chooses the length.
        least: tokens before it may end.
        hidden: whether the network chooses the kind, too: the masks then name neither kind nor
            coordinates.
    """

    spec: OutputSpec
    first: int
    count: int
    answer: tuple[str, ...]
    ends: tuple[str, ...] = ()
    least: int = 1
    hidden: bool = False

    @property
    def open(self):
        """Whether the network chooses where it ends."""
        return self.spec.shape is None

    @property
    def decoded(self):
        """Whether the network chooses the coordinates, too."""
        return self.open and not self.spec.flat

    @property
    def allowed(self):
        """Names of the modalities that may be sampled."""
        return self.answer + (self.ends if self.open else ())

    def num_masked(self, positions):
        """Returns how many masks a context of `positions` positions holds for it."""
        if self.hidden or self.decoded:
            return positions - self.first
        return num_masked(self.count, positions - self.first)

    def masks(self, positions, item, tokenizer):
        """Returns these masks, int32 `[num_masked, 8]`, as in training.

        Args:
            positions: int, of the context.
            item: int, the item's number.
            tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
        """
        count, spec = self.num_masked(positions), self.spec
        if self.hidden or self.decoded:
            masks = np.zeros((count, WIDTH), "int32")
            masks[:, MODALITY] = MASK
            return masks
        if spec.flat:
            return tokenizer.blanks(spec.kind, (count,), item)
        masks = tokenizer.blanks(spec.kind, spec.shape, item)
        return np.vstack([masks, tokenizer.end_blank(spec.kind, spec.shape, item)])[:count]

    def strides(self):
        """Returns the strides of its coordinates; see `coordinate_strides`."""
        flat = self.open or self.spec.flat
        return coordinate_strides((1,) if flat else self.spec.shape)


def run_decoder(decoder, contexts, requests, tokenizer, settings, batch_size):
    """Runs a decoder on contexts.

    Args:
        decoder: `AutoregressiveDecoder` or `MaskedDiffusionDecoder`, as `decoder_for` returns it.
        contexts: list of `PromptContext`.
        requests: list of `OutputRequest`, one each.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
        settings: `mdnn.generation.options.SamplingSettings`.
        batch_size: int, contexts that are run together.

    Returns:
        List of `(tokens, stopped)`: int32 `[tokens, 8]`, and the index of the modality that ended
        them, 0 for none.
    """
    decoded, count = [], len(requests)
    # Few sizes of batches, so that a decoder is compiled few times.
    size = 1 if count == 1 else max(8, 2 ** math.ceil(math.log2(min(batch_size, count))))
    for start in range(0, count, batch_size):
        batch = slice(start, start + batch_size)
        decoded += _run_batch(decoder, contexts[batch], requests[batch], tokenizer, settings, size)
    return decoded


def _run_batch(decoder, contexts, requests, tokenizer, settings, size):
    autoregressive = isinstance(decoder, AutoregressiveDecoder)
    modalities, positions = decoder.heads.modalities, decoder.positions
    inputs = {
        "tokens": np.zeros((size, positions, WIDTH), "int32"),
        "first": np.ones(size, "int32"),
        "answer": np.ones((size, len(modalities)), "int32"),
        "allowed": np.ones((size, len(modalities)), "int32"),
        "temperature": np.full(size, settings.temperature, "float32"),
        "top_k": np.full(size, settings.top_k, "int32"),
        "top_p": np.full(size, settings.top_p, "float32"),
    }
    for name in ("count", "least", "item", "decoded", "seed"):
        inputs[name] = np.zeros(size, "int32")
    if autoregressive:
        inputs |= {name: np.ones((size, 3), "int32") for name in ("steps", "sizes")}
    else:
        inputs["masks"] = np.zeros((size, decoder.max_tokens, WIDTH), "int32")
        inputs["num_masked"] = np.zeros(size, "int32")
        steps = settings.num_denoising_steps
        inputs["num_denoising_steps"] = np.full(size, steps, "int32")
    for n, (context, request) in enumerate(zip(contexts, requests, strict=True)):
        inputs["tokens"][n] = context.tokens
        inputs["first"][n], inputs["count"][n] = request.first, request.count
        inputs["item"][n], inputs["seed"][n] = len(context.items), context.seed
        inputs["least"][n], inputs["decoded"][n] = request.least, request.decoded
        for name in ("answer", "allowed"):
            inputs[name][n] = [modal in getattr(request, name) for modal in modalities]
        if autoregressive:
            inputs["steps"][n], inputs["sizes"][n] = request.strides()
            continue
        inputs["num_masked"][n] = masked = request.num_masked(positions)
        inputs["masks"][n, :masked] = request.masks(positions, len(context.items), tokenizer)
        if request.open and not request.hidden:
            # One more than there may be tokens, for the [EOS].
            inputs["count"][n] = num_masked(request.count, masked)
    outputs = decoder.predict_on_batch(inputs)
    outputs = {name: np.asarray(value) for name, value in outputs.items()}
    results = []
    for n, request in enumerate(requests):
        count = min(int(outputs["written"][n]), request.count)
        start = request.first if autoregressive else 0
        stopped = int(outputs["stopped"][n])
        # Masked positions are ended by [EOS] alone.
        stopped = stopped if autoregressive else stopped * END
        results.append((outputs["tokens"][n, start : start + count].copy(), stopped))
    return results


@functools.lru_cache(maxsize=32)
def decoder_for(kind, model, **options):
    """Returns a decoder of a network, kept: compiling takes longer than most answers.

    Args:
        kind: `AutoregressiveDecoder` or `MaskedDiffusionDecoder`.
        model: a network as `mdnn.build` makes it.
        **options: the decoder's other arguments.
    """
    return kind(model, **options)
