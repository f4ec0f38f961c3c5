"""`gashub demo`: a whole hub with a simulated town on this machine, nothing else needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from gashub.clock import stopwatch_s

from .ports import is_free
from .stack import STEPS, ExerciseTime, Stack, StackOptions

_console = Console()


def _console_port() -> int:
    """The first free port from 8080 on; any other where a thousand are taken."""
    return next((port for port in range(8080, 9080) if is_free(port)), 0)


def progress_bar() -> tuple[Progress, TaskID]:
    """A bar that moves on with each step of a stack's start."""
    bar = Progress(TextColumn("{task.description:<48}"), BarColumn(bar_width=30), TimeElapsedColumn(), console=_console)
    return bar, bar.add_task("starting", total=STEPS)


def demo(
    data_dir: Annotated[Path, typer.Option(help="Where everything is kept; remove it to begin anew.")] = Path(
        "var/demo"
    ),
    port: Annotated[int | None, typer.Option(help="The console's port; the first free one from 8080 on.")] = None,
    speed: Annotated[float, typer.Option(help="Simulated seconds per second.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same town and the same noise.")] = 1,
    scenario: Annotated[
        str | None, typer.Option(help="A scenario to play from the start (see `scenario list`).")
    ] = None,
) -> None:
    """Start a hub with a simulated town and print its address and the administrator's password.

    PostgreSQL, the message broker, over 80 Modbus devices and the console all run on this machine, on loopback only.
    Open the address, log in, and start a scenario from the exercise panel. Ctrl-C stops everything.
    """
    started = stopwatch_s()
    bar, task = progress_bar()

    def step(what: str) -> None:
        bar.update(task, advance=1, description=what)

    options = StackOptions(
        data_dir=data_dir,
        seed=seed,
        exercise=None if speed == 1.0 else ExerciseTime(speed=speed),
        scenario=scenario,
        http_port=port or _console_port(),
    )
    with bar:
        stack = Stack(options, step).__enter__()
    try:
        _tell(stack, stopwatch_s() - started)
        reason = stack.services.wait()
        _console.print(f"stopping ({reason}) …")
    finally:
        stack.close()
    _console.print("stopped; nothing is left running")


def _tell(stack: Stack, took_s: float) -> None:
    password = stack.admin_password_file.read_text(encoding="utf-8").strip()
    lines = [
        f"Console    [bold]http://127.0.0.1:{stack.http_port}[/bold]",
        "User       admin",
        f"Password   [bold]{password}[/bold]   (kept in {stack.admin_password_file})",
        f"Ready in   {took_s:.1f} s",
        "",
        "Try        log in and start “Leak on a main” in the exercise panel",
        "Stop       Ctrl-C",
    ]
    _console.print(Panel("\n".join(lines), title="gashub", expand=False))
