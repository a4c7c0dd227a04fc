"""Shares of a batch and of an axis: what fits a config, and what is refused."""

import pytest
import tiny

from mdnn.config.mesh_table import Mesh, parse_mesh
from mdnn.errors import MdnnError

GRID = ("context.grid=[8, 3]",)


def test_shares_are_read_and_written(tmp_path):
    config = tiny.load_config(tmp_path, *GRID, "mesh.batch=2", "mesh.row=4")
    mesh = config.mesh
    assert (mesh.batch, mesh.axis, mesh.axis_shares, mesh.devices) == (2, "row", 4, 8)
    assert str(mesh) == "batch = 2, row = 4"
    (tmp_path / "again.toml").write_text(config.to_toml(), encoding="utf-8")
    assert tiny.mdnn.load_config(tmp_path / "again.toml") == config


def test_without_the_table_there_is_one_device(tmp_path):
    mesh = tiny.load_config(tmp_path).mesh
    assert (mesh, mesh.batch, mesh.axis, mesh.axis_shares, mesh.devices) == (Mesh(), 1, None, 1, 1)


def test_shares_of_a_named_axis(tmp_path):
    named = ('context.axes=["page", "letter"]', "mesh.page=2")
    assert tiny.load_config(tmp_path, *GRID, *named).mesh.axis == "page"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["mesh.rows=2"], r"mesh.rows: unknown axis 'rows' \(did you mean 'row'\?\); known: batch"),
        (
            ["mesh.row=3"],
            "mesh.row: expected a divisor of the axis 'row' of context.grid = 8, rece",
        ),
        (["mesh.batch=3"], "mesh.batch: expected a divisor of train.batch_size = 8, received 3"),
        (["mesh.column=3"], "mesh.column: expected shares of the slowest axis, 'row', whose"),
        (["mesh.batch=0"], "mesh.batch: expected a number of shares, received 0"),
        (["mesh.batch=true"], "mesh.batch: expected a number of shares, received True"),
        (["mesh.batch=two"], "mesh.batch: expected a number of shares, received 'two'"),
        (["mesh.batch=2", "train.density=[0.5, 1.0]"], r"train.density: expected \[\] with a mesh"),
        (["mesh.batch=2", "train.method=blind"], "train.method: expected 'gradient' with a mesh"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, settings, message):
    with pytest.raises(MdnnError, match=message):
        tiny.load_config(tmp_path, *GRID, *settings)


def test_words_of_a_mesh():
    assert parse_mesh("batch=8, row=128") == Mesh((("batch", 8), ("row", 128)))
    for words in ("batch", "batch=", "=2", "batch=-1", "batch=2,batch=3", "", "batch=2,"):
        with pytest.raises(MdnnError, match=r"^mesh: expected shares as batch=8,row=128; received"):
            parse_mesh(words)
