"""The contact sheet of the instructions: test pictures, and what became of them."""

import matplotlib.figure
import numpy as np

COLUMNS = 10


def contact_sheet(questions, answers, way, path):
    """Draws test pictures, what each instruction should make of them, and what it made.

    Args:
        questions: list of `instructions_answers.Question`, with an instruction each.
        answers: dict from `(way, name of a question)` to lists of pictures.
        way: string, the way to write that is shown.
        path: the PNG to write.
    """
    asked = [prompt[0] for prompt in questions[0].prompts]
    numbers = np.linspace(0, len(asked) - 1, min(COLUMNS, len(asked))).astype(int)
    rows, seen = [("asked", asked, None)], set()
    # The written and the spoken form of an instruction below each other.
    for question in sorted(questions, key=lambda one: one.name.split(",")[0]):
        name = question.name.split(",")[0]
        if question.exact is not None and name not in seen:
            rows.append((f"{name}: right", question.exact, None))
        seen.add(name)
        rows.append((question.name, answers[way, question.name], question.exact))
    figure = matplotlib.figure.Figure(
        figsize=(0.62 * len(numbers) + 1.4, 0.62 * len(rows) + 0.2), dpi=80, layout="constrained"
    )
    grid = figure.subplots(len(rows), len(numbers), squeeze=False)
    for line, (name, pictures, exact) in zip(grid, rows, strict=True):
        for axes, number in zip(line, numbers, strict=True):
            axes.imshow(pictures[number], cmap="gray_r", vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
            wrong = exact is not None and not np.array_equal(pictures[number], exact[number])
            for side in axes.spines.values():
                side.set(color="#b03030" if wrong else "#666666", linewidth=2 if wrong else 0.4)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    figure.savefig(path, format="png")
