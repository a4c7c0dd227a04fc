"""A real server process under load: sixteen clients, every answer looked at."""

import base64
import collections
import contextlib
import json
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
from serving_client import NAME, Client

import mdnn
from mdnn.runs.run_folder import open_run

pytestmark = pytest.mark.long

if keras.backend.backend() != "tensorflow":
    pytest.skip("what is served is TensorFlow's", allow_module_level=True)

CLIENTS = 16
# Some megabytes of buffers are taken in the first minute and kept; memory is looked at in the
# second one.
WARM, SECONDS = 60, 120
# Megabytes a minute: at 100 requests a second, half a kilobyte lost in each is more.
FLAT = 2.5
PROMPTS = ("The cat", "Ça va, naïve ", "m", "😀 日本", "The dog ate the rat. The cat sat on")


@contextlib.contextmanager
def process(path):
    """A `Client` of `mdnn serve` in another process, and that process."""
    words = ["-m", "mdnn", "serve", str(path), "--port", "0", "--name", NAME]
    server = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = server.stdout.readline()
        where = rf"mdnn: serving {NAME} at http://127\.0\.0\.1:(\d+)/ after [\d.]+ s; "
        found = re.fullmatch(where + r"Ctrl-C stops it\n", line)
        assert found, line + server.stderr.read()
        yield Client(int(found[1])), server
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
        server.stderr.close()


def megabytes(pid):
    """What a process holds in memory."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


def questions(run):
    """What is asked, with the right answers."""
    asked = []
    for number in range(60):
        prompt = f"{PROMPTS[number % len(PROMPTS)]}{number}"
        row = prompt, 20 + 7 * number % 90, (0.0, 0.8)[number % 2], number
        length, temperature, seed = row[1:]
        text = mdnn.generate(run, prompt, length=length, temperature=temperature, seed=seed)
        asked.append((row, text))
    assert len({text for _, text in asked}) > 50
    return asked


def in_a_row(client, row):
    code, found = client.generate([row])
    return code, found.get("predictions", [found])[0]


def in_columns(client, row):
    prompt, length, temperature, seed = row
    prompt = {"b64": base64.b64encode(prompt.encode()).decode()}
    inputs = {"prompt": [prompt], "length": length, "temperature": temperature, "seed": seed}
    code, found = client.post("predict", {"signature_name": "generate", "inputs": inputs})
    return code, found.get("outputs", [found])[0]


def streamed(client, row):
    prompt, length, temperature, seed = row
    body = {"prompt": prompt, "length": length, "temperature": temperature, "seed": seed}
    *pieces, last = client.stream(**body)
    assert last == ("end", {"characters": length}), last
    return 200, "".join(data["text"] for _, data in pieces)


BAD = (
    (b"x" * 1_100_000, 413),
    (b"\xff\xfe", 400),
    (json.dumps({"prompt": ""}), 400),
    (json.dumps({"prompt": {"b64": "//8="}}), 400),
    (json.dumps({"prompt": "x" * 10_001}), 400),
    (json.dumps({"prompt": "x", "length": 10_001}), 400),
)


def refused(client, chance):
    """Asks something that is refused; whether it was."""
    body, expected = chance.choice(BAD)
    code, _, raw = client.ask("POST", f"/v1/models/{NAME}:stream", body)
    return code == expected and list(json.loads(raw)) == ["error"]


def ask_on(client, number, asked, end, counts, trouble):
    """One client, until the time is over."""
    chance = random.Random(number)
    texts = {text for _, text in asked}
    while time.monotonic() < end:
        try:
            if chance.random() < 0.05:
                counts["refused" if refused(client, chance) else "wrong"] += 1
                continue
            row, expected = chance.choice(asked)
            code, text = chance.choice((in_a_row, in_columns, streamed))(client, row)
            counts["requests"] += 1
            if code != 200:
                counts["lost"] += 1
                trouble.append((row, code, text))
            elif text != expected:
                counts["mixed up" if text in texts else "wrong"] += 1
                trouble.append((row, expected, text))
        except Exception as error:
            counts["lost"] += 1
            trouble.append(repr(error))


@pytest.mark.parametrize("kind", ["run folder", "SavedModel"])
def test_sixteen_clients_for_two_minutes(tiny_run, tmp_path, kind, capsys):
    asked = questions(open_run(tiny_run))
    path = tiny_run if kind == "run folder" else mdnn.export(tiny_run, tmp_path / "served").parent
    with process(path) as (client, server):
        begun = time.monotonic()
        counts, trouble, memory = collections.Counter(), [], []
        words = asked, begun + SECONDS, counts, trouble
        threads = [
            threading.Thread(target=ask_on, args=(client, number, *words))
            for number in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        while time.monotonic() < begun + SECONDS:
            memory.append((time.monotonic() - begun, megabytes(server.pid)))
            time.sleep(0.5)
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - begun
        warm = np.array([pair for pair in memory if pair[0] >= WARM])
        slope = 60 * np.polyfit(warm[:, 0], warm[:, 1], 1)[0]
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=30)
    with capsys.disabled():
        print(
            f"\nload on a {kind}: {counts['requests']:,} requests in {seconds:.0f} s by {CLIENTS} "
            f"clients ({counts['requests'] / seconds:.0f} a second), wrong {counts['wrong']}, "
            f"mixed up {counts['mixed up']}, lost {counts['lost']}; {counts['refused']:,} bad "
            f"requests refused; memory {warm[0, 1]:.1f} MB after {WARM} s, {warm[-1, 1]:.1f} MB at "
            f"the end, {slope:+.2f} MB a minute"
        )
    assert trouble[:3] == []
    assert counts["wrong"] == counts["mixed up"] == counts["lost"] == 0
    assert counts["requests"] > 500
    assert counts["refused"] > 20
    assert slope < FLAT
    # Ctrl-C is how it ends.
    assert server.returncode == 0, err
    assert re.fullmatch(r"mdnn: stopped; \d+ requests were answered\n", out)
    assert "Traceback" not in err


def test_ctrl_c_while_it_answers(tiny_run):
    with process(tiny_run) as (client, server):
        connection, response = client.open(
            "POST", f"/v1/models/{NAME}:stream", {"prompt": "The ", "length": 10_000}
        )
        with contextlib.closing(connection):
            assert response.readline().startswith(b"data: ")
            server.send_signal(signal.SIGINT)
            begun = time.monotonic()
            rest = response.read().decode("utf-8")
        # It was answered whole, or told within the time of grace.
        assert ("event: end" in rest) != ("the server is stopping" in rest)
        server.wait(30)
        assert time.monotonic() - begun < 10
        assert server.returncode == 0
