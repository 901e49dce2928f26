"""The verbs of wrklab: `invoke --list` shows them, `invoke --help VERB` explains one. The package does the work."""

from __future__ import annotations

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task

from wrklab.cli.verbs import verb

_SCENARIO_HELP = {
    "connections": "wrk's -c, over all its processes (500); several with commas: 1 and 64 show how many work at once",
    "duration": "length of the measured window (5s, 1m)",
    "rounds": "measurements of each variant, each on a fresh server (3)",
    "threads": "wrk's -t; connections must be a multiple of it",
    "warmup": "length of the warm-up that is thrown away (1s)",
    "timeout": "wrk's --timeout in whole seconds (2s; default: longer than the window)",
    "path": "the path that is requested (/health); one that answers otherwise needs --set body=... too",
    "arrivals": "gaps between the requests of an open loop: poisson (default) or constant",
    "connection_mode": "keep_alive (default), or close: a connection for each request",
    "hold_ms": "how long GET /health holds, for every variant (100)",
    "set": "any key of the scenario as KEY=VALUE; may be given several times",
}
_PARAM_HELP = {
    "param": "parameter of the variants' recipes as NAME=VALUE,VALUE: a variant for each combination; several times"
}
_FORCE_HELP = {
    "force": "also on hosts that are busy, have too little left, or (resuming) are other machines; the report says so"
}
_APPLICATION_HELP = {
    "app": "folder of an application of your own, with its wrklab.yml, instead of --variant (docs/your_application.md)",
    "recipe": "how to serve it: names of recipes and globs, commas between, or given several times (the plainest)",
}
_LAB_HELP = {"lab": "folder of inventory/ (default: container, made on this machine)"}


@task(
    auto_shortflags=False,
    iterable=["variant", "set", "param", "recipe"],
    optional=["resume"],
    help={
        "resume": "go on with a run that ended early, by its stored plan: its id, or nothing for the newest such run",
        "variant": "names, stacks, globs, `all`; commas between, or given several times",
        "scenario": "file of scenarios/ without .yml (default: standard)",
        "rate": "open loop: requests/s whatever the server does (500), or of its closed-loop maximum (50%)",
        "suite": "file of suites/ without .yml: an article's table",
        "seed": "order of the cells (default: drawn, and stored)",
        "aa": "measure each variant as two, A and B: their ratios give the noise floor of the run; takes twice as long",
        "half_rate": "add a window at half of each variant's own rate, as --variant all does: what visitors wait",
        "no_half_rate": "leave these windows out, with --variant all too",
        "json": "print the report's rows as JSON",
        "verbose": "print every table and note instead of one screen",
        "strict": "exit with 1 where a row is doubtful (for CI); a failed cell exits with 1 always",
        **_APPLICATION_HELP,
        **_PARAM_HELP,
        **_FORCE_HELP,
        **_SCENARIO_HELP,
        **_LAB_HELP,
    },
)
@verb
def bench(  # noqa: PLR0913, PLR0917  one argument a flag is Invoke's way
    c: Context,
    variant: list[str],
    set: list[str],  # noqa: A002  the flag's name
    param: list[str],
    recipe: list[str],
    app: str = "",
    scenario: str = "",
    suite: str = "",
    lab: str = "container",
    seed: str = "",
    connections: str = "",
    duration: str = "",
    rounds: str = "",
    threads: str = "",
    warmup: str = "",
    timeout: str = "",
    path: str = "",
    hold_ms: str = "",
    rate: str = "",
    arrivals: str = "",
    connection_mode: str = "",
    half_rate: bool = False,
    no_half_rate: bool = False,
    aa: bool = False,
    force: bool = False,
    json: bool = False,
    verbose: bool = False,
    strict: bool = False,
    resume: str = "",
) -> None:
    """Measure variants with wrk from the other host, and report. Brings lab and servers up first.

    invoke bench --variant all
    invoke bench --variant flask_gunicorn_gevent,go_net_http --connections 500 --duration 5s --rounds 1
    invoke bench --variant go_net_http --rate 500
    invoke bench --variant flask_gunicorn_gthread --param workers=1,2,4 --param threads=8
    invoke bench --app ~/shop --recipe 'gunicorn_*'
    invoke bench --suite flask_gunicorn_article
    invoke bench --resume
    """
    from wrklab.cli import benching, own_application

    flags = {
        "connections": connections,
        "duration_s": duration,
        "rounds": rounds,
        "threads": threads,
        "warmup_s": warmup,
        "timeout_s": timeout,
        "path": path,
        "hold_ms": hold_ms,
        "arrivals": arrivals,
        "connection_mode": connection_mode,
    }
    show = benching.Show(as_json=json, is_verbose=verbose, is_strict=strict)
    if resume:
        # Without a value Invoke gives True.
        others = [variant, set, param, recipe, app, scenario, suite, seed, rate, aa, lab != "container"]
        others += [half_rate, no_half_rate, *flags.values()]
        benching.resume(resume if isinstance(resume, str) else "", others, is_forced=force, show=show)
        return
    own = own_application.words_of(app, recipe, param, [variant, suite])
    parameters = [] if own else param
    benching.bench(
        variant,
        scenario,
        suite,
        lab,
        seed,
        flags,
        set,
        rate,
        parameters=parameters,
        aa=aa,
        half_rate=half_rate,
        no_half_rate=no_half_rate,
        is_forced=force,
        show=show,
        own=own,
    )


