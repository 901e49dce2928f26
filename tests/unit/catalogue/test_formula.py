"""Formulas of cards: what they come to, how they are written, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrklab.catalogue.formula import Formula, parse_formula


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("2 * cpus + 1", 9),
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 3 - 2", 5),
        ("10 - (3 - 2)", 9),
        ("7 // 2 // 2", 1),
        ("7 // (2 // 2)", 7),
        ("min(cpus, 3)", 3),
        ("max(1, cpus // 8, 2)", 2),
        ("workers*min(threads,64)", 640),
    ],
)
def test_a_formula_has_the_value_that_arithmetic_gives_it(text: str, value: int) -> None:
    """Products before sums, from left to right, whole numbers only."""
    assert parse_formula(text).at({"cpus": 4, "workers": 10, "threads": 100}) == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "formula '': expected a whole number, a name, min(...), max(...) or (; found its end"),
        ("2 ** 3", "formula '2 ** 3': expected a whole number, a name, min(...), max(...) or (; found '*'"),
        ("cpus cpus", "formula 'cpus cpus': expected an operator (+ - * //) or the end; found 'cpus'"),
        ("1 / 2", "formula '1 / 2': expected numbers, names, + - * //, min, max and parentheses; found '/'"),
        ("(1 + 2", "formula '(1 + 2': expected ); found its end"),
        ("min(2)", "formula 'min(2)': expected a comma and another value: min and max compare several; found ')'"),
        ("1.5", "formula '1.5': expected numbers, names, + - * //, min, max and parentheses; found '.'"),
        ("__import__", "formula '__import__': expected numbers, names, + - * //, min, max and parentheses; found '_'"),
        ("pow(2, 9)", "formula 'pow(2, 9)': expected an operator (+ - * //) or the end; found '('"),
        ("1234567890", "formula '1234567890': expected numbers of at most 9 digits; found 1234567890"),
        ("1 +" * 70 + "1", "a formula of at most 200 characters was expected; found 211"),
    ],
)
def test_what_is_no_formula_is_refused_with_what_was_expected(text: str, complaint: str) -> None:
    """The error shows the formula, what could have stood there, and what does."""
    with pytest.raises(ValueError) as caught:
        parse_formula(text)

    assert str(caught.value) == complaint


@pytest.mark.parametrize("text", ["(" * 40 + "1" + ")" * 40, "1 // 0", "1 // (2 - 2)"])
def test_depth_and_divisions_by_zero_are_refused_in_words(text: str) -> None:
    """No RecursionError and no ZeroDivisionError reaches the user."""
    with pytest.raises(ValueError, match=r"at most 30 deep|division by zero"):
        parse_formula(text)


@pytest.mark.parametrize("given_value", [True, None, 1.5, [1], 10**9])
def test_only_whole_numbers_and_texts_are_formulas(given_value: object) -> None:
    """YAML's `yes` is no 1."""
    with pytest.raises(ValueError, match="a whole number or a formula was expected"):
        parse_formula(given_value)


def test_a_name_without_a_value_is_reported() -> None:
    """And a division by zero that only the values bring about."""
    with pytest.raises(ValueError, match=r"workers \* threads: threads has no value here"):
        parse_formula("workers * threads").at({"workers": 4})
    with pytest.raises(ValueError, match="a division by zero"):
        parse_formula("4 // (cpus - 1)").at({"cpus": 1})


def test_names_are_replaced_by_formulas() -> None:
    """What is known is calculated, and what is not stays as written."""
    filled = parse_formula("workers * (threads + 2)").filled(
        {"workers": parse_formula("2 * cpus + 1"), "threads": parse_formula(8)}
    )

    assert str(filled) == "(2 * cpus + 1) * 10"
    assert filled.names == {"cpus"}
    assert filled.filled({"cpus": parse_formula(2)}).constant == 50


def test_values_beyond_nine_digits_are_refused() -> None:
    """So that all that a formula comes to can be written as one again."""
    with pytest.raises(ValueError, match="a value of at most 9 digits was expected"):
        parse_formula("cpus * 99999 * 99999").at({"cpus": 2})


def formulas() -> st.SearchStrategy[str]:
    """Texts of formulas, nested."""
    leaves = st.one_of(st.integers(0, 12).map(str), st.sampled_from(["cpus", "workers"]))
    return st.recursive(
        leaves,
        lambda parts: st.one_of(
            st.builds("({} {} {})".format, parts, st.sampled_from(["+", "-", "*"]), parts),
            st.builds("{} {} {}".format, parts, st.sampled_from(["+", "-", "*"]), parts),
            st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), parts, parts),
        ),
        max_leaves=6,
    )


@given(formulas(), st.integers(1, 64), st.integers(0, 9))
def test_a_formula_is_what_it_is_written_as(text: str, cpus: int, workers: int) -> None:
    """Written and read again it is the same, and its value is the one that Python gives."""
    formula = parse_formula(text)

    assert parse_formula(str(formula)).at({"cpus": cpus, "workers": workers}) == formula.at(
        {"cpus": cpus, "workers": workers}
    )
    assert formula.at({"cpus": cpus, "workers": workers}) == eval(
        text, {"cpus": cpus, "workers": workers, "min": min, "max": max}
    )


def test_equal_formulas_are_equal_whatever_their_spacing() -> None:
    """So that a value can be compared with a default."""
    assert parse_formula("2*cpus+1") == parse_formula(" 2 * cpus + 1 ")
    assert parse_formula("2 + 2") == Formula(4)
