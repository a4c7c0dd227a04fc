"""From a config to a network."""

from mdnn.errors import MdnnError
from mdnn.models.float_types import float32_policy
from mdnn.models.network import Network
from mdnn.models.parameter_limit import at_most


def build(config, words=(), most=None):
    """Builds the network of a config.

    Tokens are embedded, laid out as a grid, mixed by the backbone's branches (refed where the
    config says so), and scored by the heads.

    Args:
        config: `mdnn.Config`, as `mdnn.load_config` gives it.
        words: the table of words (strings), for configs with `tokens.words` above 0; training
            makes it from its text (`mdnn.tokens.word_table`).
        most: int, weights that the network may have, where that is less than
            `limits.parameters`.

    Returns:
        A `mdnn.Network`, a functional `keras.Model`. Weights start from `config.seed`. Where
        writing in turn is trained no position sees the ones after it; elsewhere every position
        sees the whole context. `Network.with_options` gives the other of the two.

    Raises:
        MdnnError: words are asked for and not given, the layers refuse the config, the network
            has more weights than `limits.parameters` (told before they are made), it does not fit
            in memory, or Keras' default float type is not float32.
    """
    if len(words) == 0 and config.tokens.words:
        raise MdnnError("tokens.words: the table of words comes from training text; pass words=")
    try:
        with float32_policy(), at_most(most or config.limits.parameters):
            return Network(config, words)
    except MdnnError:
        raise
    except Exception as error:
        message = str(error).splitlines()[0]
        # Each backend has an error of its own for a tensor that is too large.
        large = ("OOM", "RESOURCE_EXHAUSTED", "Out of memory", "2**63", "2 ** 64")
        if isinstance(error, MemoryError) or any(word in message for word in large):
            raise MdnnError(
                f"this network does not fit in memory: grid {list(config.context.grid)}, width "
                f"{config.backbone.width}"
            ) from None
        if not isinstance(error, ValueError):
            raise
        raise MdnnError(f"this network cannot be built: {message}") from None
