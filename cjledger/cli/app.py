"""The door to typer: one verb's function becomes a parser of its words."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperCommand

from cjledger.cli.verbs import VERBS
from cjledger.errors import UsageError

if TYPE_CHECKING:
    from cjledger.cli.headstart import Ahead


class _Words:
    """Reads texts and whole numbers. typer's own way imports pydantic, which doubles a command's start."""

    def __init__(self, annotation: object) -> None:
        self._annotation = annotation

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The typed value, or BadParameter in the person's words."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if self._annotation is not int:
            return value
        try:
            return int(value)
        except ValueError:
            raise typer.BadParameter(f"{value!r} is not a whole number", ctx=ctx, param=param) from None


class Command(TyperCommand):
    """A verb, with our reader of values and our help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters, --help among them, each with our reader where it reads what we need."""
        params = super().get_params(ctx)
        for param in params:
            annotation = getattr(getattr(param, "type_descriptor", None), "annotation", None)
            if annotation in (str, int, bool, list[str]):
                # Where a later typer knows no such attribute, its own reader does the work.
                param._runtime_param = _Words(annotation)  # type: ignore[attr-defined]
        return params

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of this verb."""
        from cjledger.cli import manual

        formatter.write(manual.help_text(manual.page(self, VERBS[self.name or ""]), formatter.width))


def command(name: str) -> Command:
    """The parser of one verb; only the module that has it is imported."""
    verb = VERBS[name]
    module = importlib.import_module(f"cjledger.cli.{verb.module}")
    # Our own completion, plain help, plain tracebacks: rich stays out of the way to the work.
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    settings: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
    if name == "workers":
        settings["ignore_unknown_options"] = True  # -5 is a number of workers
    app.command(name=name, cls=Command, context_settings=settings)(getattr(module, verb.code))
    built = typer.main.get_command(app)
    assert isinstance(built, Command)
    return built


def run(name: str, words: list[str], ahead: Ahead | None = None) -> int:
    """Parse the words of a verb and do it, a launch from what was begun. Returns the exit code."""
    parser = command(name)
    try:
        with parser.make_context(f"git cj {name}", words, obj=ahead) as context:
            parser.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as problem:
        _usage(name, problem)
    return 0


def _usage(name: str, problem: typer.TyperException) -> NoReturn:
    format_message = getattr(problem, "format_message", None)
    message = format_message() if format_message else str(problem)
    raise UsageError(message[:1].lower() + message[1:].rstrip("."), f"git cj {name} -h") from None
