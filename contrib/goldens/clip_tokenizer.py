"""A small vocabulary in CLIP's format, and what CLIPTokenizer makes of ten thousand texts."""

import collections
import functools
import gzip
import json
import random
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers
from transformers import CLIPTokenizer

from common import ROOT

FOLDER = ROOT / "clip" / "tokenizer"
START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = 800
LENGTH = 77
TEXTS = 10_000

# Beside the licence, so that merges reach other scripts.
SENTENCES = """
a photo of a cat on a red chair, a watercolor painting of the old harbour at night
two blue circles above a green square; seven small dogs playing in the snow, 4k, highly detailed
it's the neighbour's house that we've painted, they'll say they're sure I'm right and you'd agree
une photo d'un château près de la forêt, l'été, très détaillée, naïve façade à côté
ein Foto von schönen grünen Hügeln, Straße über große Brücke, Übermut tut selten gut
una fotografía de un niño con un pingüino, mañana en España, corazón
фотография красной кошки на старом стуле, картина маслом, вечер у моря, большой город
φωτογραφία μιας κόκκινης γάτας, η θάλασσα και ο ουρανός της Ελλάδας
صورة قطة حمراء على كرسي قديم في المدينة الكبيرة
תמונה של חתול אדום על כיסא ישן
लाल बिल्ली की तस्वीर पुरानी कुर्सी पर
一张红色的猫在旧椅子上的照片，夜晚的城市，非常详细
古い椅子の上の赤い猫の写真、とても詳細な夜の街
오래된 의자 위의 빨간 고양이 사진, 밤의 도시
a 🐱 on a 🪑, ☀️ and 🌧️, 👩‍🚀👨‍👩‍👧‍👦 🇩🇪🇯🇵 café naïve coöperate 1984 2024 100% #art @home e-mail...
"""

NASTY = [
    "", " ", "\n", "\t\r\n\x0b\x0c", "\u00a0", "\u2003\u3000", "\u200b", "\ufeff", "\x00", "\x01\x02\x7f", "\u0085x\u0085", "a\u00a0b",
    "it's", "IT'S", "'s", "''s", "'ss", "'d've'll", "don't you'd've'm", "o'clock", "'", "''''", "rock'n'roll", "'re're", "\u2019s it\u2019s",
    "&amp;", "&lt;b&gt;", "&#39;s", "a &nbsp; b", "&amp;amp;", "<b>bold</b>", "<html>&eacute;</html>",
    "0", "007", "3.14159", "1,000,000", "½ ⅓ Ⅳ ②", "٣٤٥ ४५६ ໓", "x²+y³", "1st 2nd 3rd", "0x7f", "12'30\"", "一二三",
    "é", "e\u0301", "e\u0301\u0301\u0323", "\u0301", "a\u0301b\u0301c", "ﬁ ﬂ ﬆ", "ǅ ǆ Ǆ", "Å Å K Ω", "ﬀ\u0301", "각 \u1100\u1161\u11a8", "क\u093c क़",
    "İstanbul", "İ", "ı", "ΣΑΣ ΣΑΣΣ", "ẞß", "ŉ", "ΐ", "Ἀ ᾈ", "Ⓐ", "𝐀𝔅ℂ", "𐐀𐐨", "ＡＢＣ ａｂｃ", "Ǎ", "Ж Ѳ", "ა Ა", "Ꭰ ꭰ",
    "🐱", "👩‍🚀", "👨‍👩‍👧‍👦", "🇩🇪", "👍🏽", "☀️☀", "❤️‍🔥", "🏴\U000e0067\U000e0062\U000e007f", "1️⃣", "a🐱b",
    START, END, START + END, "a" + END + "b", "a " + END + " b", END + "'s", END.upper(), START.upper() + "'s x", "<|", "|>", "<|endoftext", "endoftext|>",
    "<|ENDOFTEXT|>s", "x<|StartOfText|>y", END + END + END, "<|endoftext|><|startoftext|>a",
    "<|im_start|>", "[PAD]", "</w>", "a</w>", "Ġ", "Ā ā Ń", "#version: 0.2", "a" * 500, "ab" * 300, "aaab" * 100, "\u00e9" * 200, "🐱" * 100,
    "word " * 100, "word" * 100, "1" * 100, "!" * 300, "?!" * 100, "the " * 74, "the " * 75, "the " * 76, "the " * 77, "the " * 78,
    "supercalifragilisticexpialidocious", "pneumonoultramicroscopicsilicovolcanoconiosis", "aA" * 10, "a-b_c.d,e;f:g", "C:\\path\\to\\file",
    "https://example.org/?q=a%20b&c=d#e", "\\n", "\"quoted\"", "“quoted”", "a—b–c", "…", "·", "ـ", "\u202eabc\u202c", "\u2028\u2029", "\u1680\u180e",
    "\ufffd", "\uffff", "\ue000", "\U0010fffd", "\U0001f9ff", "🫠", "ﷺ", "\u0600", "ㅏ", "、。", "！？", "\u3099か\u3099", "a\u0000b", "\r", "a\r\nb", "\x1c\x1d\x1e\x1f",
]  # fmt: skip


