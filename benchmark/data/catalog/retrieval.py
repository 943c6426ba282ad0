"""The seven sets of continual retrieval, in the DAR paper's forward order.

Where the paper does not say how a set without a test part is divided, the share is C-CLIP's
(SmallPigPeppa/clip-lightning), which fits the zero-shot rows of the paper's Table 1; the
permutation is that of `datasets.Dataset.train_test_split(seed=42)`.
"""

from ..published.declare import Declaration, Fraction, Source, SplitRule, Whole

SEED = 42
OFFICIAL: dict[str, SplitRule] = {"train": Whole(("train",)), "test": Whole(("test",))}


def _divided(test: float) -> dict[str, SplitRule]:
    return {
        "train": Fraction("train", test, SEED, "train"),
        "test": Fraction("train", test, SEED, "test"),
    }


FLICKR30K = Declaration(
    name="flickr30k",
    title="Flickr30K",
    kind="pairs",
    source=Source(
        repo="umaru97/flickr30k_train_val_test",
        revision="d775c63",
        parts={"train": ("**/train-*.parquet",), "test": ("**/test-*.parquet",)},
        rows={"train": 29_000, "test": 1_000},
        size=4.2,
        value=("caption",),
    ),
    fallbacks=(
        Source(
            repo="clip-benchmark/wds_flickr30k",
            revision="f8af3ceee1b944bf761340682621dfafd23974d2",
            parts={"train": ("train/*.tar",), "test": ("test/*.tar",)},
            rows={"train": 29_000, "test": 1_000},
            size=4.3,
            image=("jpg",),
            value=("txt",),
        ),
        Source(
            repo="nlphuji/flickr30k",
            revision="refs/convert/parquet",
            parts={"train": ("TEST/test/*.parquet",), "test": ("TEST/test/*.parquet",)},
            rows={"train": 29_000, "test": 1_000},
            size=4.3,
            value=("caption",),
            key="filename",
            part_column="split",
        ),
    ),
    splits=OFFICIAL,
    licence="no label on the hub; research use, the images are under the terms of Flickr",
    citation="Young et al., TACL 2014; split of Karpathy and Fei-Fei, CVPR 2015",
    notes=(
        "five captions an image: text to image asks 5,000 captions, image to text counts any of "
        "the five",
    ),
)

LEXICA = Declaration(
    name="lexica-sd",
    title="Lexica-SD",
    kind="pairs",
    source=Source(
        repo="yuwan0/lexica-stable-diffusion-v1-5",
        revision="ae9d37e",
        parts={"train": ("**/train-*.parquet",)},
        rows={"train": 11_800},
        size=4.9,
        value=("text", "prompt"),
        unsure=frozenset({"rows", "value"}),
    ),
    splits=_divided(0.2),
    licence="openrail",
    citation="Lexica (lexica.art); generated with Stable Diffusion 1.5, Rombach et al., CVPR 2022",
    notes=(
        "prompts repeat with other images, which caps text-to-image recall",
        "the share of 0.2 is inferred from the zero-shot row of Table 1",
    ),
)

WIKIART = Declaration(
    name="wikiart",
    title="WikiArt",
    kind="pairs",
    source=Source(
        repo="AterMors/wikiart_recaption",
        revision="eec5b3a",
        parts={"train": ("**/train-*.parquet",)},
        rows={"train": 81_444},
        size=62.0,
        unsure=frozenset({"rows", "size"}),
    ),
    splits=_divided(0.2),
    licence="apache-2.0 for the captions at best; many of the paintings are in copyright",
    citation="WikiArt (wikiart.org); captions by AterMors/wikiart_recaption",
    notes=("nudity in art: nothing is filtered",),
)

KREAM = Declaration(
    name="kream",
    title="KreaM",
    kind="pairs",
    source=Source(
        repo="hahminlew/kream-product-blip-captions",
        revision="54f0f63fca385f12052fdc318093de7a65fbaf2a",
        parts={"train": ("**/train-*.parquet",)},
        rows={"train": 14_904},
        size=1.33,
    ),
    splits=_divided(0.5),
    licence="cc-by-nc-sa-4.0",
    citation="Lew, KREAM Product BLIP Captions, 2023",
    notes=("near-duplicate products and colours limit recall",),
)

FLINTSTONES = Declaration(
    name="flintstones",
    title="Flintstones",
    kind="pairs",
    source=Source(
        repo="Janak12/FlintstonesSV_Plus_Plus",
        revision="1fa338d",
        # Uploaded by hand, and how the files are called is not known.
        parts={"train": ("**/train*.parquet",), "test": ("**/test*.parquet",)},
        rows={"train": 20_132, "test": 2_309},
        size=None,
        key="id",
    ),
    splits=OFFICIAL,
    licence="cc-by-4.0 for the captions; the frames are from a show in copyright",
    citation="Gupta et al., ECCV 2018 (Flintstones); Janak12/FlintstonesSV_Plus_Plus",
    notes=("frames and captions of one scene are nearly equal; none is removed",),
)

SKETCH = Declaration(
    name="sketch",
    title="Sketch",
    kind="pairs",
    source=Source(
        repo="zoheb/sketch-scene",
        revision="a2d1f3ffb0f65796a24037e15347e8d56f1e692a",
        parts={"train": ("**/train-*.parquet",)},
        rows={"train": 10_000},  # FS-COCO's; the hub's size tag says fewer
        size=0.14,
        unsure=frozenset({"rows"}),
    ),
    splits=_divided(0.2),
    licence="cc-by-nc-sa-4.0 (FS-COCO itself: CC BY-NC 4.0)",
    citation="Chowdhury et al., FS-COCO, ECCV 2022",
    notes=(
        "drawn after photographs of COCO, of which some may be among those held out as `coco`; no "
        "hash finds a photograph behind a sketch",
    ),
)

ROCOV2 = Declaration(
    name="rocov2",
    title="ROCOv2",
    kind="pairs",
    source=Source(
        repo="eltorio/ROCOv2-radiology",
        revision="80ffeef",
        parts={"train": ("**/train-*.parquet",), "test": ("**/test-*.parquet",)},
        rows={"train": 59_962, "test": 9_927},
        size=16.0,
        value=("caption",),
        key="image_id",
    ),
    splits=OFFICIAL,
    licence="cc-by-nc-sa-4.0; each image has the licence of its article",
    citation="Rueckert et al., ROCOv2, Scientific Data 2024",
)

DATASETS = (FLICKR30K, LEXICA, WIKIART, KREAM, FLINTSTONES, SKETCH, ROCOV2)
