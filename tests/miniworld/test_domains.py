"""The embedded data: deterministic, disjoint across roles, distinct in look and words."""

import pickle
import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from benchmark.data import rendered as mini
from benchmark.data.rendered import _DOMAINS
from benchmark.errors import BenchError
from benchmark.miniworld import sampling

TASKS = mini.CAPTIONED[:7]
FUNCTION_WORDS = set(
    re.findall(
        r"\w+",
        "a an the of in on at to by with and is its it one two three under above behind beside "
        "left right no from while this seen small large near",
    )
)


def _split(domain, role, size, seed=0):
    render = mini.render_labelled if domain in mini.LABELLED else mini.render_pairs
    return render(domain, role, size, seed)


def _pixels(split, i):
    return np.asarray(split.images.open(i))


@pytest.fixture(scope="module")
def tests():
    return {name: _split(name, "test", 240) for name in mini.TITLES}


def test_order_and_kinds():
    assert TASKS == (
        "photos", "gen-art", "products", "paintings", "cartoons", "sketches", "scans",
    )  # fmt: skip
    assert mini.CAPTIONED[7:] == ("street", "pantry")
    assert mini.LABELLED == ("objects", "land")
    assert tuple(mini.TITLES) == mini.CAPTIONED + mini.LABELLED
    assert not set(mini.FEW_SHOT) & set(mini.TITLES)


@pytest.mark.parametrize("domain", list(mini.TITLES))
def test_random_access_equals_sequence_and_a_second_render(domain, tests):
    first, again = tests[domain], pickle.loads(pickle.dumps(_split(domain, "test", 240).images))
    sequence = [_pixels(first, i) for i in range(6)]
    for i in (5, 0, 3):
        np.testing.assert_array_equal(sequence[i], np.asarray(again.open(i)))
    assert first.images.content == again.content
    assert len({p.tobytes() for p in sequence}) == 6


@pytest.mark.parametrize("domain", list(mini.TITLES))
def test_images_are_small_rgb_and_not_blank(domain, tests):
    image = tests[domain].images.open(7)
    assert image.mode == "RGB"
    assert image.size == (mini.SIDE, mini.SIDE)
    assert np.asarray(image).std() > 8


@pytest.mark.parametrize("domain", mini.CAPTIONED)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_caption_twice_and_right_number_of_captions(domain, seed):
    split = _split(domain, "test", 240, seed)
    each = {"photos": 5, "street": 5, "pantry": 3}.get(domain, 1)
    assert len(split.captions) == split.images.size == 240
    assert {len(captions) for captions in split.captions} == {each}
    flat = [caption for captions in split.captions for caption in captions]
    assert len(set(flat)) == len(flat)


@pytest.mark.parametrize("domain", mini.CAPTIONED)
def test_captions_are_short_lower_case_sentences(domain, tests):
    for captions in tests[domain].captions:
        for caption in captions:
            assert re.fullmatch(r"[a-z0-9][a-z0-9 ,]*[a-z0-9]\.?", caption), caption
            assert "  " not in caption
            assert 8 <= len(caption.split()) <= 26, caption
            assert len(re.findall(r"\w+|[.,]", caption)) <= 32, caption
            assert not re.search(r"\ba [aeio]|\ban [^aeiou8]", caption), caption


@pytest.mark.parametrize("domain", list(mini.TITLES))
def test_roles_share_no_scene_whatever_the_seed(domain):
    found = {
        role: {
            sampling.fingerprint(scene)
            for seed in (0, 5)
            for scene in sampling.scenes(_DOMAINS[domain], role, 120, seed)
        }
        for role in ("pretrain", "train", "test")
    }
    for one, two in combinations(found.values(), 2):
        assert not one & two


@pytest.mark.parametrize("role", ["train", "test"])
@pytest.mark.parametrize("domain", list(mini.TITLES))
def test_no_scene_twice_within_train_and_test(domain, role):
    found = [repr(scene) for scene in sampling.scenes(_DOMAINS[domain], role, 300, 2)]
    assert len(found) == len(set(found)) == 300


@pytest.mark.parametrize("domain", ["photos", "land"])
def test_a_longer_split_starts_with_the_shorter(domain):
    short, long = _split(domain, "train", 20), _split(domain, "train", 300)
    np.testing.assert_array_equal(_pixels(short, 19), _pixels(long, 19))
    if domain == "photos":
        assert long.captions[:20] == short.captions


def test_content_names_all_that_the_pixels_derive_from():
    contents = [
        _split(*key).images.content
        for key in [
            ("photos", "test", 10, 0), ("street", "test", 10, 0), ("photos", "train", 10, 0),
            ("photos", "test", 11, 0), ("photos", "test", 10, 1),
        ]
    ]  # fmt: skip
    assert len(set(contents)) == 5


def test_content_changes_with_the_renderer(monkeypatch):
    before = _split("scans", "test", 4).images.content
    monkeypatch.setattr(mini, "_renderer_source", lambda: [b"other"])
    assert _split("scans", "test", 4).images.content != before


