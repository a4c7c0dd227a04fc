"""SmolLM2 behind OpenAI's forms: the official client holds two turns with a call of a tool."""

import functools
import json

import keras
import pytest
from serving_client import NAME, serving

import mdnn
from mdnn.cli.demos import demo_llama
from mdnn.errors import MdnnError

pytestmark = [
    # XLA takes minutes to compile what writes; what is written here takes less without it.
    pytest.mark.usefixtures("decoded_without_xla"),
    pytest.mark.long,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="what is served is TensorFlow's"
    ),
]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "the temperature in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "pattern": "[A-Z][a-z]{2,11}"}},
            "required": ["city"],
        },
    },
}
SYSTEM = 'You call tools, such as <tool_call>{"name": "weather", "arguments": {"city": "Rome"}}.'


def test_two_turns_with_a_call(tmp_path):
    openai = pytest.importorskip("openai")
    pytest.importorskip("tokenizers")
    try:
        path = demo_llama.weights_file()
    except MdnnError as error:
        pytest.skip(str(error))
    from mdnn.serving.server.served_models import open_served_model

    mdnn.import_weights(path, tmp_path / "run", context=256)
    network = open_served_model(tmp_path / "run")
    with serving(network, seconds=1800, prompt=2000, length=100) as server:
        address = f"http://127.0.0.1:{server.port}/v1"
        client = openai.OpenAI(base_url=address, api_key="none", max_retries=0, timeout=1800)
        create = functools.partial(
            client.chat.completions.create, model=NAME, temperature=0, max_tokens=48
        )
        messages = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": "How warm is it in Paris?"},
        ]
        first = create(messages=messages, tools=[WEATHER], tool_choice="required").choices[0]
        assert first.finish_reason == "tool_calls"
        (call,) = first.message.tool_calls
        assert call.function.name == "weather"
        assert json.loads(call.function.arguments) == {"city": "Paris"}
        messages += [
            first.message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "Paris: 21 degrees"},
        ]
        # With the likeliest alternatives, which greedily are what it writes.
        second = create(
            messages=messages, logprobs=True, top_logprobs=2, frequency_penalty=0.2, max_tokens=24
        ).choices[0]
        client.close()
    print(call.function.arguments, "|", second.message.content)
    assert second.message.tool_calls is None
    assert "21" in second.message.content
    scores = second.logprobs.content
    assert "".join(one.token for one in scores).startswith(second.message.content)
    assert all(len(one.top_logprobs) == 2 for one in scores)
    assert all(one.logprob <= one.top_logprobs[0].logprob + 1e-3 for one in scores)
