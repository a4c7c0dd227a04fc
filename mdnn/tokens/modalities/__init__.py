"""Registers modalities: one line for each kind of token."""

from mdnn.tokens.modalities.film_modality import FilmModality
from mdnn.tokens.modalities.item_modality import ItemModality as ItemModality
from mdnn.tokens.modalities.modality import Modality as Modality
from mdnn.tokens.modalities.modality_registry import MAX_MODALITIES as MAX_MODALITIES
from mdnn.tokens.modalities.modality_registry import MODALITIES as MODALITIES
from mdnn.tokens.modalities.modality_registry import item_kinds as item_kinds
from mdnn.tokens.modalities.modality_registry import item_modalities as item_modalities
from mdnn.tokens.modalities.modality_registry import kinds_of as kinds_of
from mdnn.tokens.modalities.modality_registry import load_modalities as load_modalities
from mdnn.tokens.modalities.modality_registry import modality as modality
from mdnn.tokens.modalities.modality_registry import modality_at as modality_at
from mdnn.tokens.modalities.modality_registry import register_modality as register_modality
from mdnn.tokens.modalities.picture_modality import PictureModality
from mdnn.tokens.modalities.read_options import ReadOptions as ReadOptions
from mdnn.tokens.modalities.sound_modality import SoundModality
from mdnn.tokens.modalities.special_modalities import END, MASK, PADDING
from mdnn.tokens.modalities.spectrum_modality import SpectrumModality
from mdnn.tokens.modalities.subword_modality import SubwordModality
from mdnn.tokens.modalities.symbol_modality import SYMBOL
from mdnn.tokens.modalities.text_modality import TextModality, WordModality

register_modality(PADDING)
register_modality(TextModality("text", 1, (17, 256, 256), ("offset",)))
register_modality(WordModality("word", 2, (256, 256), ("offset",)))
register_modality(PictureModality("image", 3, (256, 256, 256), ("y", "x")))
register_modality(PictureModality("grey", 4, (256,), ("y", "x")))
register_modality(FilmModality("video", 5, (256, 256, 256), ("t", "y", "x")))
register_modality(FilmModality("grey_video", 6, (256,), ("t", "y", "x")))
register_modality(SoundModality("audio", 7, (256, 256), ("offset",)))
register_modality(MASK)
register_modality(END)
register_modality(SYMBOL)
register_modality(SpectrumModality("spectrum", 14, (256,), ("moment", "band")))
register_modality(SubwordModality("subword", 15, (256, 256, 256), ("offset",)))
