"""The picture of the loss curve."""

import matplotlib.image
import pytest

from mdnn.training.pictures import loss_curve, read_metrics


@pytest.mark.parametrize("checks", [(None, None), (None, 2.5), (3.5, 2.5)])
def test_a_picture_from_metrics(tmp_path, checks):
    file = tmp_path / "metrics.csv"
    first, second = ("" if check is None else check for check in checks)
    file.write_text(
        "step,seconds,rate,train_nats,validation_nats\n"
        f"1,0.5,1e-3,4.0,{first}\n2,1.0,1e-3,3.0,{second}\n"
    )
    metrics = read_metrics(file)
    assert metrics == {
        "step": [1, 2],
        "seconds": [0.5, 1.0],
        "rate": [1e-3, 1e-3],
        "train_nats": [4.0, 3.0],
        "validation_nats": list(checks),
    }
    loss_curve(metrics, tmp_path / "loss.png", "a title")
    picture = matplotlib.image.imread(tmp_path / "loss.png")
    # 7 x 4 inches at 120 dots, not all of one colour.
    assert picture.shape[:2] == (480, 840)
    assert picture.std() > 0.02


def test_no_metrics(tmp_path):
    assert read_metrics(tmp_path / "none.csv") == {}
    (tmp_path / "empty.csv").write_text("step,seconds\n")
    assert read_metrics(tmp_path / "empty.csv") == {}