@task(
    auto_shortflags=False,
    iterable=["variant", "set", "param", "recipe"],
    optional=["resume"],
    help={
        "resume": "go on with a search that ended early: its run's id, or nothing for the newest such run",
        "variant": "names, stacks, globs, `all`; commas between, or given several times",
        "slo": "the objective: p50, p90, p99, p99.9 or max with a time, errors or status with a share",
        "precision": "how far apart the highest rate that passed and the lowest that failed may be, in percent (5)",
        "scenario": "file of scenarios/ without .yml, for all but the rate (default: standard)",
        "set": "any key of the scenario as KEY=VALUE; may be given several times",
        "aa": "search each variant twice: how far the two are apart is the noise of a capacity",
        "json": "print what was found as JSON",
        **_APPLICATION_HELP,
        **_PARAM_HELP,
        **_FORCE_HELP,
        **_LAB_HELP,
    },
)
@verb
def capacity(  # noqa: PLR0913, PLR0917  one argument a flag is Invoke's way
    c: Context,
    variant: list[str],
    set: list[str],  # noqa: A002  the flag's name
    param: list[str],
    recipe: list[str],
    app: str = "",
    slo: str = "p99<=250ms,errors<0.1%",
    precision: str = "5",
    scenario: str = "",
    lab: str = "container",
    aa: bool = False,
    force: bool = False,
    json: bool = False,
    resume: str = "",
) -> None:
    """Find the highest rate at which variants stay within an objective. Each window has a freshly started server.

    invoke capacity --variant go_net_http --slo 'p99<=250ms,errors<0.1%'
    invoke capacity --resume
    """
    from wrklab.cli import capacities, own_application

    if resume:
        others = [variant, set, param, recipe, app, scenario, aa, lab != "container"]
        capacities.resume(resume if isinstance(resume, str) else "", others, is_forced=force, as_json=json)
        return
    own = own_application.words_of(app, recipe, param, [variant])
    capacities.capacity(
        variant,
        slo,
        precision,
        scenario,
        lab,
        set,
        parameters=[] if own else param,
        aa=aa,
        is_forced=force,
        as_json=json,
        own=own,
    )


