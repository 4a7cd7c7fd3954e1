"""open_clip, an optional dependency.

Ilharco et al. 2021, "OpenCLIP".
"""

from functools import partial

from sclgan.data.needed import optional_library

open_clip = partial(optional_library, "open_clip", package="open_clip_torch", what="CLIP", install="'sclgan[clip]'")
