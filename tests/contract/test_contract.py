"""What every method promises, whoever wrote it: new files in methods/ are tested by name."""

import ast
import json
import random
import sys
from dataclasses import FrozenInstanceError, asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import methods
from benchmark.common.digests import digest
from benchmark.data.batches import close, join
from benchmark.errors import BenchError
from benchmark.protocol.method import Method, no_grad_after_task
from benchmark.protocol.types import Context, Images, Texts
from benchmark.run.evaluate import EvalSet, evaluate
from benchmark.run.record.costs import plain_report
from benchmark.run.registry import find_method, method_names
from benchmark.run.state import checkpoint
from benchmark.run.state.checkpoint import Pristine
from benchmark.run.train import Fit

NAMES = [name for name, origin in method_names().items() if origin.startswith("methods/")]
KINDS = ("pairs", "labelled")
FILES = sorted(
    p for p in Path(next(iter(methods.__path__))).glob("*.py") if p.name != "__init__.py"
)

# What a method is not defined for, by its own word.
REFUSED = {(kind, name) for name in NAMES for kind in find_method(name, []).cls.refuses}
# Both kinds for this one; the other methods meet labelled tasks in `make test-all`, which is also
# where those run that differ from another one in little.
BOTH_KINDS = ("dar",)
ALIKE = (
    "dkr",  # Mod-X with other targets
    "lora",  # LoRA-FT on other maps, with another loss
    "lora-ft",  # DAR's adapter, and no other
    "lwf", "lwf-vr", "icarl", "zscl",  # a family with a test file of its own
    "wise-ft", "ta",  # FT, with an average of weights
    "mod-x",  # FT with one more term
    "moe-adapter", "c-clip", "l2p",  # slow; the tests of their own are many
    "codyra-plus", "codyra-rail-primal", "codyra-rail-dual",  # CoDyRA, evaluated otherwise
    "rail-dual",  # RAIL-Primal with a kernel
)  # fmt: skip
SEEDED = ("zs", "ft", "dar")  # the others draw no more than these
CASES = [
    pytest.param(kind, name, marks=[pytest.mark.slow] * late)
    for kind in KINDS
    for name in NAMES
    if (kind, name) not in REFUSED
    for other in [kind == "labelled" and ("pairs", name) not in REFUSED]
    for late in [name in ALIKE or (other and name not in BOTH_KINDS)]
]

every_method = pytest.mark.parametrize("name", NAMES)
every_kind = pytest.mark.parametrize("kind", KINDS)
every_case = pytest.mark.parametrize(("kind", "name"), CASES)


# Settings that cost time and change no hook: smaller ones for every method that has them.
SMALL = {"router_steps": 20, "experts": 5, "hidden": 40}


def _settings(name):
    return {k: v for k, v in SMALL.items() if hasattr(find_method(name, []).config, k)}


def _bits(tensors):
    return {k: checkpoint._digest(v) for k, v in tensors.items()}


def _global_generators():
    """The whole states of the three: numpy's place in its block of numbers is one too."""
    numpy = np.random.get_state(legacy=False)
    block = numpy["state"]["key"].tolist(), numpy["state"]["pos"]
    kept = numpy["has_gauss"], numpy["gauss"]
    return torch.get_rng_state().tolist(), random.getstate(), block, kept


def _train(lab, name, kind, seed=0):
    """Two tasks."""
    return lab.train(name, lab.sets(kind)[:2], seed, **_settings(name))


@pytest.fixture(scope="module")
def trained(lab):
    """(name, kind) -> the method after two tasks; shared, so that no test may change it."""
    done = {}

    def get(name, kind):
        if (name, kind) not in done:
            run = done[name, kind] = _train(lab, name, kind)
            run.kept = run.feed.alive()
        return done[name, kind]

    return get


def _told(method):
    return 0 if "task id" in method.uses else None


def test_the_methods_of_the_retrieval_paper_are_found():
    paper = {"zs", "ft", "ewc", "mod-x", "c-clip", "l2p", "dkr", "ta", "dar", "lora-ft"}
    assert paper | {"joint"} <= set(NAMES)
    assert not {name for _, name in REFUSED} & paper


@every_method
def test_a_refusal_names_a_kind_and_a_reason_and_leaves_one(name):
    found = find_method(name, [])
    refuses = found.cls.refuses
    assert found.cls.refused(found.config) == refuses
    assert set(refuses) < set(KINDS)
    assert all(refuses.values())


