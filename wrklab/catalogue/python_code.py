"""What Python files say of a web application, read as text with `ast`: nothing of the user's code is ever imported."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Interface = Literal["wsgi", "asgi"]
#: A generated file of this size says nothing of an application's shape, and takes seconds to parse.
SOURCE_MAX_BYTES = 1 << 20

#: What makes an application, by its full name: the framework's name, and how a server calls what is made.
CONSTRUCTORS: Mapping[str, tuple[str, Interface]] = {
    "flask.Flask": ("Flask", "wsgi"),
    "quart.Quart": ("Quart", "asgi"),
    "fastapi.FastAPI": ("FastAPI", "asgi"),
    "fastapi.applications.FastAPI": ("FastAPI", "asgi"),
    "starlette.applications.Starlette": ("Starlette", "asgi"),
    "litestar.Litestar": ("Litestar", "asgi"),
    "litestar.app.Litestar": ("Litestar", "asgi"),
    "blacksheep.Application": ("BlackSheep", "asgi"),
    "sanic.Sanic": ("Sanic", "asgi"),
    "falcon.App": ("Falcon", "wsgi"),
    "falcon.API": ("Falcon", "wsgi"),
    "falcon.asgi.App": ("Falcon", "asgi"),
    "bottle.Bottle": ("Bottle", "wsgi"),
    "bottle.default_app": ("Bottle", "wsgi"),
    "bottle.app": ("Bottle", "wsgi"),
    "connexion.FlaskApp": ("Connexion", "asgi"),
    "connexion.AsyncApp": ("Connexion", "asgi"),
    "apiflask.APIFlask": ("APIFlask", "wsgi"),
    "django.core.wsgi.get_wsgi_application": ("Django", "wsgi"),
    "django.core.asgi.get_asgi_application": ("Django", "asgi"),
    "channels.routing.ProtocolTypeRouter": ("Django Channels", "asgi"),
}
#: A call of such a method makes one as well, whatever object has it.
_MAKING_METHODS: Mapping[str, tuple[str, Interface]] = {"make_wsgi_app": ("Pyramid", "wsgi")}
#: Objects that routes are added to, and that become part of an application under a prefix.
_ROUTERS = {
    "fastapi.APIRouter": "prefix",
    "fastapi.routing.APIRouter": "prefix",
    "apiflask.APIBlueprint": "url_prefix",
    "flask.Blueprint": "url_prefix",
    "quart.Blueprint": "url_prefix",
}
_ROUTE_METHODS = frozenset({"route", "get", "api_route"})
#: Methods that make a router a part of the application, and what they call the prefix.
_MOUNTING = {"include_router": "prefix", "register_blueprint": "url_prefix"}
#: The owner of routes in Django's urlpatterns, which are one list a module.
URLS = "urls"
_ROUTE_DECORATORS = frozenset({"litestar.get", "bottle.get", "bottle.route"})
_DJANGO_PATHS = frozenset({"django.urls.path", "django.urls.conf.path"})
_DJANGO_INCLUDES = frozenset({"django.urls.include", "django.urls.conf.include"})
_READS_ENVIRONMENT = frozenset({"os.environ.get", "os.getenv"})


@dataclass(frozen=True)
class Made:
    """An application that a module makes: as an attribute of it, or by a function of it."""

    name: str
    framework: str
    interface: Interface
    line: int
    #: A function without required arguments gives it back.
    is_factory: bool = False


@dataclass(frozen=True)
class Route:
    """A path that a GET is answered at, as far as the code says it in one text."""

    path: str
    line: int
    #: The router that it is added to, whose place in the application a Mount says; empty: the application itself.
    router: str = ""


@dataclass(frozen=True)
class Mount:
    """A router, or Django's list of urls, that becomes part of the application under a prefix."""

    prefix: str
    #: `shop.items.router`, or `shop.items.urls`: the full name of what is mounted.
    target: str


@dataclass(frozen=True)
class ReadVariable:
    """A variable of the environment that the code reads; without it a required one ends the application."""

    name: str
    line: int
    is_required: bool


