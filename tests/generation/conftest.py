"""A network with the completions of a server, compiled once for all tests."""

import pytest

from mdnn.generation.completions import completed_text


@pytest.fixture(scope="session")
def run(opened_tiny):
    return opened_tiny


@pytest.fixture(scope="module")
def server_completions(completions_of_tiny):
    """Completions as the server has them, compiled once; `mdnn.generate` takes the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completed_text, "_completions", lambda model, steps: completions_of_tiny)
        yield completions_of_tiny
