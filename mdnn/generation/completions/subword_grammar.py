"""Converts an automaton over characters to one over the tokens of a subword vocabulary."""

import numpy as np

from mdnn.constraints.utf8_automaton import DEAD, utf8_table
from mdnn.errors import MdnnError

END = "\x1e"
"""Mark that ends a text of a grammar; it is not part of it."""


def subword_states(automaton, tokenizer, most):
    """Returns the state after each token of a vocabulary, and each state's distance to an end.

    Tokens are walked byte by byte; some end inside of a character. Where the states inside of
    characters are too many, these tokens are not allowed: a character whose bytes no single token
    holds is then not written. Tokens that end an answer are allowed where the grammar has its end
    mark (`END`, or the token's own text).

    Args:
        automaton: `mdnn.constraints.automaton.Automaton`.
        tokenizer: `mdnn.tokens.subwords.subword_tokenizer.SubwordTokenizer`.
        most: int, largest number of states.

    Returns:
        Tuple of the state after each token, int16 or int32 `[states, tokens]`, `DEAD` where it may
        not follow, and the least number of tokens to an end, int32 `[states]`.

    Raises:
        MdnnError: no text of the grammar can be written with these tokens.
    """
    table = utf8_table(automaton)
    dtype = "int16" if len(table) < 2**15 else "int32"
    # A dead state is the last row, which leads nowhere.
    follow = np.concatenate([table, np.full((1, 256), DEAD)]).astype(dtype)
    states = len(table) if len(table) <= most else automaton.states
    tokens = tokenizer.token_bytes
    written = sorted((k for k, data in enumerate(tokens) if data), key=lambda k: -len(tokens[k]))
    reached = np.repeat(np.arange(states, dtype=dtype)[:, None], len(written), axis=1)
    alive, place = len(written), 0
    while alive:
        codes = np.array([tokens[k][place] for k in written[:alive]])
        reached[:, :alive] = follow[reached[:, :alive], codes]
        place += 1
        while alive and len(tokens[written[alive - 1]]) <= place:
            alive -= 1
    after = np.full((states, tokenizer.size), DEAD, dtype)
    after[:, written] = np.where(reached < states, reached, DEAD)
    for number, marks in tokenizer.end_marks(END).items():
        for state in range(automaton.states):
            ends = (automaton.step(mark, state) for mark in marks)
            after[state, number] = next((end for end in ends if end >= 0), DEAD)
    accepting = np.zeros(states, bool)
    accepting[: automaton.states] = automaton.accepting
    distance = _token_distances(after, accepting)
    if distance[0] < 0:
        raise MdnnError("no text of this grammar can be written with the network's subwords")
    # Tokens after which no end can be reached are not allowed.
    after[(after >= 0) & (distance[after] < 0)] = DEAD
    return after, np.maximum(distance, 0)


def _token_distances(after, accepting):
    """Returns the least number of tokens from each state to an end, int32; -1 without one."""
    leads = np.zeros((len(after), len(after)), bool)
    for state, row in enumerate(after):
        leads[state, row[row >= 0]] = True
    distance = np.where(accepting, 0, -1).astype("int32")
    front, steps = np.array(accepting), 0
    while front.any():
        steps += 1
        front = leads[:, front].any(axis=1) & (distance < 0)
        distance[front] = steps
    return distance
