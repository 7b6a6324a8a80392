"""The package's public names: each resolves to what its verb calls, and costs nothing until used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import matgen


@pytest.mark.parametrize("name", [name for name in matgen.__all__ if name != "__version__"])
def test_every_public_name_can_be_used(name):
    assert callable(getattr(matgen, name))
    assert getattr(matgen, name).__doc__


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'smaple'"):
        _ = matgen.smaple


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, matgen; assert not {'torch', 'pymatgen', 'pandas', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
