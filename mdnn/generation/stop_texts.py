"""Truncates a streamed text before the first stop text."""


def until_stop(pieces, stops):
    """Yields the pieces of a text up to the first stop text, then stops reading `pieces`.

    The stop text itself is omitted. Of several stop texts, the one that ends first counts. The
    result does not depend on how the text is divided into pieces.

    Args:
        pieces: iterable of str.
        stops: list of stop texts, non-empty str; without any, yields all pieces.

    Yields:
        str, non-empty if there are stop texts.
    """
    if not stops:
        yield from pieces
        return
    # Hold back text that may be the beginning of a stop text.
    longest, waiting = max(map(len, stops)), ""
    for piece in pieces:
        waiting += piece
        starts = [(waiting.find(stop) + len(stop), -len(stop)) for stop in stops if stop in waiting]
        if starts:
            end, negative_length = min(starts)
            if before := waiting[: end + negative_length]:
                yield before
            return
        shown = len(waiting) - longest + 1
        if shown > 0:
            yield waiting[:shown]
            waiting = waiting[shown:]
    if waiting:
        yield waiting
