"""`--param`: variants made on the command line, and what of it is refused before anything is touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cli.test_bad_input import invoke
from tests.unit.hosts.test_remote import host_at
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.cli import overrides
from wrklab.cli.overrides import parse_parameters, with_parameters
from wrklab.errors import InventoryError, ParameterError, UsageError
from wrklab.hosts.inventory import LabHosts


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The catalogue of this checkout."""
    return read_catalogue()


def lab_of(cpus: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every lab's server has these CPUs by its inventory."""
    server = replace(host_at(22, tmp_path), cpus=cpus)
    hosts = LabHosts(lab="mylab", kind="ssh", server=server, generators=())
    monkeypatch.setattr(overrides, "read_hosts", lambda _: hosts)


def no_lab(monkeypatch: pytest.MonkeyPatch, machine_cpus: set[int]) -> None:
    """No lab is up, on a machine with these CPUs."""

    def refuse(_: str) -> LabHosts:
        raise InventoryError("inventory/container: no hosts yet")

    monkeypatch.setattr(overrides, "read_hosts", refuse)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: machine_cpus)


def test_each_combination_is_a_variant(catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by what was given, parameters sorted; the variant that it was made of is not measured itself."""
    lab_of((0, 1), tmp_path, monkeypatch)

    made, words = with_parameters(catalogue, ["flask_gunicorn_gthread"], ["workers=1,2", "threads=8, 16"], lab="mylab")

    assert words == (
        "flask_gunicorn_gthread@threads=8,workers=1",
        "flask_gunicorn_gthread@threads=16,workers=1",
        "flask_gunicorn_gthread@threads=8,workers=2",
        "flask_gunicorn_gthread@threads=16,workers=2",
    )
    assert [variant.name for variant in made.select_variants(words)] == list(words)


def test_a_name_that_a_report_shows_can_be_given(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With commas between words as ever, and with --param on top of it."""
    lab_of((0, 1), tmp_path, monkeypatch)
    words = ["flask_gunicorn_gthread@workers=2,threads=16,flask_dev_sync"]

    _, named = with_parameters(catalogue, words, [], lab="mylab")
    _, changed = with_parameters(catalogue, ["flask_gunicorn_gthread@workers=2,threads=16"], ["threads=4"], lab="mylab")

    assert named == ("flask_gunicorn_gthread@threads=16,workers=2", "flask_dev_sync")
    assert changed == ("flask_gunicorn_gthread@threads=4,workers=2",)


def test_without_parameters_nothing_is_read_of_the_lab(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words and catalogue stay as they are."""
    monkeypatch.setattr(overrides, "read_hosts", lambda _: pytest.fail("the inventory was read"))

    same, words = with_parameters(catalogue, ["flask,go_net_http"], [], lab="mylab")

    assert same.variants == catalogue.variants
    assert words == ("flask", "go_net_http")


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        ("workers", "--param 'workers': NAME=VALUE,VALUE was expected"),
        ("workers=", "--param 'workers=': NAME=VALUE,VALUE was expected"),
        ("workers=1,,2", "--param 'workers=1,,2': NAME=VALUE,VALUE was expected"),
        ("=4", "--param '=4': NAME=VALUE,VALUE was expected"),
    ],
)
def test_what_is_no_parameter_is_refused(assignment: str, complaint: str) -> None:
    """With an example of one."""
    with pytest.raises(UsageError) as caught:
        parse_parameters([assignment])

    assert complaint in str(caught.value)


def test_a_parameter_is_given_once() -> None:
    """Of two, one would be dropped in silence; a value given twice is one."""
    with pytest.raises(UsageError, match="--param workers is given twice"):
        parse_parameters(["workers=1", "workers=2"])

    assert parse_parameters(["workers=2,1,2"]) == {"workers": ("2", "1")}


def test_ranges_are_those_of_the_labs_cpus(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the inventory has them."""
    lab_of((0,), tmp_path, monkeypatch)
    with pytest.raises(ParameterError, match=r"at most 16 was expected \(16 \* cpus with cpus = 1\); found 20"):
        with_parameters(catalogue, ["flask_gunicorn_sync"], ["workers=4,20"], lab="mylab")

    lab_of((0, 1), tmp_path, monkeypatch)
    assert len(with_parameters(catalogue, ["flask_gunicorn_sync"], ["workers=4,20"], lab="mylab")[1]) == 2


def test_a_lab_that_is_not_up_has_no_more_cpus_than_its_machine(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no number of CPUs up to that allows is refused before the lab is made; own hosts are asked later."""
    no_lab(monkeypatch, {0, 1})
    with_parameters(catalogue, ["flask_gunicorn_sync"], ["workers=32"], lab="container")
    with pytest.raises(ParameterError, match="at most 32 was expected"):
        with_parameters(catalogue, ["flask_gunicorn_sync"], ["workers=33"], lab="container")
    with_parameters(catalogue, ["flask_gunicorn_sync"], ["workers=33"], lab="mylab")
    with pytest.raises(ParameterError, match="at most 512 was expected"):
        with_parameters(catalogue, ["flask_gunicorn_gthread"], ["threads=513"], lab="mylab")


def test_a_product_beyond_all_reason_is_refused(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bench of a week is a typing error."""
    lab_of((0, 1), tmp_path, monkeypatch)
    many = ",".join(map(str, range(2, 32)))

    with pytest.raises(UsageError, match="--param makes 900 variants of this; at most 500 were expected"):
        with_parameters(catalogue, ["flask_gunicorn_gthread"], [f"workers={many}", f"threads={many}"], lab="mylab")


@pytest.mark.parametrize("verb", ["bench", "capacity", "probe"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--variant", "flask_gunicorn_gthread", "--param", "wrkers=2"),
            "unknown parameter of recipe gunicorn_gthread",
        ),
        (("--variant", "flask_gunicorn_gthread", "--param", "workers=two"), "found 'two'"),
        (("--variant", "flask_gunicorn_gthread", "--param", "workers=100000"), "; found 100000"),
        (("--variant", "flask_gunicorn_gthread@wrkers=2"), "Did you mean workers?"),
        (("--variant", "flask_gunicorn_gthred@workers=2"), "Did you mean flask_gunicorn_gthread?"),
        (
            ("--variant", "flask_dev_sync", "--param", "workers=2"),
            "no recipe, and so no parameters, have flask_dev_sync",
        ),
    ],
)
def test_verbs_refuse_wrong_parameters(verb: str, words: tuple[str, ...], said: str) -> None:
    """With status 2 and what is known, before a lab is brought up."""
    done = invoke(verb, *words)

    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "up" not in done.stderr.split()


def test_a_suite_takes_no_parameters() -> None:
    """Its rows are what an article measured."""
    done = invoke("bench", "--suite", "cpu", "--param", "workers=2")

    assert done.returncode == 2
    assert "--param is not for suites" in done.stderr
