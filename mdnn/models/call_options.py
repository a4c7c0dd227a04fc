"""Options of a network call, passed through as one value."""

import dataclasses

import keras

from mdnn.errors import MdnnError


@keras.saving.register_keras_serializable(package="mdnn")
@dataclasses.dataclass(frozen=True)
class CallOptions:
    """Options of a forward pass that are independent of the weights.

    Further options become fields of this class. The layers concerned
    read them (`mdnn.layers.mixing.Mixer.call_arguments`); all other code passes the whole value
    through.

    Args:
        causal: bool. If true, no position sees later positions; otherwise every position
            sees the whole context. `None`: each layer follows its own wiring.
        steps: int from 1, number of refeed steps; with `adaptive` the largest number.
        adaptive: bool, whether each position takes its own number of steps, by the
            `refeed.step_schedule` of the config (`mdnn.models.thinking.stopping`).
        identity: dict from names of blocks to dicts of `offset` and `gain`, `[batch, channels]`,
            perhaps with `embedding`, a dict of `slots`, `[batch, slots, channels]`: the identity of
            each context (`mdnn.models.blocks.row_identity`); `None` for none.
    """

    causal: bool | None = True
    steps: int = 1
    adaptive: bool = False
    identity: dict | None = None

    def changed(self, **changes):
        """Returns a copy with other values; `None` leaves a value unchanged.

        Another number of steps is one for all positions: it turns `adaptive` off.

        Raises:
            MdnnError: `steps` is not an integer of at least 1.
        """
        changes = {name: value for name, value in changes.items() if value is not None}
        steps = changes.get("steps", 1)
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise MdnnError(f"steps: expected a whole number from 1, received {steps!r}")
        if "steps" in changes:
            changes.setdefault("adaptive", False)
        return dataclasses.replace(self, **changes) if changes else self

    def get_config(self):
        """Returns the options as a dict, for functional models that hold a call."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config):
        return cls(**config)


CAUSAL = CallOptions(causal=True)
"""Options of layers that decode position by position."""


def options_for(network, causal=None, steps=None):
    """Returns the options of a network with changes.

    Args:
        network: `mdnn.models.network.Network`.
        causal, steps: see its `with_options`.

    Raises:
        MdnnError: `causal` with a mixer whose wiring is not causal, or fewer than one step.
    """
    options = network.options.changed(causal=causal, steps=steps)
    if options.causal and not network.can_be_causal:
        raise MdnnError(
            "this network cannot decode autoregressively: it has mixers without 'causal' "
            "wiring, and was trained with train.objectives.autoregressive = 0"
        )
    return options
