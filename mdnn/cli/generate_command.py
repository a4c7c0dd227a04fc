"""`mdnn generate`: reads prompts, prints the answers or writes them to files."""

import argparse
import dataclasses
import sys

from mdnn import standard_streams
from mdnn.cli.prompt_lines import score_lines, write_answer_lines
from mdnn.cli.shared_options import add_density, add_identity, add_member
from mdnn.cli.shared_options import chosen as chosen_member
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path, path_argument
from mdnn.files import read_small_text
from mdnn.generation.options import GenerationOptions
from mdnn.tokens.modalities import modality

MAX_SAMPLES, MAX_PROMPT_BYTES = 10_000, 1 << 24
BETWEEN = "---"
"""The line between several texts on the screen."""

_GROUPS = {
    "answer": "The answer",
    "sampling": "How tokens are sampled",
    "decoding": "How texts and items are decoded",
    "texts": "Networks of texts",
    "items": "Networks of items",
    "puzzles": "Networks of puzzles",
    "network": "The network",
}


def add_generate(commands):
    """Adds `mdnn generate` to the subparsers of the command line."""
    command = commands.add_parser(
        "generate",
        help="write texts, pictures and sounds with a network",
        description="Answers a prompt with a network: continues a text, answers items with items, "
        "or solves puzzles.",
    )
    command.add_argument("run", metavar="RUN", type=path_argument, help="a run folder")
    prompt = command.add_argument_group("The prompt")
    prompt.add_argument(
        "--prompt",
        metavar="TEXT",
        dest="items",
        action=_PromptItem,
        help="a text to continue, one item of the prompt, or a puzzle; --prompt and --item may be "
        "repeated and keep their order",
    )
    prompt.add_argument(
        "--prompt-file",
        metavar="FILE",
        type=path_argument,
        dest="items",
        action=_PromptItem,
        help="a --prompt from a text file, without its final line break; - is standard input, as "
        "it is for --prompt",
    )
    prompt.add_argument(
        "--prompts",
        metavar="FILE",
        type=path_argument,
        help="a text file with a prompt in each line, thousands if need be; the answers are "
        "printed as lines of JSON",
    )
    prompt.add_argument(
        "--item",
        metavar="FILE",
        type=path_argument,
        dest="items",
        action=_PromptItem,
        help="an item of the prompt: a .txt, .png, .jpg, .gif, .webp, .bmp, .wav, .flac or .mp3; "
        "or a file of puzzles",
    )
    prompt.add_argument(
        "--chat",
        action="store_true",
        help="put the prompt, a question, into the network's own chat template",
    )
    prompt.add_argument(
        "--convert",
        action="store_true",
        help="convert --item files even where that loses something: transparency, 16-bit pixels, "
        "colors for a grey network, stereo, 24-bit samples",
    )
    groups = {name: command.add_argument_group(title) for name, title in _GROUPS.items()}
    for field in dataclasses.fields(GenerationOptions):
        about = dict(field.metadata)
        group = about.pop("group")
        if group is None:
            continue
        if about.get("action") != "store_true":
            about.setdefault("metavar", "N")
        flag = f"--{field.name.replace('_', '-')}"
        groups[group].add_argument(flag, default=field.default, **about)
        if field.name == "temperature":
            groups[group].add_argument(
                "--greedy", action="store_true", help="the same as --temperature 0"
            )
    groups["answer"].add_argument(
        "--samples",
        metavar="N",
        type=int,
        default=1,
        help="write N answers, each with the next seed (1)",
    )
    groups["answer"].add_argument(
        "--out",
        metavar="FILE",
        type=path_argument,
        help="the output file: .txt, .png, .wav or, for a film, .gif; several answers are numbered",
    )
    add_density(groups["network"])
    add_identity(groups["network"])
    add_member(groups["network"])
    command.set_defaults(run_command=_run)


class _PromptItem(argparse.Action):
    """Keeps texts and files of a prompt in the order of the command line."""

    def __call__(self, parser, options, value, option=None):
        # argparse of Python 3.11 and 3.12 takes a lone "--" out of the value.
        value = "--" if value == [] else value
        items = getattr(options, self.dest) or []
        setattr(options, self.dest, [*items, (option, value)])


def _run(options):
    # Imported late: errors on the command line are reported without them.
    from mdnn.runtime import quiet_import

    quiet_import()
    write_answer(options)


