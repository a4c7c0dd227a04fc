"""The config table `[recall]` and the rules of the task of recall."""

import dataclasses

from mdnn.config.schema import option
from mdnn.config.task_rules import TaskRules, register_rules
from mdnn.errors import MdnnError


@dataclasses.dataclass(frozen=True)
class Recall:
    """What is to be found again in a context; see `mdnn.datasets.recall.recall_examples`."""

    # "pairs": values of keys (associative recall with several queries, MQAR); "copying": the
    # symbols that stand between dots, in their order (selective copying); "needle": the number of
    # a name, said once in a text from data.source.
    kind: str = option("pairs", choices=("pairs", "copying", "needle"))
    # "pairs": pairs of a key and a value in a context, and how many of them are asked (0: all);
    # sizes of the two alphabets.
    pairs: int = option(16, least=1, most=4096)
    queries: int = option(0, least=0, most=4096)
    keys: int = option(1024, least=1, most=16_384)
    values: int = option(64, least=2, most=8192)
    # "copying": symbols to be copied; their alphabet has `values` symbols.
    symbols: int = option(16, least=1, most=4096)
    # "needle": sentences that give a name a number, of which one is asked, and digits of a number.
    needles: int = option(1, least=1, most=4096)
    digits: int = option(4, least=1, most=16)
    # Contexts to validate on.
    contexts: int = option(256, least=1)

    @property
    def asked(self):
        """Answers of a context."""
        return {"pairs": self.queries or self.pairs, "copying": self.symbols, "needle": 1}[
            self.kind
        ]

    @property
    def answer_length(self):
        """Characters of an answer."""
        return self.digits if self.kind == "needle" else 1

    @property
    def least_positions(self):
        """Fewest positions of a context."""
        if self.kind == "pairs":
            return 2 * (self.pairs + self.asked) - 1
        if self.kind == "copying":
            return 2 * self.symbols + 1
        return (self.needles + 2) * (24 + self.digits)


def _check(config):
    recall, positions = config.recall, config.context.positions
    if positions < recall.least_positions:
        raise MdnnError(
            f"context.grid: expected at least {recall.least_positions} positions for [recall] "
            f"kind = {recall.kind!r}, received {positions}"
        )
    if recall.kind == "pairs":
        if recall.keys < recall.pairs:
            raise MdnnError(
                f"recall.keys: expected at least recall.pairs = {recall.pairs}, received "
                f"{recall.keys}"
            )
        if recall.queries > recall.pairs:
            raise MdnnError(
                f"recall.queries: expected at most recall.pairs = {recall.pairs}, received "
                f"{recall.queries}"
            )


RECALL_RULES = TaskRules(
    modalities=("text",),
    keys=(
        "data.memory_map",
        "tokens.table",
        "tokens.heads",
        "refeed.step_schedule",
        "refeed.supervision_steps",
    ),
    modes=("autoregressive",),
    phrase="of recall",
    check=_check,
    has_mask=False,
    tables={"recall": Recall},
)

register_rules("recall", RECALL_RULES)
