"""Decoding of text files, and a guess at the encoding of one that is not in the expected one."""

import codecs

from mdnn.errors import MdnnError, did_you_mean

MARK = "\ufeff"
"""The byte order mark as a character."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# Python's text encodings that are none of files, or that let through what is no Unicode.
_REFUSED = ("idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7")

_COMMON = ("utf-8", "utf-16", "utf-32", "cp1252", "latin-1", "cp1251", "shift_jis", "gb18030")

# Bytes that a guess looks at.
_LOOKED_AT = 1 << 16

# Code pages of East Asia and what their letters are, by the blocks of Unicode.
_WIDE = (
    ("shift_jis", ((0x3040, 0x30FF), (0x4E00, 0x9FFF), (0x3000, 0x303F), (0xFF00, 0xFFEF))),
    ("euc-jp", ((0x3040, 0x30FF), (0x4E00, 0x9FFF), (0x3000, 0x303F), (0xFF00, 0xFFEF))),
    ("euc-kr", ((0xAC00, 0xD7A3), (0x3000, 0x303F), (0xFF00, 0xFFEF))),
    ("gb18030", ((0x4E00, 0x9FFF), (0x3000, 0x303F), (0xFF00, 0xFFEF), (0x2010, 0x2030))),
    ("big5", ((0x4E00, 0x9FFF), (0x3000, 0x303F), (0xFF00, 0xFFEF), (0xFE30, 0xFE4F))),
)


def check_encoding(name, where="data.encoding"):
    """Returns an encoding's name as Python spells it.

    Args:
        name: String, such as `"utf-8"`, `"cp1252"` or `"utf-16"`.
        where: String, what errors call it.

    Raises:
        MdnnError: If Python has no such encoding of text files.
    """
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):
        hint = did_you_mean(name.lower(), _COMMON)
        raise MdnnError(
            f"{where}: unknown encoding {name!r}{hint}; known: {', '.join(_COMMON)} and all others "
            "of Python"
        ) from None
    if not info._is_text_encoding or info.name.replace("_", "-") in _REFUSED:
        raise MdnnError(f"{where}: expected the encoding of a text file, received {name!r}")
    return info.name


def decode_text(data, encoding, name):
    """Returns the text in the bytes of a file, without one byte order mark at its beginning.

    Args:
        data: Bytes.
        encoding: String, see `check_encoding`.
        name: String, what errors call the file.

    Raises:
        MdnnError: If the bytes are no text in this encoding. The message names the byte, its
            offset and the encoding that the file seems to have.
    """
    encoding = check_encoding(encoding)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise undecodable(name, data, encoding, error.start) from None
    except UnicodeError as error:  # UTF-16 without its mark, of some Pythons
        raise MdnnError(f"{name} is not {spelled(encoding)} text: {error}") from None
    # UTF-16 of many scripts, and many a program, happen to be UTF-8, too.
    if encoding == "utf-8" and _control(data[:_LOOKED_AT]) > 0.1:
        raise undecodable(name, data, encoding, _first_control(data))
    return text.removeprefix(MARK)


def _first_control(data):
    """Returns the offset of the first control character."""
    return next(at for at, byte in enumerate(data) if byte < 32 and byte not in b"\t\n\r\f\x1b")


def undecodable(name, data, encoding, offset, size=None, key="data.encoding"):
    """Returns the error for bytes that are no text in an encoding.

    Args:
        name: String, what the error calls the file.
        data: Bytes of the file, all or the first ones.
        encoding: String.
        offset: Integer, where the first bad byte lies.
        size: Integer, bytes of the whole file; `None`: those of `data`.
        key: String, the config key that chooses the encoding; `None` where it is always UTF-8.
    """
    size = len(data) if size is None else size
    byte = f"byte 0x{data[offset]:02x}" if offset < len(data) else "a byte"
    likely = likely_encoding(data)
    if likely == "binary":
        hint = "; it seems to be no text at all"
    elif likely in (None, encoding):
        hint = ""
    else:
        action = f"{key} = '{likely}'" if key else "save it as UTF-8"
        hint = f"; it seems to be {likely}: {action}"
    return MdnnError(
        f"{name} is not {spelled(encoding)} text: {byte} at offset {offset} of {size}{hint}"
    )


def spelled(encoding):
    """Returns an encoding's name for a message."""
    return encoding.upper() if encoding.startswith(("utf", "iso")) else encoding