# -- training


@every_case
def test_training_is_finite_and_moves_only_what_it_may(name, kind, trained, lab):
    run = trained(name, kind)
    assert np.isfinite(run.losses).all()
    for count, moved in zip(run.trainable, run.moved, strict=True):
        assert (moved > 0) == (count > 0)
    assert run.trespass == []
    start = lab.clip().state_dict()
    scale = dict(run.method.named_parameters())["clip.logit_scale"]
    assert scale.equal(start["logit_scale"])


@every_case
def test_embeddings_differ_from_the_backbone_iff_something_was_learned(name, kind, trained, lab):
    run = trained(name, kind)
    state, _ = checkpoint.method_state(run.method, Pristine.of(lab.clip()))
    images, _ = lab.embed(run.method, run.feed, lab.pairs[0], _told(run.method))
    frozen = run.feed.frozen.images(lab.pairs[0].pixels, lab.pairs[0].pixel_key)
    if sum(run.trainable):
        assert state, "something was trained and nothing is kept"
    if not state:
        assert_close(images, frozen, rtol=0, atol=1e-6)
    if sum(run.trainable) and kind == "pairs":
        assert not torch.allclose(images, frozen, atol=1e-4)


@every_case
def test_the_same_seed_gives_the_same_bits(name, kind, trained, lab):
    first, again = trained(name, kind), _train(lab, name, kind)
    assert first.losses == again.losses
    assert _bits(first.method.state_dict()) == _bits(again.method.state_dict())
    told = _told(first.method)
    one, two = (lab.embed(r.method, r.feed, lab.pairs[1], told) for r in (first, again))
    assert one[0].equal(two[0])
    assert one[1].equal(two[1])


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in SEEDED)) for n in NAMES]
)
def test_another_seed_gives_another_result(name, trained, lab):
    kind = "labelled" if ("pairs", name) in REFUSED else "pairs"
    first = trained(name, kind)
    if sum(first.trainable):
        other = _train(lab, name, kind, seed=1)
        assert _bits(first.method.state_dict()) != _bits(other.method.state_dict())


@every_case
def test_no_image_of_a_task_is_kept(name, kind, trained, lab):
    run = trained(name, kind)
    if "samples" not in run.method.uses:
        assert run.kept == 0


@every_case
def test_a_closed_lease_raises(name, kind, trained, lab):
    run = trained(name, kind)
    for task in run.tasks:
        if "samples" in run.method.uses:
            assert next(task.loader.epoch(0)) is not None
            continue
        for read in (lambda t=task: t.loader.epoch(0), task.loader.sweep):
            with pytest.raises(BenchError, match="samples"):
                next(iter(read()))


@every_kind
def test_a_lease_ends_for_readers_that_began_before(kind, lab):
    feed = lab.feed(lab.clip())
    for read in ("epoch", "sweep"):
        task = lab.task(feed, lab.sets(kind)[0], 0, 1)
        batches = task.loader.epoch(0) if read == "epoch" else task.loader.sweep()
        next(batches)
        close(task.loader)
        with pytest.raises(BenchError, match="samples"):
            next(batches)


@every_kind
def test_joining_does_not_reopen_a_closed_lease(kind, lab):
    feed = lab.feed(lab.clip())
    old, new = (lab.task(feed, d, i, 2).loader for i, d in enumerate(lab.sets(kind)[:2]))
    close(old)
    with pytest.raises(BenchError, match="samples"):
        next(join([old, new]).epoch(0))


@every_kind
def test_a_lease_that_ends_closes_what_was_joined_from_it(kind, lab):
    feed = lab.feed(lab.clip())
    old, new = (lab.task(feed, d, i, 2).loader for i, d in enumerate(lab.sets(kind)[:2]))
    both = join([old, new])
    next(both.epoch(0))
    close(old)
    with pytest.raises(BenchError, match="samples"):
        next(both.epoch(0))


# -- inference


@every_case
def test_rows_are_unit_float32(name, kind, trained, lab):
    run = trained(name, kind)
    data = lab.pairs[2]
    for x, n in zip(
        lab.embed(run.method, run.feed, data, _told(run.method)),
        (len(data), len(data.tokens_ML)),
        strict=True,
    ):
        assert x.shape == (n, 128)
        assert x.dtype == torch.float32
        assert not x.requires_grad
        assert_close(x.norm(dim=1), torch.ones(n), rtol=0, atol=1e-5)


