"""`mdnn chat`: a conversation with a network in the terminal."""

import contextlib
import dataclasses
import functools
import sys

from mdnn import standard_streams
from mdnn.errors import MdnnError, did_you_mean
from mdnn.file_systems import as_path, path_argument
from mdnn.generation.options import GenerationOptions
from mdnn.tools.tool_options import add_tools, toolbox_of

PROMPT = "> "

_OPTIONS = ("length", "preset", "temperature", "top_k", "top_p", "steps", "seed")
_OPTIONS += ("presence_penalty", "frequency_penalty")

_HELP = """\
/again            answer your last message anew
/undo             take back your last message and its answer
/edit TEXT        replace your last message, answer it anew
/new              start a new conversation
/system [TEXT]    show or set the system message ("/system -" removes it)
/set NAME VALUE   change {options}
/messages         show the conversation
/tools            show the tools that the network may call
/save FILE        keep the conversation in a file, with all further messages
/load FILE        continue the conversation in a file
/help             show this list
/quit             leave, as Ctrl-D does
A message may have several lines: end each but the last with a backslash. Ctrl-C stops an answer."""


def add_chat(commands):
    """Adds `mdnn chat` to the subparsers of the command line."""
    command = commands.add_parser(
        "chat",
        help="talk with a network",
        description="Talks with a network of texts or conversations. Lines from standard input "
        "are messages; /help lists commands.",
    )
    command.add_argument("run", metavar="RUN", type=path_argument, help="a run folder")
    command.add_argument("--system", metavar="TEXT", default="", help="a system message")
    command.add_argument(
        "--save",
        metavar="FILE",
        type=path_argument,
        help="save the conversation to a file, as a JSON line for training",
    )
    command.add_argument(
        "--load", metavar="FILE", type=path_argument, help="continue a conversation from a file"
    )
    for field in dataclasses.fields(GenerationOptions):
        if field.name in _OPTIONS:
            about = dict(field.metadata)
            about.pop("group")
            about["metavar"] = "N" if "type" in about else "NAME"
            if field.name == "length":
                about["help"] = (
                    "largest number of characters, words or subwords of an answer (1,000)"
                )
            command.add_argument(
                f"--{field.name.replace('_', '-')}", default=field.default, **about
            )
    add_tools(command)
    command.set_defaults(run_command=run_chat)


def run_chat(options):
    """Runs `mdnn chat`."""
    # Options are checked before TensorFlow is imported.
    values = {name: getattr(options, name) for name in _OPTIONS}
    GenerationOptions(**values)
    path = as_path(options.run, "chat")
    if not path.is_dir():
        what = "a file" if path.exists() else "nothing"
        raise MdnnError(f"{options.run} is not a run folder: there is {what} there")
    from mdnn.runtime import quiet_import

    quiet_import()
    from mdnn.assistant.session import ChatSession

    toolbox = toolbox_of(options)
    try:
        session = ChatSession(path, options.system, toolbox, **values)
        terminal = Terminal(session, as_path(options.save, "--save") if options.save else None)
        if options.load:
            terminal.load(options.load)
        terminal.talk()
    finally:
        if toolbox is not None:
            toolbox.close()


