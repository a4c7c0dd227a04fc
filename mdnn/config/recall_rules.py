"""The config table `[recall]` and the rules of the task of recall."""

import dataclasses

from mdnn.config.schema import option
from mdnn.config.task_rules import TaskRules, register_rules
from mdnn.errors import MdnnError


@dataclasses.dataclass(frozen=True)
class Recall:
    """Contents and queries of recall contexts; see `mdnn.datasets.recall.recall_examples`."""

    # The answers. "pairs": values of keys (associative recall with several queries, MQAR);
    # "copying": the symbols between dots, in their order (selective copying); "needle": the number
    # of a name, stated once in a text from data.source; "passages": the passage from which some
    # words come (a passage of that text in each of the first rows, a question in each other row).
    kind: str = option("pairs", choices=("pairs", "copying", "needle", "passages"))
    # "pairs": number of pairs of a key and a value in a context, number of queries (0: all pairs),
    # sizes of the two alphabets. The number of a passage is drawn from `values`, too.
    pairs: int = option(16, least=1, most=4096)
    queries: int = option(0, least=0, most=4096)
    keys: int = option(1024, least=1, most=16_384)
    values: int = option(64, least=2, most=8192)
    # "copying": symbols to be copied; their alphabet has `values` symbols.
    symbols: int = option(16, least=1, most=4096)
    # "needle": number of sentences that assign a number to a name, of which `queries` are queried
    # (0: one), and number of digits.
    needles: int = option(1, least=1, most=4096)
    digits: int = option(4, least=1, most=16)
    # "passages": number of rows that hold a passage, largest number of words of a question, and the
    # share of its letters that are replaced by others.
    stored: int = option(32, least=1, most=8192)
    words: int = option(4, least=1, most=64)
    noise: float = option(0.0, least=0.0, most=1.0)
    # Contexts to validate on.
    contexts: int = option(256, least=1)

    def num_answers(self, grid):
        """Returns the number of answers of a context of a grid."""
        if self.kind == "passages":
            return max(1, grid[0] - self.stored)
        return self.symbols if self.kind == "copying" else self.questions

    @property
    def questions(self):
        """Number of queried keys or needles, int."""
        return self.queries or (1 if self.kind == "needle" else self.pairs)

    @property
    def answer_length(self):
        """Number of characters of an answer, int."""
        return self.digits if self.kind == "needle" else 1

    @property
    def least_positions(self):
        """Smallest number of positions of a context, int."""
        if self.kind == "pairs":
            return 2 * (self.pairs + self.questions) - 1
        if self.kind == "copying":
            return 2 * self.symbols + 1
        if self.kind == "passages":
            return 1
        return (self.needles + self.questions + 1) * (26 + self.digits)


def _check(config):
    recall, positions = config.recall, config.context.positions
    if recall.kind in ("pairs", "needle"):
        name = "pairs" if recall.kind == "pairs" else "needles"
        if recall.queries > getattr(recall, name):
            raise MdnnError(
                f"recall.queries: expected at most recall.{name} = {getattr(recall, name)}, "
                f"received {recall.queries}"
            )
    if positions < recall.least_positions:
        raise MdnnError(
            f"context.grid: expected at least {recall.least_positions} positions for [recall] "
            f"kind = {recall.kind!r}, received {positions}"
        )
    if recall.kind == "passages":
        _check_passages(config)
    if recall.kind == "pairs" and recall.keys < recall.pairs:
        raise MdnnError(
            f"recall.keys: expected at least recall.pairs = {recall.pairs}, received {recall.keys}"
        )


def _check_passages(config):
    recall, grid = config.recall, config.context.grid
    if len(grid) != 2 or grid[0] <= recall.stored or grid[1] < 16:
        raise MdnnError(
            "context.grid: expected two axes for passages: more rows than recall.stored = "
            f"{recall.stored}, of at least 16 positions, received {list(grid)}"
        )
    if recall.values < recall.stored:
        raise MdnnError(
            f"recall.values: expected at least recall.stored = {recall.stored} numbers, received "
            f"{recall.values}"
        )
    for k, layer in enumerate(config.backbone.layer):
        for mixer in layer.mixer:
            if mixer.kind == "stored" and mixer.stored != recall.stored:
                raise MdnnError(
                    f"backbone.layer.{k}.mixer: expected stored = {recall.stored}, as in [recall], "
                    f"received {mixer.stored}"
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
