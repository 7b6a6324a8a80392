import numpy as np
import pytest

from matgen.data.columns import given_unit, property_name, roles
from matgen.data.labels import outliers, read_labels, tolerance
from matgen.errors import ConfigError, DataError


def read(values, n_atoms=None, **options):
    settings = {"rename": {}, "units": {}, "require": (), **options}
    return read_labels(values, n_atoms or [5] * len(values), **settings)


def test_columns_of_mp_20_have_their_roles():
    names = "material_id formation_energy_per_atom band_gap pretty_formula e_above_hull elements cif spacegroup.number"
    found = roles(names.split())
    assert [found[name] for name in names.split()] == [
        "id",
        "value",
        "value",
        "formula",
        "value",
        "set aside",
        "cif",
        "set aside",
    ]


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("formation_energy_per_atom", "e_form"),
        ("energy_above_hull", "e_above_hull"),
        ("Band Gap", "band_gap"),
        ("band_gap (eV)", "band_gap"),
        ("e_form_meV_per_atom", "e_form"),
        ("_oqmd_delta_e", "e_form"),
        ("bulk_modulus_GPa", "bulk_modulus_GPa"),
    ],
)
def test_spellings_of_properties(column, name):
    assert property_name(column, {}) == name


def test_units_in_names_are_used_and_kept():
    labels = read([{"e_form (meV/atom)": -1500.0, "bulk_modulus_GPa": 90.0}])
    assert labels.table["e_form"].tolist() == [-1.5]
    assert labels.about["e_form"]["unit_is"] == "in the column's name"
    assert labels.about["bulk_modulus_GPa"]["unit"] == "GPa"


def test_perov_5_gives_energies_for_a_cell():
    names = ["heat_all", "heat_ref", "dir_gap", "ind_gap", "e_form"]
    assert given_unit("e_form", "e_form", names, {}) == ("eV/cell", "Perov-5")
    assert read([dict.fromkeys(names, 2.5)]).table["e_form"].tolist() == [0.5]


def test_what_the_user_says_of_units_goes_first():
    labels = read([{"e_form": "-10"}], units={"e_form": "eV/cell"})
    assert labels.table["e_form"].tolist() == [-2.0]
    with pytest.raises(ConfigError, match="no unit"):
        read([{"e_form": 1.0}], units={"e_form": "eV/furlong"})


@pytest.mark.parametrize(("scale", "unit"), [(1000.0, "meV/atom"), (96.485, "kJ/mol/atom"), (5.0, "eV/cell")])
def test_a_column_in_another_unit_is_refused_with_the_possible_ones(scale, unit):
    with pytest.raises(DataError) as caught:
        read([{"e_form": -scale * x} for x in (1.7, 2.2, 1.9, 2.5, 3.0)])
    assert unit in str(caught.value)


def test_what_is_no_number_is_missing_with_a_note():
    labels = read([{"e_form": "-1"}, {"e_form": "inf"}, {"e_form": "unknown"}, {"e_form": -2}, {}])
    assert np.isnan(labels.table["e_form"]).tolist() == [False, True, True, False, True]
    assert [len(notes) for notes in labels.notes] == [0, 1, 1, 0, 0]


def test_columns_of_words_are_named_and_a_wish_for_an_absent_one_is_refused():
    labels = read([{"comment": "nice", "e_form": 0.0}])
    assert labels.ignored == ["comment"]
    with pytest.raises(DataError, match="e_form"):
        read([{"e_form": 0.0}], require=("e_from",))


def test_names_that_the_table_needs_itself_are_changed():
    assert list(read([{"density": 3.0, "source": 4.0}]).table) == ["density_given", "source_given"]


def test_outliers_stand_out_and_columns_of_zeros_do_not():
    rng = np.random.default_rng(0)
    values = rng.normal(size=200)
    values[7] = 25.0
    assert np.flatnonzero(outliers(values)).tolist() == [7]
    gaps = np.where(np.arange(200) % 3, 0.0, rng.uniform(0, 5, 200))
    assert not outliers(gaps).any()
    assert not outliers(np.full(50, np.nan)).any()


def test_tolerances():
    assert tolerance("e_form", np.array([1.0])) == 0.05
    assert tolerance("hardness", np.linspace(0, 100, 101)) == pytest.approx(9.0)
