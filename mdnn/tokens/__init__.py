"""Tokenizers: texts, pictures, films, sounds and puzzles as int32 tokens `[n, 8]`."""

from mdnn.tokens.characters import TextTokenizer as TextTokenizer
from mdnn.tokens.features import NUM_FEATURES as NUM_FEATURES
from mdnn.tokens.features import TOKEN_FEATURES as TOKEN_FEATURES
from mdnn.tokens.item_tokenizer import END_ROW as END_ROW
from mdnn.tokens.item_tokenizer import ItemTokenizer as ItemTokenizer
from mdnn.tokens.items import Item as Item
from mdnn.tokens.items import as_item as as_item
from mdnn.tokens.modalities import MODALITIES as MODALITIES
from mdnn.tokens.modalities import Modality as Modality
from mdnn.tokens.modalities import modality as modality
from mdnn.tokens.modalities import register_modality as register_modality
from mdnn.tokens.packing import pack as pack
from mdnn.tokens.packing import pack_items as pack_items
from mdnn.tokens.packing import unpack as unpack
from mdnn.tokens.word_table import word_table as word_table
