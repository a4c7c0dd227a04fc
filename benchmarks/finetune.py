"""A new model derived from an imported one: SmolLM2 learns service dialogues by low-rank updates.

Converts dialogues (one a line, `turns` of `speaker` and `text`) to conversations, trains
matrices of a small rank on those of `--train` through the network's own chat template, and
prints the loss of the assistant's turns on held-out dialogues before and after, and two answers.
The network is a run folder that `mdnn import` made:

    python benchmarks/finetune.py runs/smollm2 --train sgd-train.jsonl --dev sgd-dev.jsonl
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from assistant_data import read_dialogues, write
from benchmark_runs import timed, write_figures

from mdnn.runtime import quiet_import

LENGTH = 200
"""Characters of an answer."""


def main():
    """Prints the figures; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder of mdnn import")
    parser.add_argument("--train", required=True, help="a file of dialogues")
    parser.add_argument("--dev", required=True, help="a file of held-out dialogues")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training (20)")
    parser.add_argument("--rank", type=int, default=8, help="of the updates (8)")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="(0.001)")
    parser.add_argument("--batch", type=int, default=2, help="contexts per step (2)")
    parser.add_argument("--held-out", type=int, default=64, help="dialogues of the loss (64)")
    parser.add_argument("--out", help="the update, NAME.safetensors (default: it is not kept)")
    parser.add_argument("--json", help="a file for all figures")
    options = parser.parse_args()

    from mdnn.training.microbatches import configure_threads

    quiet_import(configure_threads)
    with tempfile.TemporaryDirectory() as scratch:
        update = Path(options.out) if options.out else Path(scratch) / "update.safetensors"
        figures, held_out = measured(options, Path(scratch), update)
        write_figures(options.json, figures)
        figures["answers"] = [answers(options.run, update, talk) for talk in spread(held_out, 2)]
    write_figures(options.json, figures)
    return 0


def conversation(dialogue):
    """Returns a dialogue as a conversation of texts alone.

    Calls of services are left out: the template of SmolLM2 has none.
    """
    roles = {"user": "user", "system": "assistant"}
    messages = [
        {"role": roles[turn["speaker"]], "content": turn["text"]} for turn in dialogue["turns"]
    ]
    return {"messages": messages}


def spread(values, count):
    """Returns `count` of the values, spread evenly over all."""
    count = min(count, len(values))
    return [values[k * len(values) // count] for k in range(count)]


def measured(options, folder, update):
    """Trains into a file; returns the figures, a dict, and the held-out conversations."""
    import mdnn

    train = [conversation(dialogue) for dialogue in read_dialogues(options.train)]
    held_out = [conversation(d) for d in spread(read_dialogues(options.dev), options.held_out)]
    # What validates is the end of the data: exactly the held-out dialogues.
    write(folder / "talk.jsonl", train + held_out)
    share = (len(held_out) - 0.5) / (len(train) + len(held_out))
    facts = mdnn.adapt(
        options.run,
        str(folder / "talk.jsonl"),
        update,
        minutes=options.minutes,
        lora=options.rank,
        learning_rate=options.learning_rate,
        chat=True,
        overrides=[f"data.validation={share!r}", f"train.batch_size={options.batch}"],
    )
    facts |= {"bytes": update.stat().st_size, "dialogues": len(train), "held_out": len(held_out)}
    print(
        f"held-out dialogues, nats per character of the assistant's turns: "
        f"{facts['loss_before']:.4f} before, {facts['loss']:.4f} after {facts['seconds']:.0f} s "
        f"({facts['steps']:,} steps of {options.batch} contexts)\n"
        f"the update: rank {options.rank}, {facts['numbers']:,} numbers ({facts['share']:.2%} of "
        f"the weights), {facts['bytes']:,} bytes",
        flush=True,
    )
    return facts, held_out


def answers(run, update, talk):
    """Prints how a conversation begins, and what both networks answer; returns these texts."""
    import mdnn
    from mdnn.runs.run_folder import open_run
    from mdnn.tasks.conversations.chat_prompt import chat_prompt

    run, question = open_run(run), talk["messages"][0]["content"]
    prompt = chat_prompt(run, question)
    texts = {"user": question, "in the data": talk["messages"][1]["content"]}
    for name, identity in (("before", None), ("after", update)):
        texts[name] = mdnn.generate(run, prompt, length=LENGTH, temperature=0, identity=identity)
    print("\n".join(f"{name}: {json.dumps(text)}" for name, text in texts.items()), flush=True)
    return texts


if __name__ == "__main__":
    sys.exit(timed(main))
