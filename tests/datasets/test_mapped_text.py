"""Text files read into a memory map: the same ids, batches and errors as files read at once."""

import numpy as np
import pytest

import mdnn
from mdnn.datasets.batches.text_windows import windows
from mdnn.datasets.text import mapped_text
from mdnn.datasets.text.text_splits import open_text
from mdnn.tasks import task_for

TEXT = "Ünïcode 𝄞 and plain\r\nlines. " * 30


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
@pytest.mark.parametrize("piece", [7, 1 << 22])
def test_it_is_the_text_read_at_once(tmp_path, monkeypatch, encoding, piece):
    path = tmp_path / "text.txt"
    text = TEXT.replace("𝄞", "§") if encoding == "cp1252" else TEXT
    path.write_bytes(text.encode(encoding))
    monkeypatch.setattr(mapped_text, "PIECE", piece)
    options = {"encoding": encoding}
    whole = open_text(path, 0.2, **options)
    mapped = open_text(path, 0.2, memory_map=True, **options)
    assert isinstance(mapped.train, np.memmap)
    np.testing.assert_array_equal(mapped.train, whole.train)
    np.testing.assert_array_equal(mapped.validation, whole.validation)
    assert mapped.characters == whole.characters
    for a, b in zip(whole.contents(), mapped.contents(), strict=True):
        assert mdnn.datasets.fingerprint.fingerprint([a]) == (
            mdnn.datasets.fingerprint.fingerprint([b])
        )


def test_batches_and_windows_are_the_same(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    settings = [f"data.source={path}", "context.grid=[2,8]"]
    tasks = [
        task_for(mdnn.load_config("text-grid", [*settings, f"data.memory_map={word}"]))
        for word in ("false", "true")
    ]
    for name in ("tokens", "targets"):
        np.testing.assert_array_equal(*(task.batches.at(3)[name] for task in tasks))
        first, second = (
            [window[name] for window in windows(task.validation, task.tokenizer, 16, batch_size=2)]
            for task in tasks
        )
        np.testing.assert_array_equal(first, second)
    assert tasks[1].units_per_step == tasks[0].units_per_step


def test_what_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    monkeypatch.setattr(mapped_text, "PIECE", 64)
    for content, message in (
        (b"", "no text in"),
        (b"\xff\xfe\x00", "is not utf-8|0xff"),
        (b"plain lines\n" * 20 + b"\xff", "is not utf-8"),
    ):
        path.write_bytes(content)
        with pytest.raises(mdnn.MdnnError, match=f"(?i){message}"):
            open_text(path, 0.2, memory_map=True)
    with pytest.raises(mdnn.MdnnError, match="expected a text file, received"):
        open_text(tmp_path, 0.2, memory_map=True)
    for setting in ("tokens.words=5", "tokens.subwords=300"):
        extra = (
            ['tokens.modalities=["subword"]']
            if "sub" in setting
            else ['tokens.modalities=["text","word"]']
        )
        with pytest.raises(mdnn.MdnnError, match=r"data\.memory_map: expected no tokens\."):
            mdnn.load_config("text", ["data.memory_map=true", setting, *extra])
