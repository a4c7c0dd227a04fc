"""Compressed bodies of requests, of a limited size when they are unpacked."""

import zlib

from mdnn.serving.requests.request_limits import BAD, TOO_LARGE, UNSUPPORTED, RefusalError

# zlib's numbers for the heads of gzip files and of zlib streams ("deflate").
_HEADS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def decompress(data, encoding, limit):
    """Returns a body as it was before its sender compressed it.

    Args:
        data: bytes.
        encoding: str, the header Content-Encoding; `""` and `identity`: not compressed.
        limit: int, the largest size in bytes that is unpacked; no more memory is taken.

    Raises:
        RefusalError: an unknown encoding, data that are damaged or cut off, more than the limit.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return data
    if encoding not in _HEADS:
        raise RefusalError(
            UNSUPPORTED,
            f"Content-Encoding: expected gzip, deflate or identity, received {encoding[:80]!r}",
        )
    pieces, size = [], 0
    while data:
        unpacker = zlib.decompressobj(_HEADS[encoding])
        try:
            piece = unpacker.decompress(data, limit - size + 1)
        except zlib.error as error:
            raise RefusalError(BAD, f"the body is not {encoding}: {error}") from None
        size += len(piece)
        if size > limit:
            raise RefusalError(TOO_LARGE, f"the body has more than {limit} bytes when unpacked")
        if not unpacker.eof:
            raise RefusalError(BAD, f"the body is not {encoding}: it is cut off")
        pieces.append(piece)
        # A gzip file may have several members, one after another.
        data = unpacker.unused_data if encoding != "deflate" else b""
    return b"".join(pieces)
