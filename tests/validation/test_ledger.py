"""The ledger of code: complete, true where git has the history, and no git is needed to use it."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.common.files import ROOT
from benchmark.common.index import open_index
from benchmark.errors import BenchError
from benchmark.records.store import read_record, record_files
from benchmark.validation import ledger as reading
from benchmark.validation.code_book import CodeBook
from benchmark.validation.ledger import (
    LEDGER,
    CommittedCode,
    Ledger,
    from_git,
    has_history,
    made_from_git,
    parsed_ledger,
    read_ledger,
)


def named_commits() -> set[str]:
    """One record of every method and suite is read: those of a family are made together."""
    by_family = {(p.parent, p.name.partition("--")[0]): p for p in record_files(ROOT / "results")}
    return {read_record(path).provenance["code"]["commit"] for path in by_family.values()}


@pytest.mark.slow
def test_it_has_every_commit_that_a_record_names() -> None:
    every = record_files(ROOT / "results")
    commits = {read_record(path).provenance["code"]["commit"] for path in every}
    assert set(read_ledger().commits) == commits


def test_it_has_the_commit_of_a_record_of_every_method() -> None:
    assert named_commits() <= set(read_ledger().commits)


@pytest.mark.slow
def test_it_says_what_git_says() -> None:
    if not has_history():
        pytest.skip("the history is not here")
    assert made_from_git(read_ledger().commits).text() == (ROOT / LEDGER).read_text()


def test_it_is_read_as_it_was_written() -> None:
    ledger = read_ledger()
    assert parsed_ledger(ledger.text()) == ledger
    assert ledger.commits


def test_a_damaged_ledger_is_a_sentence(tmp_path: Path) -> None:
    assert read_ledger(tmp_path) == Ledger()
    (tmp_path / LEDGER).parent.mkdir()
    good = read_ledger().text()
    for text in ("{", "[]", "{}", good.replace('"rank": 16', '"rank": 17', 1)):
        assert text != good
        (tmp_path / LEDGER).write_text(text)
        with pytest.raises(BenchError, match="a ledger of code") as caught:
            read_ledger(tmp_path)
        assert caught.value.code == 5


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A checkout with two commits on its branch, and one beside it."""
    root = tmp_path_factory.mktemp("checkout")

    def git(*words: str) -> str:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        command = ["git", *who, "-C", str(root), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q", "-b", "main")
    for name, text in {
        "methods/a.py": "class A(Method):\n    label = 'A'\n",
        "benchmark/api.py": "from .protocol.config import Config\n",
        "benchmark/protocol/config.py": "class Config:\n    lr: float | None = None\n",
        "benchmark/common/source.py": "NO_NUMBER = frozenset({'cli'})\n",
        "benchmark/run/provenance/numerics.py": "NUMERICS = 3\n",
        "benchmark/cli/main.py": "1 / 0\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    commits = []
    for number in range(3):
        (root / "methods" / "a.py").write_text(f"class A(Method):\n    label = 'A{number}'\n")
        if number == 2:
            git("checkout", "-q", "-b", "beside")
        git("add", ".")
        git("commit", "-q", "-m", "x")
        commits.append(git("rev-parse", "HEAD"))
    git("checkout", "-q", "main")
    return root, commits


def test_git_is_read_and_nothing_checked_out(repository: tuple[Path, list[str]]) -> None:
    root, (first, second, beside) = repository
    found = from_git(first, root=root)
    assert found is not None
    code = found.commits[first]
    assert code.numerics == 3
    assert set(code.methods) == {"a"}
    assert found.declared[code.methods["a"][2]].label == "A0"
    assert found.declared[code.methods["a"][2]].defaults == {"lr": None}
    assert from_git(beside, root=root) is None, "it is in no history of HEAD"
    assert from_git(beside, ("HEAD", "beside"), root) is not None
    assert from_git("0" * 40, root=root) is None
    again = from_git(second, root=root)
    assert again is not None
    assert again.commits[second].code == code.code, "a method is no part of the harness"
    assert again.commits[second].methods != code.methods


def test_what_a_commit_holds_is_read_once_and_its_place_each_time(
    repository: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is a digest of what it holds; whether it counts depends on where HEAD is."""
    root, (first, second, beside) = repository
    monkeypatch.setattr(reading, "code_sha", lambda: "this code")
    index, read, real = open_index(tmp_path), list[str](), reading._files

    def counted(commit: str, at: Path) -> object:
        read.append(commit)
        return real(commit, at)

    monkeypatch.setattr(reading, "_files", counted)
    for _ in range(2):
        for commit in (first, second):
            assert from_git(commit, root=root, index=index) == from_git(commit, root=root)
        assert from_git(beside, ("HEAD", "beside"), root, index) is not None
        assert from_git(beside, root=root, index=index) is None
    assert read.count(first) == 3, "once for the index, twice without it"
    assert read.count(beside) == 1
    monkeypatch.setattr(reading, "code_sha", lambda: "other code")
    from_git(first, root=root, index=index)
    assert read.count(first) == 4
    monkeypatch.setattr(reading, "code_sha", lambda: "this code")
    assert index.folder is not None
    for entry in (index.folder / "commits").iterdir():
        entry.write_text(entry.read_text().replace("A0", "B0").replace("A1", "B1"))
    assert from_git(first, root=root, index=index) == from_git(first, root=root)


def test_rooms_that_compute_nothing_are_those_of_the_commit(
    repository: tuple[Path, list[str]],
) -> None:
    """`benchmark/cli` may hold anything; another room may not."""
    root, (first, *_) = repository
    before = from_git(first, root=root)
    (root / "benchmark" / "cli" / "main.py").write_text("2 / 0\n")
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *who, "-C", root, "commit", "-qam", "x"], check=True)
    head = subprocess.run(
        ["git", "-C", root, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    after = from_git(head, root=root)
    assert before is not None
    assert after is not None
    assert before.commits[first].code == after.commits[head].code


def test_a_commit_outside_the_base_counts_with_code_that_the_change_shows(tmp_path: Path) -> None:
    """Doctored code that a later commit takes back was run all the same."""
    harness, method = tmp_path / "benchmark" / "run" / "loop.py", tmp_path / "methods" / "a.py"

    def git(*words: str) -> str:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        command = ["git", *who, "-C", str(tmp_path), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(loop: int, label: str) -> str:
        for path, text in {
            harness: f"HITS = {loop}\n",
            method: f"class A(Method):\n    label = '{label}'\n",
            tmp_path / "benchmark" / "common" / "source.py": "NO_NUMBER = frozenset({'cli'})\n",
            tmp_path / "benchmark" / "run" / "provenance" / "numerics.py": "NUMERICS = 1\n",
        }.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        git("add", ".")
        git("commit", "-q", "--allow-empty", "-m", "x")
        return git("rev-parse", "HEAD")

    git("init", "-q", "-b", "main")
    old, base = commit(0, "A"), commit(1, "A")
    git("checkout", "-q", "-b", "change")
    names = {"as before": (1, "A"), "doctored": (2, "A"), "method": (1, "B"), "end": (3, "C")}
    made = {name: commit(*code) for name, code in names.items()}
    book = CodeBook(Ledger(), verify=True, against="main", root=tmp_path)
    assert not any(isinstance(book.code(one), str) for one in (old, base, *made.values()))
    assert [book.outside(one, "a") for one in (old, base)] == [None, None]
    told = {name: book.outside(one, "a") for name, one in made.items()}
    assert told == {"as before": None, "doctored": "main", "method": "main", "end": None}
    free = CodeBook(Ledger(), verify=True, root=tmp_path)
    assert free.outside(made["doctored"], "a") is None, "held against nothing"


def test_a_shallow_clone_has_no_history(repository: tuple[Path, list[str]], tmp_path: Path) -> None:
    root, _ = repository
    assert has_history(root)
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", f"file://{root}", tmp_path / "clone"], check=True
    )
    assert not has_history(tmp_path / "clone")
    assert not has_history(tmp_path)
    (tmp_path / "clone" / "inner").mkdir()
    assert not has_history(tmp_path / "clone" / "inner")


def test_without_git_the_ledger_is_believed_and_with_it_held_against_it() -> None:
    ledger = read_ledger()
    commit, code = next(iter(ledger.commits.items()))
    forged = replace(code, methods={**code.methods, "sota": ("a" * 64, "b" * 64, "")})
    wrong = Ledger({commit: forged}, ledger.declared)
    assert CodeBook(wrong, git=False).code(commit) == forged
    assert (
        CodeBook(ledger, git=False).code("1" * 40)
        == "a commit that neither the ledger nor git knows"
    )
    if has_history():
        found = CodeBook(wrong, verify=True).code(commit)
        assert found == "a commit of which the ledger says something else than git"
        assert isinstance(CodeBook(ledger, verify=True).code(commit), CommittedCode)