def likely_encoding(data):
    """Returns the encoding that bytes seem to have, as a name of Python's.

    Args:
        data: Bytes; the first 64 KiB are looked at.

    Returns:
        String; `"binary"` for bytes that seem to be no text; `None` if nothing fits.
    """
    data = bytes(data[:_LOOKED_AT])
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    if b"\0" in data:
        return _with_zeros(data)
    if _control(data) > 0.02:
        return "binary"
    if _fits(data, "utf-8"):
        return "utf-8"
    high = sum(byte > 127 for byte in data)
    letters = sum(bytes([byte]).isalpha() for byte in data) + high
    # A few bytes tell nothing of a script.
    if high > max(8, 0.4 * letters):
        return _wide(data) or _cyrillic(data) or _western(data)
    return _western(data)


def is_binary(data):
    """Returns whether bytes seem to be no text: one in ten is a control character or zero.

    Args:
        data: Bytes; the first 64 KiB are looked at.
    """
    data = bytes(data[:_LOOKED_AT])
    return _control(data) > 0.1 and likely_encoding(data) == "binary"


def _control(data):
    """Returns the share of control characters among bytes."""
    number = sum(data.count(byte) for byte in range(32) if byte not in b"\t\n\r\f\x1b")
    return number / max(1, len(data))


def _fits(data, encoding):
    """Returns the text, or `None`; a character that is cut at the end counts for nothing."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data) or None
    except UnicodeError:
        return None


def _with_zeros(data):
    """Returns which UTF-16 or UTF-32 bytes with zeros may be: Latin letters have a zero each."""
    number = max(1, len(data) // 4)
    zeros = [data[place::4].count(0) / number for place in range(4)]
    if zeros[0] < 0.5 and zeros[1] > 0.9 and zeros[2] > 0.9 and zeros[3] > 0.9:
        return "utf-32-le"
    if zeros[0] > 0.9 and zeros[1] > 0.9 and zeros[2] > 0.9 and zeros[3] < 0.5:
        return "utf-32-be"
    even, odd = (zeros[0] + zeros[2]) / 2, (zeros[1] + zeros[3]) / 2
    for encoding, many, few in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if not many or few > 0.02:
            continue
        text = _fits(data, encoding)
        # Of other scripts only blanks, line ends and digits have a zero.
        if text and (many > 0.1 or any(c in "\n\r\t 0123456789" for c in text)):
            return encoding
    return "binary"


def _wide(data):
    """Returns the code page of East Asia that bytes are in, or `None`."""
    best, most = None, 0.8
    for encoding, blocks in _WIDE:
        text = _fits(data, encoding)
        others = [ord(c) for c in text or "" if ord(c) > 127]
        if not others:
            continue
        usual = sum(any(low <= c <= high for low, high in blocks) for c in others)
        # Kana or Hangul beside ideographs tell Japanese and Korean from Chinese.
        own = sum(blocks[0][0] <= c <= blocks[0][1] for c in others)
        if blocks[0][0] == 0x4E00:
            own = 0
        elif own < 0.1 * len(others):
            continue
        score = (usual + 0.2 * own) / len(others)
        if score > most:
            best, most = encoding, score
    return best


def _cyrillic(data):
    """Returns the Cyrillic code page in which most letters are small ones, or `None`."""
    scores = {}
    for encoding in ("cp1251", "koi8-r", "cp866", "iso-8859-5"):
        text = _fits(data, encoding) or ""
        others = [c for c in text if ord(c) > 127]
        small = sum("\u0430" <= c <= "\u044f" for c in others)
        scores[encoding] = small / max(1, len(others))
    best = max(scores, key=scores.get)
    return best if scores[best] > 0.6 else None


def _western(data):
    """Returns the code page of Western Europe that bytes may be in, or `None`."""
    return next((one for one in ("cp1252", "latin-1") if _fits(data, one)), None)
