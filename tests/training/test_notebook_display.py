"""The display of a training in a notebook."""

import xml.etree.ElementTree as ElementTree

from mdnn.training import notebook_display
from mdnn.training.notebook_display import NotebookDisplay, in_notebook, make_display
from mdnn.training.progress import Display


def trained(monkeypatch, pause, steps=5):
    """What is published while a training shows so many steps: list of `(bundle, update)`."""
    published = []
    monkeypatch.setattr(notebook_display, "PAUSE", pause)
    display = NotebookDisplay(publish=lambda bundle, update: published.append((bundle, update)))
    with display:
        for step in range(1, steps + 1):
            check = 2.5 if step >= 3 else None
            display.update(step / steps, 3.0 / step, 1000, steps - step, step, check)
    return published


def test_a_bar_and_a_curve_that_grow(monkeypatch):
    published = trained(monkeypatch, pause=0.0)
    assert [update for _, update in published] == [False, *[True] * 5]
    first, last = (ElementTree.fromstring(published[k][0]["text/html"]) for k in (0, -1))
    assert first.find("progress").get("value") == "0.2000"
    assert first.find("svg") is None
    assert last.find("progress").get("value") == "1.0000"
    line = last.find("svg/polyline").get("points").split()
    assert len(line) == 5
    # The loss falls, so the curve does: y grows downwards.
    heights = [float(point.split(",")[1]) for point in line]
    assert heights == sorted(heights)
    assert heights[0] < heights[-1]
    # One dot for each validation loss, however often it is shown.
    assert len(last.findall("svg/circle")) == 1
    assert "0.600 nats" in published[-1][0]["text/plain"]
    assert "validation 2.500" in published[-1][0]["text/plain"]


def test_pictures_are_rare_and_the_last_one_is_whole(monkeypatch):
    published = trained(monkeypatch, pause=1000.0)
    assert len(published) == 2
    assert published[-1][0]["text/plain"].startswith("100%")


def test_losses_that_are_no_number(monkeypatch):
    published = []
    display = NotebookDisplay(publish=lambda bundle, update: published.append(bundle))
    monkeypatch.setattr(notebook_display, "PAUSE", 0.0)
    with display:
        for step, loss in enumerate((2.0, float("nan"), float("inf"), 1.0)):
            display.update(step / 4, loss, 1, 1, step)
    svg = ElementTree.fromstring(published[-1]["text/html"]).find("svg")
    assert "nan" not in svg.find("polyline").get("points")


def test_elsewhere_the_display_is_that_of_a_terminal():
    assert not in_notebook()
    assert type(make_display()) is Display
