"""Config table of embedding sizes that differ by modality."""

import dataclasses

from mdnn.config.schema import option, with_keys
from mdnn.errors import MdnnError
from mdnn.tokens.modalities import item_modalities

MAX_EMBEDDING_SIZE = 1 << 16
"""Largest embedding size."""


@dataclasses.dataclass(frozen=True)
class EmbeddingSizes:
    """Channels of the tables of each modality; registered modalities have a key, too.

    A dense layer per modality brings them to the stream's width. 0: tables as wide as the stream,
    without a dense layer. The mask token, the end token and item numbers have such tables always.
    """

    text: int = option(0, least=0, most=MAX_EMBEDDING_SIZE)
    word: int = option(0, least=0, most=MAX_EMBEDDING_SIZE)
    subword: int = option(0, least=0, most=MAX_EMBEDDING_SIZE)
    image: int = option(0, least=0, most=MAX_EMBEDDING_SIZE)
    grey: int = option(0, least=0, most=MAX_EMBEDDING_SIZE)
    video: int = option(0, least=0, most=MAX_EMBEDDING_SIZE)
    grey_video: int = option(0, least=0, most=MAX_EMBEDDING_SIZE)
    audio: int = option(0, least=0, most=MAX_EMBEDDING_SIZE)
    spectrum: int = option(0, least=0, most=MAX_EMBEDDING_SIZE)
    symbol: int = option(0, least=0, most=MAX_EMBEDDING_SIZE)

    @classmethod
    def registered(cls):
        """Returns this schema with a key for each registered modality."""
        return with_keys(cls, item_modalities())

    @property
    def chosen(self):
        """Returns a dict from the names of modalities with a size of their own to the sizes."""
        return {name: size for name, size in dataclasses.asdict(self).items() if size}


def check_embedding_sizes(tokens):
    """Refuses embedding sizes of tables that the network does not have, or that heads share.

    Args:
        tokens: `mdnn.config.data_tables.Tokens`.

    Raises:
        MdnnError: names the key.
    """
    for name, size in tokens.embedding_size.chosen.items():
        where = f"tokens.embedding_size.{name}"
        if name not in tokens.modalities:
            raise MdnnError(
                f"{where}: expected {name!r} in tokens.modalities, received "
                f"{list(tokens.modalities)}"
            )
        for wrong, reason in (
            (tokens.table == "bits", "tokens.table = 'bits' has no tables"),
            (tokens.candidates, "tokens.candidates embeds each candidate, not the symbol"),
            (tokens.tied, "tokens.tied makes the table a head, which is as wide as the stream"),
        ):
            if wrong:
                raise MdnnError(f"{where}: {reason}; expected 0, received {size}")
