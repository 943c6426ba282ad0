"""Prompt templates of the classification protocols; `{}` stands for the class name.

Sources (facts carried over, read at the commits named):

- XTAIL: Artificer-AI-Lab/MoRAM aaa51d8, `XTAIL/scenario_datasets/<set>.py` and `collections.py`;
  CoDyRA is of the same lab and uses the first template of each data set to train and to test.
- GENERIC: linghan1997/Regression-based-Analytic-Incremental-Learning eaac644,
  `primal_RAIL.py` and `dual_RAIL.py`: one generic template for the zero-shot head.
- MTIL: Thunderbeee/ZSCL b96e714, `mtil/src/datasets/collections.py` and `cifar10.py`; the same
  lists in JiazuoYu/MoE-Adapters4CL 4572d97. The first template trains, the whole list tests.
- OOD: openai/CLIP d05afc4, `data/prompts.md` (CIFAR100, EuroSAT); DomainNet has one generic
  template. IMAGENET has the 80 of the same file, which are also open_clip's.
"""

from typing import Final

_CIFAR: Final[tuple[str, ...]] = (
    "a photo of a {}.",
    "a blurry photo of a {}.",
    "a black and white photo of a {}.",
    "a low contrast photo of a {}.",
    "a high contrast photo of a {}.",
    "a bad photo of a {}.",
    "a good photo of a {}.",
    "a photo of a small {}.",
    "a photo of a big {}.",
    "a photo of the {}.",
    "a blurry photo of the {}.",
    "a black and white photo of the {}.",
    "a low contrast photo of the {}.",
    "a high contrast photo of the {}.",
    "a bad photo of the {}.",
    "a good photo of the {}.",
    "a photo of the small {}.",
    "a photo of the big {}.",
)

_EUROSAT: Final[tuple[str, ...]] = (
    "a centered satellite photo of {}.",
    "a centered satellite photo of a {}.",
    "a centered satellite photo of the {}.",
)

#: X-TAIL: the ten data sets, one template each (CoDyRA, MoRAM).
XTAIL: Final[dict[str, tuple[str, ...]]] = {
    "aircraft": ("a photo of a {}, a type of aircraft.",),
    "caltech101": ("a photo of a {}.",),
    "dtd": ("{} texture.",),
    "eurosat": ("a centered satellite photo of the {}.",),
    "flowers102": ("a photo of a {}, a type of flower.",),
    "food101": ("a photo of a {}, a type of food.",),
    "mnist": ('a photo of the number: "{}".',),
    "oxford-pets": ("a photo of a {}, a type of pet.",),
    "stanford-cars": ("a photo of a {}.",),
    "sun397": ("a photo of a {}.",),
}

#: MTIL: the eleven data sets, the training template first.
MTIL: Final[dict[str, tuple[str, ...]]] = {
    "aircraft": (
        "a photo of a {}, a type of aircraft.",
        "a photo of the {}, a type of aircraft.",
    ),
    "caltech101": (
        "a photo of a {}.",
        "a painting of a {}.",
        "a plastic {}.",
        "a sculpture of a {}.",
        "a sketch of a {}.",
        "a tattoo of a {}.",
        "a toy {}.",
        "a rendition of a {}.",
        "a embroidered {}.",
        "a cartoon {}.",
        "a {} in a video game.",
        "a plushie {}.",
        "a origami {}.",
        "art of a {}.",
        "graffiti of a {}.",
        "a drawing of a {}.",
        "a doodle of a {}.",
        "a photo of the {}.",
        "a painting of the {}.",
        "the plastic {}.",
        "a sculpture of the {}.",
        "a sketch of the {}.",
        "a tattoo of the {}.",
        "the toy {}.",
        "a rendition of the {}.",
        "the embroidered {}.",
        "the cartoon {}.",
        "the {} in a video game.",
        "the plushie {}.",
        "the origami {}.",
        "art of the {}.",
        "graffiti of the {}.",
        "a drawing of the {}.",
        "a doodle of the {}.",
    ),
    "cifar100": _CIFAR,
    "dtd": (
        "a photo of a {} texture.",
        "a photo of a {} pattern.",
        "a photo of a {} thing.",
        "a photo of a {} object.",
        "a photo of the {} texture.",
        "a photo of the {} pattern.",
        "a photo of the {} thing.",
        "a photo of the {} object.",
    ),
    "eurosat": _EUROSAT,
    "flowers102": ("a photo of a {}, a type of flower.",),
    "food101": ("a photo of a {}, a type of food.",),
    "mnist": ('a photo of the number: "{}".',),
    "oxford-pets": ("a photo of a {}, a type of pet.",),
    "stanford-cars": (
        "a photo of a {}, a type of car.",
        "a photo of a {}.",
        "a photo of the {}.",
        "a photo of my {}.",
        "i love my {}!",
        "a photo of my dirty {}.",
        "a photo of my clean {}.",
        "a photo of my new {}.",
        "a photo of my old {}.",
    ),
    "sun397": (
        "a photo of a {}.",
        "a photo of the {}.",
    ),
}

