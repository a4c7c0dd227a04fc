"""Reports the chunks into which a network cuts a text, and how they agree with words and BPE."""

import collections

import numpy as np
from keras import ops

from mdnn.errors import MdnnError
from mdnn.models.blocks.residual_block import run_blocks
from mdnn.models.call_options import CAUSAL
from mdnn.models.chunks.characters_of import is_letter
from mdnn.models.chunks.chunk_block import ChunkBlock
from mdnn.models.chunks.chunk_layout import chunk_starts
from mdnn.runs.run_folder import open_run
from mdnn.tokens.characters import TextTokenizer

MAX_CHARACTERS = 1_000_000
MAX_VOCABULARY = 4096
WINDOWS = 64
"""Number of contexts that are read at once."""


def inspect_text(run, text, top=20):
    """Returns the chunks into which a network cuts a text.

    The text is cut as one context, so that no chunk ends only because a context does.

    Args:
        run: a run folder, a `Run` or a `Network` with a layer of kind "chunks".
        text: str of 2 to 1,000,000 characters.
        top: int, rows of the table of frequent chunks.

    Returns:
        dict with the keys:

        - `chunks`: list of str, the text in chunks;
        - `strength`: list of floats from 0 to 1, the strength of the cut before each chunk: 0 for a
          cut that was made because the chunk before it was full;
        - `count`, `vocabulary`, `characters_per_chunk`: the number of chunks, of different ones,
          and their mean length;
        - `frequent`: list of dicts `chunk`, `count`, `share` (of the chunks), most frequent first;
        - `words`: dict `precision`, `recall`, `f1` of the cuts against the places where words end;
        - `bpe`: the same against a BPE vocabulary of equal size trained on this text; `None`
          without the package `tokenizers`.

    Raises:
        MdnnError: the network cuts no text, or the text is too short or too long.
    """
    starts, wanted = cuts_of(open_run(run), text)
    ids = np.array([ord(character) for character in text], "int32")
    chunks = pieces(text, starts)
    counts = collections.Counter(chunks)
    return {
        "chunks": chunks,
        "strength": [1.0, *(float(wanted[start]) for start in starts[1:])],
        "count": len(chunks),
        "vocabulary": len(counts),
        "characters_per_chunk": len(text) / len(chunks),
        "frequent": [
            {"chunk": chunk, "count": count, "share": count / len(chunks)}
            for chunk, count in counts.most_common(top)
        ],
        "words": agreement(starts, word_ends(ids)),
        "bpe": _bpe_agreement(text, starts, len(counts)),
    }


def chunk_blocks(network):
    """Returns the blocks of a network that cut texts into chunks, a list."""
    return [block for block in network.blocks if isinstance(block, ChunkBlock)]


def cuts_of(run, text):
    """Returns a network's cuts of a text and their strengths.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        text: str of 2 to 1,000,000 characters.

    Returns:
        Tuple of the positions at which chunks begin, int32 `[chunks]`, and the strength of a cut
        before each character, float32 `[characters]` from 0 to 1.

    Raises:
        MdnnError: as `inspect_text`.
    """
    blocks = chunk_blocks(run.model)
    if not blocks:
        raise MdnnError("this network has no layer of kind 'chunks': it does not cut texts")
    if not isinstance(text, str) or not 2 <= len(text) <= MAX_CHARACTERS:
        received = f"{len(text):,}" if isinstance(text, str) else type(text).__name__
        raise MdnnError(f"text: expected 2 to {MAX_CHARACTERS:,} characters, received {received}")
    wanted, block = wanted_cuts(run, blocks[0], text), blocks[0]
    starts = chunk_starts(ops.convert_to_tensor(wanted[None] >= 0.5), block.shortest, block.longest)
    starts = ops.convert_to_numpy(starts)[0]
    return starts[starts < len(text)], wanted


def pieces(text, starts):
    """Returns a text in chunks, a list of str."""
    return [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]


def wanted_cuts(run, block, text):
    """Returns the strength of a cut before each character, float32 `[n]` from 0 to 1.

    Each character is read with at least half a context before it.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        block: the network's `ChunkBlock`.
        text: str of n characters.
    """
    network, tokenizer = run.model, TextTokenizer()
    positions = network.positions
    stride, ids = max(1, positions // 2), tokenizer.ids(text)
    starts = np.arange(0, max(1, len(ids) - positions + stride), stride)
    index = starts[:, None] + np.arange(positions)
    windows = np.where(index < len(ids), ids.take(index, mode="clip"), -1)
    before = network.blocks[: network.blocks.index(block)] if block.cutter.learnt else []
    rows = []
    for first in range(0, len(windows), WINDOWS):
        tokens = ops.convert_to_tensor(tokenizer.tokens(windows[first : first + WINDOWS]))
        marks = network.marks(tokens)
        x = run_blocks(before, network.embed(tokens), CAUSAL, False, marks=marks)
        x, flat = block.normed(x), (-1, positions)
        x = ops.reshape(x, (*flat, network.width))
        rows.append(ops.convert_to_numpy(block.cutter.strength(ops.reshape(marks, flat), x)))
    rows = np.concatenate(rows)
    found = np.concatenate([rows[0], rows[1:, positions - stride :].reshape(-1)])
    return found[: len(ids)].astype("float32")


def word_ends(codes):
    """Returns the positions of characters that follow the last letter of a word.

    Args:
        codes: int32 `[n]`, code points.
    """
    letter = ops.convert_to_numpy(is_letter(codes))
    return np.flatnonzero(letter[:-1] & ~letter[1:]) + 1


def agreement(starts, others):
    """Returns precision, recall and F1 of cuts against other cuts of the same text.

    Args:
        starts, others: integers, positions of cuts; 0, where every text begins, does not count.
    """
    own, other = set(map(int, starts)) - {0}, set(map(int, others)) - {0}
    both = len(own & other)
    precision, recall = both / max(len(own), 1), both / max(len(other), 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return {"precision": precision, "recall": recall, "f1": f1}


def _bpe_agreement(text, starts, vocabulary):
    """Returns the agreement with a BPE vocabulary of a size; `None` without `tokenizers`."""
    try:
        import tokenizers
    except ImportError:
        return None
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="?"))
    # A gap belongs to the word after it, as in the chunks.
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split(
        tokenizers.Regex(r"[^\w']*[\w']+|[^\w']+"), "isolated"
    )
    size = min(max(vocabulary, len(set(text)) + 1), MAX_VOCABULARY)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, special_tokens=["?"], show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    found = [start for start, _ in tokenizer.encode(text).offsets]
    return {"vocabulary": tokenizer.get_vocab_size(), **agreement(starts, found)}
