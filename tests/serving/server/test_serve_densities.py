"""A server with `--density`: every form answers at the density, which the page shows."""

import keras
import pytest
import tiny
from networks import randomize

import mdnn
from mdnn.generation.completions.completion import CompletionPiece, CompletionRequest
from mdnn.generation.text_stream import TextStream
from mdnn.growth.narrowing import at_density
from mdnn.runs.run_folder import open_run
from mdnn.tasks import density_rule
from mdnn.tasks.density_rule import DensityRule, Widths, chosen_densities

if keras.backend.backend() != "tensorflow":
    pytest.skip("what is served is TensorFlow's", allow_module_level=True)

from mdnn.serving.server.density_streams import DensityCompletions
from mdnn.serving.server.served_models import open_served_run

PROMPTS = ["The cat", "Ça va"]
SETTINGS = ("backbone.width=32", "backbone.layer.1.width=64", "train.density=[0.5, 1.0]")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A network of random weights whose easier texts have half the density."""
    folder = tmp_path_factory.mktemp("densities")
    network = randomize(mdnn.build(tiny.load_config(folder, *SETTINGS)))
    run = open_run(mdnn.save(network, folder / "run"))
    easy, hard = sorted(density_rule._prompt_entropies(run, Widths(run), PROMPTS))
    DensityRule([(easy + hard) / 2], [0.5, 1.0], [[0.0, 0.0]] * 2).write(run.path)
    return run


class Recorded:
    """Completions of `steps` pieces that name a density; they record their prompts."""

    def __init__(self, density, steps):
        self.density, self.steps, self.prompts = density, steps, []

    def complete(self, requests):
        self.prompts += [request.prompt for request in requests]
        for _ in range(self.steps):
            yield [CompletionPiece(f"{self.density}")] * len(requests)


def test_each_text_has_its_own_density(run):
    network = open_served_run(run, density="auto")
    assert network.about["density"] == "auto"
    completions = network.completions
    assert isinstance(completions, DensityCompletions)
    for density, part in completions.parts.items():
        assert part.run is at_density(run, density)
    chosen = chosen_densities(run, PROMPTS)
    assert sorted(chosen) == [0.5, 1.0]
    completions.parts = {0.5: Recorded(0.5, 1), 1.0: Recorded(1.0, 2)}
    requests = [CompletionRequest(prompt, 3) for prompt in PROMPTS]
    first, second = ([piece.text for piece in pieces] for pieces in completions.complete(requests))
    assert first == [f"{density}" for density in chosen]
    assert second == ["1.0" if density == 1 else "" for density in chosen]
    for density, part in completions.parts.items():
        assert part.prompts == [PROMPTS[chosen.index(density)]]
    # What chooses is compiled before the first request, too.
    assert network.streams[0] == network.write
    assert [stream.__self__.__class__ for stream in network.streams[1:]] == [TextStream] * 2


def test_prompts_are_read_in_batches_of_few_sizes(run, monkeypatch):
    alone = [chosen_densities(run, [prompt])[0] for prompt in PROMPTS]
    sizes, entropies = [], Widths.entropies

    def recorded(self, tokens, counted):
        sizes.append(len(tokens))
        return entropies(self, tokens, counted)

    monkeypatch.setattr(Widths, "entropies", recorded)
    assert chosen_densities(run, PROMPTS * 9) == alone * 9
    assert sizes == [16, 4]


def test_the_page_is_told_the_density(run):
    assert open_served_run(run, density=0.5).about["density"] == 0.5
    assert open_served_run(run, density=1.0).about["density"] is None


def test_a_new_rule_is_read(run):
    before = open_served_run(run, density="auto").completions
    assert open_served_run(run, density="auto").completions is before
    rule = run.path / "density.json"
    # As `write` does: a new file in the place of the old one.
    text, other = rule.read_bytes(), rule.with_name("new.json")
    other.write_bytes(text)
    other.replace(rule)
    assert open_served_run(run, density="auto").completions is not before
