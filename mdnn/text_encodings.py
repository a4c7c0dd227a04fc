"""Decodes text files, and names the likely encoding of those that are in another one."""

import codecs

from mdnn.encoding_guess import LOOKED_AT, control_share, escaped_encoding, likely_encoding
from mdnn.errors import MdnnError, did_you_mean

MARK = "\ufeff"
"""The byte order mark as a character."""

# Text encodings of Python that files do not use, or that decode to invalid Unicode.
_REFUSED = ("idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7")

_COMMON = ("utf-8", "utf-16", "utf-32", "cp1252", "latin-1", "cp1251", "shift_jis", "gb18030")


def check_encoding(name, where="data.encoding"):
    """Returns an encoding's name as Python spells it.

    Args:
        name: str, such as `"utf-8"`, `"cp1252"` or `"utf-16"`.
        where: str, the name of the setting in errors.

    Raises:
        MdnnError: Python has no such encoding of text files.
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
        encoding: str, see `check_encoding`.
        name: str, the name of the file in errors.

    Raises:
        MdnnError: the bytes are not valid text in this encoding. The message names the byte,
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
    if encoding == "utf-8" and control_share(data[:LOOKED_AT]) > 0.1:
        raise undecodable(name, data, encoding, _first_control(data))
    # So are seven-bit texts in which an escape sequence changes the characters.
    if encoding == "utf-8" and escaped_encoding(data[:LOOKED_AT]):
        raise undecodable(name, data, encoding, data.index(b"\x1b$"))
    return text.removeprefix(MARK)


def _first_control(data):
    """Returns the offset of the first control character."""
    return next(at for at, byte in enumerate(data) if byte < 32 and byte not in b"\t\n\r\f\x1b")


def undecodable(name, data, encoding, offset, size=None, key="data.encoding"):
    """Returns the error for bytes that are not valid text in an encoding.

    Args:
        name: str, the name of the file in the error.
        data: Bytes of the file, all or the first ones.
        encoding: str.
        offset: int, offset of the first invalid byte.
        size: int, size of the whole file in bytes; `None` for the size of `data`.
        key: str, the config key that sets the encoding; `None` if it is always UTF-8.
    """
    size = len(data) if size is None else size
    byte = f"byte 0x{data[offset]:02x}" if offset < len(data) else "a byte"
    likely = likely_encoding(data)
    if likely == "binary":
        hint = "; it does not seem to be text at all"
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
