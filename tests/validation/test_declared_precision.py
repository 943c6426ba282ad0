"""No precision passes for the declared one, and no honest record is refused for its own."""

from pathlib import Path

import pytest
from forger import codes, found, honest

from benchmark.suites.find import find_suite
from benchmark.validation.checks.suite import near
from benchmark.validation.runs import ScoredCell

FT = "ft--forward--s42"
NOW = find_suite("xtail").version


@pytest.mark.parametrize(
    ("suite", "version", "declared", "ran", "settings", "right"),
    [
        # Pinned: its pins say fp32, whatever a record says of the recipe.
        ("mini-xtail", None, None, "fp32", "", True),
        ("mini-xtail", None, None, "bf16", "precision=bf16", True),
        ("mini-xtail", None, None, "bf16", "", False),
        ("mini-xtail", None, "bf16", "bf16", "", False),
        ("mini-xtail", None, None, "fp32", "precision=fp32", False),
        # Published: its code says bf16; of an older version, the record, which says nothing.
        ("xtail", NOW, "bf16", "bf16", "", True),
        ("xtail", NOW, "bf16", "fp32", "precision=fp32", True),
        ("xtail", NOW, "bf16", "fp32", "", False),
        ("xtail", NOW, None, "fp32", "", False),
        ("xtail", NOW, None, "bf16", "precision=bf16", False),
        ("xtail", "1.0", None, "fp32", "", True),
        ("xtail", "1.0", None, "bf16", "precision=bf16", True),
        ("xtail", "1.0", None, "bf16", "", False),
        # A user's own: the record says it, and must agree with itself.
        ("birds", "1.0", "bf16", "bf16", "", True),
        ("birds", "1.0", "bf16", "fp32", "precision=fp32", True),
        ("birds", "1.0", "bf16", "fp32", "", False),
        ("birds", "1.0", None, "fp32", "", True),
        ("birds", "1.0", None, "bf16", "", False),
    ],
)
def test_a_precision_is_named_where_it_is_not_the_declared_one(
    suite: str, version: str | None, declared: str | None, ran: str, settings: str, right: bool,
    tmp_path: Path,
) -> None:  # fmt: skip
    forged = honest(FT)
    version = version or forged.rows[0]["suite_version"]
    forged.set(suite=suite, suite_version=version, settings=settings)
    forged.about["asked"]["precision"] = ran
    if suite == "xtail" and version == NOW:  # which gives this method no rate of its own
        forged.about["asked"]["config"]["lr"] = None
    if declared is not None:
        forged.about["asked"]["recipe"]["precision"] = declared
    forged.identify()
    path = forged.write(tmp_path)
    said = [one for one in found(tmp_path, path) if one.code == "V03"]
    assert (codes(said) == set()) is right, [one.line() for one in said]
    assert all("precision" in one.line() for one in said)


def test_rows_of_the_untouched_backbone_may_round_where_machines_do() -> None:
    """On CPUs in float32 they are equal; a GPU's are not, nor are those of bfloat16."""
    about = (0, "a", "A", None, "ood", "labelled", None, "acc", None)
    cell = ScoredCell(*about, 100, 200, 10, "own", "ok", "measured", None)
    assert near(cell, 100, "cpu", "fp32")
    assert not near(cell, 101, "cpu", "fp32", "cpu", "fp32")
    for told in (("cuda", "fp32"), ("cpu", "bf16"), ("cpu", "fp32", "cpu", "bf16")):
        assert near(cell, 101, *told)
        assert not near(cell, 110, *told)