def words_of(text):
    """How often each word occurs, as symbols: normalized and split as CLIP's tokenizer does."""
    normal = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    pattern = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    split = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pattern, behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    words = collections.Counter(w for line in text.splitlines() for w, _ in split.pre_tokenize_str(normal.normalize_str(line)))
    return {(*word[:-1], word[-1] + "</w>"): n for word, n in words.items()}


def train(words, count):
    """Byte-pair encoding. The trainer of tokenizers breaks ties by chance; here the first in order wins."""
    merges = []
    while len(merges) < count:
        pairs = collections.Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = {merged(word, best): n for word, n in words.items()}
    return merges


def merged(word, pair):
    out, i = [], 0
    while i < len(word):
        if word[i : i + 2] == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


@functools.cache
def build():
    """The vocabulary and the merges: bytes, bytes that end a word, merges, special tokens."""
    text = (ROOT.parents[1] / "LICENSE").read_text() + 3 * SENTENCES
    merges = train(words_of(text), MERGES)
    bytes_ = [c for _, c in sorted((ord(c), c) for c in pre_tokenizers.ByteLevel.alphabet())]
    tokens = bytes_ + [c + "</w>" for c in bytes_] + [a + b for a, b in merges]
    tokens = list(dict.fromkeys(tokens)) + [START, END]
    return {token: i for i, token in enumerate(tokens)}, merges


def tokenizer():
    vocabulary, merges = build()
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH)


def write_parts(folder):
    """vocab.json and merges.txt, as old versions of transformers wrote them."""
    vocabulary, merges = build()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False) + "\n")
    lines = ["#version: 0.2"] + [f"{a} {b}" for a, b in merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")


def characters():
    """Characters by script, all older than Unicode 14, whatever the libraries know."""
    blocks = [(0x20, 0x7F), (0xA0, 0x180), (0x180, 0x250), (0x300, 0x370), (0x370, 0x400), (0x400, 0x530), (0x5D0, 0x5EB), (0x620, 0x6FF),
              (0x900, 0x980), (0xE01, 0xE5C), (0x10A0, 0x1100), (0x1100, 0x1200), (0x1E00, 0x1F00), (0x1F00, 0x2000), (0x2000, 0x2070),
              (0x2100, 0x2190), (0x2460, 0x2500), (0x3000, 0x3100), (0x4E00, 0x5000), (0xAC00, 0xAD00), (0xF900, 0xFA00), (0xFB00, 0xFB50),
              (0xFF00, 0xFF61), (0x1D400, 0x1D480), (0x1F300, 0x1F650), (0x00, 0x20)]  # fmt: skip
    known = unicodedata.ucd_3_2_0
    old = lambda c: known.category(c) not in ("Cn", "Cs", "Co")
    emoji = lambda block, c: block[0] == 0x1F300 and unicodedata.category(c) == "So"
    return [[chr(i) for i in range(*b) if old(chr(i)) or emoji(b, chr(i))] for b in blocks]


def texts():
    """NASTY, then random ones: words, spelled in many ways, and characters of one or several scripts."""
    rng = random.Random(20260101)
    scripts = characters()
    words = (SENTENCES + (ROOT.parents[1] / "LICENSE").read_text()).split()
    glue = [" ", " ", " ", "", "  ", "\n", "\u00a0", "-", "'", "'s ", "\u0301", "\u200d", ", ", "&amp;", "1", END]
    marks = ["", "!", "?", "'s", "'LL", "...", "\u0301", "\u0327", "🐱", "42"]

    def word():
        w = rng.choice(words)
        w = rng.choice([str, str, str.upper, str.title, str.swapcase, lambda s: unicodedata.normalize("NFD", s)])(w)
        return w + rng.choice(marks)

    def characters_of(script):
        return "".join(rng.choice(script) for _ in range(rng.randint(1, 8)))

    out = list(NASTY)
    while len(out) < TEXTS:
        n, kind = rng.randint(1, 6), rng.random()
        if kind < 0.4:
            parts = [word() for _ in range(n)]
        elif kind < 0.7:
            script = rng.choice(scripts)
            parts = [characters_of(script) for _ in range(n)]
        else:
            parts = [rng.choice([word, lambda: characters_of(rng.choice(scripts))])() for _ in range(n)]
        out.append("".join(p + rng.choice(glue) for p in parts))
    return out


def encode(texts):
    return tokenizer()(texts, truncation=True, max_length=LENGTH, padding=False)["input_ids"]


def make():
    print("clip tokenizer")
    write_parts(FOLDER)
    all_texts = texts()
    lines = [json.dumps([t, ids], ensure_ascii=False, separators=(",", ":")) for t, ids in zip(all_texts, encode(all_texts))]
    print(f"  {len(lines)} texts, {sum(len(ids) for ids in encode(all_texts))} tokens")
    data = ("\n".join(lines) + "\n").encode()
    (FOLDER / "golden.jsonl.gz").write_bytes(gzip.compress(data, 9, mtime=0))


if __name__ == "__main__":
    make()
