"""However a command line ends, it ends with a sentence and an exit code."""

import subprocess
import sys

import pytest

from serinus.cli.main import run


def test_the_version_is_one_line(serinus):
    """`--version` needs no command."""
    assert serinus("--version") == (0, "serinus 0.1.0\n", "")


@pytest.mark.parametrize("command", [[], ["models"], ["config"]])
def test_a_group_without_a_command_shows_its_help_once(serinus, command):
    """Help is what is missing; the exit code says that nothing was done."""
    ended = serinus(*command)
    assert ended.code == 2
    assert (ended.out + ended.err).count("Usage: serinus") == 1


@pytest.mark.parametrize(
    "command",
    [["serve"], ["predict"], ["models", "list"], ["top"], ["health"], ["config", "check"], ["demo"]],
    ids=" ".join,
)
def test_every_command_has_help_and_json(serinus, command):
    """Scripts rely on `--json` everywhere."""
    ended = serinus(*command, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert "--json" in ended.out


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["frob"], "error: No such command 'frob'; see serinus --help\n"),
        (["predict"], "error: Missing argument 'NAME[@VERSION]'; see serinus predict --help\n"),
        (["serve", "--threads", "many"], "error: Invalid value for '--threads'"),
        (["health", "--server", "localhost"], "error: --server: expected HOST:PORT"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_and_exit_code_2(serinus, command, sentence):
    """No usage box, no traceback."""
    ended = serinus(*command)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(sentence)
    assert ended.err.count("\n") == 1


def test_without_the_server_extra_the_command_says_what_to_install():
    """With the SDK alone there is no typer."""
    code = "import sys; sys.modules['typer'] = None; from serinus.cli.main import main; main()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error: the command line needs the package 'typer': pip install 'serinus[server]'\n"


def test_a_bug_is_a_sentence_too(capsys):
    """An argument that is no text is nothing a shell can pass."""
    assert run([object()]) == 1  # type: ignore[list-item]  # the bug
    assert capsys.readouterr().err == (
        "error: this is a bug in serinus (TypeError): run it again with SERINUS_DEBUG=1 to see where, "
        "and please report it\n"
    )


def test_a_worker_by_hand_is_one_sentence(serinus):
    """Supervisors start them, with what nobody could type."""
    assert serinus("worker", "1/2") == (2, "", "error: workers are started by `serinus serve --workers N`\n")
