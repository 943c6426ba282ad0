"""State on disk: whole or refused, and no larger than what a method keeps."""

import math
import resource
from copy import deepcopy
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from benchmark.errors import BenchError
from benchmark.run.state import checkpoint
from benchmark.run.state.checkpoint import DamagedCheckpoint, Pristine


class Toy(nn.Module):
    """A backbone, a head that grows, a bank of two buffers and a teacher."""

    # Any, as some tests drop them, which makes them None.
    free: Any
    bank: Any
    teacher: Any

    def __init__(self, clip, classes=2, teacher=True):
        super().__init__()
        self.clip = clip
        self.head = nn.Linear(4, classes)
        self.free = nn.Parameter(torch.ones(3))
        self.register_buffer("bank", torch.zeros(0, 0))
        self.teacher = deepcopy(self.head) if teacher else None


def _backbone():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.BatchNorm1d(4))


@pytest.fixture
def pristine():
    return Pristine.of(_backbone())


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "sub" / "task-1.safetensors"
    tensors = {
        "a": torch.arange(6.0).view(2, 3).T,  # not contiguous
        "b": torch.zeros(0, 5, dtype=torch.int64),
        "c": torch.tensor(2.5, dtype=torch.bfloat16),
        "d": torch.tensor([True, False]),
    }
    checkpoint.write(path, tensors, {"tasks": 1, "lr": 0.1})
    return path, tensors


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(written):
    """The library reports it by an error of its own; here a limit on file sizes plays the disk."""
    path, tensors = written
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    try:
        with pytest.raises(BenchError, match="free some space") as error:
            checkpoint.write(path, {"large": torch.zeros(2**16)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.code == 6
    assert checkpoint.read(path)[0].keys() == tensors.keys()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_tensors_come_back(written):
    path, tensors = written
    got, about = checkpoint.read(path)
    assert about == {"tasks": 1, "lr": 0.1}
    assert got.keys() == tensors.keys()
    for name, value in tensors.items():
        assert got[name].dtype == value.dtype
        assert got[name].equal(value)
        # The last bits of a product may depend on where its factors lie.
        assert value.numel() == 0 or got[name].data_ptr() % 64 == 0
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".part")] == []


def _cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def _empty(path):
    path.write_bytes(b"")


def _flip(path):
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(raw)


def _unsealed(path):
    save_file({"a": torch.zeros(1)}, path)


def _bad_note(path):
    save_file({"a": torch.zeros(1)}, path, {"about": "{", "digests": "{}"})


def _one_tensor_less(path):
    tensors, _ = checkpoint.read(path)
    with safe_open(path, framework="pt") as f:
        meta = f.metadata()
    save_file({"a": tensors["a"]}, path, meta)


@pytest.mark.parametrize(
    "harm", [_cut, _empty, _flip, _unsealed, _bad_note, _one_tensor_less, lambda p: p.unlink()]
)
def test_a_damaged_checkpoint_is_told_from_a_whole_one(harm, written):
    path, _ = written
    harm(path)
    with pytest.raises(DamagedCheckpoint, match="task-1"):
        checkpoint.read(path)


def test_no_single_byte_can_change_unseen(written):
    """The note counts too: a changed step or seed would go on from the wrong place."""
    path, _ = written
    raw, unseen = path.read_bytes(), []
    whole = checkpoint.read(path)
    for i in range(len(raw)):
        path.write_bytes(raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1 :])
        try:
            got = checkpoint.read(path)
        except DamagedCheckpoint:
            continue
        same = got[1] == whole[1] and got[0].keys() == whole[0].keys()
        if not same or any(not v.equal(whole[0][k]) for k, v in got[0].items()):
            unseen.append(raw[max(0, i - 12) : i + 4])
    assert unseen == []


def test_an_overwritten_checkpoint_does_not_alias_live_weights(tmp_path):
    """The next optimiser step must not reach into what was read or written."""
    path, weight = tmp_path / "x.safetensors", torch.zeros(3)
    checkpoint.write(path, {"w": weight, "again": weight}, {})
    weight += 1
    got, _ = checkpoint.read(path)
    assert got["w"].equal(torch.zeros(3))
    assert got["again"].equal(torch.zeros(3))