class Terminal:
    """Reads messages and commands from standard input and prints answers.

    Args:
        session: `mdnn.assistant.session.ChatSession`.
        file: path where the conversation is kept, or `None`.
    """

    def __init__(self, session, file=None):
        self.session, self.file = session, file
        self.interactive = sys.stdin is not None and sys.stdin.isatty()
        if self.interactive:
            session.approve = self.approve
            # Lines can be edited and called up again where Python has readline.
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401
        self.commands = {
            "help": lambda _: print(_HELP.format(options=", ".join(_OPTIONS))),
            "again": lambda _: self.print_answer(session.again),
            "undo": self.undo,
            "edit": self.edit,
            "new": lambda _: session.clear(),
            "system": self.system,
            "set": self.set,
            "messages": self.print_messages,
            "tools": self.print_tools,
            "save": self.save,
            "load": self.load,
        }

    def talk(self):
        """Reads and answers until the input ends or says /quit."""
        if self.interactive:
            standard_streams.say("mdnn: /help lists commands; Ctrl-D ends")
        while (text := self.read()) is not None:
            if not text.strip():
                continue
            try:
                if text.startswith("/") and not text.startswith("//"):
                    name, _, words = text[1:].partition(" ")
                    if name == "quit":
                        return
                    self.command(name.strip(), words.strip())
                else:
                    text = text[1:] if text.startswith("//") else text
                    self.print_answer(functools.partial(self.session.say, text))
            except MdnnError as error:
                standard_streams.say(f"mdnn: error: {error}")
            except OSError as error:
                where = f": {error.filename}" if error.filename else ""
                standard_streams.say(f"mdnn: error: {error.strerror}{where}")

    def read(self):
        """Returns the next message or command; `None` at the end of the input."""
        lines = []
        while True:
            try:
                shown = "" if not self.interactive else ". " if lines else PROMPT
                line = input(shown)
            except EOFError:
                return "\n".join(lines) if lines else None
            except KeyboardInterrupt:
                if not self.interactive:
                    raise
                standard_streams.say("\nmdnn: /quit or Ctrl-D ends")
                lines = []
                continue
            if not line.endswith("\\"):
                return "\n".join([*lines, line])
            lines.append(line[:-1])

    def command(self, name, words):
        """Runs a command.

        Raises:
            MdnnError: an unknown command.
        """
        if name not in self.commands:
            raise MdnnError(
                f"unknown command /{name}{did_you_mean(name, [*self.commands, 'quit'])}; "
                "/help lists all; write // at the start of a message that begins with /"
            )
        self.commands[name](words)

    def print_answer(self, answer):
        """Prints an answer as it is written, and keeps the conversation.

        Args:
            answer: function with the keyword arguments `stream` and `on_call`.
        """
        message = answer(stream=_print_piece, on_call=self.print_call)
        print(flush=True)
        if self.session.dropped:
            standard_streams.say(
                f"mdnn: the context had no room for the first {self.session.dropped} messages"
            )
        self.keep()
        return message

    def approve(self, call):
        """Shows a call and asks whether to run it."""
        try:
            word = input(f"\n[{printable(call.text())}]\nRun it? (y/n) ")
        except EOFError:
            return False
        return word.strip().lower() in ("y", "yes")

    def print_call(self, call, result):
        """Prints a call and the beginning of its result."""
        print(f"\n[{printable(call.text())}]\n[{printable(result[:500])}]", flush=True)

    def keep(self):
        """Writes the conversation into its file, if it has one."""
        if self.file is not None:
            self.session.save(self.file)

    def undo(self, _):
        if self.session.undo() is None:
            raise MdnnError("there is no message to take back")
        self.keep()

    def edit(self, words):
        if not words:
            raise MdnnError("expected /edit TEXT")
        if self.session.undo() is None:
            raise MdnnError("there is no message to edit")
        self.print_answer(functools.partial(self.session.say, words))

    def system(self, words):
        if words:
            self.session.set_system("" if words == "-" else words)
        else:
            texts = [m.content for m in self.session.messages if m.role == "system"]
            print(printable("\n".join(texts)) or "(none)")

    def set(self, words):
        name, _, value = words.partition(" ")
        name = name.replace("-", "_")
        fields = {f.name: f for f in dataclasses.fields(GenerationOptions) if f.name in _OPTIONS}
        if name not in fields or not value:
            raise MdnnError(
                f"expected /set NAME VALUE with one of {', '.join(_OPTIONS)}; received {words!r}"
                f"{did_you_mean(name, _OPTIONS)}"
            )
        kind = fields[name].metadata.get("type", str)
        try:
            value = kind(value)
        except ValueError:
            raise MdnnError(f"{name}: expected a number, received {value!r}") from None
        self.session.change(**{name: value})

    def print_messages(self, _):
        for message in self.session.messages:
            calls = "".join(f" [{call.text()}]" for call in message.calls)
            print(printable(f"{message.role}: {message.content}{calls}"))

    def print_tools(self, _):
        for tool in self.session.tools:
            print(printable(tool.signature()))
        if not self.session.tools:
            print("(none)")

    def save(self, words):
        if not words:
            raise MdnnError("expected /save FILE")
        file = as_path(words, "/save")
        self.session.save(file)
        self.file = file

    def load(self, words):
        if not words:
            raise MdnnError("expected /load FILE")
        self.session.load(words)


def _print_piece(piece):
    print(printable(piece), end="", flush=True)


def printable(text):
    """Returns a text whose control characters cannot command a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