IMAGENET: Final[tuple[str, ...]] = (
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a sculpture of a {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of the {}.",
    "a rendering of a {}.",
    "graffiti of a {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a tattoo of a {}.",
    "the embroidered {}.",
    "a photo of a hard to see {}.",
    "a bright photo of a {}.",
    "a photo of a clean {}.",
    "a photo of a dirty {}.",
    "a dark photo of the {}.",
    "a drawing of a {}.",
    "a photo of my {}.",
    "the plastic {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a painting of the {}.",
    "a painting of a {}.",
    "a pixelated photo of the {}.",
    "a sculpture of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a plastic {}.",
    "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a rendering of the {}.",
    "a {} in a video game.",
    "a photo of one {}.",
    "a doodle of a {}.",
    "a close-up photo of the {}.",
    "a photo of a {}.",
    "the origami {}.",
    "the {} in a video game.",
    "a sketch of a {}.",
    "a doodle of the {}.",
    "a origami {}.",
    "a low resolution photo of a {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "a photo of the clean {}.",
    "a photo of a large {}.",
    "a rendition of a {}.",
    "a photo of a nice {}.",
    "a photo of a weird {}.",
    "a blurry photo of a {}.",
    "a cartoon {}.",
    "art of a {}.",
    "a sketch of the {}.",
    "a embroidered {}.",
    "a pixelated photo of a {}.",
    "itap of the {}.",
    "a jpeg corrupted photo of the {}.",
    "a good photo of a {}.",
    "a plushie {}.",
    "a photo of the nice {}.",
    "a photo of the small {}.",
    "a photo of the weird {}.",
    "the cartoon {}.",
    "art of the {}.",
    "a drawing of the {}.",
    "a photo of the large {}.",
    "a black and white photo of a {}.",
    "the plushie {}.",
    "a dark photo of a {}.",
    "itap of a {}.",
    "graffiti of the {}.",
    "a toy {}.",
    "itap of my {}.",
    "a photo of a cool {}.",
    "a photo of a small {}.",
    "a tattoo of the {}.",
)

#: Standalone zero-shot evaluation.
OOD: Final[dict[str, tuple[str, ...]]] = {
    "cifar100": _CIFAR,
    "eurosat": _EUROSAT,
    "domainnet": ("a photo of a {}.",),
    "imagenet": IMAGENET,
}

#: One template for every data set: RAIL's, and of the hold-outs of X-TAIL and MTIL (CoDyRA,
#: Table 4).
GENERIC: Final[tuple[str, ...]] = ("a photo of a {}.",)

#: What `cl-bench run --templates` chooses from: as RAIL, as CoDyRA in X-TAIL, as CoDyRA's lab in
#: MTIL (the first of ZSCL's), as ZSCL. CIFAR100 is no data set of X-TAIL; it has CoDyRA's template
#: for objects (Caltech101).
SETS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "generic": dict.fromkeys(MTIL, GENERIC),
    "per-dataset": {**XTAIL, "cifar100": GENERIC},
    "first": {name: templates[:1] for name, templates in MTIL.items()},
    "ensemble": MTIL,
}