def test_a_split_is_drawn_once_in_a_process(monkeypatch):
    calls = []

    def draw(*key):
        calls.append(key[1:])
        return sampling.draw(*key)

    monkeypatch.setattr(mini, "draw", draw)
    one, two = (_split("scans", "train", 7, 99) for _ in range(2))
    assert calls == [("train", 7, 99)]
    assert one.captions == two.captions
    assert one.images.content == two.images.content
    with pytest.raises(ValueError, match="read-only"):
        one.images.open.indices[0] = 1
    mini.render_labelled("land", "train", 8, 99).labels[0] = 1
    assert mini.render_labelled("land", "train", 8, 99).labels[0] == 0


def test_seeds_and_roles_draw_other_scenes():
    draws = [_split("scans", role, 50, s).captions for role in ("train", "test") for s in (0, 1)]
    for one, two in combinations(draws, 2):
        assert one != two


@pytest.mark.parametrize("domain", mini.LABELLED)
def test_labels_are_balanced_and_prompts_have_one_slot(domain, tests):
    split = tests[domain]
    counts = np.bincount(split.labels, minlength=len(split.classnames))
    assert split.labels.dtype == np.int64
    assert set(counts.tolist()) == {240 // len(split.classnames)}
    assert all(template.count("{}") == 1 for template in split.templates)
    assert len(set(split.classnames)) == {"objects": 10, "land": 8}[domain]


@pytest.mark.parametrize("domain", mini.LABELLED)
def test_labels_are_the_scenes_classes(domain):
    split = _split(domain, "train", 40)
    scenes = sampling.scenes(_DOMAINS[domain], "train", 40, 0)
    assert [split.classnames[k] for k in split.labels] == [scene["class"] for scene in scenes]


def _statistics(split, rows):
    pixels = np.stack([_pixels(split, i) for i in rows]).astype(np.float64)
    steps = np.abs(np.diff(pixels, axis=2)).mean((1, 2))
    spread = np.ptp(pixels, axis=3)
    return np.concatenate(
        [
            pixels.mean((1, 2)), pixels.std((1, 2)), steps,
            spread.mean((1, 2))[:, None], spread.std((1, 2))[:, None],
            pixels[:, :2].mean((1, 2)), pixels[:, :2].std((1, 2)),
        ],
        axis=1,
    )  # fmt: skip


def test_domains_differ_in_look(tests):
    known = np.stack([_statistics(tests[name], range(60)) for name in TASKS])
    scale = known.reshape(-1, known.shape[-1]).std(0)
    right = 0
    for k, name in enumerate(TASKS):
        asked = _statistics(tests[name], range(60, 120))
        gaps = np.abs((asked[:, None, None] - known[None]) / scale).sum(-1).min(2)
        right += int((gaps.argmin(1) == k).sum())
    assert right / (60 * len(TASKS)) > 0.8


def test_domains_differ_in_words(tests):
    words = {
        name: {
            word
            for captions in tests[name].captions
            for caption in captions
            for word in re.findall("[a-z]+", caption)
        }
        - FUNCTION_WORDS
        for name in TASKS
    }
    for one, two in combinations(TASKS, 2):
        shared = len(words[one] & words[two]) / len(words[one] | words[two])
        assert shared < 0.2, (one, two, sorted(words[one] & words[two]))
    assert min(len(found) for found in words.values()) >= 25


@pytest.mark.parametrize("domain", TASKS)
def test_every_attribute_value_is_said(domain):
    """Two scenes that differ in one attribute differ in what the captions say."""
    spec = _DOMAINS[domain]
    rng = np.random.default_rng(0)
    checked = 0
    for index in rng.integers(0, spec.combinations, 12).tolist():
        base, stride = spec.scene(index), 1
        for values in spec.attributes.values():
            digit = index // stride % len(values)
            other = spec.scene(index + ((digit + 1) % len(values) - digit) * stride)
            stride *= len(values)
            if base is None or other is None or base == other:
                continue
            assert spec.captions(base, 0) != spec.captions(other, 0)
            one = np.asarray(spec.paint(base, np.random.default_rng(1)), dtype=int)
            two = np.asarray(spec.paint(other, np.random.default_rng(1)), dtype=int)
            assert (np.abs(one - two).max(2) > 18).sum() >= 6, (base, other)
            checked += 1
    assert checked > 40


@pytest.mark.parametrize("domain", TASKS)
def test_latent_spaces_are_large(domain):
    spec = _DOMAINS[domain]
    assert len(spec.attributes) >= 5
    share = np.mean([spec.scene(k) is not None for k in range(0, spec.combinations, 397)])
    assert spec.combinations * share >= 50_000


def test_a_space_that_is_too_small_is_an_error():
    spec = _DOMAINS["scans"]
    few = {key: values[:2] for key, values in spec.attributes.items()}
    with pytest.raises(BenchError, match="distinct test scenes in 'scans'"):
        sampling.draw(replace(spec, attributes=few), "test", 200, 0)


def test_unknown_domain_is_an_error():
    with pytest.raises(BenchError, match="photos"):
        mini.render_pairs("photo", "test", 4, 0)
    with pytest.raises(BenchError, match="a labelled domain of the mini suite, got 'photos'"):
        mini.render_labelled("photos", "test", 4, 0)


def test_an_empty_split_has_no_images():
    assert _split("photos", "pretrain", 0).images.size == 0
