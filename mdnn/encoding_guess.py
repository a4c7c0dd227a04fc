"""Guesses the encoding of text files from their bytes."""

import codecs

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# Number of bytes that a guess uses.
LOOKED_AT = 1 << 16

# Code pages of East Asia and the Unicode blocks of their usual characters. Those of Windows hold
# the others: of two that fit, the first is named.
_JAPANESE = ((0x3040, 0x30FF), (0x4E00, 0x9FFF), (0x3000, 0x303F), (0xFF00, 0xFFEF))
_KOREAN = ((0xAC00, 0xD7A3), (0x3000, 0x303F), (0xFF00, 0xFFEF))
_WIDE = (
    ("shift_jis", _JAPANESE),
    ("cp932", _JAPANESE),
    ("euc-jp", _JAPANESE),
    ("euc-kr", _KOREAN),
    ("cp949", _KOREAN),
    ("gb18030", ((0x4E00, 0x9FFF), (0x3000, 0x303F), (0xFF00, 0xFFEF), (0x2010, 0x2030))),
    ("big5", ((0x4E00, 0x9FFF), (0x3000, 0x303F), (0xFF00, 0xFFEF), (0xFE30, 0xFE4F))),
)

# Code pages of other scripts and the Unicode block of their letters. Hebrew has the fewest letters:
# it fits Greek, too.
_SCRIPTS = (
    ("cp1255", 0x0590, 0x05FF),
    ("cp1253", 0x0370, 0x03FF),
    ("iso-8859-7", 0x0370, 0x03FF),
    ("cp1256", 0x0600, 0x06FF),
    ("cp874", 0x0E00, 0x0E7F),
)

# Marks that texts of any language have, and letters of languages with the code pages in which their
# texts are stored. The first line that fits best is taken.
_COMMON_MARKS = (
    "\xa0\xa7\xa9\xab\xb0\xb7\xbb\xa3\u20ac\u2122\u2013\u2014\u2018\u2019\u201a"
    "\u201c\u201d\u201e\u2020\u2022\u2026\u2030\u2039\u203a"
)
_WEST, _CENTRAL = ("cp1252", "mac-roman", "cp850"), ("cp1250", "iso-8859-2")
_LANGUAGES = (
    ("äöüßÄÖÜàâçèéêëîïôùœæåøÆØÅÀÂÇÈÉÊÎÔÙáíóúñÁÍÓÚÑìòãÃ¿¡½", _WEST[:1]),
    ("äöüßÄÖÜ", _WEST),
    ("äöåæøÄÖÅÆØé", _WEST),
    ("àâçèéêëîïôùûœæÀÂÇÈÉÊÎÔÙ", _WEST),
    ("áéíóúüñÁÉÍÓÚÑ¿¡ªº", _WEST),
    ("àáâãçéêíóôõúüÀÁÂÃÇÉÊÍÓÔÕÚªº", _WEST),
    ("àèéìòùÀÈÉÌÒÙ", _WEST),
    ("áéíóúýþæöðÁÉÍÓÚÝÞÆÖÐ", _WEST[:1]),
    ("äöüõšžÄÖÜÕŠŽ", _WEST[:1]),
    ("çğıöşüâîûÇĞİÖŞÜ", ("cp1254",)),
    ("ąćęłńóśźżĄĆĘŁŃÓŚŹŻ", _CENTRAL),
    ("áčďéěíňóřšťúůýžÁČĎÉĚÍŇÓŘŠŤÚŮÝŽ", _CENTRAL),
    ("áäčďéíĺľňóôŕšťúýžÁČĎÉÍĽŇÓŠŤÚÝŽ", _CENTRAL),
    ("áéíóöőúüűÁÉÍÓÖŐÚÜŰ", _CENTRAL),
    ("čćđšžČĆĐŠŽ", _CENTRAL),
    ("ăâîşţĂÂÎŞŢ", _CENTRAL),
    ("", ("cp1252", "latin-1")),
)

# Escape sequences by which seven-bit texts of Japan and Korea change their characters.
_ESCAPES = (b"\x1b$B", b"\x1b$@", b"\x1b$A", b"\x1b$(", b"\x1b$)C")


def likely_encoding(data):
    """Returns the likely encoding of bytes, a Python name.

    Args:
        data: Bytes; the first 64 KiB are used.

    Returns:
        str; `"binary"` for bytes that are probably not text; `None` if no encoding fits.
    """
    data = bytes(data[:LOOKED_AT])
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    if b"\0" in data:
        return _with_zeros(data)
    if (escaped := escaped_encoding(data)) is not None:
        return escaped
    if control_share(data) > 0.02:
        return "binary"
    if _fits(data, "utf-8"):
        return "utf-8"
    high = sum(byte > 127 for byte in data)
    letters = sum(bytes([byte]).isalpha() for byte in data) + high
    # A few bytes are not enough to identify a script.
    if high > max(8, 0.4 * letters):
        return _wide(data) or _cyrillic(data) or _other_script(data) or _latin(data)
    return _latin(data)


def is_binary(data):
    """Returns whether bytes are probably not text: over 5% control characters or zeros.

    Random and compressed bytes have 10%.

    Args:
        data: Bytes; the first 64 KiB are used.
    """
    data = bytes(data[:LOOKED_AT])
    return control_share(data) > 0.05 and likely_encoding(data) == "binary"


def control_share(data):
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
    """Returns the Cyrillic code page in which most letters are lower case, or `None`.

    Two letters in five are vowels; Greek and Hebrew that is read as Cyrillic has fewer.
    """
    scores = {}
    for encoding in ("cp1251", "koi8-r", "cp866", "iso-8859-5"):
        text = _fits(data, encoding) or ""
        others = [c for c in text if ord(c) > 127]
        small = [c for c in others if "\u0430" <= c <= "\u044f"]
        vowels = sum(c in "аеиоуыэюя" for c in small)
        scores[encoding] = (vowels > 0.3 * len(small)) * len(small) / max(1, len(others))
    best = max(scores, key=scores.get)
    return best if scores[best] > 0.6 else None


def _other_script(data):
    """Returns the code page to whose script most non-ASCII characters belong, or `None`."""
    for encoding, low, high in _SCRIPTS:
        others = [ord(c) for c in _fits(data, encoding) or "" if ord(c) > 127]
        if sum(low <= c <= high for c in others) > 0.9 * len(others):
            return encoding
    return None


def _latin(data):
    """Returns the code page in which most non-ASCII characters are common ones, or `None`."""
    best, most = None, -1
    # A few characters are not enough to identify a language.
    enough = sum(byte > 127 for byte in data) > 4
    for letters, encodings in _LANGUAGES if enough else _LANGUAGES[-1:]:
        for encoding in encodings:
            text = _fits(data, encoding)
            others = [c for c in text or "" if ord(c) > 127]
            share = sum(c in letters or c in _COMMON_MARKS for c in others) / max(1, len(others))
            if text is not None and share > most + 0.05 * (best is not None):
                best, most = encoding, share
    return best


def escaped_encoding(data):
    """Returns the seven-bit encoding whose escape sequences are in the bytes, or `None`."""
    if not any(escape in data for escape in _ESCAPES):
        return None
    for encoding in ("iso2022_jp", "iso2022_jp_2", "iso2022_kr", "iso2022_jp_ext"):
        if any(ord(c) > 127 for c in _fits(data, encoding) or ""):
            return encoding
    return None
