"""Prints the chunks of a text for `mdnn inspect --text`: two shades on a terminal, and tables."""

import json
import sys

SHADES = ("\033[48;5;153m\033[30m", "\033[48;5;223m\033[30m")
FAINT = ("\033[48;5;189m\033[30m", "\033[48;5;230m\033[30m")
END = "\033[0m"
SHOWN = 1200
"""Number of characters of a text that are shown in chunks."""


def print_chunks(run, file, as_json):
    """Prints how a run's network cuts a text file into chunks.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        file: str, the path of a text file.
        as_json: bool, whether to print JSON with all chunks.
    """
    from mdnn.datasets.text.text_sources import read_text
    from mdnn.runs.chunk_report import inspect_text

    facts = inspect_text(run, read_text(file, run.config.data.encoding))
    if as_json:
        print(json.dumps(facts))
        return
    print(shaded(facts["chunks"], facts["strength"], sys.stdout.isatty()))
    print(
        f"\n{facts['count']:,} chunks, {facts['vocabulary']:,} different ones, "
        f"{facts['characters_per_chunk']:.2f} characters each on average\n"
    )
    row = "{:<16} {:>10} {:>8}".format
    print(row("chunk", "times", "share"))
    for each in facts["frequent"]:
        print(row(visible(each["chunk"]), f"{each['count']:,}", f"{each['share']:.2%}"))
    print()
    _print_agreement("ends of words", facts["words"])
    if facts["bpe"] is None:
        print("BPE: install tokenizers for a comparison")
    else:
        _print_agreement(f"BPE of {facts['bpe']['vocabulary']:,} tokens", facts["bpe"])


def _print_agreement(name, facts):
    print(
        f"agreement with {name}: {facts['precision']:.1%} of the cuts are among them, "
        f"{facts['recall']:.1%} of them are cuts (F1 {facts['f1']:.3f})"
    )


def shaded(chunks, strength, colours=True):
    """Returns the beginning of a text in chunks: two shades in turn, or bars between chunks.

    Args:
        chunks: list of str.
        strength: list of floats; a chunk whose cut is wanted weakly (below 0.5) is fainter.
        colors: bool, whether to write the color codes of terminals.
    """
    shown, length = [], 0
    for number, (chunk, strong) in enumerate(zip(chunks, strength, strict=True)):
        if length >= SHOWN:
            break
        length += len(chunk)
        if not colours:
            shown.append(chunk)
            continue
        shade = (SHADES if strong >= 0.5 else FAINT)[number % 2]
        lines = chunk.split("\n")
        shown.append(f"{END}\n".join(f"{shade}{line}" for line in lines) + END)
    return ("" if colours else "|").join(shown) + (" ..." if length < sum(map(len, chunks)) else "")


def visible(chunk):
    """Returns a chunk with its spaces and line breaks made visible."""
    return chunk.replace(" ", "·").replace("\n", "⏎").replace("\t", "→")
