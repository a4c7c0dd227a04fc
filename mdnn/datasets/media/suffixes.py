"""Names of the files that hold pictures, films and sounds."""

from mdnn.tokens.modalities import modality

PICTURES = modality("image").read_suffixes
"""Ends of the names of picture files; PNG, GIF and WebP files may be animated."""

SOUNDS = modality("audio").read_suffixes
"""Ends of the names of sound files."""
