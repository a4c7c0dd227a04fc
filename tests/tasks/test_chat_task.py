"""Conversations: read, laid out, trained, evaluated, answered; what is too long; bad files."""

import json
import math
import types

import numpy as np
import pytest

import mdnn
from mdnn.chat.chat_layout import ChatFormat
from mdnn.chat.format_files import read_chat_format
from mdnn.chat.messages import parse_messages
from mdnn.chat.tool_specs import parse_tools
from mdnn.datasets.batches.chat_batches import ChatBatches, evaluation_batches
from mdnn.datasets.conversations.chat_examples import lay_out
from mdnn.datasets.conversations.conversation_files import Conversation, read_conversations
from mdnn.runs.run_folder import open_run
from mdnn.tasks import task_for
from mdnn.tasks.conversations import chat_task
from mdnn.tasks.conversations.chat_evaluator import call_prompts
from mdnn.tokens.characters import TextTokenizer

CONFIG = """
seed = 3
data.validation = 0.2
context.layout = "chat"
context.grid = [108]
[backbone]
width = 32
depth = 1
[[backbone.layer]]
kind = "mix"
gate = "silu"
[[backbone.layer.mixer]]
wiring = "causal+shift"
groups = 4
[[backbone.layer]]
kind = "feedforward"
gate = "silu"
[train]
steps = 150
batch_size = 8
num_evaluations = 1
sample = 0
[train.optimizer]
learning_rate = 2e-2
warmup_steps = 5
"""


def conversation(number):
    """A user names an animal, the assistant calls `see` and says the result."""
    animal = ("cat", "dog", "rat", "owl")[number % 4]
    function = {"name": "see", "arguments": {"what": animal}}
    return {
        "tools": [{"type": "function", "function": {"name": "see"}}] if number % 8 == 0 else [],
        "messages": [
            {"role": "user", "content": f"a {animal}"},
            {"role": "assistant", "tool_calls": [{"id": "1", "function": function}]},
            {"role": "tool", "tool_call_id": "1", "content": animal.upper()},
            {"role": "assistant", "content": f"{animal.upper()}!"},
        ],
    }


def write(folder, conversations):
    path = folder / "talk.jsonl"
    lines = [json.dumps(value) + "\n" for value in conversations]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


pytestmark = pytest.mark.usefixtures("decoded_without_xla")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    source = write(folder, map(conversation, range(40)))
    (folder / "chat.toml").write_text(f"data.source = {json.dumps(str(source))}\n{CONFIG}")
    result = mdnn.train(folder / "chat.toml", folder / "run", show=False)
    assert result["loss"] < 0.1
    return folder / "run"


def test_it_learns_to_answer_and_to_call(run):
    metrics = mdnn.evaluate(run, calls=2)
    assert metrics["loss"] < 0.1
    assert metrics["bits_per_character"] == pytest.approx(metrics["loss"] / math.log(2))
    assert (metrics["calls"], metrics["calls_well_formed"]) == (2, 1.0)
    assert metrics["calls_written"] == 1.0
    assert metrics["calls_right"] == 1.0
    assert "calls" not in mdnn.evaluate(run, calls=0)
    call = '\x1d{"name": "see", "arguments": {"what": "dog"}}'
    assert mdnn.generate(run, "a dog", length=80, temperature=0) == call
    talk = conversation(1)["messages"][:3]
    pieces = []
    answer = mdnn.generate(run, talk, length=80, temperature=0, stream=pieces.append)
    assert answer == "".join(pieces) == "DOG!"
    assert mdnn.generate(run, talk, length=80, temperature=0, stop="O") == "D"
    assert read_chat_format(run) == ChatFormat()
    session = mdnn.ChatSession(run, length=80, temperature=0)
    assert session.say("a dog").content == call
    with pytest.raises(mdnn.MdnnError, match=r"prompt\[0\]\.role: expected one of"):
        mdnn.generate(run, [{"role": "cat", "content": ""}])


def test_calls_of_long_conversations_are_asked_without_the_oldest_turns(run):
    tools = [{"type": "function", "function": {"name": "see"}}]
    earlier = [message for k in range(3) for message in conversation(k)["messages"]]
    talk = Conversation(
        tuple(parse_messages([*earlier, *conversation(1)["messages"][:2]])),
        tuple(parse_tools(tools)),
    )
    task, network = task_for(mdnn.load_config(run / "config.toml")), open_run(run)
    evaluator = task.evaluator(task.networks(network.model))
    asked = []

    class Completions:
        positions = 108

        def count(self, text):
            return len(text)

        def complete(self, requests):
            asked.extend(request.prompt for request in requests)
            return iter(())

    evaluator.completions = Completions()
    evaluator.answers(call_prompts([talk], 100)[-1:])
    # A quarter of the context is left for the call; the tools stay.
    assert asked == ["tools: see()\x1euser: a dog\x1eassistant: "]


