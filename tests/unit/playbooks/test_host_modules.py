"""The modules kernel_settings, locked_venvs and host_ceilings, run as Ansible runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ansible_parts import load_plugin, module_of_another_name, run_module
from wrklab.paths import PLAYBOOKS_DIR

UV = Path(sys.executable).with_name("uv")
TUNABLE = "net.ipv4.tcp_max_syn_backlog"


def kernel_settings(folder: Path, settings: dict[str, object], **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """What the module answers, with its files in a folder of the test."""
    files = {"file": str(folder / "60-wrklab.conf"), "record": str(folder / "before.json")}
    return run_module("kernel_settings", {"settings": settings, **files}, **options)


@pytest.fixture
def network_namespace() -> Any:  # noqa: ANN401
    """A network namespace of the test's own, as the command that enters it: its settings are nobody else's."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "--net", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets us make no network namespace (root and unshare are needed)")
    with subprocess.Popen([unshare, "--net", "sleep", "60"]) as holder:
        entered = Path(f"/proc/{holder.pid}/ns/net")
        while entered.readlink() == Path("/proc/self/ns/net").readlink():
            os.sched_yield()
        yield ["nsenter", f"--net={entered}"]
        holder.kill()


def read_in(namespace: list[str], name: str) -> str:
    """A sysctl's value in that namespace."""
    path = "/proc/sys/" + name.replace(".", "/")
    return subprocess.run([*namespace, "cat", path], capture_output=True, text=True, check=True).stdout.strip()


def test_a_setting_is_recorded_set_and_put_back(tmp_path: Path, network_namespace: list[str]) -> None:
    """The value from before is kept through changes of mind, and stands again when nothing is asked for."""
    before = read_in(network_namespace, TUNABLE)

    first = kernel_settings(tmp_path, {TUNABLE: 3333}, within=network_namespace)
    second = kernel_settings(tmp_path, {TUNABLE: 4444}, within=network_namespace)
    again = kernel_settings(tmp_path, {TUNABLE: 4444}, within=network_namespace)

    assert [first["changed"], second["changed"], again["changed"]] == [True, True, False]
    assert read_in(network_namespace, TUNABLE) == "4444"
    assert json.loads((tmp_path / "before.json").read_text()) == {TUNABLE: before}
    assert f"{TUNABLE} = 4444\n" in (tmp_path / "60-wrklab.conf").read_text()

    reset = kernel_settings(tmp_path, {}, within=network_namespace)

    assert reset["put_back"] == {TUNABLE: before}
    assert read_in(network_namespace, TUNABLE) == before
    assert list(tmp_path.iterdir()) == []


def test_two_names_of_one_machine_keep_the_value_from_before(tmp_path: Path, network_namespace: list[str]) -> None:
    """One after the other: the second finds the first's record, and takes its value for no value from before."""
    before = read_in(network_namespace, TUNABLE)

    with ThreadPoolExecutor() as pool, module_of_another_name():
        pending = [pool.submit(kernel_settings, tmp_path, {TUNABLE: 3333}, within=network_namespace) for _ in range(2)]
        assert not wait(pending, timeout=1).done

    assert sorted(future.result()["changed"] for future in pending) == [False, True]
    assert json.loads((tmp_path / "before.json").read_text()) == {TUNABLE: before}


def test_an_interruption_loses_no_value_from_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is there before the first value is changed."""
    module = load_plugin(PLAYBOOKS_DIR / "library/kernel_settings.py")
    monkeypatch.setattr(module, "read", lambda _name: "100")
    written = []

    def write_and_die(name: str, value: str) -> None:
        written.append((name, value))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write", write_and_die)
    with pytest.raises(KeyboardInterrupt):
        module.settle_with_files({TUNABLE: "3333"}, tmp_path / "60.conf", tmp_path / "before.json", dry=False)

    assert written == [(TUNABLE, "3333")]
    assert json.loads((tmp_path / "before.json").read_text()) == {TUNABLE: "100"}


def test_check_mode_sets_nothing(tmp_path: Path, network_namespace: list[str]) -> None:
    """In check mode the change is told, and neither the kernel nor a file is touched."""
    before = read_in(network_namespace, TUNABLE)

    answer = kernel_settings(tmp_path, {TUNABLE: 3333}, check=True, within=network_namespace)

    assert (answer["changed"], answer["set"]) == (True, {TUNABLE: "3333"})
    assert read_in(network_namespace, TUNABLE) == before
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_the_host_lacks_is_told_and_left_out(tmp_path: Path) -> None:
    """It is neither an error nor in the file that sets values at boot."""
    answer = kernel_settings(tmp_path, {"net.ipv4.no_such_setting": 1})

    assert answer["left_out"] == {"net.ipv4.no_such_setting": "No such file or directory"}
    assert answer["changed"] is False
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_sysctl_is_refused(tmp_path: Path) -> None:
    """A path in a name's place could lead anywhere."""
    assert "is not the name of a sysctl" in kernel_settings(tmp_path, {"../../etc/passwd": 1})["msg"]


