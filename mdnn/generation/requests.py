"""Converts requests for items into inputs of a decoder, and runs it."""

import dataclasses
import functools
import math

import numpy as np

from mdnn.generation.autoregressive import AutoregressiveDecoder
from mdnn.generation.output_spec import OutputSpec
from mdnn.generation.planning import coordinate_strides, num_masked
from mdnn.models.compiling import predicted
from mdnn.tokens.features import MODALITY, NUM_FEATURES
from mdnn.tokens.modalities import modality

END = modality("end").index
MASK = modality("blank").index


@dataclasses.dataclass
class PromptContext:
    """Context of one prompt with the items generated so far.

    Args:
        tokens: int32 `[positions, 8]`.
        stop: int, the position after the last item.
        items: list of `Item`, the prompt followed by the answers.
        prompt_items: int, number of items of the prompt.
        seed: int.
        done: bool, whether the network has ended the answer.
        negatives: list of `PromptContext`, negative prompts with the items generated so far.
    """

    tokens: np.ndarray
    stop: int
    items: list
    prompt_items: int
    seed: int
    done: bool = False
    negatives: list = dataclasses.field(default_factory=list)

    @property
    def all(self):
        """List of the context and its negative prompts."""
        return [self, *self.negatives]


@dataclasses.dataclass(frozen=True)
class OutputRequest:
    """Request for one item in one context.

    Args:
        spec: `OutputSpec`; its shape is `None` if the network chooses the length or coordinates.
        first: int, the position of the first token.
        count: int, maximum number of tokens.
        answer: names of the modalities that the item's tokens may have.
        ends: names of the modalities that end the item, if the network chooses the length.
        least: int, minimum number of tokens before the item may end.
        hidden: bool, whether the network also chooses the kind; the mask tokens then specify
            neither kind nor coordinates.
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
        """bool, whether the network chooses the end of the item."""
        return self.spec.shape is None

    @property
    def decoded(self):
        """bool, whether the network also chooses the coordinates."""
        return self.open and not self.spec.flat

    @property
    def allowed(self):
        """Names of the modalities that may be sampled, a tuple of str."""
        return self.answer + (self.ends if self.open else ())

    def num_masked(self, positions):
        """Returns the number of mask tokens for the item in a context of `positions` positions."""
        if self.hidden or self.decoded:
            return positions - self.first
        return num_masked(self.count, positions - self.first)

    def masks(self, positions, item, tokenizer):
        """Returns the mask tokens for the item, in the same form as in training.

        Args:
            positions: int, number of positions of the context.
            item: int, number of the item in its context.
            tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.

        Returns:
            int32 `[num_masked, 8]`.
        """
        count, spec = self.num_masked(positions), self.spec
        if self.hidden or self.decoded:
            masks = np.zeros((count, NUM_FEATURES), "int32")
            masks[:, MODALITY] = MASK
            return masks
        if spec.flat:
            return tokenizer.masks(spec.kind, (count,), item)
        masks = tokenizer.masks(spec.kind, spec.shape, item)
        return np.vstack([masks, tokenizer.end_mask(spec.kind, spec.shape, item)])[:count]

    def strides(self):
        """Returns the strides of the item's coordinates; see `coordinate_strides`."""
        flat = self.open or self.spec.flat
        return coordinate_strides((1,) if flat else self.spec.shape)


def run_decoder(decoder, contexts, requests, tokenizer, settings, batch_size):
    """Runs a decoder on contexts.

    Args:
        decoder: `AutoregressiveDecoder` or `MaskedDiffusionDecoder`, as returned by `decoder_for`.
        contexts: list of `PromptContext`.
        requests: list of `OutputRequest`, one per context.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
        settings: `mdnn.generation.options.SamplingSettings`.
        batch_size: int, maximum number of contexts per batch.

    Returns:
        List of `(tokens, stopped)`, one per request: int32 `[tokens, 8]`, and the index of the
        modality that ended the item, 0 for none.
    """
    decoded, count = [], len(requests)
    batch_size = max(1, batch_size // (1 + decoder.negatives))
    # Round up the batch size to limit the number of compilations.
    size = 1 if count == 1 else max(8, 2 ** math.ceil(math.log2(min(batch_size, count))))
    for start in range(0, count, batch_size):
        batch = slice(start, start + batch_size)
        decoded += _run_batch(decoder, contexts[batch], requests[batch], tokenizer, settings, size)
    return decoded


def _run_batch(decoder, contexts, requests, tokenizer, settings, size):
    rows = 1 + decoder.negatives
    contexts = [each for context in contexts for each in context.all]
    requests = [request for request in requests for _ in range(rows)]
    size *= rows
    autoregressive = isinstance(decoder, AutoregressiveDecoder)
    modalities, positions = decoder.heads.modalities, decoder.positions
    inputs = {
        "tokens": np.zeros((size, positions, NUM_FEATURES), "int32"),
        "first": np.ones(size, "int32"),
        "answer": np.ones((size, len(modalities)), "int32"),
        "allowed": np.ones((size, len(modalities)), "int32"),
        "temperature": np.full(size, settings.temperature, "float32"),
        "top_k": np.full(size, settings.top_k, "int32"),
        "top_p": np.full(size, settings.top_p, "float32"),
    }
    if decoder.negatives:
        inputs["guidance_scale"] = np.full(size, settings.guidance_scale, "float32")
    for name in ("count", "least", "item", "decoded", "seed"):
        inputs[name] = np.zeros(size, "int32")
    if autoregressive:
        inputs |= {name: np.ones((size, 3), "int32") for name in ("steps", "sizes")}
    else:
        inputs["masks"] = np.zeros((size, decoder.max_tokens, NUM_FEATURES), "int32")
        inputs["num_masked"] = np.zeros(size, "int32")
        steps = settings.num_denoising_steps
        inputs["num_denoising_steps"] = np.full(size, steps, "int32")
        inputs["revise"] = np.full(size, settings.revise, "int32")
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
            # Include one position for the [EOS].
            inputs["count"][n] = num_masked(request.count, masked)
    outputs = predicted(decoder, inputs)
    outputs = {name: np.asarray(value) for name, value in outputs.items()}
    results = []
    for n, request in list(enumerate(requests))[::rows]:
        count = min(int(outputs["written"][n]), request.count)
        start = request.first if autoregressive else 0
        stopped = int(outputs["stopped"][n])
        # In masked diffusion only [EOS] ends an item.
        stopped = stopped if autoregressive else stopped * END
        results.append((outputs["tokens"][n, start : start + count].copy(), stopped))
    return results


@functools.lru_cache(maxsize=32)
def decoder_for(kind, model, **options):
    """Returns a cached decoder; compiling one takes longer than generating most answers.

    Args:
        kind: `AutoregressiveDecoder` or `MaskedDiffusionDecoder`.
        model: a network as returned by `mdnn.build`.
        **options: other arguments of the decoder.
    """
    return kind(model, **options)
