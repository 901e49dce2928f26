"""A user's application becomes a stack whose variants are its entries times the recipes that can serve them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.ansible_parts import copy_of_checkout
from tests.unit.handmade_application import CARD, handmade_application, handmade_ready, handmade_recipes
from wrklab.catalogue.application_stack import (
    added_files,
    application_stack,
    choose_recipes,
    read_stack_text,
    stack_text,
    with_application,
    with_requests,
)
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.catalogue.deployment import application_digest, deployment, variant_digest
from wrklab.catalogue.stack import Stack
from wrklab.catalogue.unit import HostGrant, unit_text
from wrklab.errors import CardError, UnknownNameError, UsageError

GRANT = HostGrant(cpus_count=2, cpus=(0, 3), descriptors_count=20000, user="wrklab_app")


def stack_of(tmp_path: Path, words: tuple[str, ...] = (), text: str = CARD) -> Stack:
    """The stack of such an application under these recipes."""
    application = handmade_application(tmp_path / "shop", text)
    pairs = choose_recipes(handmade_recipes(), application, words)
    return application_stack(handmade_ready(application, tmp_path / "shop.tar"), pairs)


def test_without_a_word_each_entry_has_the_plainest_recipe(tmp_path: Path) -> None:
    """With several entries a variant's name says which one it is."""
    stack = stack_of(tmp_path)

    assert list(stack.variants) == ["shop_web_gunicorn_sync", "shop_live_uvicorn"]
    assert [variant.hold_ms for variant in stack.variants.values()] == [0, 0]


def test_words_mean_recipes_of_the_right_interface(tmp_path: Path) -> None:
    """A glob meets recipes of both; each entry has those that can serve it."""
    assert list(stack_of(tmp_path, ("gunicorn_*",)).variants) == ["shop_web_gunicorn_sync", "shop_live_gunicorn_asgi"]
    assert list(stack_of(tmp_path, ("all",)).variants) == [
        "shop_web_gunicorn_sync",
        "shop_live_gunicorn_asgi",
        "shop_live_uvicorn",
    ]


def test_a_single_entry_is_not_in_the_name(tmp_path: Path) -> None:
    """There is nothing to tell apart."""
    text = CARD.replace('  live: {import: "shop.asgi:app", interface: asgi}\n', "")

    assert list(stack_of(tmp_path, (), text).variants) == ["shop_gunicorn_sync"]
    with pytest.raises(
        UsageError, match=r"none of these serves wsgi, which is what shop has\. Recipes that do: gunicorn_sync"
    ):
        stack_of(tmp_path, ("uvicorn",), text)


def test_an_unknown_recipe_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """The nearest first."""
    with pytest.raises(UnknownNameError, match=r"unknown recipe 'gunicorn_sink'\. Did you mean gunicorn_sync"):
        stack_of(tmp_path, ("gunicorn_sink",))


def test_a_factory_is_called_by_a_module_of_ours(tmp_path: Path) -> None:
    """So every server program can serve it, also one that cannot call functions."""
    application = handmade_application(tmp_path / "shop")

    assert added_files(application) == {
        "wrklab_entry_web.py": '"""The application that shop.wsgi:create() makes."""\n\n'
        "from shop.wsgi import create as factory\n\napplication = factory()\n"
    }
    command = stack_of(tmp_path).variants["shop_web_gunicorn_sync"].argv(8080, 2)
    assert command[:2] == ["/opt/wrklab/stacks/shop/venv_gunicorn/bin/gunicorn", "wrklab_entry_web:application"]
    assert command[-2:] == ["-w", "4"]


def test_a_unit_makes_a_copy_prepares_it_and_has_the_applications_own_variables_alone(tmp_path: Path) -> None:
    """Neither a secret nor the name of one stands in it."""
    stack = stack_of(tmp_path)
    lines = unit_text(stack, stack.variants["shop_web_gunicorn_sync"], GRANT).splitlines()

    for line in (
        "WorkingDirectory=-/tmp/app",
        "Environment=STATIC=/tmp/app/static",
        "Environment=WIDE=/opt/wrklab/stacks/shop/venv_gunicorn/share",
        "ExecStartPre=/bin/cp -R --preserve=mode,timestamps,links -T /opt/wrklab/stacks/shop/app /tmp/app",
        "ExecStartPre=/opt/wrklab/stacks/shop/venv_gunicorn/bin/python seed.py --rows 10",
        "TimeoutStartSec=60.0",
        "PrivateTmp=yes",
    ):
        assert line in lines
    text = "\n".join(lines)
    assert "SECRET" not in text
    assert "WRKLAB_HOLD_MS" not in text