def locked_venv(path: Path, requirements: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """What the module answers for one environment made by uv."""
    venvs = [{"path": str(path), "requirements": requirements}]
    return run_module("locked_venvs", {"venvs": venvs, "uv": str(UV), "python": sys.executable}, **options)


def test_an_environment_is_made_once_for_a_lock(tmp_path: Path) -> None:
    """The same lock changes nothing; another one makes the environment afresh, without what was in it."""
    venv = tmp_path / "venv"

    assert locked_venv(venv, "# nothing\n")["made_paths"] == [str(venv)]
    (venv / "leftover").touch()
    assert locked_venv(venv, "# nothing\n")["changed"] is False
    assert locked_venv(venv, "# nothing else\n", check=True)["changed"] is True
    assert (venv / "leftover").exists()
    assert locked_venv(venv, "# nothing else\n")["changed"] is True
    assert not (venv / "leftover").exists()
    assert (venv / "bin/python").exists()


def test_a_requirement_without_a_hash_is_refused(tmp_path: Path) -> None:
    """The answer is uv's own words, and the environment is not taken for made."""
    answer = locked_venv(tmp_path / "venv", "flask==3.0.0\n")

    assert answer["failed"] is True
    assert "require-hashes" in answer["msg"]
    assert locked_venv(tmp_path / "venv", "flask==3.0.0\n", check=True)["changed"] is True


#: Writes its output in two parts, and dies between them where the sources say so.
GO = """#!/bin/sh
echo "$0 $*" >> ../calls
printf 'half of ' > "$4"
[ -e die ] && exit 1
printf 'a server' >> "$4"
"""


@pytest.fixture
def go_stack(tmp_path: Path) -> Path:
    """A stack with sources, and a toolchain that writes down how it is called."""
    stack = tmp_path / "stack"
    (stack / "app").mkdir(parents=True)
    (stack / "toolchain/bin").mkdir(parents=True)
    (stack / "toolchain/bin/go").write_text(GO)
    (stack / "toolchain/bin/go").chmod(0o755)
    return stack


def go_builds(stack: Path, digest: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """What the module answers for one stack."""
    build = {"stack_dir": str(stack), "toolchain": str(stack / "toolchain"), "digest": digest}
    return run_module("go_builds", {"builds": [build]}, **options)


def test_a_server_is_built_once_for_everybody(go_stack: Path) -> None:
    """Also under a narrow umask; a build that is closed to others is opened, not made again."""
    former = os.umask(0o077)
    try:
        assert go_builds(go_stack, "a1")["built_paths"] == [str(go_stack / "builds/a1/server")]
        (go_stack / "builds/a1").chmod(0o700)
        assert go_builds(go_stack, "a1")["changed"] is True
    finally:
        os.umask(former)

    assert go_builds(go_stack, "a1")["changed"] is False
    assert (go_stack / "app/server").read_text() == "half of a server"
    assert [(go_stack / name).stat().st_mode & 0o777 for name in ("builds", "builds/a1", "app/server")] == [0o755] * 3
    assert len((go_stack / "calls").read_text().splitlines()) == 1


def test_a_build_that_ended_half_way_is_not_taken_for_one(go_stack: Path) -> None:
    """The unit keeps the build from before until the new one is complete."""
    go_builds(go_stack, "a1")
    (go_stack / "app/die").touch()
    assert "exit status 1 of:" in go_builds(go_stack, "b2")["msg"]
    assert (go_stack / "app/server").resolve() == go_stack / "builds/a1/server"

    (go_stack / "app/die").unlink()
    assert go_builds(go_stack, "b2")["changed"] is True
    assert (go_stack / "app/server").read_text() == "half of a server"
    assert go_builds(go_stack, "a1", check=True)["changed"] is True
    assert (go_stack / "app/server").resolve() == go_stack / "builds/b2/server"


def test_ceilings_are_those_of_this_machine() -> None:
    """A program that is started with that limit gets it; the CPUs are those that this process may use."""
    answer = run_module("host_ceilings", {})

    assert answer["cpus"] == sorted(os.sched_getaffinity(0))
    assert answer["descriptors_count"] >= 1024
    assert answer["changed"] is False


def test_the_age_of_package_lists_is_none_without_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No list at all is not a list of age 0."""
    module = load_plugin(PLAYBOOKS_DIR / "library/host_ceilings.py")
    monkeypatch.setattr(module, "_PACKAGE_LISTS", tmp_path)
    assert module.package_lists_age_s() is None

    (tmp_path / "example_dists_bookworm_main_binary-amd64_Packages").touch()
    assert module.package_lists_age_s() < 60


def test_what_a_minimal_system_lacks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates and Ansible's way to apt come before all else; routing rules need ip."""
    module = load_plugin(PLAYBOOKS_DIR / "library/host_ceilings.py")
    files = {package: tmp_path / package for package in module._NEEDED_FIRST}
    monkeypatch.setattr(module, "_NEEDED_FIRST", files)
    files["ca-certificates"].touch()
    files["iproute2"].touch()

    assert module.missing_packages() == ["python3-apt"]


def test_a_system_without_os_release_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused as an unknown one."""
    module = load_plugin(PLAYBOOKS_DIR / "library/host_ceilings.py")
    monkeypatch.setattr(module, "_OS_RELEASE", tmp_path / "os-release")

    assert module.distribution() == ""
