"""Names of the files that hold pictures, films and sounds."""

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp")
"""Ends of the names of picture files; PNG, GIF and WebP files may be animated."""

ANIMATED = (".png", ".gif", ".webp")
"""Ends of the names of picture files that may hold a film."""

COMPRESSED_SOUNDS = (".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif")
"""Ends of the names of sound files that are read through the package soundfile."""

SOUNDS = (".wav", *COMPRESSED_SOUNDS)
"""Ends of the names of sound files."""
