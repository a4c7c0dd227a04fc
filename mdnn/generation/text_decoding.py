"""Generates text with text networks: continues a prompt."""

import re

import numpy as np

from mdnn.config.refeed_rules import stops_positions, trained_steps
from mdnn.errors import MdnnError
from mdnn.generation.completions.completion import ScoredText
from mdnn.generation.completions.stop_texts import until_stop
from mdnn.generation.engines import keras_texts, text_engine
from mdnn.generation.masked_diffusion import MaskedDiffusionDecoder
from mdnn.generation.options import DEFAULT_LENGTH, GenerationOptions
from mdnn.generation.options.option_checks import check_revise, check_seed
from mdnn.generation.options.option_words import GUIDANCE_OPTIONS, PUZZLE_OPTIONS
from mdnn.generation.output_spec import parse_output
from mdnn.generation.requests import decoder_for
from mdnn.generation.windows import encode_prompts, pad_features
from mdnn.models.compiling import predicted
from mdnn.tokens.features import BYTES, COORDINATES, MODALITY, NUM_FEATURES
from mdnn.tokens.modalities import modality

FIRST_CHUNK = 16
"""Number of tokens in the first piece, small for low latency; later pieces have a full chunk."""


def generate_text(run, prompt, options, stream=None, progress=None):
    """Continues a text; see `mdnn.generate`.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network.
        prompt: str, at least one character. The network sees only the end of a prompt that is
            longer than its context. Or a list of such, see
            `mdnn.generation.completions.many_texts.generate_texts`.
        options: `GenerationOptions`. Parallel decoding and masked diffusion fill a whole context
            after the prompt; a longer text is generated in pieces, each after the last half of a
            context.
        stream: function called with each generated piece of text, or `None`.
        progress: function called with the completed fraction, 0 to 1, of a list of prompts, or of
            the reading of a prompt of several pieces, see
            `mdnn.generation.completions.piece_reading`; or `None`.

    Returns:
        str: the generated text, without the prompt; a list of them for a list. With
        `options.logprobs` a `mdnn.generation.completions.completion.ScoredText`.

    Raises:
        MdnnError: an invalid prompt, or an option that has no effect on text networks.
    """
    options.refuse((*PUZZLE_OPTIONS, *GUIDANCE_OPTIONS), "text")
    length = text_length(options)
    decoding = options.decoding_of(run.config.train.objectives)
    check_revise(options, decoding, run.config.train.objectives)
    settings = options.settings_for(trained_steps(run.config), stops_positions(run.config))
    # imported late: it builds on this module
    from mdnn.generation.completions.completed_text import check_completion, write_completions

    completes = check_completion(options, decoding)
    if isinstance(prompt, (list, tuple)):
        return _several(run, list(prompt), length, options, settings, decoding, progress)
    check_text(prompt)
    seed, scored = check_seed(options.seed), []
    if completes:
        texts = write_completions(run, [prompt], length, options, settings, [seed], [scored])
        pieces = (piece for (piece,) in texts if piece)
    elif decoding == "autoregressive":
        sampler = _sampler(settings)
        engine = text_engine(run, options.engine, settings.steps, sampler, length=length)
        tokens = _continue(engine, run.tokenizer, prompt, length, settings, seed, progress)
        pieces = _truncate(tokens, run.tokenizer, length)
    else:
        options.refuse(("engine",), decoding)
        tokens = _fill(run, run.tokenizer.ids(prompt), length, decoding, settings, seed)
        pieces = _truncate(tokens, run.tokenizer, length)
    written = []
    for piece in until_stop(pieces, options.stop_texts):
        written.append(piece)
        if stream is not None:
            stream(piece)
    text = "".join(written)
    return text if options.logprobs is None else ScoredText(text, scored)


def _several(run, prompts, length, options, settings, decoding, progress):
    """Continues several prompts; the arguments are those of `generate_text` and its options."""
    # imported late: it builds on this module
    from mdnn.generation.completions.many_texts import generate_texts

    for prompt in prompts:
        check_text(prompt)
    options.refuse(("regex", "schema", "stop"), "several prompts of text")
    if decoding != "autoregressive":
        raise MdnnError(f"prompt: expected one with {decoding} decoding, received several")
    return generate_texts(run, prompts, length, options, settings, progress)


def text_length(options):
    """Returns the number of characters to generate.

    A size in the option `output`, such as `"text 5"`, overrides the option `length`.
    """
    length = DEFAULT_LENGTH if options.length is None else options.length
    if options.output is None:
        return length
    specs = parse_output(options.output, ("text",))
    if len(specs) > 1:
        raise MdnnError("output: this network continues one text, received several outputs")
    return length if specs[0].shape is None else specs[0].num_tokens


def check_text(prompt):
    """Refuses a prompt that is not a non-empty str of valid Unicode characters.

    Raises:
        MdnnError: another type, an empty str, or unpaired surrogates.
    """
    if not isinstance(prompt, str) or not prompt:
        raise MdnnError(f"prompt: expected a string of at least one character, received {prompt!r}")
    # Python decodes invalid UTF-8 on the command line as unpaired surrogates.
    if re.search("[\ud800-\udfff]", prompt):
        raise MdnnError(f"prompt: expected a string of Unicode characters, received {prompt!r}")


