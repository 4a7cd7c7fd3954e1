"""What `import sclgan` gives, and what it must not wait for."""

import subprocess
import sys

import pytest

import sclgan

HEAVY = {"typing", "torch", "numpy", "PIL", "scipy", "tyro", "huggingface_hub", "onnx"}


def test_importing_the_package_imports_nothing_heavy_and_its_names_come_when_they_are_used():
    code = (
        f"import sys, sclgan; assert not {HEAVY} & set(sys.modules), sys.modules\n"
        "assert {'from_pretrained', 'losses', '__version__'} <= set(dir(sclgan))\n"
        "assert sclgan.losses.supcon and 'torch' in sys.modules and 'sclgan.runs' not in sys.modules\n"
        "assert callable(sclgan.from_pretrained)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there_and_documented():
    for name in sclgan.__all__:
        assert name == "__version__" or getattr(sclgan, name).__doc__
        assert f"`{name}`" in (sclgan.__doc__ or "")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = sclgan.nothing
