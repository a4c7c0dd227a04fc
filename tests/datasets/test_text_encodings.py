"""Texts in other encodings, marks at the start of files, and what the refusal names."""

import json
import os

import pytest

from mdnn.config.load import Config, load_config
from mdnn.datasets import open_dataset
from mdnn.datasets.media.media_files import read_item
from mdnn.datasets.text.text_sources import read_text
from mdnn.datasets.text.text_splits import open_text
from mdnn.encoding_guess import likely_encoding
from mdnn.errors import MdnnError
from mdnn.text_encodings import check_encoding, decode_text

TEXTS = {
    "German": "Über die Straße gehen schöne Mädchen, größer als früher. Ärger im Café.\r\n" * 5,
    "French": "À côté de l'église « naïve » œuvre, 5 €.\n" * 5,
    "Russian": "Съешь ещё этих мягких французских булок, да выпей чаю.\n" * 5,
    "Japanese": "いろはにほへと ちりぬるを 東京は日本の首都です。テスト\n" * 5,
    "Chinese": "天地玄黄,宇宙洪荒。日月盈昃,辰宿列张。我们的中国语言\n" * 5,
    "Taiwanese": "天地玄黃,宇宙洪荒。日月盈昃,我們說中國語言。這個\n" * 5,
    "Korean": "다람쥐 헌 쳇바퀴에 타고파. 대한민국 만세\n" * 5,
    "Windows Japanese": "①いろはにほへと ちりぬるを。東京は日本の首都です。髙橋さん\n",
    "Windows Korean": "다람쥐 헌 쳇바퀴에 타고파. 똠방각하 펲시콜라 아햏햏\n",
    "Polish": "Zażółć gęślą jaźń. W Szczebrzeszynie chrząszcz brzmi w trzcinie. Łódź.\n",
    "Czech": "Příliš žluťoučký kůň úpěl ďábelské ódy. Řekni mi, čeho se bojíš.\n",
    "Hungarian": "Árvíztűrő tükörfúrógép. Az őszi eső után a szőlő már érett volt.\n",
    "Croatian": "Čađavi šešir. Žuti đak šeće kroz šumu, a ljubičice cvjetaju.\n",
    "Romanian": "Şi aşa a început totul; în casă, lângă uşă, era o pisică. Ţara lui.\n",
    "Turkish": "Pijamal\u0131 hasta yağ\u0131z şoföre çabucak güvendi. İstanbul'da güneşli.\n",
    "Icelandic": "Kæmi ný öxi hér ykist þjófum nú bæði víl og ádrepa. Það er gott veður.\n",
    "Italian": "Perché è così? La città è più bella, però non può essere già là.\n",
    "Spanish": "¿Qué tal? El niño comió piñas y el pingüino bebió güisqui. ¡Olé!\n",
    "Portuguese": "A ação não é fácil: coração, mãe, avó, avô, às três. Você está.\n",
    "Swedish": "Åsa går över ån. Kött och mjölk är bra på hösten. Sjösjuka.\n",
    "Ukrainian": "Чуєш їх, доцю, Кумедна ж ти, прощайся без ґольфів! Їжак.\n",
    "Greek": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Καλημέρα κόσμε, τι κάνεις;\n",
    "Hebrew": "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה. שלום עולם\n",
    "Arabic": "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ إِذ بَزَغَت. السلام عليكم\n",
    "Thai": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน\n",
}

