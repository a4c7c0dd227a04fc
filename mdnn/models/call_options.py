"""What a call of a network may ask for, as one value that is handed through."""

import dataclasses

from mdnn.errors import MdnnError


@dataclasses.dataclass(frozen=True)
class CallOptions:
    """How a network is run, whatever its weights are.

    New ways to run a network (density, identity, mesh) become fields here and are read by the
    layers that they concern; the code between hands the value on as a whole.

    Args:
        causal: boolean, whether no position sees those after it; otherwise every position sees
            the whole context.
        steps: int from 1, how often the backbone is run on its own output.
    """

    causal: bool = True
    steps: int = 1

    def changed(self, **changes):
        """Returns these options with other values; `None` stands for no change.

        Raises:
            MdnnError: fewer than one step.
        """
        changes = {name: value for name, value in changes.items() if value is not None}
        steps = changes.get("steps", 1)
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise MdnnError(f"steps: expected a whole number from 1, received {steps!r}")
        return dataclasses.replace(self, **changes) if changes else self