@torch.no_grad()
def _encode(run, data, rows, texts, task):
    image_BD = run.method.encode_image(run.feed.images(data, rows, Context(task=task)))
    text = run.feed.texts(data.tokens_ML, data.text_key, texts, Context(task=task))
    return image_BD, run.method.encode_text(text)


@every_case
def test_a_row_does_not_depend_on_the_others(name, kind, trained, lab, captioned):
    """One by one, in one batch, in another order: routing by batch would show here."""
    run = trained(name, kind)
    task = _told(run.method)
    for data in (lab.pairs[0], captioned):  # a learned set and one that is not
        n, m = len(data), 5
        rows, texts = torch.arange(n), torch.arange(m)
        whole = _encode(run, data, rows, texts, task)
        one = [_encode(run, data, rows[i : i + 1], texts[i : i + 1], task) for i in range(m)]
        for x, y in zip(whole, zip(*one, strict=True), strict=True):
            assert_close(x[:m], torch.cat(y), rtol=0, atol=1e-5)
        g = torch.Generator().manual_seed(3)
        p, q = torch.randperm(n, generator=g), torch.randperm(m, generator=g)
        mixed = _encode(run, data, rows[p], texts[q], task)
        assert_close(mixed[0], whole[0][p], rtol=0, atol=1e-5)
        assert_close(mixed[1], whole[1][q], rtol=0, atol=1e-5)


@torch.no_grad()
def _scores(run, data, rows):
    task = _told(run.method)
    score = run.method.classifier(run.feed.classes((data,), context=Context(task=task)))
    return score(run.feed.images(data, rows, Context(task=task)))


@every_case
def test_classes_permuted_are_scores_permuted(name, kind, trained, lab):
    run = trained(name, kind)
    for data in lab.labelled:
        c = len(data.names)
        p = torch.randperm(c, generator=torch.Generator().manual_seed(1))
        mixed = replace(
            data,
            names=tuple(data.names[i] for i in p),
            prompts_CPL=data.prompts_CPL[p],
            text_key=digest([data.text_key, "permuted"]),
        )
        rows = torch.arange(len(data))
        plain = _scores(run, data, rows)
        assert plain.shape == (len(data), c)
        assert plain.dtype == torch.float32
        assert plain.std() > 0
        assert_close(_scores(run, mixed, rows), plain[:, p], rtol=0, atol=1e-4)
        single = torch.cat([_scores(run, data, rows[i : i + 1]) for i in range(6)])
        assert_close(single, plain[:6], rtol=0, atol=1e-4)


@every_case
def test_evaluation_leaves_no_trace(name, kind, trained, lab):
    run = trained(name, kind)
    told = 2, run.method.uses
    sets = [EvalSet("a", "A", lab.pairs[0], 0)]
    sets += [EvalSet("b", "B", d, 0, lab.labelled, i, (0, 1)) for i, d in enumerate(lab.labelled)]
    for which in sets:  # fills the caches of frozen features
        evaluate(run.method, run.feed, which, *told)
    before = _bits(run.method.state_dict())
    rng = _global_generators()
    first = [evaluate(run.method, run.feed, which, *told) for which in sets]
    assert rng == _global_generators()
    assert before == _bits(run.method.state_dict())
    assert not run.method.training
    assert first == [evaluate(run.method, run.feed, which, *told) for which in sets]


@every_case
def test_its_report_fits_a_record_and_changes_nothing(name, kind, trained):
    method = trained(name, kind).method
    before = _bits(method.state_dict())
    assert plain_report(method.report()) == plain_report(method.report())
    assert before == _bits(method.state_dict())


# -- state