# Language, encoding, and the one that is named (cp1252 holds Latin-1's letters, too).
ENCODED = [
    ("German", "cp1252", "cp1252"),
    ("German", "latin-1", "cp1252"),
    ("German", "utf-16", "utf-16"),
    ("German", "utf-16-le", "utf-16-le"),
    ("German", "utf-16-be", "utf-16-be"),
    ("German", "utf-32", "utf-32"),
    ("German", "utf-32-le", "utf-32-le"),
    ("German", "utf-32-be", "utf-32-be"),
    ("French", "cp1252", "cp1252"),
    ("French", "utf-16-le", "utf-16-le"),
    ("Russian", "cp1251", "cp1251"),
    ("Russian", "koi8-r", "koi8-r"),
    ("Russian", "cp866", "cp866"),
    ("Russian", "utf-16", "utf-16"),
    ("Russian", "utf-16-le", "utf-16-le"),
    ("Japanese", "shift_jis", "shift_jis"),
    ("Japanese", "euc-jp", "euc-jp"),
    ("Japanese", "utf-16-le", "utf-16-le"),
    ("Chinese", "gb18030", "gb18030"),
    ("Chinese", "utf-16", "utf-16"),
    ("Taiwanese", "big5", "big5"),
    ("Korean", "euc-kr", "euc-kr"),
    ("Korean", "iso2022_kr", "iso2022_kr"),
    ("Windows Korean", "cp949", "cp949"),
    ("Windows Japanese", "cp932", "cp932"),
    ("Polish", "cp1250", "cp1250"),
    ("Polish", "iso-8859-2", "iso-8859-2"),
    ("Czech", "cp1250", "cp1250"),
    ("Czech", "iso-8859-2", "iso-8859-2"),
    ("Hungarian", "cp1250", "cp1250"),
    ("Croatian", "cp1250", "cp1250"),
    ("Romanian", "cp1250", "cp1250"),
    ("Turkish", "cp1254", "cp1254"),
    ("Icelandic", "cp1252", "cp1252"),
    ("Italian", "cp1252", "cp1252"),
    ("Spanish", "mac-roman", "mac-roman"),
    ("Spanish", "cp850", "cp850"),
    ("German", "cp850", "cp850"),
    ("German", "mac-roman", "mac-roman"),
    ("Portuguese", "cp1252", "cp1252"),
    ("Swedish", "cp1252", "cp1252"),
    ("Swedish", "cp850", "cp850"),
    ("Ukrainian", "cp1251", "cp1251"),
    ("Greek", "cp1253", "cp1253"),
    ("Greek", "iso-8859-7", "cp1253"),
    ("Hebrew", "cp1255", "cp1255"),
    ("Arabic", "cp1256", "cp1256"),
    ("Thai", "cp874", "cp874"),
]


@pytest.mark.parametrize(("language", "encoding", "named"), ENCODED)
def test_the_refusal_names_the_encoding_that_then_reads_it(tmp_path, language, encoding, named):
    path = tmp_path / "a.txt"
    path.write_bytes(TEXTS[language].encode(encoding))
    for source in (path, tmp_path):
        with pytest.raises(MdnnError) as error:
            read_text(source)
        message = str(error.value)
        assert message.startswith(f"{str(path)!r} is not UTF-8 text: byte 0x")
        assert message.endswith(f"; it seems to be {named}: data.encoding = '{named}'")
        assert read_text(source, named) == TEXTS[language]
    assert read_item(path, encoding=named).value == TEXTS[language]


