"""Doubles of the fine-grained labelled sets. Where each was read: README.md here."""

from collections.abc import Callable

from .kinds import IMAGE, LABELS, Column, Spec, Split, classes, label, labelled, text

ONE = Split(1)
FAMILY = classes(LABELS["aircraft_family"], lambda row: row.label % 70)
MAKER = classes(LABELS["aircraft_manufacturer"], lambda row: row.label % 30)


def aircraft() -> Spec:
    """Its `label` is the family: the hundred classes are in `variation`."""
    return labelled(
        "aircraft",
        {"train": Split(3, 2), "val": ONE, "test": Split(1, 2)},
        revision="3237e2c15db36fa9016794561b7aae6b49eef9a2",
        columns={
            "image": IMAGE,
            "label": FAMILY,
            "variation": label(LABELS["aircraft"]),
            "manufacturer": MAKER,
        },
    )


def aircraft_mteb() -> Spec:
    return labelled(
        "aircraft",
        {"train": Split(3), "validation": ONE, "test": ONE},
        revision="3ae0e4e94e37c610c26df758ec3255fa90d80e67",
        columns={
            "image": IMAGE,
            "family": FAMILY,
            "manufacturer": MAKER,
            "variant": label(LABELS["aircraft"]),
        },
    )


def flowers_dpdl() -> Spec:
    names = [name.replace(" ", "_") for name in LABELS["flowers102"]]  # not known
    file = Column("string", lambda row: f"image_{row.number:05d}.jpg")
    return labelled(
        "flowers102",
        {"train": Split(2), "validation": ONE, "test": Split(1, 3)},
        names,
        revision="544b55c9af69a05742ead7571cd7ae23cfcd758b",
        columns={"file_name": file, "image": IMAGE, "label": label(names)},
        image="png",
    )


def food_mteb() -> Spec:
    names = [name.replace("_", " ").capitalize() for name in LABELS["food101"]]  # not known
    return labelled(
        "food101",
        {"train": Split(2, 2), "validation": Split(1, 2)},
        names,
        revision="7cca05bfde8fdad4a9b39ed14a881c800cc1dca2",
    )


def pets() -> Spec:
    names = [name.lower() for name in LABELS["oxford-pets"]]
    cats = {name.lower() for name in LABELS["oxford-pets"] if name[0].isupper()}
    return labelled(
        "oxford-pets",
        {"train": Split(3), "test": Split(2)},
        names,
        revision="089695c",
        data="10b688881011725fa2fa3d856a47536c9a7e6968",
        columns={
            "image": IMAGE,
            "label": label(names),
            "image_id": text(lambda row: f"{names[row.label]}_{row.number}"),
            "label_cat_dog": classes(("cat", "dog"), lambda row: int(names[row.label] not in cats)),
        },
        card=("license: cc-by-sa-4.0",),
    )


def pets_mteb() -> Spec:
    names = [name.replace("_", " ").title() for name in LABELS["oxford-pets"]]  # torchvision's
    return labelled(
        "oxford-pets",
        {"train": Split(2), "test": ONE},
        names,
        revision="557b480fae8d69247be74d9503b378a09425096f",
    )


CORRUPTED = (
    "contrast", "gaussian_noise", "impulse_noise", "jpeg_compression", "motion_blur", "pixelate",
    "spatter",
)  # fmt: skip


def cars() -> Spec:
    corrupted = {name: Split(1, 1 + name.endswith("_noise")) for name in CORRUPTED[:3]}
    return labelled(
        "stanford-cars",
        {"train": Split(1, 2), "test": Split(1, 2), **corrupted},
        revision="9abf6cf7d6dfa7b95152a0d6e791ea9435b47a40",
    )


def cars_donghyun() -> Spec:
    names = [  # not known; CLIP's, with the year in front
        " ".join([name.split()[-1], *name.split()[:-1]]) for name in LABELS["stanford-cars"]
    ]
    return labelled(
        "stanford-cars",
        {"train": Split(1, 2), "test": ONE},
        names,
        revision="c9c43a068ed98f2bb655814a01eacbe2afc2e3f1",
        data="9551c78",
    )


FINE_GRAINED: dict[str, Callable[[], Spec]] = {
    "Donghyun99/FGVC-Aircraft": aircraft,
    "mteb/FGVCAircraft": aircraft_mteb,
    "Donghyun99/Oxford-Flower-102": lambda: labelled(
        "flowers102",
        {"train": Split(3), "validation": ONE, "test": ONE},
        revision="06fcc9a13ee3f84cc7f36fa0eef10df2c7f8750f",
    ),
    "dpdl-benchmark/oxford_flowers102": flowers_dpdl,
    "ethz/food101": lambda: labelled(
        "food101",
        {"train": Split(3, 3), "validation": Split(1, 2)},
        revision="e06acf2a88084f04bce4d4a525165d68e0a36c38",
        card=("license: unknown",),
    ),
    "mteb/food101": food_mteb,
    "timm/oxford-iiit-pet": pets,
    "mteb/OxfordPets": pets_mteb,
    "tanganke/stanford_cars": cars,
    "Donghyun99/Stanford-Cars": cars_donghyun,
}
