"""The picture of the loss curve."""

import matplotlib.image
import pytest

from mdnn.training.metrics_log import read_metrics
from mdnn.training.plots import GROWTH, _stages, loss_curve


@pytest.mark.parametrize("checks", [(None, None), (None, 2.5), (3.5, 2.5)])
def test_a_picture_from_metrics(tmp_path, checks):
    first, second = ("" if check is None else check for check in checks)
    (tmp_path / "metrics.csv").write_text(
        f"step,rate,train_loss,validation_loss\n1,1e-3,4.0,{first}\n2,1e-3,3.0,{second}\n"
    )
    (tmp_path / "times.csv").write_text("step,seconds\n1,0.5\n2,1.0\n3,1.5\n4,2.0")
    metrics = read_metrics(tmp_path)
    assert metrics == {
        "step": [1, 2],
        "seconds": [0.5, 1.0],
        "rate": [1e-3, 1e-3],
        "train_loss": [4.0, 3.0],
        "validation_loss": list(checks),
    }
    loss_curve(metrics, tmp_path / "loss.png", "a title")
    picture = matplotlib.image.imread(tmp_path / "loss.png")
    # 7 x 4 inches at 120 dots, not all of one color.
    assert picture.shape[:2] == (480, 840)
    assert picture.std() > 0.02


def test_stages_are_shown(tmp_path):
    """A line and words where the network grows; nothing of that color where it does not."""
    metrics = {"seconds": [1.0, 2.0, 3.0], "train_loss": [3.0, 2.5, 2.0], "stage": [0, 1, 2]}
    assert _stages(metrics) == [(1, 1.0), (2, 2.0)]
    wanted = [int(GROWTH[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    counts = []
    for stages in ([0, 0, 0], [0, 1, 2]):
        loss_curve(metrics | {"stage": stages}, tmp_path / "loss.png")
        picture = matplotlib.image.imread(tmp_path / "loss.png")[..., :3]
        counts.append((abs(picture - wanted).max(axis=-1) < 0.1).sum())
    assert counts[0] == 0
    assert counts[1] > 100


def test_no_metrics(tmp_path):
    assert read_metrics(tmp_path) == {}
    (tmp_path / "metrics.csv").write_text("step,rate,train_loss\n")
    assert read_metrics(tmp_path) == {}
