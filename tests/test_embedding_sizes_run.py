"""A run with embeddings of a size of their own: small weights, widths, larger, adapted, served."""

import pytest
import tiny

import mdnn

SIZE = "tokens.embedding_size.text=6"

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sizes")
    settings = (*tiny.QUICK, SIZE, "train.density=[0.5, 1.0]", "backbone.width=32")
    mdnn.train(tiny.load_config(folder, *settings), folder / "run", show=False)
    return folder / "run"


def test_all_that_is_made_of_a_run(run, tmp_path):
    def loss(other, **options):
        return mdnn.evaluate(other, tiny.TEXT, **options)["loss"]

    assert loss(mdnn.quantize(run, "int8", tmp_path / "small")) == pytest.approx(
        loss(run), abs=0.02
    )
    half = mdnn.shrink(run, tmp_path / "half", density=0.5)["run"]
    assert loss(half) == pytest.approx(loss(run, density=0.5), abs=1e-5)
    assert mdnn.grow(run, tmp_path / "large", ["backbone.depth=2"])["difference"] < 1e-5
    assert mdnn.export(run, tmp_path / "served").is_dir()
    source = str(mdnn.load_config(run / "config.toml").data.source)
    facts = mdnn.adapt(run, source, tmp_path / "a.safetensors", steps=2, show=False)
    assert facts["loss"] < facts["loss_before"] + 0.1


def test_in_tandem(tmp_path):
    config = tiny.load_config(tmp_path, *tiny.QUICK, SIZE, "tandem.members=2")
    assert mdnn.train(config, tmp_path / "run", show=False)["loss"] < 2.5