@task(
    auto_shortflags=False,
    iterable=["set", "param", "recipe"],
    optional=["resume"],
    help={
        "resume": "go on with a search that ended early: its run's id, or nothing for the newest such run",
        "app": "folder of your application, with its wrklab.yml (docs/your_application.md)",
        "recipe": "only these: names of recipes and globs, commas between, or given several times (all that fit)",
        "param": "only these values of a parameter, as NAME=VALUE,VALUE, instead of the recipes' own; several times",
        "slo": "the objective: p50, p90, p99, p99.9 or max with a time, errors or status with a share",
        "rate": "find the cheapest in memory that serves so many requests/s, instead of the highest capacity",
        "memory": "configurations above this are out: 512MiB, 1GiB",
        "budget": "the search ends with what is known after this time of measuring (30m); with --resume a new one",
        "scenario": "file of scenarios/ without .yml, for all but the rate (default: standard)",
        "set": "any key of the scenario as KEY=VALUE; may be given several times",
        "json": "print what was found as JSON (tune.json)",
        **_FORCE_HELP,
        **_LAB_HELP,
    },
)
@verb
def tune(  # noqa: PLR0913, PLR0917  one argument a flag is Invoke's way
    c: Context,
    set: list[str],  # noqa: A002  the flag's name
    param: list[str],
    recipe: list[str],
    app: str = "",
    slo: str = "p99<=250ms,errors<0.1%",
    rate: str = "",
    memory: str = "",
    budget: str = "",
    scenario: str = "",
    lab: str = "container",
    force: bool = False,
    json: bool = False,
    resume: str = "",
) -> None:
    """Find the server, workers and threads to run your application with, and all that tie with them.

    invoke tune --app ~/shop --slo 'p99<=250ms,errors<0.1%'
    invoke tune --app ~/shop --rate 300 --memory 1GiB --budget 20m
    invoke tune --resume
    invoke tune --resume latest --budget 1h

    Exit status 1: no configuration serves it within the objective.
    """
    from wrklab.cli import own_application, tunes

    if resume:
        others = [set, param, recipe, app, rate, memory, scenario, lab != "container"]
        tunes.resume(resume if isinstance(resume, str) else "", others, budget, is_forced=force, as_json=json)
        return
    own = own_application.words_of(app, recipe, param, [])
    if own is None:
        tunes.refuse_without_application()
    else:
        words = tunes.TuneWords(slo, rate, memory, budget, scenario, set)
        tunes.tune(own, words, lab, is_forced=force, as_json=json)


@task(
    auto_shortflags=False,
    iterable=["variant", "param", "recipe"],
    help={
        "variant": "names, stacks, globs, `all`; commas between, or given several times",
        "suite": "file of suites/ without .yml: an article's findings",
        **_APPLICATION_HELP,
        "json": "print an object a variant as JSON",
        **_PARAM_HELP,
        **_FORCE_HELP,
        **_LAB_HELP,
    },
)
@verb
def probe(  # noqa: PLR0913, PLR0917  one argument a flag is Invoke's way
    c: Context,
    variant: list[str],
    param: list[str],
    recipe: list[str],
    suite: str = "",
    app: str = "",
    lab: str = "container",
    force: bool = False,
    json: bool = False,
) -> None:
    """Find out how many requests each variant handles at once, how many wait and where, and what serves them.

    All requests come from the lab's first load generator.

    invoke probe --variant fastapi_uvicorn_sync
    invoke probe --suite flask_concurrency_article
    invoke probe --app ~/shop --recipe gunicorn_sync,gunicorn_gthread
    """
    from wrklab.cli import own_application, probing

    if own := own_application.words_of(app, recipe, param, [variant, suite]):
        probing.probe_application(own, lab, is_forced=force, as_json=json)
        return
    probing.probe(variant, suite, lab, parameters=param, is_forced=force, as_json=json)


@task(name="init", positional=["folder"], help={"folder": "the folder of your application"})
@verb
def app_init(c: Context, folder: str) -> None:
    """Write a first wrklab.yml into your application's folder, by looking at its files; nothing of it is run.

    invoke app.init ~/shop
    """
    from wrklab.cli import applications

    applications.init(folder)


@task(
    name="check",
    positional=["folder"],
    iterable=["recipe"],
    help={
        "folder": "the folder of your application, with its wrklab.yml",
        "recipe": "how to serve it (default: the plainest recipe for each entry)",
        "json": "print what was found as JSON",
        **_FORCE_HELP,
        **_LAB_HELP,
    },
)
@verb
def app_check(  # noqa: PLR0913, PLR0917  one argument a flag is Invoke's way
    c: Context, folder: str, recipe: list[str], lab: str = "container", force: bool = False, json: bool = False
) -> None:
    """Deploy your application, start it once, and send each request of its mix once: before any load.

    invoke app.check ~/shop

    Exit status 1: it does not start, or an answer is not as wrklab.yml expects it.
    """
    from wrklab.cli import applications

    applications.check(folder, recipe, lab, is_forced=force, as_json=json)


@task(help={"json": "print as JSON", **_LAB_HELP})
@verb
def doctor(c: Context, lab: str = "container", json: bool = False) -> None:
    """Say what this machine can do, what is missing, and the command that fixes it."""
    from wrklab.cli import doctor as examination

    examination.doctor(lab, as_json=json)


