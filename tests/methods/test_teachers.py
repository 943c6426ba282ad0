"""Methods that distil from a frozen copy: what it is asked, how often, and what it says."""

from collections import Counter
from typing import Any

import pytest
import torch
from lanes import lanes
from torch.testing import assert_close

from benchmark.backbones.open_clip import OpenClip
from benchmark.protocol.items import Images, Texts

EPOCHS = 2
IMAGES_AND_TEXTS = ("mod-x", "dkr", "lwf", "c-clip")


class Asked:
    """Which items each backbone has embedded, told by their pixels or tokens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.models: list[Any] = []
        self.items: dict[tuple[int, str], Counter[bytes]] = {}
        for name in ("image", "text"):
            monkeypatch.setattr(OpenClip, name, self._noted(name, getattr(OpenClip, name)))

    def _noted(self, name: str, real: Any) -> Any:
        def embed(model: Any, content: torch.Tensor) -> Any:
            if all(model is not known for known in self.models):
                self.models.append(model)
            seen = self.items.setdefault((id(model), name), Counter())
            seen.update(row.numpy().tobytes() for row in content)
            return real(model, content)

        return embed

    def teachers(self, run: Any) -> list[Any]:
        """The backbones that are neither trained nor the untouched one of the cache."""
        mine = (run.method.clip, run.feed.frozen._clip)
        return [model for model in self.models if all(model is not other for other in mine)]


def _train(lab: Any, name: str, kind: str, **changes: Any) -> Any:
    with torch.enable_grad():
        return lab.train(name, lab.sets(kind)[:2], epochs=EPOCHS, **changes)


def _contents(rows: torch.Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in rows}


@pytest.mark.parametrize("name", lanes(IMAGES_AND_TEXTS, ["c-clip", "lwf"]))
@pytest.mark.parametrize("kind", ["pairs", pytest.param("labelled", marks=pytest.mark.slow)])
def test_a_teacher_sees_every_item_of_its_task_once(
    name: str, kind: str, lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    run = _train(lab, name, kind)
    (teacher,) = asked.teachers(run)
    images, texts = (asked.items[id(teacher), part] for part in ("image", "text"))
    data = lab.sets(kind)[1]
    assert set(images) == _contents(run.feed.images(data, torch.arange(len(data))).pixels_B3HW)
    every = data.tokens_ML if kind == "pairs" else data.prompts_CPL[:, 0]
    assert set(texts) <= _contents(every)
    assert set(images.values()) == set(texts.values()) == {1}
    student = asked.items[id(run.method.clip), "image"] if name != "c-clip" else None
    assert student is None or student.total() == 2 * EPOCHS * len(data), "it learns in every step"


def test_texts_that_are_drawn_are_no_concern_of_the_store(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    run = _train(lab, "lwf-vr", "pairs", sequences=20)
    (teacher,) = asked.teachers(run)
    assert set(asked.items[id(teacher), "image"].values()) == {1}
    assert (id(teacher), "text") not in asked.items


def test_a_memory_is_seen_once_however_often_it_is_drawn(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    run = _train(lab, "icarl", "labelled", memory=6)
    chose, teacher, last = asked.teachers(run)
    first, second = ({*asked.items[id(one), "image"].values()} for one in (chose, last))
    assert first == second == {1}
    # It has the weights by which the memory was chosen: those rows are all there.
    assert (id(teacher), "image") not in asked.items
    texts = asked.items[id(teacher), "text"]
    prompts = [_contents(data.prompts_CPL[:, 0]) for data in lab.labelled[:2]]
    assert set(texts) == prompts[0] | prompts[1]
    assert set(texts.values()) == {1}


@pytest.mark.parametrize(
    ("name", "kind", "changes"),
    [
        pytest.param("mod-x", "pairs", {}, marks=pytest.mark.slow),
        ("dkr", "pairs", {}),
        ("lwf", "labelled", {}),
        pytest.param("lwf-vr", "pairs", {"sequences": 20}, marks=pytest.mark.slow),
        pytest.param("icarl", "labelled", {"memory": 6}, marks=pytest.mark.slow),
        ("c-clip", "pairs", {}),
        pytest.param("c-clip", "labelled", {}, marks=pytest.mark.slow),
        pytest.param("c-clip", "pairs", {"ckc_concat": "feature"}, marks=pytest.mark.slow),
    ],
)
def test_a_step_is_as_with_a_teacher_that_is_asked_anew(
    name: str, kind: str, changes: dict[str, Any], lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the rows are computed in this step or were in another batch of another epoch."""
    first, second = lab.sets(kind)[:2]
    run = lab.train(name, [first], **changes)
    method = run.method
    task = lab.task(run.feed, second, 1, 2)
    lab.before(method, task, second)
    method.train()
    batches = [batch for epoch in (0, 1) for batch in task.loader.epoch(epoch)]

    def terms() -> list[dict[str, torch.Tensor]]:
        found = []
        for batch in batches:
            torch.manual_seed(3)
            found.append({key: term.detach() for key, term in method.loss(batch).items()})
        return found

    kept, again = terms(), terms()
    for part in (Images, Texts):
        monkeypatch.setattr(part, "cached", lambda self, part, encode, given=None: encode(self))
    for old, looked_up, anew in zip(kept, again, terms(), strict=True):
        assert len(anew) > 1
        assert_close(old, looked_up, rtol=0, atol=0)
        assert_close(old, anew, rtol=1e-6, atol=1e-5)


@torch.no_grad()
def test_rows_of_a_batch_made_by_hand_are_computed(lab: Any) -> None:
    """Nothing is known of its items, so that nothing may be looked up for them."""
    from benchmark.toolkit.distillation import snapshot, teacher_images, teacher_texts

    feed = lab.feed(lab.clip())
    for p in feed.clip.weights():
        p.mul_(1.05)
    teacher, data = snapshot(feed.clip), lab.pairs[0]
    rows = torch.arange(5)
    images, tokens = feed.images(data, rows), data.tokens_ML[:5]
    assert_close(teacher_images(teacher, images), teacher.image(images.pixels_B3HW))
    turned = images.pixels_B3HW.flip(3)
    by_hand = Images(turned, images.frozen)
    assert_close(teacher_images(teacher, by_hand), teacher.image(turned), rtol=0, atol=1e-6)
    assert not torch.allclose(teacher_images(teacher, by_hand), teacher_images(teacher, images))
    other = Texts(tokens.roll(1, 0), lambda: tokens)
    want = teacher.text(tokens)
    assert_close(teacher_texts(teacher, other), want.roll(1, 0), rtol=0, atol=1e-6)