@dataclass(frozen=True)
class CalledMaker:
    """`app = create_app()`: what a module's attribute is made by, where that is a function of another module."""

    name: str
    #: `shop.create_app`: the full name of the function.
    maker: str
    line: int


@dataclass
class ModuleFindings:
    """What one file says."""

    made: list[Made] = field(default_factory=list)
    called: list[CalledMaker] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    mounts: list[Mount] = field(default_factory=list)
    variables: list[ReadVariable] = field(default_factory=list)
    #: Texts that it gives to names of its own, at its top level: Django's settings are such.
    texts: dict[str, str] = field(default_factory=dict)
    #: Modules that it imports, by their full names.
    imported: set[str] = field(default_factory=set)


def read_module(text: str) -> ModuleFindings:
    """What a file's text says; nothing of one that is no Python, or of another version."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "invalid escape sequence" and the like are the user's own
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ModuleFindings()
    return _Reader(tree).findings


class _Reader:
    """One module, read statement by statement."""

    def __init__(self, tree: ast.Module) -> None:
        self.findings = ModuleFindings()
        #: What a name of the module stands for: `F` -> `flask.Flask`.
        self._meanings: dict[str, str] = {}
        self._prefixes: dict[str, str | None] = {}
        nodes = list(ast.walk(tree))
        for node in nodes:
            self._read_import(node)
        for statement in _statements(tree.body):
            self._read_assignment(statement)
        for statement in tree.body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                self._read_factory(statement)
        for node in nodes:
            self._read_prefix(node)
        for node in nodes:
            self._read_routes(node)
            self._read_variable(node)
        self.findings.routes.sort(key=lambda route: route.line)

    # ---- Names ----

    def _read_import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.findings.imported.add(alias.name)
                self._meanings[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            self.findings.imported.add(module)
            for alias in node.names:
                between = "" if module.endswith(".") else "."
                self._meanings[alias.asname or alias.name] = f"{module}{between}{alias.name}"

    def _full_name(self, node: ast.expr) -> str:
        """`flask.Flask` for what the code calls F; empty for what is no dotted name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self._meanings.get(node.id, node.id), *reversed(parts)])

    # ---- Applications ----

    def _maker(self, value: ast.expr | None) -> tuple[str, Interface] | None:
        """The framework whose application an expression makes; also one that is wrapped in middleware."""
        if not isinstance(value, ast.Call):
            return None
        name = self._full_name(value.func)
        if name in CONSTRUCTORS:
            return CONSTRUCTORS[name]
        if isinstance(value.func, ast.Attribute) and value.func.attr in _MAKING_METHODS:
            return _MAKING_METHODS[value.func.attr]
        return None

    def _read_assignment(self, statement: ast.stmt) -> None:
        names, value = _assigned(statement)
        if value is not None and (text := _text(value)) is not None:
            self.findings.texts |= dict.fromkeys(names, text)
        if made := self._maker(value):
            framework, interface = made
            self.findings.made += [Made(name, framework, interface, statement.lineno) for name in names]
        elif isinstance(value, ast.Call) and (maker := self._full_name(value.func)):
            self.findings.called += [CalledMaker(name, maker, statement.lineno) for name in names]

    def _read_factory(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """A function that makes an application in a variable, or at once, and gives it back."""
        if isinstance(function, ast.AsyncFunctionDef) or _required_arguments_count(function):
            return
        made: dict[str, tuple[str, Interface]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.stmt):
                names, value = _assigned(node)
                if found := self._maker(value):
                    made |= dict.fromkeys(names, found)
        for node in ast.walk(function):
            if isinstance(node, ast.Return):
                found = made.get(node.value.id) if isinstance(node.value, ast.Name) else self._maker(node.value)
                if found:
                    self.findings.made.append(Made(function.name, *found, function.lineno, is_factory=True))
                    return

    # ---- Routes ----

    def _read_prefix(self, node: ast.AST) -> None:
        """`router = APIRouter(prefix="/api")`: a router, and its own part of the prefix."""
        if not isinstance(node, ast.stmt):
            return
        names, value = _assigned(node)
        if isinstance(value, ast.Call) and (key := _ROUTERS.get(self._full_name(value.func))):
            self._prefixes |= dict.fromkeys(names, _keyword(value, key) or "")

    def _read_routes(self, node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                self._read_decorator(decorator)
        elif isinstance(node, ast.Call):
            self._read_route_call(node)

    def _read_decorator(self, decorator: ast.expr) -> None:
        """`@app.get("/items")`, `@app.route("/items", methods=["GET"])`, `@get("/items")` of Litestar."""
        if not isinstance(decorator, ast.Call):
            return
        called = decorator.func
        if isinstance(called, ast.Attribute) and called.attr in _ROUTE_METHODS:
            self._add_route(decorator, called.value.id if isinstance(called.value, ast.Name) else "")
        elif self._full_name(called) in _ROUTE_DECORATORS:
            self._add_route(decorator, "")

    def _read_route_call(self, call: ast.Call) -> None:
        """Django's path("items/", view), Falcon's add_route("/items", ...), routers that are mounted."""
        name, method = self._full_name(call.func), call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if name in _DJANGO_PATHS and len(call.args) > 1:
            self._read_django_path(call)
        elif name == "starlette.routing.Route" or method == "add_route":
            self._add_route(call, "")
        elif method in _MOUNTING and call.args and (target := self._full_name(call.args[0])):
            self.findings.mounts.append(Mount(_keyword(call, _MOUNTING[method]) or "", target))

    def _read_django_path(self, call: ast.Call) -> None:
        path, view = _text(call.args[0]), call.args[1]
        if path is None:
            return
        if isinstance(view, ast.Call) and self._full_name(view.func) in _DJANGO_INCLUDES:
            if view.args and (target := _text(view.args[0])):
                self.findings.mounts.append(Mount(f"/{path.lstrip('/')}", target))
        elif not (isinstance(view, ast.Attribute) and view.attr == "urls"):  # not admin.site.urls
            self._add_path(f"/{path.lstrip('/')}", call.lineno, URLS)

    def _add_route(self, call: ast.Call, owner: str) -> None:
        path = _text(call.args[0]) if call.args else _keyword(call, "path") or _keyword(call, "rule")
        methods = next((keyword.value for keyword in call.keywords if keyword.arg == "methods"), None)
        if path is None or (methods is not None and "GET" not in _texts(methods)):
            return
        self._add_path(f"{self._prefixes.get(owner, '')}{path}", call.lineno, owner if owner in self._prefixes else "")

    def _add_path(self, path: str, line: int, router: str) -> None:
        # A parameter in it needs a value that only the user knows.
        if not any(sign in path for sign in "<>{}:*\\^$ "):
            self.findings.routes.append(Route(path, line, router))

    # ---- The environment ----

    def _read_variable(self, node: ast.AST) -> None:
        if isinstance(node, ast.Subscript) and self._full_name(node.value) == "os.environ":
            name = _text(node.slice)
            if name and isinstance(node.ctx, ast.Load):
                self.findings.variables.append(ReadVariable(name, node.lineno, is_required=True))
        elif isinstance(node, ast.Call) and self._full_name(node.func) in _READS_ENVIRONMENT and node.args:
            name = _text(node.args[0])
            if name:
                self.findings.variables.append(ReadVariable(name, node.lineno, is_required=False))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """A module's statements, with those in its `if` and `try`: they run when it is imported."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If) and not _is_main_guard(statement):
            yield from _statements([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            yield from _statements([*statement.body, *statement.orelse, *statement.finalbody])


def _is_main_guard(statement: ast.If) -> bool:
    test = statement.test
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _assigned(statement: ast.stmt) -> tuple[list[str], ast.expr | None]:
    """The plain names that a statement gives a value, and the value."""
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)], statement.value
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id], statement.value
    return [], None


def _required_arguments_count(function: ast.FunctionDef) -> int:
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional + sum(default is None for default in arguments.kw_defaults)


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _texts(node: ast.expr) -> list[str]:
    """The texts of a list, tuple or set that is written out."""
    return [text for item in getattr(node, "elts", []) if (text := _text(item)) is not None]


def _keyword(call: ast.Call, name: str) -> str | None:
    """A text that is given by this name."""
    return next((_text(keyword.value) for keyword in call.keywords if keyword.arg == name), None)