@task(name="list", help={"json": "print as JSON"})
@verb
def list_(c: Context, json: bool = False) -> None:
    """Show labs, stacks, variants with the published rows they answer to, scenarios and suites."""
    from wrklab.cli import listing

    listing.show_catalogue(as_json=json)


@task(help={"suite": "only the claims of this file of suites/", "json": "print as JSON"})
@verb
def claims(c: Context, suite: str = "", json: bool = False) -> None:
    """Show what the articles claim next to their own figures, and where they contradict themselves. Needs no run."""
    from wrklab.cli import listing

    listing.claims(suite, as_json=json)


@task(help={"json": "print as JSON"})
@verb
def runs(c: Context, json: bool = False) -> None:
    """List the runs in results/."""
    from wrklab.cli import listing

    listing.show_runs(as_json=json)


@task(
    auto_shortflags=False,
    help={
        "run": "a run's id, or `latest`",
        "open": "show report.html in a browser (where there is none, its path is printed)",
        "verbose": "print every table and note instead of one screen",
        "json": "print the rows as JSON",
    },
)
@verb
def report(c: Context, run: str, open: bool = False, verbose: bool = False, json: bool = False) -> None:  # noqa: A002
    """Write a run's report again, from its store alone, and print it on one screen.

    invoke report latest
    invoke report latest --open
    """
    from wrklab.cli import reporting

    reporting.report(run, as_json=json, is_verbose=verbose, is_opened=open)


@task(help={"run": "a run's id, or `latest`", "json": "print what changed as JSON"})
@verb
def reparse(c: Context, run: str, json: bool = False) -> None:
    """Read a run's raw files again with today's code, into its store and its reports, and show what changed.

    Runs that an older wrklab stored can be reported after it. Raw files, journal and attempts stay.
    """
    from wrklab.cli import reporting

    reporting.reparse_run(run, as_json=json)


@task(
    auto_shortflags=False,
    help={
        "old": "a run's id, `latest`, or `latest~1` for the one before it",
        "new": "the same, of the run that must not be worse",
        "threshold": "how much slower, in percent, is too much (default: 10)",
        "html": "write the comparison as a page into the new run's folder too",
        "json": "print as JSON",
    },
)
@verb
def compare(  # noqa: PLR0913, PLR0917  one argument a flag is Invoke's way
    c: Context, old: str, new: str, threshold: str = "", html: bool = False, json: bool = False
) -> None:
    """Set two runs side by side: ratios with intervals, what is more than noise, what changed around them.

    invoke compare latest~1 latest --threshold 5

    Exit status 1: a row got slower than that beyond the noise, failed, came to answer wrongly, or is gone;
    a drop that one round cannot prove counts as well. Or nothing could be compared.
    """
    from wrklab.cli import comparing

    comparing.compare(old, new, threshold, with_page=html, as_json=json)


@task(
    auto_shortflags=False,
    help={
        "run": "a run's id, or `latest`",
        "format": "parquet,csv (default), bmf (Bencher), gha (github-action-benchmark), otava, hdr; commas between",
        "json": "print the paths as JSON",
    },
)
@verb
def export(c: Context, run: str, format: str = "", json: bool = False) -> None:  # noqa: A002  the flag's name
    """Write a run's cells, samples and histograms for pandas and DuckDB, or its rows for another tool.

    invoke export latest --format parquet,csv,bmf,gha,otava,hdr
    """
    from wrklab.cli import reporting

    reporting.export(run, format, as_json=json)


@task(
    auto_shortflags=False,
    help={
        "reference": "the variant whose rate in each run stands for the machine (default: the one in most runs)",
        "metric": "requests_per_s, or another column of report.csv",
        "json": "print as JSON",
    },
)
@verb
def trend(c: Context, reference: str = "", metric: str = "requests_per_s", json: bool = False) -> None:
    """Show the history of all runs as ratios to a reference variant of the same run, with change points (Otava).

    Writes results/index.html. The first call makes a virtual environment for Apache Otava.
    """
    from wrklab.cli import comparing

    comparing.trend(reference, metric, as_json=json)


@task(help=_LAB_HELP)
@verb
def provision(c: Context, lab: str = "container") -> None:
    """Prepare a lab's hosts: limits, wrk, runtimes. A second run changes nothing."""
    from wrklab.cli import provisioning

    provisioning.provision(lab)


