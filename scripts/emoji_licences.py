"""The attribution that travels with the emoji: who drew what, under which licence, and what was changed."""

from collections.abc import Mapping

from emoji_art import MAKERS, NAMES

COPYRIGHT = {
    "noto": "Copyright Google LLC",
    "noto-v1": "Copyright Google Inc.",
    "fluent-emoji": "Copyright (c) Microsoft Corporation",
    "fluent-emoji-flat": "Copyright (c) Microsoft Corporation",
    "twemoji": "Copyright Twitter, Inc and other contributors",
    "emojione": "Artwork by EmojiOne (version 2) and the EmojiTwo contributors",
    "fxemoji": "Copyright 2015, Mozilla Foundation",
    "streamline-emojis": "Artwork by Streamline (Webalys)",
}
TEXTS = {
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "MIT": "https://opensource.org/license/mit",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/legalcode",
}
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE."""
HEAD = """# Attribution of the embedded emoji

`emoji.zip` holds small pictures made from the emoji of eight makers. It is not covered by the licence of the program
around it: each drawing stays under the licence of its set, named below and in the archive's `index.json`.

**Changes made to every drawing:** rasterised from SVG, cropped to what is drawn, resized to 60 of 64 pixels, colours
reduced to 6 bits and transparency to 4 bits; near duplicates and some drawings left out; colour names, contrasting
grounds and captions added. When pictures are composed, grounds are laid under them and they may be mirrored.
No maker endorses this work.

| set | creator | licence | drawings | source | package |
|---|---|---|---:|---|---|
"""


def attribution(num_drawings: Mapping[str, int]) -> str:
    """ATTRIBUTION.md, given the number of drawings that were used of each maker."""
    rows = [
        f"| {maker.key} | {maker.creator} | [{maker.licence}]({TEXTS[maker.licence]}) | {num_drawings[maker.key]} "
        f"| {maker.link} | {maker.package} {maker.version} |"
        for maker in MAKERS
    ]
    parts = [HEAD + "\n".join(rows)]
    parts.append(
        f"Names, keywords and groups are those of Unicode CLDR as collected in {' '.join(NAMES)} "
        "(MIT, Copyright (c) 2017-2019 Miles Johnson; CLDR data under the Unicode License v3, "
        "https://www.unicode.org/license.txt, Copyright Unicode, Inc.)."
    )
    parts.append(
        "The FxEmojis package declares Apache-2.0, which upstream gives to its code; upstream places the visual "
        "design under CC-BY-4.0, which is what is followed here."
    )
    for licence, link in TEXTS.items():
        holders = [f"- {maker.key}: {COPYRIGHT[maker.key]}" for maker in MAKERS if maker.licence == licence]
        parts.append(f"## {licence}\n\n" + "\n".join(holders))
        if licence == "MIT":
            parts.append(f"```text\nMIT License\n\n{MIT}\n```")
        elif licence == "Apache-2.0":
            parts.append(
                "Licensed under the Apache License, Version 2.0; the text is the LICENSE file of this project and "
                f'stands at {link}. Distributed on an "AS IS" basis, without warranties or conditions of any kind.'
            )
        else:
            parts.append(
                f"Creative Commons Attribution 4.0 International, legal code at {link}, summary at "
                "https://creativecommons.org/licenses/by/4.0/. You may share and adapt these drawings for any "
                "purpose, giving credit, a link to the licence and a note of the changes. No warranties are given."
            )
    return "\n\n".join(parts) + "\n"