def test_a_name_that_is_taken_is_refused_with_file_and_line(tmp_path: Path) -> None:
    """Units and folders on the host go by it."""
    catalogue = read_catalogue()
    stack = stack_of(tmp_path, (), CARD.replace("application: shop", "application: flask"))

    with pytest.raises(CardError, match=r"wrklab\.yml:2: application: flask is a name of wrklab's own"):
        with_application(catalogue, stack)


def test_scenarios_send_the_applications_requests_and_keep_their_shape(tmp_path: Path) -> None:
    """No published row compares with them, and nothing of the one path is left."""
    application = handmade_application(tmp_path / "shop")
    catalogue = handmade_recipes()
    scenario = catalogue.scenarios["standard"].model_copy(
        update={"hold_ms": 50, "body": "ok", "companions": ("other",)}
    )

    found = with_requests(replace(catalogue, scenarios={"standard": scenario}), application.mix).scenarios["standard"]

    assert found.requests == application.requests
    assert (found.connections, found.hold_ms, found.body, found.companions) == (400, None, None, ())


def test_a_variants_digest_follows_from_files_packages_and_command_and_no_secrets_value(tmp_path: Path) -> None:
    """The requests are not the server's; another start of another version is."""
    stack = stack_of(tmp_path)
    digests = {name: variant_digest(stack, variant) for name, variant in stack.variants.items()}
    assert len(set(digests.values())) == 2

    other_requests = stack_of(tmp_path, (), CARD.replace("contains: Shop", "contains: Other"))
    assert {
        name: variant_digest(other_requests, variant) for name, variant in other_requests.variants.items()
    } == digests

    name = "shop_web_gunicorn_sync"
    for old, new in (("--rows 10", "--rows 20"), ("{app_dir}/static", "/srv"), (" of {app_dir}", "")):
        changed = stack_of(tmp_path, (), CARD.replace(old, new))
        assert variant_digest(changed, changed.variants[name]) != digests[name]
    assert stack.application is not None
    files = stack.application.model_copy(update={"files_digest": "0" * 64})
    assert variant_digest(stack.model_copy(update={"application": files}), stack.variants[name]) != digests[name]


def test_the_playbooks_find_the_stack_as_it_is_here(tmp_path: Path) -> None:
    """Written as JSON and read again it has the same units and the same digest."""
    stack = stack_of(tmp_path, ("all",))
    path = tmp_path / "stack.json"
    path.write_text(stack_text(stack), encoding="utf-8")

    read = read_stack_text(path)

    assert application_digest(read) == application_digest(stack)
    assert [unit_text(read, variant, GRANT) for variant in read.variants.values()] == [
        unit_text(stack, variant, GRANT) for variant in stack.variants.values()
    ]


def test_a_deploy_with_an_application_has_its_archive_its_venvs_and_its_record(tmp_path: Path) -> None:
    """The checkout's own stacks keep files and units; only what was asked for is built."""
    project = copy_of_checkout(tmp_path)
    stack = stack_of(tmp_path)

    plan = deployment(project, ["shop"], GRANT, application=stack, archives_dir="/var/cache/wrklab/applications")
    without = deployment(project, ["go_net_http"], GRANT)

    assert [venv["path"] for venv in plan["venvs"]] == [
        "/opt/wrklab/stacks/shop/venv_gunicorn",
        "/opt/wrklab/stacks/shop/venv_uvicorn",
    ]
    assert plan["archives"] == [{"name": "shop", "source": str(tmp_path / "shop.tar")}]
    assert plan["folders"] == [{"path": "shop"}]
    assert plan["unpacked"] == [
        {
            "archive": "/var/cache/wrklab/applications/shop.tar",
            "stack_dir": "/opt/wrklab/stacks/shop",
            "digest": "f" * 64,
        }
    ]
    assert plan["files"] == without["files"]
    assert len(plan["units"]) == len(without["units"]) + 2
    assert plan["record"]["fingerprint"] is None
    assert plan["record"]["applications"] == {"shop": application_digest(stack)}
    assert (without["archives"], without["folders"], without["unpacked"]) == ([], [], [])


def test_a_deploy_of_everything_with_an_application_claims_the_checkouts_fingerprint(tmp_path: Path) -> None:
    """A bench of the checkout's own variants need not deploy after it."""
    project = copy_of_checkout(tmp_path)

    with_shop = deployment(project, ["all"], GRANT, application=stack_of(tmp_path), archives_dir="/var/cache")
    without = deployment(project, ["all"], GRANT)

    assert with_shop["record"]["fingerprint"] == without["record"]["fingerprint"]
    assert "/opt/wrklab/stacks/shop/venv_gunicorn" in [venv["path"] for venv in with_shop["venvs"]]
