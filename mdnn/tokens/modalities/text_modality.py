"""Defines the modalities of texts: a token per character, or per word of a table."""

from mdnn.errors import MdnnError, shown
from mdnn.tokens.features import MODALITY
from mdnn.tokens.modalities.item_modality import ItemModality
from mdnn.tokens.modalities.modality import Modality
from mdnn.tokens.modalities.modality_registry import MODALITIES
from mdnn.tokens.token_rows import check_bytes, checked_number


def checked_text(value, where):
    """Returns a string that is not empty and has Unicode characters only.

    Raises:
        MdnnError: the value is not such a string; the message begins with `where`.
    """
    if not isinstance(value, str) or not value:
        raise MdnnError(f"{where}: expected a string that is not empty, received {shown(value)}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise MdnnError(
            f"{where}: expected a string of Unicode characters, received {shown(value)}"
        ) from None
    return value


class TextModality(ItemModality):
    """Texts: Unicode's 1,114,112 code points as plane, row and cell.

    The items of this kind also contain tokens of `WordModality`.
    """

    whole_values = 1_114_112
    # Plane and row: 0 for ASCII and Latin-1.
    leading_zeros = 2
    size_names = ("CHARACTERS",)
    key = "text"
    inline_key = "text"
    read_suffixes = (".txt",)
    suffix = ".txt"
    mime = "text/plain; charset=utf-8"
    printable = True
    least_size = 0
    reader = "mdnn.datasets.media.media_files:read_text_item"
    encoder = "mdnn.datasets.media.media_writing:encode_text"
    served_by = "mdnn.serving.export.graph_codecs:TextCodec"

    def fits(self, value):
        return isinstance(value, str)

    def check(self, value, called):
        if not isinstance(value, str):
            raise MdnnError(f"{called}: expected a string, received {type(value).__name__}")

    def token_shape(self, value, tokenizer=None):
        return (len(value),)

    def limited(self, value, count):
        # A word token has several characters, so a text may be longer than its tokens.
        return value[:count]

    def count(self, item, tokenizer):
        return len(tokenizer.text.ids(item.value)) if tokenizer.text.words else len(item.value)

    def tokens(self, item, number, tokenizer):
        text = tokenizer.text
        return text.tokens(text.ids(item.value), item=checked_number(number))

    def value(self, tokens, called, tokenizer):
        for each in MODALITIES.values():
            if each.kind == self.name:
                check_bytes(tokens[tokens[:, MODALITY] == each.index], each, called)
        try:
            return tokenizer.text.text(tokenizer.text.ids_from_tokens(tokens))
        except MdnnError as error:
            raise MdnnError(f"{called}: {error}") from None

    def inline(self, value, where):
        return checked_text(value, where)


class WordModality(Modality):
    """Words of a tokenizer's table: high and low byte of the word's number."""

    kind = "text"

    def check_config(self, tokens):
        names = tokens.modalities
        if (self.name in names) != bool(tokens.words):
            raise MdnnError(
                "tokens: the modality 'word' and tokens.words above 0 require each other, received "
                f"{list(names)} and words = {tokens.words}"
            )
        if self.name in names and self.kind not in names:
            raise MdnnError(
                "tokens.modalities: 'word' needs 'text' too, for words outside the word table; "
                f"received {list(names)}"
            )
