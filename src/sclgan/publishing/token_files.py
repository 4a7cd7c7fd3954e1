"""A tokenizer as JSON that other programs read: the words, or CLIP's byte pairs as tokenizer.json of `tokenizers`."""

import json
from pathlib import Path
from typing import Any

from sclgan.data.captions import Vocabulary
from sclgan.encoders.base import Tokenizer
from sclgan.encoders.clip_tokens import CLIPTokenizer, byte_pairs
from sclgan.files import write_atomically

WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""CLIP's words (Radford et al. 2019, "GPT-2", without its spaces), which are divided into byte pairs."""


def write_tokens(tokenizer: Tokenizer, path: Path) -> None:
    """Writes the file.

    Raises:
        ValueError: there is no such form of this tokenizer.
    """
    if isinstance(tokenizer, CLIPTokenizer):
        content = json.dumps(_of_clip(tokenizer.context_length), ensure_ascii=False)
        write_atomically(path, content.encode())
    elif isinstance(tokenizer, Vocabulary):
        tokenizer.save(path)
    else:
        raise ValueError(f"only vocabularies and CLIP's tokens can be exported, not {type(tokenizer).__name__}")


def _of_clip(context_length: int) -> dict[str, Any]:
    """`tokenizer.json` of Hugging Face's `tokenizers`. open_clip's repair of broken text (ftfy) is not part of it."""
    library = byte_pairs()
    merges = [list(pair) for pair, _ in sorted(library.bpe_ranks.items(), key=lambda item: item[1])]
    start, end = "<start_of_text>", "<end_of_text>"
    sign = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": {"max_length": context_length, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {
            "strategy": {"Fixed": context_length},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "!",
        },
        "added_tokens": [{"id": library.encoder[token], "content": token, **sign} for token in (start, end)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": WORD}, "behavior": "Removed", "invert": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": start, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": end, "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {
                token: {"id": token, "ids": [library.encoder[token]], "tokens": [token]} for token in (start, end)
            },
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": end,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": library.encoder,
            "merges": merges,
        },
    }
