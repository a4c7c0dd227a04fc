"""Tiny networks in tandem with random weights, for tests: all, one, a student."""

import dataclasses

import numpy as np
import tiny

import mdnn
from mdnn.config.tandem_tables import Distill, Tandem
from mdnn.runs.run_folder import open_run

MEMBERS = 3


def saved_tandem(folder):
    """Saves three members with random weights; returns the opened `Run` of the folder."""
    config = tiny.load_config(folder, *tiny.QUICK, f"tandem.members={MEMBERS}")
    network, rng = mdnn.build(config), np.random.default_rng(0)
    for weight in network.members.stacked:
        weight.assign(rng.normal(size=weight.shape) / 2)
    return open_run(mdnn.save(network, folder / "tandem"))


def saved_student(run, folder):
    """Saves a student, with random weights, whose teacher is no longer there."""
    teacher = Distill(str(folder / "gone"), 0.7, 2)
    config = dataclasses.replace(run.config, tandem=Tandem(), distill=teacher)
    network = mdnn.build(config)
    network.set_weights(run.member(2).model.get_weights())
    return open_run(mdnn.save(network, folder / "student"))
