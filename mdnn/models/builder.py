"""Builds the network of a config."""

import keras

from mdnn.errors import MdnnError
from mdnn.models.float_types import float32_policy
from mdnn.models.network import Network
from mdnn.models.network_outline import NetworkOutline
from mdnn.models.parameter_limit import at_most
from mdnn.models.tandem.tandem_network import TandemNetwork
from mdnn.tensorflow_graphs import forgetting_gradients


@forgetting_gradients()
def build(config, words=(), max_parameters=None):
    """Builds the network of a config.

    The network embeds tokens, lays them out as a grid, runs the backbone's layers (repeatedly
    with refeeding) and scores every position with the heads.

    Args:
        config: `mdnn.Config`, as returned by `mdnn.load_config`.
        words: the table of words (strings), for configs with `tokens.words` above 0. Training
            makes it from its text (`mdnn.tokens.word_table`).
        max_parameters: int, largest number of weights, if it is below `limits.parameters`; `None`
            for `limits.parameters`.

    Returns:
        A `mdnn.Network`, a functional `keras.Model`. Weights are initialized from `config.seed`.
        The network is causal if autoregressive decoding is trained; otherwise every position
        sees the whole context. `Network.with_options` changes this. With `tandem.members` it is a
        `mdnn.models.tandem.tandem_network.TandemNetwork`.

    Raises:
        MdnnError: `tokens.words` is set but `words` is empty, a layer refuses the config, the
            network has more than `limits.parameters` weights (checked before they are
            allocated), it does not fit in memory, Keras' default float type is not float32, or
            members are asked for on PyTorch.
    """
    if config.tandem.members:
        if keras.backend.backend() == "torch":
            # Its gradients of Keras' norms cannot be mapped over members.
            raise MdnnError(
                "tandem.members: expected the TensorFlow or JAX backend, Keras runs on torch"
            )
        return _made(TandemNetwork, config, words, max_parameters)
    return _made(Network, config, words, max_parameters)


def outline(config, words=(), max_parameters=None):
    """Returns the `NetworkOutline` of a config.

    Args:
        config: `mdnn.Config` without tandem members.
        words, max_parameters: see `build`.

    Raises:
        MdnnError: see `build`.
    """
    return _made(NetworkOutline, config, words, max_parameters)


def _made(kind, config, words, max_parameters):
    """Returns an object of a class with the arguments `(config, words)`."""
    if len(words) == 0 and config.tokens.words:
        raise MdnnError("tokens.words: the table of words comes from training text; pass words=")
    try:
        with float32_policy(), at_most(max_parameters or config.limits.parameters):
            return kind(config, words)
    except MdnnError:
        raise
    except Exception as error:
        message = str(error).splitlines()[0]
        # Each backend raises its own error for a tensor that is too large.
        large = ("OOM", "RESOURCE_EXHAUSTED", "Out of memory", "2**63", "2 ** 64")
        if isinstance(error, MemoryError) or any(word in message for word in large):
            raise MdnnError(
                f"this network does not fit in memory: grid {list(config.context.grid)}, width "
                f"{config.backbone.width}"
            ) from None
        if not isinstance(error, ValueError):
            raise
        raise MdnnError(f"this network cannot be built: {message}") from None