@task(iterable=["variant"], help={"variant": "as for bench (default: all)", **_LAB_HELP})
@verb
def deploy(c: Context, variant: list[str], lab: str = "container") -> None:
    """Install the stacks and one systemd unit for each variant on the server. A second run changes nothing."""
    from wrklab.cli import provisioning

    provisioning.deploy(lab, variant)


@task(help=_LAB_HELP)
@verb
def reset(c: Context, lab: str = "container") -> None:
    """Restore every value that provisioning changed on a lab's hosts."""
    from wrklab.cli import provisioning

    provisioning.reset(lab)


@task(help={"force": "even if a live bench holds the hosts: it ends, and can be resumed", **_LAB_HELP})
@verb
def cleanup(c: Context, lab: str = "container", force: bool = False) -> None:
    """Stop what a dead bench left running on a lab's hosts. Refused while a live bench holds them."""
    from wrklab.cli import provisioning

    provisioning.clean_up(lab, by_force=force)


@task(
    name="up",
    help={
        "loadgens": "load generators that share every load (default: as many as the lab has; a new one has 1)",
        "backends": "a host for PostgreSQL, Redis and MariaDB too; it stays until lab.down",
        "force": "also where another controller holds the hosts: its work there ends",
        "json": "print the hosts as JSON",
        **_LAB_HELP,
    },
)
@verb
def lab_up(  # noqa: PLR0913, PLR0917  flags
    c: Context,
    lab: str = "container",
    loadgens: str = "",
    backends: bool = False,
    force: bool = False,
    json: bool = False,
) -> None:
    """Create a lab on this machine, or repair it: Debian 12 nodes (container), or virtual machines (--lab vagrant).

    invoke lab.up
    invoke lab.up --loadgens 2
    invoke lab.up --backends
    """
    from wrklab.cli import labs

    labs.up(lab, loadgens, backends=backends, by_force=force, as_json=json)


@task(
    name="down",
    help={
        "purge": "drop the cached base system and package caches too (container)",
        "force": "also where another controller holds the hosts: its work there ends",
        **_LAB_HELP,
    },
)
@verb
def lab_down(c: Context, lab: str = "container", purge: bool = False, force: bool = False) -> None:
    """Remove a lab of this machine. The container lab keeps its cache; virtual machines leave nothing."""
    from wrklab.cli import labs

    labs.down(lab, purge=purge, by_force=force)


@task(name="status", help={"json": "print as JSON", **_LAB_HELP})
@verb
def lab_status(c: Context, lab: str = "container", json: bool = False) -> None:
    """Say which hosts a lab has, whether they can be reached, and who holds them. Exit status 1 when one cannot."""
    from wrklab.cli import labs

    labs.status(lab, as_json=json)


@task(name="ssh", positional=["host"], help={"host": "a host's name: server, loadgen, backend", **_LAB_HELP})
@verb
def lab_ssh(c: Context, host: str, lab: str = "container") -> None:
    """Open a shell on a host of a lab."""
    from wrklab.cli import labs

    labs.ssh(lab, host)


@task(
    auto_shortflags=False,
    help={
        "unit": "linters and unit tests: what needs no lab",
        "lab": "lab tests alone",
        "only": "tests whose names match this expression of pytest's -k, without linters",
    },
)
@verb
def test(c: Context, unit: bool = False, lab: bool = False, only: str = "") -> None:  # noqa: PT028  a verb, not a test
    """Lint, type-check and test everything; the lab tests run on real nodes (root and Linux needed).

    invoke test --unit
    invoke test --lab --only faults
    """
    from wrklab.cli import checks

    checks.test(unit_only=unit, lab_only=lab, only=only)


@task
@verb
def lint(c: Context) -> None:
    """Ruff, mypy --strict, ansible-lint (production profile), yamllint."""
    from wrklab.cli import checks

    checks.lint()


@task
@verb
def lock(c: Context) -> None:
    """Lock every requirements file again: the newest stable versions, with hashes."""
    from wrklab.cli import checks

    checks.lock()


_app = Collection("app", app_init, app_check)
_lab = Collection("lab", lab_up, lab_down, lab_status, lab_ssh)
ns = Collection(
    bench,
    capacity,
    tune,
    probe,
    doctor,
    list_,
    claims,
    runs,
    report,
    reparse,
    compare,
    export,
    trend,
    provision,
    deploy,
    reset,
    cleanup,
    test,
    lint,
    lock,
    _app,
    _lab,
)
