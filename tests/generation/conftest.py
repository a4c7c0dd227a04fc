"""A network with the completions of a server, compiled once for a file of tests."""

import pytest

from mdnn.generation.completions import completed_text
from mdnn.generation.completions.text_completions import TextCompletions
from mdnn.runs.run_folder import open_run


@pytest.fixture(scope="module")
def run(tiny_run):
    return open_run(tiny_run)


@pytest.fixture(scope="module")
def server_completions(run):
    """Completions as the server has them, compiled once; `mdnn.generate` takes the same."""
    made = TextCompletions(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completed_text, "_completions", lambda model, steps: made)
        yield made