def write_answer(options):
    """Runs `mdnn generate`.

    Args:
        options: the command line as parsed by `mdnn.cli.parser`.

    Raises:
        MdnnError: see `mdnn.generate`; a picture or sound without `--out`.
    """
    from mdnn.runs.cached_runs import cached_run
    from mdnn.tasks.density_rule import run_for
    from mdnn.tasks.registry import task_for
    from mdnn.training.progress import Ticker

    if not 1 <= options.samples <= MAX_SAMPLES:
        raise MdnnError(f"--samples: expected 1 to {MAX_SAMPLES:,}, received {options.samples}")
    run = chosen_member(cached_run(options.run), options)
    task = task_for(run.config, run.words)
    names = [f.name for f in dataclasses.fields(GenerationOptions) if f.metadata["group"]]
    chosen = {name: getattr(options, name) for name in names}
    if options.greedy:
        chosen["temperature"] = 0.0
    if not options.items and options.prompts is None:
        raise MdnnError("expected a --prompt or an --item, received none")
    # Checked before anything is read or computed.
    generation = GenerationOptions(**chosen)
    if options.prompts is not None:
        write_answer_lines(run, options, generation)
        return
    several = [
        dataclasses.replace(generation, seed=generation.seed + number)
        for number in range(options.samples)
    ]
    items = [_from_file(option, value) for option, value in options.items]
    prompt = shown = task.read_prompt(run, items, options.convert)
    if options.chat:
        prompt, shown = _chat(run, prompt), f"{shown}\n"
    run = run_for(run, options.density, prompt, options.identity)
    task = task_for(run.config, run.words)
    kinds = task.answer_kinds(generation)
    if generation.logprobs is not None and options.out is not None:
        raise MdnnError("--logprobs: expected no --out with it, a file that holds only the text")
    if kinds is not None:
        _check_out(kinds * options.samples, options.out)
    if options.out is None and task.streams_text:
        for number, one in enumerate(several):
            if number:
                print(BETWEEN)
            text = _show(
                lambda stream, one=one: task.generate(run, prompt, one, stream, Ticker("reading")),
                shown,
            )
            if one.logprobs is not None:
                print("\n".join(score_lines(text)))
        return
    answers = []
    for one in several:
        answers += task.answer_items(task.generate(run, prompt, one), one)
    _save(answers, options.out, run.config.tokens.sample_rate)


def _chat(run, prompt):
    """Returns a question in the chat template of a network of subwords."""
    # Imported late: few networks have one.
    from mdnn.tasks.conversations.chat_prompt import chat_prompt

    if not run.config.tokens.subwords:
        raise MdnnError("--chat: expected a network of subwords with a chat template")
    return chat_prompt(run, prompt)


def _from_file(option, value):
    """Replaces a prompt that names a file or standard input by its text."""
    if (option, value) != ("--prompt", "-") and option != "--prompt-file":
        return option, value
    if value != "-":
        text = read_small_text(as_path(value, option), MAX_PROMPT_BYTES)
    else:
        data = b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_PROMPT_BYTES + 1)
        if len(data) > MAX_PROMPT_BYTES:
            raise MdnnError(f"standard input: expected at most {MAX_PROMPT_BYTES:,} bytes")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise MdnnError(
                f"standard input: expected UTF-8 text, received byte 0x{data[error.start]:02x} at "
                f"offset {error.start}"
            ) from None
    return "--prompt", text.removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")


def _show(write, prompt):
    """Shows a text and its continuation on the screen while it is written; returns that."""
    started = False

    def show(text):
        sys.stdout.write(text)
        standard_streams.flush()

    def stream(piece):
        # The prompt appears with the answer, not while a wrong option may still be refused.
        nonlocal started
        show(piece if started else prompt + piece)
        started = True

    text = write(stream)
    show("\n" if started else prompt + "\n")
    return text


def _check_out(kinds, out):
    """Refuses answers that have nowhere to go, before they are generated."""
    for kind in kinds:
        form = modality(kind)
        suffix = " or ".join(form.write_suffixes)
        if out is None:
            if not form.printable:
                raise MdnnError(f"--out: expected a file {suffix} for {kind}, received none")
            continue
        path = as_path(out, "--out")
        if path.suffix.lower() not in form.write_suffixes and len(kinds) == 1:
            raise MdnnError(f"--out: expected a file {suffix} for {kind}, received {out}")
        if not path.parent.is_dir():
            raise MdnnError(f"--out: there is no folder {path.parent}")


def _save(items, out, rate):
    """Writes answers into files, or texts onto the screen; all can be written, or none is."""
    # Imported late: texts on the screen need no files.
    from mdnn.datasets.media.media_files import item_bytes
    from mdnn.files import replacing

    if not items:
        raise MdnnError("the answer is empty: the network ended it at once")
    if out is None:
        for item in items:
            if not modality(item.kind).printable:
                raise MdnnError(f"the answer is {item.kind}: expected --out FILE to write it to")
        for item in items:
            print(item.value)
        return
    path, files = as_path(out, "--out"), []
    for number, item in enumerate(items, 1):
        data, suffix = item_bytes(item, rate, path.suffix.lower())
        if len(items) > 1:
            files.append((path.with_name(f"{path.stem}-{number}{suffix}"), data))
        elif path.suffix.lower() != suffix:
            raise MdnnError(f"--out: expected a file {suffix} for {item.kind}, received {out}")
        else:
            files.append((path, data))
    for file, data in files:
        with replacing(file) as temporary:
            temporary.write_bytes(data)
        print(file)