@every_case
def test_state_comes_back_from_disk_and_training_only_is_not_read(
    name, kind, trained, lab, tmp_path
):
    run = trained(name, kind)
    state, same = checkpoint.method_state(run.method, Pristine.of(lab.clip()))
    checkpoint.write(tmp_path / "a.safetensors", state, {"same": same})
    tensors, about = checkpoint.read(tmp_path / "a.safetensors")

    feed = lab.feed(lab.clip())
    rebuilt = lab.method(name, feed, **_settings(name))
    for index, data in enumerate(lab.sets(kind)[:2]):  # as the runner replays finished tasks
        task = lab.task(feed, data, index, 2)
        rebuilt.before_task(task)
        if index == 1:
            checkpoint.restore(rebuilt, tensors, about["same"], Pristine.of(lab.clip()))
        lab.end(rebuilt, task)
    rebuilt.eval()

    assert _bits(rebuilt.state_dict()) == _bits(run.method.state_dict())
    for module in run.method.modules():
        assert all(hasattr(module, part) for part in getattr(module, "training_only", ()))
    read = checkpoint.inference_state(rebuilt, state)
    own = rebuilt.state_dict()
    for key in state.keys() - read.keys():
        if not key.startswith("clip."):
            own[key].fill_(float("nan") if own[key].is_floating_point() else -1)
    told = _told(run.method)
    for data in lab.pairs[:2]:
        old, new = (lab.embed(*m, data, told) for m in ((run.method, run.feed), (rebuilt, feed)))
        assert old[0].equal(new[0])
        assert old[1].equal(new[1])
    rows = torch.arange(6)
    run_again = replace(run, method=rebuilt, feed=feed)
    assert _scores(run, lab.labelled[0], rows).equal(_scores(run_again, lab.labelled[0], rows))


@every_case
def test_a_run_that_goes_on_learns_the_next_task_alike(name, kind, lab):
    """From tensors and the replayed `before_task` alone; what another hook left is not there."""
    data = [*lab.sets(kind)[:2], lab.sets(kind)[0]]

    def learn(method, feed, index):
        task = lab.task(feed, data[index], index, len(data))
        method.before_task(task)
        losses = []
        fit = Fit(method, task, lab.recipe, (0, data[index].fingerprint))
        fit.run(lambda _progress, loss, _images: losses.append(loss))
        no_grad_after_task(method, task)
        lab.end(method, task)
        return losses

    feed, pristine = lab.feed(lab.clip()), Pristine.of(lab.clip())
    whole = lab.method(name, feed, **_settings(name))
    for index in (0, 1):
        learn(whole, feed, index)
    state, same = checkpoint.method_state(whole, pristine)
    state = {k: v.clone() for k, v in state.items()}

    feed_again = lab.feed(lab.clip())
    again = lab.method(name, feed_again, **_settings(name))
    for index in (0, 1):
        task = lab.task(feed_again, data[index], index, len(data))
        again.before_task(task)
        if index == 1:
            checkpoint.restore(again, state, same, pristine)
        lab.end(again, task)
    assert learn(again, feed_again, 2) == learn(whole, feed, 2)
    assert _bits(again.state_dict()) == _bits(whole.state_dict())


# -- declaration


@every_method
def test_config_is_frozen_hashable_and_json(name):
    found = find_method(name, [])
    tags = ["", *found.cls.variants]
    configs = [find_method(f"{name}.{t}" if t else name, []).config for t in tags]
    for config in configs:
        assert hash(config) == hash(replace(config))
        back = json.loads(json.dumps(asdict(config)))
        for f in fields(config):
            value = getattr(config, f.name)
            plain = list(value) if isinstance(value, tuple) else value
            assert back[f.name] == plain
    assert len(set(configs)) == len(tags), "a variant equals another one or the default"
    with pytest.raises(FrozenInstanceError):
        configs[0].lr = 1.0  # type: ignore[misc]
    assert found.cls.label
    assert found.cls.uses <= {
        "samples", "features", "reference data", "task id", "test pairing", "test batch",
        "upper bound",
    }  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.stem)
def test_a_method_file_knows_torch_and_the_api_only(file):
    allowed = {"torch", *sys.stdlib_module_names}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            roots = {a.name.partition(".")[0] for a in node.names}
            assert roots <= allowed, f"{file.name}:{node.lineno}"
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}:{node.lineno}: relative import"
            assert node.module is not None
            if node.module != "benchmark.api":
                root = node.module.partition(".")[0]
                assert root in allowed, f"{file.name}:{node.lineno}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("__import__", "exec", "eval"), f"{file.name}:{node.lineno}"


@pytest.mark.parametrize("kind", [Images, Texts])
def test_the_task_is_told_only_to_those_who_declare_it(kind):
    items = kind(torch.zeros(1, 3, 4, 4), lambda: torch.zeros(1, 2))
    with pytest.raises(BenchError, match="task id"):
        _ = items.task
    assert replace(items, _context=Context(task=0)).task == 0


@pytest.mark.parametrize("name", method_names())
def test_a_method_is_one_direct_subclass(name: str) -> None:
    """What two methods share is a function or a module of the toolkit, never a class between."""
    assert find_method(name, []).cls.__bases__ == (Method,)
