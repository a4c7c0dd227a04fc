"""Defines tasks: the data, loss, metrics and generation of each kind of network."""

from mdnn.tasks.registry import register_task as register_task
from mdnn.tasks.registry import task_for as task_for
