"""Units of every modality as rows of one token array."""

from mdnn.tokens.codec import END_ROW as END_ROW
from mdnn.tokens.codec import ItemCodec as ItemCodec
from mdnn.tokens.context import pack as pack
from mdnn.tokens.context import pack_items as pack_items
from mdnn.tokens.context import unpack as unpack
from mdnn.tokens.items import Item as Item
from mdnn.tokens.items import as_item as as_item
from mdnn.tokens.text import TextCodec as TextCodec
from mdnn.tokens.text import word_table as word_table
from mdnn.tokens.units import COLUMNS as COLUMNS
from mdnn.tokens.units import MODALITIES as MODALITIES
from mdnn.tokens.units import UNITS as UNITS
from mdnn.tokens.units import WIDTH as WIDTH
from mdnn.tokens.units import Modality as Modality
from mdnn.tokens.units import modality as modality
