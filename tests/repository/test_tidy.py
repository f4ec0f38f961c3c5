"""The repository keeps its own rules."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("gashub", "gateway", "ingest", "alarms", "dispatch", "metering", "api", "simulators", "cli")
MAY_READ_THE_CLOCK = {"gashub/clock.py", "gashub/embedded/keeper.py"}
"""The keeper runs without the hub's packages on its path, so that it starts in milliseconds."""
CLOCK_READS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "time"),
    ("time", "time_ns"),
}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file()]


def sources() -> list[Path]:
    return tracked(*(f"{package}/**/*.py" for package in PACKAGES), *(f"{package}/*.py" for package in PACKAGES))


def calls(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_there_are_sources_to_look_at() -> None:
    assert len(sources()) > 40


def test_only_the_clock_reads_the_clock() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in sources()
        if str(path.relative_to(ROOT)) not in MAY_READ_THE_CLOCK
        for call in calls(path)
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and (call.func.value.id, call.func.attr) in CLOCK_READS
    ]
    assert not found


def test_nothing_prints() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in sources()
        for call in calls(path)
        if isinstance(call.func, ast.Name) and call.func.id == "print"
    ]
    assert not found


def swallows_everything(handler: ast.ExceptHandler) -> bool:
    """A broad handler that does not raise again; one that only tidies up and raises is none."""
    broad = handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in {"Exception", "BaseException"}
    )
    last = handler.body[-1]
    return broad and not (isinstance(last, ast.Raise) and last.exc is None)


def test_nothing_swallows_every_exception() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and swallows_everything(node)
    ]
    assert not found


def test_every_module_says_what_it_is_for() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.name != "__main__.py" and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found


def test_no_room_is_called_after_nothing() -> None:
    vague = {"utils", "util", "common", "helpers", "misc", "types"}
    assert not [path for path in sources() if vague & {part.removesuffix(".py") for part in path.parts}]


def test_no_dependency_ships_a_package_of_our_names() -> None:
    owned = set(PACKAGES) | {"tests", "benchmarks"}
    rivals = [
        (distribution.metadata["Name"], file.parts[0])
        for distribution in distributions()
        if distribution.metadata["Name"] != "gashub"
        for file in distribution.files or []
        if file.parts[0] in owned
    ]
    assert not rivals


def test_the_wheel_lists_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert sorted(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == sorted(PACKAGES)


def test_no_file_names_a_machine_or_a_registry() -> None:
    forbidden = re.compile(r"/root/|/home/\w+/|files\.pythonhosted|pypi\.org|registry\.npmjs|/work/")
    text = tracked(
        "*.py", "*.md", "*.toml", "*.txt", "*.json", "*.ts", "*.svelte", "*.sh", "Makefile", "scripts/*", ".ci/*"
    )
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in text
        if path != Path(__file__)
        if (match := forbidden.search(path.read_text(encoding="utf-8", errors="replace")))
    ]
    assert not found


def test_every_requirement_is_pinned_by_hash() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        entries = [
            line for line in lock.read_text(encoding="utf-8").splitlines() if line and not line.startswith((" ", "#"))
        ]
        assert entries
        assert all("==" in line for line in entries), lock.name


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench", "fmt"])
def test_each_make_target_is_a_script_that_works_alone(target: str) -> None:
    assert f"scripts/{target}" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert (ROOT / "scripts" / target).stat().st_mode & 0o111


def test_the_readme_names_only_commands_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake (\w+)", readme)) <= targets
    from cli.app import app

    verbs = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    verbs |= {group.name for group in app.registered_groups}
    assert set(re.findall(r"\bgashub ([a-z]+)\b", readme)) <= {str(verb) for verb in verbs}
