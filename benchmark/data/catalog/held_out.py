"""Held-out sets: what a model may lose on data that it is never trained on."""

from ..published.declare import Declaration, Folder, Source, Whole

DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")

COCO = Declaration(
    name="coco",
    title="COCO2014",
    kind="pairs",
    source=Source(
        repo="clip-benchmark/wds_mscoco_captions",
        revision="3bf9ad5d280b03126293bcc691585015e29ce691",
        parts={"test": ("test/*.tar",)},
        rows={"test": 5_000},
        size=0.84,
        image=("jpg",),
        value=("txt",),
    ),
    fallbacks=(
        Source(
            repo="nlphuji/mscoco_2014_5k_test_image_text_retrieval",
            revision="fb42856fbf2ecad4d1382679f0abb33cab9fc952",  # of refs/convert/parquet
            parts={"test": ("TEST/test/*.parquet",)},
            rows={"test": 5_000},
            size=0.82,
            value=("caption",),
        ),
    ),
    splits={"test": Whole(("test",))},
    licence="cc-by-4.0 for the captions; the images are under the terms of Flickr",
    citation="Lin et al., ECCV 2014; split of Karpathy and Fei-Fei, CVPR 2015",
    notes=("all 25,010 captions are used: some images have six or seven",),
)

NOCAPS = Declaration(
    name="nocaps",
    title="NoCaps",
    kind="pairs",
    source=Source(
        repo="lmms-lab/NoCaps",
        revision="a26b3fe1e0021164ec430c57c48085d58f2fe922",
        parts={"validation": ("**/validation-*.parquet",)},
        rows={"validation": 4_500},
        size=1.42,
        value=("annotations_captions",),
        key="image_file_name",
    ),
    fallbacks=(
        Source(
            repo="HuggingFaceM4/NoCaps",
            revision="refs/convert/parquet",
            parts={"validation": ("default/validation/*.parquet",)},
            rows={"validation": 4_500},
            size=1.42,
            value=("annotations_captions",),
            unsure=frozenset({"value"}),
        ),
    ),
    splits={"test": Whole(("validation",))},
    licence="cc-by-2.0",
    citation="Agrawal et al., nocaps, ICCV 2019",
    notes=("validation part, ten captions an image; the test part has no captions",),
)

IMAGENET = Declaration(
    name="imagenet",
    title="ImageNet",
    kind="labelled",
    source=Source(
        repo="clip-benchmark/wds_imagenet1k",
        revision="b24c7a5a3ef12df09089055d1795e2ce7c7e7397",
        parts={"validation": ("test/*.tar",)},
        rows={"validation": 50_000},
        size=6.9,
        image=("jpg", "jpeg", "webp", "png"),
        value=("cls",),
    ),
    fallbacks=(
        Source(
            repo="djghosh/wds_imagenet1k_test",
            revision="cd4497d301eab11097af2f80a08eec9374c87828",
            parts={"validation": ("test/*.tar",)},
            rows={"validation": 50_000},
            size=6.9,
            image=("jpg", "jpeg", "webp", "png"),
            value=("cls",),
        ),
        Source(
            repo="ILSVRC/imagenet-1k",
            revision="49e2ee26f3810fb5a7536bbf732a7b07389a47b5",
            parts={"validation": ("**/validation-*.parquet",)},
            rows={"validation": 50_000},
            size=6.7,
            value=("label",),
            by_number=True,  # its names are WordNet's
            gated=True,
        ),
    ),
    splits={"test": Whole(("validation",))},
    licence="research use only, under the ImageNet terms of access",
    citation="Russakovsky et al., IJCV 2015",
    classes="imagenet",
)

DOMAINNET = Declaration(
    name="domainnet",
    title="DomainNet",
    kind="labelled",
    source=Source(
        repo="wltjr1007/DomainNet",
        revision="ee20570ae7a29c51571e55a9a17983f7625295d6",  # older ones have no `label`
        parts={"test": ("**/test-*.parquet",)},
        rows={"test": 176_743},
        size=5.6,
        value=("label",),
        group="domain",
    ),
    splits={name: Whole(("test",), group=name) for name in DOMAINS},
    licence="non-commercial research",
    citation="Peng et al., Moment Matching for Multi-Source Domain Adaptation, ICCV 2019",
    classes="domainnet",
    notes=(
        "scored domain by domain; the mean over the six domains fits the DAR paper's 56.8, the "
        "mean over all images does not",
    ),
)

PLACES365 = Declaration(
    name="places365",
    title="Places365",
    kind="labelled",
    source=Folder(
        layout="places365",
        parts=("validation",),
        images="val_256.tar",
        listing="places365_val.txt",
        rows={"validation": 36_500},
        url="http://places2.csail.mit.edu/download.html",
        md5={  # as torchvision.datasets.Places365 has them
            "val_256.tar": "e27b17d8d44f4af9a78502beb927f808",
            "places365_val.txt": "e9f2fd57bfd9d07630173f4e8708e4b1",
        },
        size=0.53,
    ),
    splits={"test": Whole(("validation",))},
    licence="research and education; images under the terms of their owners",
    citation="Zhou et al., Places, TPAMI 2018",
    classes="places365",
    notes=("no clean copy on the hub: put the two files into a folder and give it with --from",),
)

DATASETS = (COCO, NOCAPS, IMAGENET, DOMAINNET, PLACES365)
