"""Tasks: what a network is trained on and answers, one class each behind one interface."""

from mdnn.tasks.registry import register_task as register_task
from mdnn.tasks.registry import task_for as task_for
