"""Ends a text before the first of some texts, whatever the pieces in which it is written."""


def until_stop(pieces, stops):
    """Yields pieces of a text up to a stop text, which is left out, and asks for no more.

    Of several stop texts the one that ends first counts; the text before it is the same whatever
    the pieces.

    Args:
        pieces: iterable of strings.
        stops: the stop texts, strings that are not empty; none of them: everything is yielded.
    """
    if not stops:
        yield from pieces
        return
    # What may be the beginning of a stop text waits for the next piece.
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