def test_unchanged_backbone_tensors_are_not_stored(pristine):
    toy = Toy(_backbone())
    state, same = checkpoint.method_state(toy, pristine)
    assert same == sorted(f"clip.{k}" for k in toy.clip.state_dict())
    assert set(state) == set(toy.state_dict()) - set(same)
    with torch.no_grad():
        toy.clip[0].bias[1] = math.nextafter(float(toy.clip[0].bias[1]), 1e9)
        toy.clip[0].weight[0, 0] += 1e-4
    state, same = checkpoint.method_state(toy, pristine)
    assert "clip.0.weight" in state
    assert "clip.0.weight" not in same
    head, bank, free = 2 * (4 * 2 + 2) * 4, 0, 3 * 4
    assert checkpoint.extra_bytes(state) == head + bank + free


def test_equal_bytes_under_another_name_or_shape_are_stored(pristine):
    """A teacher that still equals the backbone is kept memory all the same."""
    toy = Toy(_backbone())
    toy.teacher = _backbone()
    state, _ = checkpoint.method_state(toy, pristine)
    assert {k for k in state if k.startswith("teacher.")}
    assert not pristine.unchanged("clip.0.weight", _backbone()[0].weight.T)
    assert not pristine.unchanged("clip.0.weight", _backbone()[0].weight.view(16))
    assert not pristine.unchanged("clip.0.weight", _backbone()[0].weight.view(torch.int32))
    assert pristine.unchanged("clip.0.weight", _backbone()[0].weight)


def _round_trip(toy, fresh, pristine, tmp_path):
    state, same = checkpoint.method_state(toy, pristine)
    checkpoint.write(tmp_path / "x.safetensors", state, {"same": same})
    tensors, about = checkpoint.read(tmp_path / "x.safetensors")
    checkpoint.restore(fresh, tensors, about["same"], pristine)
    old, new = toy.state_dict(), fresh.state_dict()
    assert old.keys() == new.keys()
    assert all(new[k].equal(v) and new[k].dtype == v.dtype for k, v in old.items())


def test_buffers_take_the_saved_shape_and_changed_weights_come_back(pristine, tmp_path):
    toy, fresh = Toy(_backbone()), Toy(_backbone())
    toy.bank = torch.rand(3, 5)
    with torch.no_grad():
        toy.clip[0].weight += 1
    toy.clip[2].train()(torch.rand(8, 4))  # running statistics are buffers of the backbone
    _round_trip(toy, fresh, pristine, tmp_path)
    assert fresh.bank.shape == (3, 5)
    assert isinstance(fresh.head.weight, nn.Parameter)


def test_dropped_parts_are_dropped(pristine, tmp_path):
    toy, fresh = Toy(_backbone()), Toy(_backbone())
    toy.teacher, toy.bank, toy.free = None, None, None
    _round_trip(toy, fresh, pristine, tmp_path)
    assert fresh.teacher is None
    assert fresh.bank is None
    assert fresh.free is None
    fresh.teacher = deepcopy(fresh.head)  # the next before_task builds it again


def test_a_dropped_buffer_comes_back(pristine, tmp_path):
    toy, fresh = Toy(_backbone()), Toy(_backbone())
    toy.bank, fresh.bank = torch.ones(2), None
    _round_trip(toy, fresh, pristine, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"head.weight": torch.zeros(3, 4)},
        {"head.weight": torch.zeros(1, 4)},  # would broadcast
        {"free": torch.tensor(0.5)},  # would broadcast
        {"other.weight": torch.zeros(1)},
        {"head.scale": torch.zeros(1)},
    ],
    ids=["shape", "row", "scalar", "module", "leaf"],
)
def test_a_state_of_another_structure_is_refused(change, pristine):
    toy = Toy(_backbone())
    state, same = checkpoint.method_state(Toy(_backbone()), pristine)
    with pytest.raises(BenchError, match="before_task"):
        checkpoint.restore(toy, {**state, **change}, same, pristine)


def test_a_replay_that_changes_a_pretrained_weight_is_refused(pristine):
    toy = Toy(_backbone())
    state, same = checkpoint.method_state(toy, pristine)
    with torch.no_grad():
        toy.clip[0].bias += 1
    with pytest.raises(BenchError, match=r"clip\.0\.bias"):
        checkpoint.restore(toy, state, same, pristine)


def test_fit_state_of_a_task_without_training(lab):
    from benchmark.run.train import Fit

    feed = lab.feed(lab.clip())
    fit = Fit(lab.method("zs", feed), lab.task(feed, lab.pairs[0], 0, 1), lab.recipe, (0,))
    tensors, progress = checkpoint.fit_state(fit)
    assert tensors == {}
    checkpoint.restore_fit(fit, tensors, progress)
    fit.run(lambda *_: pytest.fail("a step was made"))