def test_seven_bit_texts_of_japan_are_not_taken_for_ascii(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(TEXTS["Japanese"].encode("iso2022_jp"))
    with pytest.raises(MdnnError, match=r"byte 0x1b .* seems to be iso2022_jp: data.encoding"):
        read_text(path)
    assert read_text(path, "iso2022_jp") == TEXTS["Japanese"]
    # Colors and other sequences of terminals are text.
    colours = "\x1b[31mred\x1b[0m \x1b(B \x1b$ 5\n"
    path.write_bytes(colours.encode())
    assert read_text(path) == colours


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_marks_at_the_start_are_dropped_once(tmp_path, encoding):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffa\ufeffb".encode(encoding.removesuffix("-sig")))
    reading = "utf-8" if encoding == "utf-8-sig" else encoding
    assert read_text(path, reading) == "a\ufeffb"


def test_utf_16_of_a_known_order_may_have_a_mark():
    assert decode_text("\ufeffab".encode("utf-16-le"), "utf-16-le", "a") == "ab"
    for cut in (b"a", b"ab\0"):
        with pytest.raises(MdnnError, match=r"^a is not UTF-16-LE text: byte 0x"):
            decode_text(cut, "utf-16-le", "a")
    with pytest.raises(MdnnError, match=r"^a is not UTF-16 text"):
        decode_text(b"\xff\xfea", "utf-16", "a")


def test_what_is_no_text_is_said():
    for data in (os.urandom(4000), b"\x7fELF" + bytes(500), b"PK\3\4\x14\0\0\0\x08\0" * 50):
        assert likely_encoding(data) == "binary"
    with pytest.raises(MdnnError, match=r"it does not seem to be text at all$"):
        decode_text(b"\x7fELF\xff" + bytes(500), "utf-8", "a")
    assert likely_encoding(b"plain") == "utf-8"
    # a character that is cut at the end of what is looked at
    assert likely_encoding("é".encode() * 40_000) == "utf-8"


@pytest.mark.parametrize("name", ["utf8", "UTF-8", "latin1", "cp1252", "mac_roman", "utf_16_be"])
def test_known_encodings(name):
    assert Config.from_dict(_config(name)).data.encoding == name
    assert check_encoding(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "utf-9",
            r"data.encoding: unknown encoding 'utf-9' \(did you mean 'utf-8'\?\); known: utf",
        ),
        ("", "data.encoding: unknown encoding ''"),
        ("a\0b", "data.encoding: unknown encoding"),
        ("rot13", "data.encoding: expected the encoding of a text file, received 'rot13'"),
        ("hex", "expected the encoding of a text file"),
        ("zip", "expected the encoding of a text file"),
        ("idna", "expected the encoding of a text file"),
        ("unicode_escape", "expected the encoding of a text file"),
        ("utf-7", "expected the encoding of a text file"),
        ("undefined", "expected the encoding of a text file"),
    ],
)
def test_unknown_encodings(name, message):
    with pytest.raises(MdnnError, match=message):
        Config.from_dict(_config(name))


def _config(encoding):
    return {
        "data": {"encoding": encoding},
        "train": {"steps": 1},
        "backbone": {"layer": [{"kind": "feedforward", "width": 8}]},
    }


def test_split_texts_and_items(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(TEXTS["German"].encode("cp1252"))
    assert open_text(path, encoding="cp1252").characters == len(TEXTS["German"])
    (tmp_path / "m.jsonl").write_text(json.dumps({"items": [{"text_file": "a.txt"}]}) + "\n")
    line = open_dataset(tmp_path / "m.jsonl", 0, encoding="cp1252").train[0]
    assert line.draw([0, 0])[0][0].value == TEXTS["German"]
    line = open_dataset(tmp_path / "m.jsonl", 0).train[0]
    with pytest.raises(MdnnError, match=r"it seems to be cp1252: data.encoding = 'cp1252'"):
        line.draw([0, 0])


def test_marks_at_the_start_of_configs_and_manifests(tmp_path):
    config = 'data.source = "é"\ntrain.steps = 1\n[[backbone.layer]]\nkind = "feedforward"\n'
    path = tmp_path / "a.toml"
    path.write_bytes(config.encode("utf-8-sig"))
    assert load_config(path).data.source == "é"
    path.write_bytes(config.encode("utf-16"))
    with pytest.raises(MdnnError, match=r"it seems to be utf-16: save it as UTF-8"):
        load_config(path)
    line = '{"items": [{"text": "é"}]}\r\n'
    manifest = tmp_path / "a.jsonl"
    manifest.write_bytes((line + line).encode("utf-8-sig"))
    assert len(open_dataset(manifest, 0).train) == 2
    manifest.write_bytes(line.encode("utf-16"))
    with pytest.raises(MdnnError, match=r"jsonl:1: not UTF-8 .*seems to be utf-16, expected UTF-8"):
        open_dataset(manifest, 0)
