"""Config tables of networks that learn together: members in tandem, and a teacher."""

import dataclasses

from mdnn.config.schema import option
from mdnn.config.training_tables import RefeedTable
from mdnn.errors import MdnnError


@dataclasses.dataclass(frozen=True)
class Tandem:
    """Several networks of this config in one, each with its own weights and start."""

    # Number of networks; 0: one network, no tandem.
    members: int = option(0, least=0, most=1024)
    # Weight of the divergence from the mean of the other members' probabilities; 0: the members
    # only share their steps.
    exchange: float = option(0.0, least=0.0, most=100.0)
    # The exchange begins at `exchange_from` of the budget and has its full weight at
    # `exchange_full`; it grows in between.
    exchange_from: float = option(0.2, least=0.0, most=1.0)
    exchange_full: float = option(0.4, least=0.0, most=1.0)
    # Number of steps between copies of the weights that make the predictions for the exchange;
    # 0: members learn from each other's predictions as they are.
    stale: int = option(0, least=0, most=1_000_000)
    # "shared": every member learns every example. "divided": each example is learned by one member
    # alone, and the others hear of it through the exchange.
    data: str = option("shared", choices=("shared", "divided"))


@dataclasses.dataclass(frozen=True)
class Distill:
    """A teacher whose probabilities a network learns, beside the data."""

    # Run folder of the teacher; empty: none.
    teacher: str = ""
    # Share of the teacher in the loss.
    weight: float = option(0.7, least=0.0, most=1.0)
    # The first members of a teacher in tandem that teach; 0: all.
    members: int = option(0, least=0, most=1024)


def check_tandem(config, always_recurrent):
    """Refuses a tandem, or a teacher, that the rest of a config does not allow.

    Args:
        config: `mdnn.Config`.
        always_recurrent: bool, whether the config's task refeeds its networks.

    Raises:
        MdnnError: names the first key that does not fit.
    """
    tandem, train = config.tandem, config.train
    if config.distill.teacher and (tandem.members or config.train.method == "blind"):
        raise MdnnError("distill.teacher: a student is one network, trained by backpropagation")
    if config.distill.teacher and train.density:
        raise MdnnError("distill.teacher: a student has one density, expected train.density = []")
    if config.distill.teacher and (always_recurrent or config.refeed != RefeedTable()):
        raise MdnnError("distill.teacher: a student is not refed: expected no keys of [refeed]")
    if not config.distill.teacher and config.distill != Distill():
        raise MdnnError("distill: expected distill.teacher, a run folder, with its other keys")
    if not tandem.members:
        if tandem != Tandem():
            raise MdnnError("tandem.members: expected 2 or more with the other keys, received 0")
        return
    if tandem.members == 1:
        raise MdnnError("tandem.members: expected 2 or more, or 0 for one network, received 1")
    if tandem.exchange_full < tandem.exchange_from:
        raise MdnnError(
            f"tandem.exchange_full: expected at least exchange_from = {tandem.exchange_from}, "
            f"received {tandem.exchange_full}"
        )
    if tandem.stale and not tandem.exchange:
        raise MdnnError(
            "tandem.stale: expected 0 without an exchange (tandem.exchange = 0), received "
            f"{tandem.stale}"
        )
    for wrong, text in (
        (always_recurrent or config.refeed != RefeedTable(), "no refeeding"),
        (train.method == "blind", "train.method = 'gradient'"),
        (train.optimizer.name == "muon", "another train.optimizer.name than 'muon'"),
        (bool(train.stage), "no train.stage"),
        (bool(train.density), "no train.density"),
        (config.tokens.tied, "no tokens.tied"),
        (config.tokens.table == "bits", "another tokens.table than 'bits'"),
        (any(layer.cut != "space" for layer in config.backbone.layer), "cut = 'space' in layers"),
        (any(layer.kind == "fold" for layer in config.backbone.layer), "no folds"),
    ):
        if wrong:
            raise MdnnError(f"tandem.members: networks in tandem need {text}")
    several = len(config.tokens.modalities) > 1
    several = several or 0 < config.backbone.slab < config.context.positions
    if tandem.data == "divided" and (several or train.batch_size % tandem.members):
        raise MdnnError(
            "tandem.data: 'divided' needs one modality, no slabs and a train.batch_size that "
            f"{tandem.members} members divide, received {train.batch_size}"
        )


def exchange_at(tandem, spent):
    """Returns the weight of the exchange at a spent share of the budget, a float."""
    if spent < tandem.exchange_from:
        return 0.0
    length = max(tandem.exchange_full - tandem.exchange_from, 1e-9)
    return tandem.exchange * min(1.0, (spent - tandem.exchange_from) / length)
