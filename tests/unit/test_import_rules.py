"""The engine never imports Gradio, the page never imports MindSpore; only app.py and the command line join them."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "musicgen_ui"
PAGE = sorted((PACKAGE / "ui").rglob("*.py"))
ENGINE = sorted(set(PACKAGE.rglob("*.py")) - set(PAGE))
MINDSPORE = {"mindspore", "mindnlp", "mindtorch"}


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever in the file it stands."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return modules


def roots(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def loaded_by(module: str) -> set[str]:
    """The packages in sys.modules after a fresh process has imported `module`."""
    script = f"import sys, {module}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    return roots(set(result.stdout.splitlines()[-1].split()))


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_engine_names_no_gradio(path):
    assert not roots(imported(path)) & {"gradio", "gradio_client"}
    if path.name != "__main__.py":
        assert not any(module.startswith("musicgen_ui.ui") for module in imported(path))


@pytest.mark.parametrize("path", PAGE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_page_names_no_mindspore(path):
    assert not roots(imported(path)) & (MINDSPORE | {"torch", "transformers"})
    engine_only = {"cures", "musicgen", "pipeline"}
    assert not {f"musicgen_ui.{name}" for name in engine_only} & imported(path)


@pytest.mark.parametrize("path", [*ENGINE, *PAGE], ids=lambda path: str(path.relative_to(PACKAGE)))
def test_how_long_something_takes_is_told_by_a_clock_that_nobody_sets(path):
    """By `time.monotonic` or `time.perf_counter`: the time of day may jump by hours."""
    assert not {module for module in imported(path) if roots({module}) == {"datetime"}}
    names = {"time", "time_ns", "ctime", "localtime", "gmtime", "strftime"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "time":
            assert node.attr not in names, f"line {node.lineno}"
    assert not {f"time.{name}" for name in names} & imported(path)


@pytest.mark.parametrize("path", [*ENGINE, *PAGE], ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_runs_a_program_or_words_as_code(path):
    """No shell, nothing evaluated, nothing unpickled but what a replica of the app's own says."""
    modules = imported(path)
    assert not roots(modules) & {"subprocess", "pty", "code", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
    assert "pickle" not in roots(modules) or path.name == "replicas.py"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            assert node.id not in ("eval", "exec", "compile", "__import__"), f"line {node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert not re.match(r"system|popen|exec[lv]|spawn|posix_spawn|startfile|fork", node.attr), (
                f"line {node.lineno}"
            )
        if isinstance(node, ast.keyword):
            trusting = node.arg in ("shell", "trust_remote_code", "allow_pickle")
            assert not (trusting and getattr(node.value, "value", True)), f"line {node.lineno}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "ui").glob("*.js")), ids=lambda path: path.name)
def test_nor_does_a_script_ask_the_time_of_day(path):
    assert not re.search(r"\bDate\b", path.read_text(encoding="utf-8"))


def test_the_pipeline_loads_no_gradio():
    assert not loaded_by("musicgen_ui.pipeline") & {"gradio", "gradio_client", "torchaudio"}


@pytest.mark.parametrize(
    "module",
    ["musicgen_ui.ui.page", "musicgen_ui.engine", "musicgen_ui.cli", "musicgen_ui.download", "musicgen_ui.replicas"],
)
def test_what_must_start_fast_loads_no_mindspore(module):
    assert not loaded_by(module) & (MINDSPORE | {"transformers", "ray"})
