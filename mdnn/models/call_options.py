"""Options of a network call, passed through as one value."""

import dataclasses

from mdnn.errors import MdnnError


@dataclasses.dataclass(frozen=True)
class CallOptions:
    """Options of a forward pass that are independent of the weights.

    Further options (density, identity, mesh) become fields of this class. The layers concerned
    read them; all other code passes the whole value through.

    Args:
        causal: boolean. If true, no position sees later positions; otherwise every position
            sees the whole context.
        steps: int from 1, number of refeed steps.
    """

    causal: bool = True
    steps: int = 1

    def changed(self, **changes):
        """Returns a copy with other values; `None` leaves a value unchanged.

        Raises:
            MdnnError: `steps` is not an integer of at least 1.
        """
        changes = {name: value for name, value in changes.items() if value is not None}
        steps = changes.get("steps", 1)
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise MdnnError(f"steps: expected a whole number from 1, received {steps!r}")
        return dataclasses.replace(self, **changes) if changes else self
