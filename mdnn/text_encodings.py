"""Decodes text files, and guesses the encoding of files that are not in the expected one."""

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

# Text encodings of Python that files do not use, or that decode to invalid Unicode.
_REFUSED = ("idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7")

_COMMON = ("utf-8", "utf-16", "utf-32", "cp1252", "latin-1", "cp1251", "shift_jis", "gb18030")

# Number of bytes that a guess uses.
_LOOKED_AT = 1 << 16

# Code pages of East Asia and the Unicode blocks of their usual characters.
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
        where: String, the name of the setting in errors.

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
        name: String, the name of the file in errors.

    Raises:
        MdnnError: If the bytes are not valid text in this encoding. The message names the byte,
            its offset and the likely encoding of the file.
    """
    encoding = check_encoding(encoding)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise undecodable(name, data, encoding, error.start) from None
    except UnicodeError as error:  # UTF-16 without a byte order mark, in some versions of Python
        raise MdnnError(f"{name} is not {spelled(encoding)} text: {error}") from None
    # UTF-16 of many scripts, and many binary files, are also valid UTF-8.
    if encoding == "utf-8" and _control(data[:_LOOKED_AT]) > 0.1:
        raise undecodable(name, data, encoding, _first_control(data))
    return text.removeprefix(MARK)


def _first_control(data):
    """Returns the offset of the first control character."""
    return next(at for at, byte in enumerate(data) if byte < 32 and byte not in b"\t\n\r\f\x1b")


def undecodable(name, data, encoding, offset, size=None, key="data.encoding"):
    """Returns the error for bytes that are not valid text in an encoding.

    Args:
        name: String, the name of the file in the error.
        data: Bytes of the file, all or the first ones.
        encoding: String.
        offset: Integer, offset of the first invalid byte.
        size: Integer, size of the whole file in bytes; `None` for the size of `data`.
        key: String, the config key that sets the encoding; `None` if it is always UTF-8.
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
    """Returns the name of an encoding as spelled in messages."""
    return encoding.upper() if encoding.startswith(("utf", "iso")) else encoding


def likely_encoding(data):
    """Returns the likely encoding of bytes, a Python name.

    Args:
        data: Bytes; the first 64 KiB are used.

    Returns:
        String; `"binary"` for bytes that are probably not text; `None` if no encoding fits.
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
    # A few bytes are not enough to identify a script.
    if high > max(8, 0.4 * letters):
        return _wide(data) or _cyrillic(data) or _western(data)
    return _western(data)


def is_binary(data):
    """Returns whether bytes are probably not text: over 10% control characters or zeros.

    Args:
        data: Bytes; the first 64 KiB are used.
    """
    data = bytes(data[:_LOOKED_AT])
    return _control(data) > 0.1 and likely_encoding(data) == "binary"


def _control(data):
    """Returns the share of control characters among bytes."""
    number = sum(data.count(byte) for byte in range(32) if byte not in b"\t\n\r\f\x1b")
    return number / max(1, len(data))


def _fits(data, encoding):
    """Returns the decoded text or `None`; ignores an incomplete character at the end."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data) or None
    except UnicodeError:
        return None


def _with_zeros(data):
    """Guesses the UTF-16 or UTF-32 encoding of bytes by the zeros of Latin letters."""
    number = max(1, len(data) // 4)
    zeros = [data[first::4].count(0) / number for first in range(4)]
    if zeros[0] < 0.5 and zeros[1] > 0.9 and zeros[2] > 0.9 and zeros[3] > 0.9:
        return "utf-32-le"
    if zeros[0] > 0.9 and zeros[1] > 0.9 and zeros[2] > 0.9 and zeros[3] < 0.5:
        return "utf-32-be"
    even, odd = (zeros[0] + zeros[2]) / 2, (zeros[1] + zeros[3]) / 2
    for encoding, many, few in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if not many or few > 0.02:
            continue
        text = _fits(data, encoding)
        # In other scripts only spaces, line ends and digits have a zero byte.
        if text and (many > 0.1 or any(c in "\n\r\t 0123456789" for c in text)):
            return encoding
    return "binary"


def _wide(data):
    """Returns the likely East Asian code page of bytes, or `None`."""
    best, most = None, 0.8
    for encoding, blocks in _WIDE:
        text = _fits(data, encoding)
        others = [ord(c) for c in text or "" if ord(c) > 127]
        if not others:
            continue
        usual = sum(any(low <= c <= high for low, high in blocks) for c in others)
        # Kana or Hangul distinguish Japanese and Korean from Chinese.
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
    """Returns the Cyrillic code page in which most letters are lower case, or `None`."""
    scores = {}
    for encoding in ("cp1251", "koi8-r", "cp866", "iso-8859-5"):
        text = _fits(data, encoding) or ""
        others = [c for c in text if ord(c) > 127]
        small = sum("\u0430" <= c <= "\u044f" for c in others)
        scores[encoding] = small / max(1, len(others))
    best = max(scores, key=scores.get)
    return best if scores[best] > 0.6 else None


def _western(data):
    """Returns a Western European code page that fits the bytes, or `None`."""
    return next((one for one in ("cp1252", "latin-1") if _fits(data, one)), None)
