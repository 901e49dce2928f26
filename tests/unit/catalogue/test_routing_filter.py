"""Who reaches variants and whom these reach, tried with the kernel's own rules; what becomes of names and addresses."""

from __future__ import annotations

import ipaddress
import pwd
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.network_namespaces import connect, ip, network_namespaces
from wrklab.catalogue.routing_filter import (
    PROTOCOL,
    USER_ID,
    RoutingFilter,
    addresses_of,
    load_addresses,
    names_in,
    unit_text,
)
from wrklab.errors import UsageError

GENERATOR, STRANGER = "198.51.100.2", "203.0.113.2"
RULES = RoutingFilter(ports=(8080,), clients=(ipaddress.ip_address(GENERATOR),), backends=())
NOBODY = pwd.getpwnam("nobody").pw_uid

#: Ends with 0 where the connection opens.
ASK = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=0.5)
"""
#: Accepts connections at a port of its choice and says which, or at the one given.
LISTEN = """
import socket, sys
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))
print(listener.getsockname()[1], flush=True)
while True:
    listener.accept()
"""


@pytest.fixture
def machines() -> Iterator[dict[str, list[str]]]:
    """A server between a generator and a stranger: as commands that enter each network namespace."""
    with network_namespaces("server", "generator", "stranger") as entered:
        server = entered["server"]
        ip(server, "link set lo up")
        for name, address in (("generator", GENERATOR), ("stranger", STRANGER)):
            connect(server, name, entered[name], "host0")
            ip(server, f"address add {address.rpartition('.')[0]}.1/24 dev {name}")
            ip(server, f"link set {name} up")
            ip(entered[name], f"address add {address}/24 dev host0")
            ip(entered[name], "link set host0 up")
        yield entered


def as_user(machine: list[str], user: str, program: str, *words: object) -> list[str]:
    """The command that runs a program of Python on a machine."""
    switched = ["setpriv", f"--reuid={user}", "--clear-groups"]
    return [*machine, *switched, sys.executable, "-I", "-S", "-c", program, *map(str, words)]


@contextmanager
def listening(machine: list[str], user: str = "root", port: int = 0) -> Iterator[int]:
    """A port of a machine at which a user's program accepts connections."""
    with subprocess.Popen(as_user(machine, user, LISTEN, port), stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            yield int(program.stdout.readline())
        finally:
            program.kill()


def reaches(source: list[str], address: str, port: int, user: str = "root") -> bool:
    """Whether a connection to a port opens."""
    return subprocess.run(as_user(source, user, ASK, address, port), capture_output=True, check=False).returncode == 0


def load(machines: dict[str, list[str]], rules: RoutingFilter) -> None:
    """The rules on the server, in place of those before."""
    unload(machines)
    text = rules.rules(4).replace(USER_ID, str(NOBODY))
    subprocess.run([*machines["server"], "ip", "-4", "-batch", "-"], input=text, text=True, check=True)


def unload(machines: dict[str, list[str]]) -> None:
    """Whatever rules of ours the server has, as its unit does it."""
    subprocess.run([*machines["server"], "ip", "-4", "rule", "flush", "protocol", str(PROTOCOL)], check=True)


def test_only_generators_get_at_variants(machines: dict[str, list[str]]) -> None:
    """And everybody at what other users serve; the server at itself."""
    load(machines, RULES)

    with listening(machines["server"], "nobody", 8080), listening(machines["server"], "root", 8081):
        assert reaches(machines["generator"], "198.51.100.1", 8080)
        assert not reaches(machines["stranger"], "203.0.113.1", 8080)
        assert reaches(machines["stranger"], "203.0.113.1", 8081)
        assert reaches(machines["server"], "203.0.113.1", 8080)
        unload(machines)
        assert reaches(machines["stranger"], "203.0.113.1", 8080)


def test_variants_reach_nobody_but_backends(machines: dict[str, list[str]]) -> None:
    """A generator is answered and no more; other users of the server reach whom they like."""
    with listening(machines["stranger"]) as port, listening(machines["generator"]) as of_generator:
        assert reaches(machines["server"], STRANGER, port, user="nobody")
        load(machines, RULES)

        assert not reaches(machines["server"], STRANGER, port, user="nobody")
        assert not reaches(machines["server"], GENERATOR, of_generator, user="nobody")
        assert reaches(machines["server"], STRANGER, port)
        load(machines, replace(RULES, backends=(ipaddress.ip_address(STRANGER),)))
        assert reaches(machines["server"], STRANGER, port, user="nobody")
        assert not reaches(machines["server"], GENERATOR, of_generator, user="nobody")


def test_a_datagram_of_a_variant_goes_nowhere(machines: dict[str, list[str]]) -> None:
    """The program is told at once, so that a name is not waited for."""
    send = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{STRANGER}', 53))"
    assert subprocess.run(as_user(machines["server"], "nobody", send), check=False).returncode == 0
    load(machines, RULES)

    done = subprocess.run(as_user(machines["server"], "nobody", send), capture_output=True, text=True, check=False)

    assert "Network is unreachable" in done.stderr


def test_rules_of_the_hosts_own_come_after(machines: dict[str, list[str]]) -> None:
    """What passes is routed as the host routes it: here, nowhere."""
    rule = ["rule", "add", "priority", "500", "to", GENERATOR, "prohibit"]
    load(machines, RULES)
    with listening(machines["server"], "nobody", 8080):
        assert reaches(machines["generator"], "198.51.100.1", 8080)
        subprocess.run([*machines["server"], "ip", *rule], check=True)
        assert not reaches(machines["generator"], "198.51.100.1", 8080)
    unload(machines)
    kept = subprocess.run([*machines["server"], "ip", "rule"], check=True, capture_output=True, text=True).stdout
    assert [line.split(":")[0] for line in kept.splitlines()] == ["0", "500", "32766", "32767"]


def test_each_version_of_ip_has_its_rules() -> None:
    """In an order that does not depend on the inventory's; whoever is not named is stopped last."""
    clients = addresses_of(["2001:db8::2", "192.0.2.10", "192.0.2.9", "192.0.2.9"], {})
    rules = replace(RULES, ports=(9000, 8080), clients=clients)

    assert rules.rules(6).splitlines() == [
        "rule add priority 92 nop protocol 201",
        "rule add priority 90 uidrange USER_ID-USER_ID to 2001:db8::2 ipproto 6 sport 8080 goto 92 protocol 201",
        "rule add priority 90 uidrange USER_ID-USER_ID to 2001:db8::2 ipproto 6 sport 9000 goto 92 protocol 201",
        "rule add priority 91 uidrange USER_ID-USER_ID unreachable protocol 201",
    ]
    assert rules.rules(4) == replace(rules, clients=clients[::-1]).rules(4)
    assert rules.rules(4).count(" to 192.0.2.9 ") == 2


def test_a_name_is_what_the_server_says_or_refused() -> None:
    """Names are the hosts' own: the controller need not know them."""
    looked_up = {"load": ("198.51.100.9", "2001:db8::9"), "gone": ("gone",)}
    assert names_in(["load", "192.0.2.1", "2001:db8::1", "load"]) == ["load"]
    assert [str(found) for found in addresses_of(["192.0.2.1", "load"], looked_up)] == [
        "192.0.2.1",
        "198.51.100.9",
        "2001:db8::9",
    ]
    for name in ("gone", "never"):
        with pytest.raises(UsageError, match=rf"the server does not know the name {name}, .* lab_filter: false"):
            addresses_of([name], looked_up)


def test_a_host_has_an_address_for_ssh_and_one_for_its_load() -> None:
    """Its name where it has neither."""
    values = {"a": {"ansible_host": "192.0.2.1", "lab_load_address": "198.51.100.1"}, "b": {}}
    assert load_addresses(["a", "b"], values) == ["192.0.2.1", "198.51.100.1", "b"]


def test_the_unit_loads_rules_and_takes_them_away(machines: dict[str, list[str]], tmp_path: Path) -> None:
    """Its own commands, each as systemd would read it; twice running changes nothing."""
    for version in (4, 6):
        (tmp_path / f"filter_{version}.rules").write_text(RULES.rules(version))
    text = unit_text("nobody").replace("/opt/wrklab", str(tmp_path))
    commands = {key: value for key, _, value in (line.partition("=") for line in text.splitlines()) if "/sh" in value}

    def run(key: str) -> list[str]:
        words = [word.replace("$$", "$") for word in shlex.split(commands[key])]
        subprocess.run([*machines["server"], *words], check=True)
        listed = [[*machines["server"], "ip", version, "rule"] for version in ("-4", "-6")]
        return ["".join(subprocess.run(words, check=True, capture_output=True, text=True).stdout) for words in listed]

    before = run("ExecStopPost")
    loaded = run("ExecStart")
    assert f"uidrange {NOBODY}-{NOBODY} unreachable" in loaded[0]
    assert f"uidrange {NOBODY}-{NOBODY} unreachable" in loaded[1]
    assert run("ExecStartPre") == before
    assert run("ExecStart") == loaded
    assert run("ExecStopPost") == before


def test_systemd_has_nothing_to_say_about_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` knows every setting of it."""
    unit = tmp_path / "wrklab_filter.service"
    unit.write_text(unit_text("nobody"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if "wrklab_filter" in line] == []
