"""Streams texts of one run, each at the density that its prompt needs."""

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
        chosen = chosen_densities(self.run, prompts)
        writers = {}
        for density, stream in self.streams.items():
            rows = [row for row, own in enumerate(chosen) if own == density]
            if rows:
                columns = (prompts, lengths, temperatures, seeds)
                inputs = ([column[row] for row in rows] for column in columns)
                writers[density] = rows, stream.write(*inputs)
        while writers:
            pieces = [""] * len(prompts)
            for density, (rows, writer) in list(writers.items()):
                new = next(writer, None)
                if new is None:
                    del writers[density]
                    continue
                for row, piece in zip(rows, new, strict=True):
                    pieces[row] = piece
            if writers:
                yield pieces