def test_generate_leaves_out_the_oldest_turns(run, monkeypatch):
    asked = []
    monkeypatch.setattr(
        chat_task, "generate_text", lambda run, text, *more: asked.append(text) or "an answer"
    )
    system = {"role": "system", "content": "S"}
    earlier = [message for k in range(3) for message in conversation(k)["messages"]]
    talk = [system, *earlier, {"role": "user", "content": "a dog"}]
    assert mdnn.generate(run, talk) == "an answer"
    assert asked == ["system: S\x1euser: a dog\x1eassistant: "]


def test_a_text_is_no_malformed_call(run, monkeypatch):
    task, network = task_for(mdnn.load_config(run / "config.toml")), open_run(run)
    evaluator = task.evaluator(task.networks(network.model))
    good = '\x1d{"name": "see", "arguments": {"what": "cat"}}'
    wrong = '\x1d{"name": "see", "arguments": {"what": "owl"}}'
    texts = [good, wrong, '\x1d{"name": "see"', "CAT!"]
    monkeypatch.setattr(evaluator, "answers", lambda prompts, grammar: texts)
    talks = [Conversation(tuple(parse_messages(conversation(0)["messages"])), ())] * 4
    metrics = evaluator.calls(call_prompts(talks, 4))
    assert metrics["calls_written"] == 0.75
    assert metrics["calls_well_formed"] == pytest.approx(2 / 3)
    assert metrics["calls_right"] == 0.25
    texts[:] = ["CAT!"] * 4
    metrics = evaluator.calls(call_prompts(talks, 4))
    assert (metrics["calls_written"], metrics["calls_well_formed"]) == (0.0, 0.0)


def test_a_sample_names_the_tools_of_its_conversation(tmp_path, monkeypatch):
    source = write(tmp_path, [conversation(0)] * 10)
    (tmp_path / "chat.toml").write_text(f"data.source = {json.dumps(str(source))}\n{CONFIG}")
    task, asked, said = task_for(mdnn.load_config(tmp_path / "chat.toml")), [], []

    def written(run, text, options, *functions):
        asked.append(text)
        return "an answer"

    monkeypatch.setattr(chat_task, "generate_text", written)
    task.sample(types.SimpleNamespace(path=tmp_path), 3, "It writes", said.append)
    assert asked == ["tools: see()\x1euser: a cat\x1eassistant: "]
    assert said == ["It writes:\nuser: a cat\nassistant: an answer\n"]
    assert (tmp_path / "samples" / "step-0000003.txt").is_file()


def test_the_loss_counts_the_assistant_alone(tmp_path):
    talks = read_conversations(write(tmp_path, map(conversation, range(8))))
    tokenizer = TextTokenizer()
    examples = lay_out(talks, ChatFormat(), tokenizer, 108)
    assert len(examples) == 8
    assert not examples.dropped_words("it")
    batches = ChatBatches(examples, tokenizer, 108, batch_size=4, seed=1)
    batch = batches.at(5)
    for row in range(4):
        ids = tokenizer.ids_from_tokens(batch["targets"][row])
        turns = tokenizer.text(ids).split("\x1e")
        assert all(turn.startswith(("\x1d{", "CAT!", "DOG!", "RAT!", "OWL!")) for turn in turns[:2])
        # Each is predicted from what comes before it.
        text = tokenizer.text(tokenizer.ids_from_tokens(batch["tokens"][row]))
        assert text[0] in "tu"
        at = int(np.argmax(ids >= 0))
        assert text[: at + 1].endswith("assistant: ")
    np.testing.assert_array_equal(batch["tokens"], batches.at(5)["tokens"])
    assert not np.array_equal(batch["tokens"], batches.at(6)["tokens"])
    assert "weights" not in batch
    weighted = ChatBatches(examples, tokenizer, 108, batch_size=4, seed=1, call_weight=3.0).at(5)
    np.testing.assert_array_equal(weighted["targets"], batch["targets"])
    for row in range(4):
        heavy = tokenizer.ids_from_tokens(weighted["targets"][row])[weighted["weights"][row] == 3]
        calls = tokenizer.text(heavy).split("\x1e")
        assert len(calls) > 1
        assert all(call.startswith("\x1d{") for call in calls if call)
    assert set(np.unique(weighted["weights"])) == {1.0, 3.0}
    counted = sum(count for _, count in evaluation_batches(examples, tokenizer, 108, 3))
    text, spans = ChatFormat().turns(list(talks[0].messages))
    assert counted == 8 * sum(end - start for start, end in spans)
    prompts = call_prompts(talks, 3)
    assert [len(messages) for messages, _, _ in prompts] == [1, 1, 1]
    assert [message.calls[0].arguments["what"] for _, _, message in prompts] == [
        "cat",
        "owl",
        "owl",
    ]


