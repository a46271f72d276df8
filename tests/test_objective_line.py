"""Lines of losses: what is read, and what is said of what cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.config import resolve
from singerid.errors import ConfigError
from singerid.objective_line import LOSSES, parse_objective


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ge2e", {"ge2e": 1}),
        ("prediction", {"prediction": 1}),
        ("total", {"ge2e": 1, "prediction": 1}),
        ("aam + 0.5 prototypical", {"aam": 1, "prototypical": 0.5}),
        (" aam+.5prototypical ", {"aam": 1, "prototypical": 0.5}),
        ("2 * supcon + 1e-3 ge2e", {"supcon": 2, "ge2e": 0.001}),
        ("0.5 total + aam", {"ge2e": 0.5, "prediction": 0.5, "aam": 1}),
    ],
)
def test_lines(line, expected):
    assert parse_objective(line) == expected
    assert list(parse_objective(line)) == list(expected)


@given(st.dictionaries(st.sampled_from(LOSSES), st.floats(1e-6, 1e6), min_size=1))
def test_any_sum_is_read_back(weights):
    assert parse_objective(" + ".join(f"{w:.12f} {n}" for n, w in weights.items())) == (
        pytest.approx(weights, abs=1e-11)
    )


PROBLEMS = {
    "arcface": "'arcface' is no loss for the objective; expected aam, ge2e, prediction, "
    "prototypical, supcon, total",
    "ge2e + AAM": "'AAM' is no loss for the objective; expected aam, ge2e",
    "ge2e + ge2e": "ge2e is twice in the objective 'ge2e [+] ge2e'; add up its weights",
    "total + 2 ge2e": "ge2e is twice",
    "": "cannot read '' in the objective; expected terms like '0.5 prototypical', joined by [+]",
    "aam +": "cannot read ''",
    "aam, ge2e": "cannot read 'aam, ge2e'",
    "aam ge2e": "cannot read 'aam ge2e'",
    "0.5": "cannot read '0.5'",
    "-1 aam": "cannot read '-1 aam'",
    "aam + nan ge2e": "cannot read 'nan ge2e'",
    "1.2.3 aam": "'1.2.3' is no weight for aam in the objective; expected a positive number",
    "0 aam": "'0' is no weight",
    "1e999 aam": "cannot read '1e999 aam'|'1e999' is no weight",
    "9" * 400 + " aam": "is no weight",
}


@pytest.mark.parametrize("line", PROBLEMS)
def test_problems_are_one_line(line):
    with pytest.raises(ValueError, match=PROBLEMS[line]) as caught:
        parse_objective(line)
    assert "\n" not in str(caught.value)


def test_settings_say_which_part_is_unknown():
    assert resolve({"loss": {"objective": "aam + 0.5 supcon"}}).loss.objective == "aam + 0.5 supcon"
    with pytest.raises(ConfigError, match=r"loss\.objective: 'arcface' is no loss") as caught:
        resolve({"loss": {"objective": "ge2e + arcface"}})
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(line):
    try:
        weights = parse_objective(line)
    except ValueError:
        return  # what it says is tested above
    assert weights.keys() <= set(LOSSES)
    assert all(weight > 0 for weight in weights.values())
