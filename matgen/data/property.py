"""Properties, declared once: the same name, unit and direction serve columns, conditions, objectives and axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from matgen.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Property:
    """A quantity that a structure has.

    Args:
        name: Column and configuration name.
        label: Axis label without unit.
        unit: Unit of every stored value; empty for pure numbers.
        lower: Smallest value that is physically possible.
        upper: Largest value that is physically possible.
        better: Whether low or high values are sought when the user says nothing else.
        note: What kind of number it is (functional, experiment, definition).
    """

    name: str
    label: str
    unit: str
    lower: float = float("-inf")
    upper: float = float("inf")
    better: Literal["low", "high", None] = None
    note: str = ""

    @property
    def axis(self) -> str:
        """Label with unit, for plots and tables."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


PROPERTIES: dict[str, Property] = {}


def declare(prop: Property) -> Property:
    """Make a property known by its name."""
    PROPERTIES[prop.name] = prop
    return prop


def find_property(name: str) -> Property:
    """The property called ``name``, or a ConfigError with the nearest names."""
    if name not in PROPERTIES:
        raise ConfigError(f"there is no property called {name!r}.", fix=did_you_mean(name, PROPERTIES))
    return PROPERTIES[name]


for _property in (
    Property(
        "e_form", "Formation energy", "eV/atom", better="low", note="against the elements; source named beside it"
    ),
    Property("band_gap", "Band gap", "eV", lower=0.0, note="PBE Kohn-Sham gap, which underestimates experiment"),
    Property("e_above_hull", "Energy above hull", "eV/atom", better="low", note="relative to the named reference hull"),
    Property("density", "Density", "g/cm³", lower=0.0),
    Property("volume_per_atom", "Volume per atom", "Å³", lower=0.0),
    Property("expt_band_gap", "Measured band gap", "eV", lower=0.0, note="experiment, any temperature; 0 is a metal"),
    Property("log10_bulk_modulus", "log10 of bulk modulus", "log10(GPa)", note="Voigt-Reuss-Hill average, PBE, 0 K"),
    Property("log10_shear_modulus", "log10 of shear modulus", "log10(GPa)", note="Voigt-Reuss-Hill average, PBE, 0 K"),
    Property("debye_temperature", "Debye temperature", "K", lower=0.0, note="quasi-harmonic Debye model on PBE"),
    Property(
        "log10_thermal_conductivity",
        "log10 of lattice thermal conductivity",
        "log10(W/(m K))",
        note="at 300 K, quasi-harmonic Debye-Grüneisen model on PBE",
    ),
    Property(
        "thermal_expansion", "Thermal expansion", "1/K", note="at 300 K, quasi-harmonic Debye-Grüneisen model on PBE"
    ),
    Property("refractive_index", "Refractive index", "", lower=1.0, note="electronic, static, PBE perturbation theory"),
    Property(
        "log10_dielectric_constant", "log10 of total dielectric constant", "", lower=0.0, note="static, averaged, PBE"
    ),
    Property("log10_piezoelectric_modulus", "log10 of largest piezoelectric modulus", "log10(C/m²)", note="PBE"),
    Property("superconducting_tc", "Superconducting Tc", "K", lower=0.0, note="source named in the card"),
    Property(
        "log10_ionic_conductivity", "log10 of Li-ion conductivity", "log10(S/cm)", note="measured, room temperature"
    ),
    Property("log10_exfoliation_energy", "log10 of exfoliation energy", "log10(meV/atom)", note="optB88vdW"),
    Property("yield_strength", "Yield strength", "MPa", lower=0.0, note="measured, steels"),
    Property("logp", "logP", "", note="Crippen's sum over atoms, RDKit"),
    Property("qed", "QED", "", lower=0.0, upper=1.0, better="high", note="drug-likeness, Bickerton et al. 2012, RDKit"),
    Property("tpsa", "Topological polar surface area", "Å²", lower=0.0, note="Ertl et al. 2000, RDKit"),
    Property("molecular_weight", "Molecular weight", "g/mol", lower=0.0),
    Property("homo_lumo_gap", "HOMO-LUMO gap", "eV", lower=0.0, note="B3LYP/6-31G(2df,p) Kohn-Sham gap, as in QM9"),
    Property("homo", "HOMO energy", "eV", note="B3LYP/6-31G(2df,p), as in QM9"),
    Property("lumo", "LUMO energy", "eV", note="B3LYP/6-31G(2df,p), as in QM9"),
    Property("dipole_moment", "Dipole moment", "D", lower=0.0, note="B3LYP/6-31G(2df,p), as in QM9"),
    Property("heat_capacity", "Heat capacity", "cal/(mol K)", lower=0.0, note="at constant volume, 298 K, as in QM9"),
    Property("log10_solubility", "log10 of aqueous solubility", "log10(mol/L)", note="measured, room temperature"),
    Property("lipophilicity", "Lipophilicity logD", "", note="measured octanol/water distribution at pH 7.4"),
    Property("hydration_free_energy", "Hydration free energy", "kcal/mol", note="measured, 298 K"),
    Property("xtb_gap", "HOMO-LUMO gap (GFN2-xTB)", "eV", lower=0.0, note="GFN2-xTB orbital energies"),
    Property("synthetic_accessibility", "Synthetic accessibility", "", 1.0, 10.0, "low", "Ertl and Schuffenhauer 2009"),
    Property("metallicity", "Probability of being a metal", "", lower=0.0, upper=1.0, note="source named in the card"),
):
    declare(_property)
