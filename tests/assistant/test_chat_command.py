"""Sessions and `mdnn chat`: messages, commands, Ctrl-C, files, and what a terminal is spared."""

import io
import json

import pytest

import mdnn
from mdnn.assistant import chat_command
from mdnn.assistant.chat_command import printable
from mdnn.chat.messages import Message, ToolCall
from mdnn.cli import main
from mdnn.generation.completions.completion import CompletionPiece

pytestmark = pytest.mark.usefixtures("decoded_without_xla")


@pytest.fixture
def talk(tiny_run, monkeypatch, capfd):
    """Runs `mdnn chat` with lines as standard input; returns status, output and errors."""

    def run(lines, *words):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        status = main(["chat", str(tiny_run), *map(str, words)])
        return (status, *capfd.readouterr())

    return run


def test_messages_and_commands(talk, tmp_path):
    file = tmp_path / "talk.jsonl"
    lines = [
        "The cat \\",
        "sat",
        "/again",
        "/messages",
        "/system Be short.",
        "/system",
        "/edit The dog",
        "/set length 3",
        "//quit",
        "/undo",
        "/set temperature 0",
        "/tools",
        "/help",
    ]
    status, out, err = talk(lines, "--length", 12, "--seed", 4, "--save", file)
    assert (status, err.count("no room for the first 2 messages")) == (0, 1)
    first, second = out[:12], out[13:25]
    assert (out[12], out[25:32]) == ("\n", "\nuser: ")
    assert first != second
    assert f"user: The cat \nsat\nassistant: {second}\nBe short.\n" in out
    assert "(none)\n/again " in out
    # What was taken back is not kept; the file is as training reads it.
    messages = json.loads(file.read_text(encoding="utf-8"))["messages"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant"]
    assert messages[1]["content"] == "The dog"
    # It is gone on with.
    _, out, _ = talk(["/messages"], "--load", file)
    assert out.startswith("system: Be short.\nuser: The dog\nassistant: ")


def test_errors_do_not_end_it(talk, tmp_path):
    lines = [
        "/agan",
        "/undo",
        "/again",
        "/edit",
        "/edit a",
        "/set warmth 3",
        "/set top_p 2",
        "/set top_p x",
        "/save",
        f"/save {tmp_path}/none/talk.jsonl",
        f"/load {tmp_path}/none",
        "/load",
        "/quit",
        "never read",
    ]
    status, out, err = talk(lines)
    assert (status, out) == (0, "")
    said = [
        "unknown command /agan (did you mean 'again'?)",
        "no message to take back",
        "no message to answer again",
        "expected /edit TEXT",
        "no message to edit",
        "expected /set NAME VALUE",
        "top_p: expected a number above 0, up to 1, received 2.0",
        "top_p: expected a number, received 'x'",
        "expected /save FILE",
        "No such file or directory",
        "there is nothing at",
        "expected /load FILE",
    ]
    errors = [line for line in err.splitlines() if line.startswith("mdnn: error")]
    assert len(errors) == 12
    for line, words in zip(errors, said, strict=True):
        assert words in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none",), "none is not a run folder: there is nothing there"),
        ((".", "--temperature", "-1"), "temperature: expected 0 to 100"),
        ((".", "--preset", "factal"), "did you mean 'factual'"),
        ((".",), ". is not a run folder: it has no config.toml"),
    ],
)
def test_bad_input(tmp_path, monkeypatch, capfd, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["chat", *words]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_other_networks_do_not_converse(items_run, capfd):
    assert main(["chat", str(items_run)]) == 2
    assert "expected a network of texts or conversations" in capfd.readouterr()[1]


class Written:
    """Answers completions with texts, one after another."""

    positions, grammars = 400, True

    def __init__(self, *texts):
        self.texts, self.prompts = list(texts), []

    def count(self, text):
        return len(text)

    def grammar(self, automaton):
        return automaton

    def complete(self, requests):
        self.prompts.append(requests[0].prompt)
        for piece in self.texts.pop(0):
            if piece == "^C":
                raise KeyboardInterrupt
            yield [CompletionPiece(piece, len(piece))]


def session_of(run, *texts, **options):
    session = mdnn.ChatSession(run, **options)
    session.completions = {None: Written(*texts)}
    return session, session.completions[None]


def test_ctrl_c_stops_an_answer_and_not_the_program(tiny_run):
    session, written = session_of(tiny_run, ["Once ", "upon ", "^C"], ["Yes."])
    pieces = []
    assert session.say("A story?", pieces.append).content == "Once upon "
    assert pieces == ["Once ", "upon "]
    assert session.say("Go on.").content == "Yes."
    assert written.prompts[1] == (
        "user: A story?\x1eassistant: Once upon \x1euser: Go on.\x1eassistant: "
    )


class Adder:
    """A toolbox of one tool."""

    def __init__(self, allowed):
        self.allowed = allowed

    def specs(self):
        from mdnn.chat.tool_specs import ToolSpec

        return [ToolSpec("add")]

    def allows(self, call):
        return self.allowed

    def begin_turn(self):
        pass

    def run(self, call):
        return str(sum(call.arguments.values()))


CALL = '\x1d{"name": "add", "arguments": {"a": 1, "b": 2}}'


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("approved", [True, False, None])
def test_calls_run_when_they_may(tiny_run, allowed, approved):
    asked, shown = [], []

    def approve(call):
        asked.append(call)
        return approved

    session, _ = session_of(
        tiny_run,
        ["Wait. ", CALL],
        ["3!"],
        toolbox=Adder(allowed),
        approve=None if approved is None else approve,
    )
    answer = session.say("1 + 2?", on_call=lambda *words: shown.append(words))
    assert answer.content == "3!"
    result = "3" if allowed or approved else "The person refused this call."
    call = session.messages[1].calls[0]
    assert (call.name, call.arguments) == ("add", {"a": 1, "b": 2})
    assert session.messages[2] == Message("tool", result, (), call.id)
    assert shown == [(call, result)]
    assert bool(asked) == (not allowed and approved is not None)


def test_calls_without_end(tiny_run):
    session, _ = session_of(tiny_run, *[[CALL]] * 20, toolbox=Adder(True))
    session.say("1 + 2?")
    assert len(session.messages) == 1 + 2 * 8
    assert isinstance(session.messages[-2].calls[0], ToolCall)


def test_a_terminal_is_spared():
    assert printable("a\x1b[2J\x07é\n\t😀") == "a\ufffd[2J\ufffdé\n\t😀"


def test_a_line_that_ctrl_c_takes_back(tiny_run, monkeypatch, capfd):
    session, _ = session_of(tiny_run, ["Yes."])
    terminal = chat_command.Terminal(session)
    terminal.interactive = True
    lines = iter(["half \\", KeyboardInterrupt, "whole", EOFError])

    def read(prompt):
        line = next(lines)
        if isinstance(line, type):
            raise line
        return line

    monkeypatch.setattr("builtins.input", read)
    terminal.talk()
    assert [m.content for m in session.messages] == ["whole", "Yes."]
    assert "/quit or Ctrl-D ends" in capfd.readouterr()[1]
