"""`mdnn generate`: a prompt from the command line, answers onto the screen and into files."""

import sys

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.generation.generate import generate, read_prompt_file
from mdnn.generation.output_spec import parse_output_spec
from mdnn.runs.run_folder import open_run
from mdnn.tokens.items import Item

# Characters that a text is continued by.
LENGTH = 400

_SUFFIXES = {"text": ".txt", "audio": ".wav"}


def write_answer(options):
    """Runs `mdnn generate`.

    Args:
        options: what `mdnn.cli.parser` makes of the command line.

    Raises:
        MdnnError: see `mdnn.generate`; a picture or sound without `--out`.
    """
    run = open_run(options.run)
    settings = {
        "decoding": options.decoding,
        "preset": options.preset,
        "temperature": 0.0 if options.greedy else options.temperature,
        "seed": options.seed,
        "top_k": options.top_k,
        "top_p": options.top_p,
        "steps": options.steps,
        "num_denoising_steps": options.num_denoising_steps,
    }
    if not options.items:
        raise MdnnError("expected a --prompt or an --item, received none")
    if run.config.context.layout == "puzzle":
        _solve(run, options, settings)
        return
    if run.config.context.layout == "stream":
        _continue(run, options, settings)
        return
    prompt = [
        read_prompt_file(run, as_path(value, option), options.convert)
        if option == "--item"
        else value
        for option, value in options.items
    ]
    output = options.output
    if output is not None:
        outputs = [parse_output_spec(word, run.config.tokens.modalities) for word in output]
        _check_out([own.kind for own in outputs], options.out)
    answers = generate(run, prompt, output=output, length=options.length, **settings)
    if output is not None:
        answers = [Item(own.kind, value) for own, value in zip(outputs, answers, strict=True)]
    _save(answers, options.out, run.item_tokenizer.rate)


def _continue(run, options, settings):
    """Continues a text on the screen while it is written."""
    texts = [value for option, value in options.items if option == "--prompt"]
    if len(options.items) > 1 or not texts:
        raise MdnnError("this network continues one text: expected one --prompt")
    (prompt,), started = texts, False

    def show(piece):
        sys.stdout.write(piece)
        sys.stdout.flush()

    def stream(piece):
        # The prompt appears with the answer, not while a wrong setting may still be refused.
        nonlocal started
        show(piece if started else prompt + piece)
        started = True

    length = LENGTH if options.length is None else options.length
    if options.output and len(options.output) > 1:
        raise MdnnError("this network continues one text: expected one --output")
    output = options.output[0] if options.output else None
    if options.out is None:
        generate(run, prompt, output=output, length=length, stream=stream, **settings)
        show("\n" if started else prompt + "\n")
        return
    _check_out(["text"], options.out)
    _save(
        [Item("text", generate(run, prompt, output=output, length=length, **settings))], options.out
    )


def _solve(run, options, settings):
    """Answers puzzles, on the screen or in a text file: of `--item FILE` each line is one."""
    puzzles = []
    for option, value in options.items:
        if option == "--prompt":
            # A shell hands two lines on as they are, or written as \\n.
            puzzles.append(value.replace("\\n", "\n"))
        else:
            # imported late: a wrong word on the command line is told without it
            from mdnn.files import read_text

            puzzles += [
                line for line in read_text(as_path(value, option), 1 << 20).splitlines() if line
            ]
    if options.out is not None:
        _check_out(["text"], options.out)
    settings |= {"output": options.output, "length": options.length}
    thought = {"num_starts": options.num_starts, "halt": options.adaptive}
    answers = generate(run, puzzles, **settings, **thought)
    _save([Item("text", "\n".join(answers))], options.out)


def _check_out(kinds, out):
    """Refuses answers that have nowhere to go, before they are written."""
    for kind in kinds:
        suffix = _SUFFIXES.get(kind, ".png")
        if out is None:
            if kind != "text":
                raise MdnnError(f"--out: expected a file {suffix} for {kind}, received none")
            continue
        path = as_path(out, "--out")
        if path.suffix.lower() != suffix and len(kinds) == 1:
            raise MdnnError(f"--out: expected a file {suffix} for {kind}, received {out}")
        if not path.parent.is_dir():
            raise MdnnError(f"--out: there is no folder {path.parent}")


def _save(items, out, rate=None):
    """Writes answers into files, or texts onto the screen; all can be written, or none is."""
    # imported late: a wrong word on the command line is told without it
    from mdnn.datasets.media.media_files import item_bytes
    from mdnn.files import replacing

    if not items:
        raise MdnnError("the network answers nothing")
    if out is None:
        for item in items:
            if item.kind != "text":
                raise MdnnError(f"the answer is {item.kind}: expected --out FILE to write it to")
        for item in items:
            print(item.value)
        return
    path, files = as_path(out, "--out"), []
    for number, item in enumerate(items, 1):
        data, suffix = item_bytes(item, rate)
        if len(items) > 1:
            files.append((path.with_name(f"{path.stem}-{number}{suffix}"), data))
        elif path.suffix.lower() != suffix:
            raise MdnnError(f"--out: expected a file {suffix} for {item.kind}, received {out}")
        else:
            files.append((path, data))
    for place, data in files:
        with replacing(place) as part:
            part.write_bytes(data)
        print(place)
