"""Texts of one run, each at the density that its prompt needs."""

from mdnn.generation.completions.completion import CompletionPiece
from mdnn.generation.completions.text_completions import TextCompletions
from mdnn.generation.text_stream import TextStream
from mdnn.growth.narrowing import at_density
from mdnn.tasks.density_rule import chosen_densities, read_rule


class DensityStreams:
    """Continues texts, each with the network that `--density auto` gives it.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network with a rule
            (`mdnn.tasks.density_rule.DensityRule`).
        engine: see `mdnn.generation.engines.text_engine`.
    """

    def __init__(self, run, engine="auto"):
        self.run = run
        densities = sorted(set(read_rule(run).densities))
        self.streams = {
            density: TextStream(at_density(run, density), engine) for density in densities
        }

    def write(self, prompts, lengths, temperatures, seeds):
        """Yields the characters by which each answer grew; see `TextStream.write`."""
        columns = (prompts, lengths, temperatures, seeds)

        def start(density, rows):
            return self.streams[density].write(
                *([column[row] for row in rows] for column in columns)
            )

        yield from _together(chosen_densities(self.run, prompts), start, "")


class DensityCompletions(TextCompletions):
    """Answers completions, each with the network that `--density auto` gives it.

    Args:
        run, engine: see `DensityStreams`.
    """

    def __init__(self, run, engine="auto"):
        super().__init__(run, engine=engine)
        self.parts = {
            density: TextCompletions(at_density(run, density), engine=engine)
            for density in sorted(set(read_rule(run).densities))
        }

    def complete(self, requests):
        """Continues texts; see `TextCompletions.complete`."""

        def start(density, rows):
            return self.parts[density].complete([requests[row] for row in rows])

        chosen = chosen_densities(self.run, [request.prompt for request in requests])
        yield from _together(chosen, start, CompletionPiece())


def _together(chosen, start, nothing):
    """Yields the pieces of all texts, whose writers take a step each.

    Args:
        chosen: list of float, the density of each text.
        start: function of a density and a list of numbers of texts that returns an iterator over
            lists of their pieces.
        nothing: the piece of a text whose writer has ended.
    """
    writers = {}
    for density in sorted(set(chosen)):
        rows = [row for row, own in enumerate(chosen) if own == density]
        writers[density] = rows, start(density, rows)
    while writers:
        pieces = [nothing] * len(chosen)
        for density, (rows, writer) in list(writers.items()):
            new = next(writer, None)
            if new is None:
                del writers[density]
                continue
            for row, piece in zip(rows, new, strict=True):
                pieces[row] = piece
        if writers:
            yield pieces
