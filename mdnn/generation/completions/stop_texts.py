"""Truncates a streamed text before the first stop text."""


class StopFilter:
    """Passes on a text piece by piece, up to the first stop text.

    Of several stop texts, the one that ends first counts. The result does not depend on how the
    text is divided into pieces.

    Args:
        stops: sequence of stop texts, non-empty str; without any, everything passes.
    """

    def __init__(self, stops):
        self.stops, self.waiting = tuple(stops), ""
        # Text that may be the beginning of a stop text is held back.
        self.longest = max(map(len, self.stops), default=1)

    def add(self, piece):
        """Adds a piece.

        Returns:
            The text that is certain to come before a stop text, and whether one was reached.
        """
        waiting = self.waiting + piece
        starts = [
            (waiting.find(stop) + len(stop), -len(stop)) for stop in self.stops if stop in waiting
        ]
        if starts:
            end, negative_length = min(starts)
            self.waiting = ""
            return waiting[: end + negative_length], True
        shown = max(0, len(waiting) - self.longest + 1)
        self.waiting = waiting[shown:]
        return waiting[:shown], False

    def rest(self):
        """Returns the buffered text at the end of the stream."""
        rest, self.waiting = self.waiting, ""
        return rest


def until_stop(pieces, stops):
    """Yields the pieces of a text up to the first stop text, then stops reading `pieces`.

    The stop text itself is omitted; see `StopFilter`.

    Args:
        pieces: iterable of str.
        stops: list of stop texts, non-empty str; without any, yields all pieces.

    Yields:
        str, non-empty if there are stop texts.
    """
    if not stops:
        yield from pieces
        return
    text = StopFilter(stops)
    for piece in pieces:
        shown, stopped = text.add(piece)
        if shown:
            yield shown
        if stopped:
            return
    if rest := text.rest():
        yield rest
