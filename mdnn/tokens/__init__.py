"""Tokens: what a unit is, and text as units."""

from mdnn.tokens.context import pack as pack
from mdnn.tokens.text import TextCodec as TextCodec
from mdnn.tokens.text import word_table as word_table
from mdnn.tokens.units import COLUMNS as COLUMNS
from mdnn.tokens.units import MODALITIES as MODALITIES
from mdnn.tokens.units import WIDTH as WIDTH
from mdnn.tokens.units import Modality as Modality
from mdnn.tokens.units import modality as modality
