"""The registry of tasks: names, rules, and packages that offer tasks by an entry point."""

import importlib.metadata

import pytest
import tiny

import mdnn
from mdnn.config import task_rules
from mdnn.config.task_rules import TaskRules
from mdnn.tasks import register_task, registry, task_for
from mdnn.tasks.base import Task
from mdnn.tasks.text_task import TextTask


class Offered(TextTask):
    rules = TaskRules(modalities=("text",), keys=("data.order",))


@pytest.fixture
def tables(monkeypatch):
    """The registry's tables, as they are after the test."""
    monkeypatch.setattr(registry, "TASKS", dict(registry.TASKS))
    monkeypatch.setattr(task_rules, "RULES", dict(task_rules.RULES))


@pytest.mark.parametrize("name", ["", "Copy", "a-b", "1st", None, "a" * 65])
def test_names_of_another_form_are_refused(name, tables):
    with pytest.raises(mdnn.MdnnError, match="expected a name of lower-case letters"):
        register_task(name, Offered)


def test_a_name_is_registered_once(tables):
    register_task("offered", Offered)
    register_task("offered", Offered)
    for name in ("offered", "stream"):
        with pytest.raises(mdnn.MdnnError, match=f"a task '{name}' is already registered"):
            register_task(name, type("Other", (Offered,), {}))


def test_a_key_that_no_task_has_is_refused():
    with pytest.raises(mdnn.MdnnError, match=r"unknown key 'data.ordr' \(did you mean 'data.order"):
        TaskRules(modalities=("text",), keys=("data.ordr",))


def test_a_package_offers_a_task_by_an_entry_point(tmp_path, tables, monkeypatch):
    with pytest.raises(
        mdnn.MdnnError, match=r"context\.layout: expected one of stream, chat, items"
    ):
        tiny.load_config(tmp_path, "context.layout=offered")

    class Entry:
        def load(self):
            register_task("offered", Offered)

    asked = []

    def entry_points(**group):
        asked.append(group)
        return [Entry()]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    config = tiny.load_config(tmp_path, "context.layout=offered", "data.order=any")
    assert asked == [{"group": "mdnn.tasks", "name": "offered"}]
    assert isinstance(task_for(config), Offered)
    with pytest.raises(mdnn.MdnnError, match=r"context.padding: expected 'none', received 'rand"):
        tiny.load_config(tmp_path, "context.layout=offered", "context.padding=random")


def test_what_a_task_does_not_do_is_refused_in_one_line(tmp_path):
    class Silent(Task):
        rules = TaskRules(modalities=("text",))
        batches = validation = None

        def open_source(self, source):
            return None

    task = Silent(tiny.load_config(tmp_path))
    with pytest.raises(mdnn.MdnnError, match="a network of stream generates nothing"):
        task.generate(None, "a", None)
    with pytest.raises(mdnn.MdnnError, match="a network of stream writes nothing"):
        task.measured_writer(None, None)