def test_the_config_weighs_calls(run):
    for weight, expected in ((1.0, None), (3.0, {1.0, 3.0})):
        config = mdnn.load_config(run / "config.toml", [f"chat.call_weight={weight}"])
        batch = task_for(config).batches.at(0)
        assert (set(np.unique(batch["weights"])) if "weights" in batch else None) == expected


def test_calls_begin_with_their_mark(tmp_path):
    """Also where the mark is one special token, which stands for no characters of a text."""

    class Marked(TextTokenizer):
        def ids(self, text, begins=True):
            pieces = [super(Marked, self).ids(piece) for piece in text.split("<call>")]
            marked = [[999], *pieces[1:]] if len(pieces) > 1 else []
            return np.concatenate([pieces[0], *marked]).astype("int32")

    talks = read_conversations(write(tmp_path, map(conversation, range(2))))
    examples = lay_out(talks, ChatFormat(call_start="<call>"), Marked(), 200)
    np.testing.assert_array_equal(examples.calls & ~examples.trained, False)
    first = np.diff(examples.calls.astype(int), prepend=0) == 1
    assert first.sum() == 2
    np.testing.assert_array_equal(examples.ids[first], 999)


def test_what_is_longer_than_the_context(tmp_path):
    messages = [{"role": "system", "content": "S"}]
    for number in range(5):
        messages.append({"role": "user", "content": f"question {number}"})
        messages.append({"role": "assistant", "content": f"answer {number}"})
    long = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "x" * 200}]
    talks = read_conversations(write(tmp_path, [{"messages": messages}, {"messages": long}]))
    tokenizer = TextTokenizer()
    examples = lay_out(talks, ChatFormat(), tokenizer, 99)
    texts = [
        tokenizer.text(examples.ids[start:end])
        for start, end in zip(examples.starts, examples.starts[1:], strict=False)
    ]
    assert max(map(len, texts)) == 100
    # What was not seen comes with the system message and as much before it as there is room for.
    assert [text.count("answer") for text in texts] == [2, 2, 2, 2, 0]
    assert all(text.startswith("system: S\x1euser: question") for text in texts[:4])
    evaluated = tokenizer.text(examples.ids[examples.evaluated])
    assert evaluated.split("\x1e")[:5] == [f"answer {number}" for number in range(5)]
    assert (examples.longer, examples.dropped, examples.cut) == (2, 2 + 4 + 6, 1)
    assert examples.dropped_words("talk") == (
        "talk: 2 of 2 conversations are longer than the context; their later turns are learned "
        "without 12 earlier messages; of 1 turns the beginning was cut"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected conversations with messages of an assistant"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "with messages of an assistant"),
        ("[]", "talk.jsonl, line 1: expected an object with the key 'messages'"),
        ("{", "line 1: not JSON"),
        ('\n{"messages": [], "mesages": 1}', r"line 2: unknown key 'mesages' \(did you mean"),
        ('{"messages": [{"role": "bot"}]}', r"line 1: messages\[0\]\.role: expected one of"),
        ('{"messages": [], "tools": [{"type": "x"}]}', r"line 1: tools\[0\]: expected a tool"),
    ],
)
def test_bad_files(tmp_path, text, said):
    path = tmp_path / "talk.jsonl"
    path.write_text(text)
    with pytest.raises(mdnn.MdnnError, match=said):
        read_conversations(path)


def test_bad_sources(tmp_path):
    with pytest.raises(mdnn.MdnnError, match="there is nothing at"):
        read_conversations(tmp_path / "none.jsonl")
    with pytest.raises(mdnn.MdnnError, match="there is a folder at"):
        read_conversations(tmp_path)
    path = tmp_path / "chat.toml"
    path.write_text(f'data.source = "{write(tmp_path, [conversation(0)])}"\n{CONFIG}')
    with pytest.raises(mdnn.MdnnError, match="one conversation to train and one to validate"):
        mdnn.train(path, tmp_path / "run", show=False)
    for setting, said in (
        ("chat.end=", "chat.end: expected a string that is not empty"),
        ("chat.template={% for %}", "chat.template: "),
        ("data.validation=0.0", "data.validation: expected a share"),
        ("train.objectives.parallel=1.0", "train.objectives.parallel: expected 0.0 of conver"),
    ):
        with pytest.raises(mdnn.MdnnError, match=said):
            mdnn.load_config(path, [setting])
    with pytest.raises(mdnn.MdnnError, match=r"chat: it belongs to context\.layout = 'chat'"):
        mdnn.load_config("text", ["chat.end=a"])
