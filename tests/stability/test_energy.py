import numpy as np
import pytest

from matgen.errors import ConfigError
from matgen.stability.energy import Energies, EnergyScale


def test_scale_is_written_and_read_back():
    scale = EnergyScale("chgnet-0.3.0", "MP2020")
    assert EnergyScale.parse(str(scale)) == scale
    assert EnergyScale.parse("emt") == EnergyScale("emt", "none")


def test_energies_of_one_potential_may_meet():
    energies = Energies(np.array([-1.0, -2.0]), EnergyScale("emt"))
    assert energies.on(EnergyScale("emt"), "test").tolist() == [-1.0, -2.0]


@pytest.mark.parametrize("other", [EnergyScale("chgnet-0.3.0"), EnergyScale("emt", "MP2020")])
def test_energies_of_different_scales_are_refused(other):
    with pytest.raises(ConfigError, match="cannot be compared"):
        Energies(np.array([-1.0]), EnergyScale("emt")).on(other, "test")


def test_a_column_that_mixes_scales_is_refused():
    with pytest.raises(ConfigError, match="2 scales"):
        EnergyScale.common(["emt/none", "chgnet-0.3.0/MP2020"], "energy_scale")