def stream_text(model, tokenizer, prompt, length, settings=None, seed=0, xla=True):
    """Continues a text autoregressively with Keras and returns an iterator over its pieces.

    Args:
        model: a network as returned by `mdnn.build`.
        tokenizer: `mdnn.tokens.characters.TextTokenizer` of the network.
        prompt: str.
        length: int, number of characters to generate.
        settings: `mdnn.generation.options.SamplingSettings`; `None`: the defaults.
        seed: int.
        xla: bool, whether XLA compiles the decoder on TensorFlow: some seconds for the first text,
            and memory that TensorFlow never gives back, for later ones in a quarter of the time.
    """
    settings = settings or GenerationOptions().settings
    words, sampler = len(tokenizer.words), _sampler(settings)
    engine = keras_texts(model, words, settings.steps, sampler, xla=xla)
    tokens = _continue(engine, tokenizer, prompt, length, settings, seed)
    return _truncate(tokens, tokenizer, length)


def _sampler(settings):
    """Returns the sampler; never `"greedy"`, so that all temperatures share one decoder."""
    return "filtered" if settings.top_k or settings.top_p < 1 else "plain"


def _truncate(decoded, tokenizer, length):
    """Converts arrays of token ids to pieces of text, at most `length` characters in total.

    The text ends before a token that ends an answer, if the tokenizer has one.
    """
    left, decode = length, tokenizer.decoder()
    if left <= 0:
        return
    for ids in decoded:
        ids, ended = before_end(ids, tokenizer)
        piece = decode(ids)[:left]
        left -= len(piece)
        if piece:
            yield piece
        if left <= 0 or ended:
            return


def before_end(ids, tokenizer):
    """Returns the ids before the first one that ends an answer, and whether there is one."""
    if not tokenizer.end_ids:
        return ids, False
    ends = np.flatnonzero(np.isin(ids, list(tokenizer.end_ids)))
    return (ids[: ends[0]], True) if len(ends) else (ids, False)


def _continue(engine, tokenizer, prompt, limit, settings, seed, progress=None):
    """Decodes autoregressively and yields arrays of token ids for `limit` characters or more."""
    window, filled = encode_prompts(tokenizer, [prompt], engine.positions, engine.slots)
    arrays = {
        "seed": np.array([seed], "int32"),
        "temperature": np.array([settings.temperature], "float32"),
        "top_k": np.array([settings.top_k], "int32"),
        "top_p": np.array([settings.top_p], "float32"),
    }
    groups = engine.start(window, filled, arrays, progress)
    done, limit = 0, limit * tokenizer.tokens_per_character
    while done < limit:
        count = min(engine.chunk if done else FIRST_CHUNK, engine.chunk, limit - done)
        (tokens,) = groups.decode(count)
        yield tokenizer.ids_from_tokens(pad_features(tokens))
        done += count


def _fill(run, ids, limit, decoding, settings, seed):
    """Decodes masked positions and yields arrays of token ids, at least `limit` in total."""
    tokenizer, positions = run.tokenizer, run.config.context.positions
    if positions < 2:
        raise MdnnError(
            f"decoding: {decoding!r} needs a context of at least 2 positions, this one has 1"
        )
    decoder = decoder_for(
        MaskedDiffusionDecoder,
        run.model,
        max_tokens=positions,
        steps=settings.steps,
        sampler=settings.sampler,
        words=len(tokenizer.words),
        parallel=decoding == "parallel",
        revises=settings.revise > 0,
    )
    everything = np.ones((1, len(decoder.heads.modalities)), "int32")
    inputs = {
        "answer": everything,
        "allowed": everything,
        "temperature": np.array([settings.temperature], "float32"),
        "top_p": np.array([settings.top_p], "float32"),
    }
    numbers = {"least": 0, "item": 0, "decoded": 0, "top_k": settings.top_k}
    numbers |= {name: getattr(settings, name) for name in ("num_denoising_steps", "revise")}
    masks = np.zeros((positions, NUM_FEATURES), "int32")
    masks[:, MODALITY] = modality("blank").index
    masks[:, BYTES.start] = modality("text").index
    masks[:, COORDINATES.start] = np.arange(positions)
    written = 0
    while written < limit:
        # Fill whole contexts, as in training: keep the end of the prompt in the first piece, then
        # the last half of a context.
        room = positions - 1 if written == 0 else positions // 2
        before = ids[-max(1, min(room, positions - min(positions // 2, limit - written))) :]
        tokens = np.zeros((1, positions, NUM_FEATURES), "int32")
        tokens[0, : len(before)] = tokenizer.tokens(before)
        count = positions - len(before)
        # Use a different seed for each piece, because the positions repeat.
        numbers |= {"first": len(before), "count": count, "num_masked": count}
        numbers["seed"] = (seed + written * 0x9E3779B1 + 2**31) % 2**32 - 2**31
        scalars = {name: np.array([value], "int32") for name, value in numbers.items()}
        arrays = {"tokens": tokens, "masks": np.roll(masks, -len(before), axis=0)[None]}
        decoded = predicted(decoder, inputs | scalars | arrays)
        new = tokenizer.ids_from_tokens(np.asarray(decoded["tokens"])[0, :count])
        yield new
        written += count
        ids = np.concatenate([ids, new])
