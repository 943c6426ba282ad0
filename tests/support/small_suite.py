"""A suite of a user's own with a few small pictures, whose test sets may say anything."""

import json
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = ("red", "green", "blue", "yellow", "white", "black", "orange", "purple")
CLASSES = ("square", "circle", "line", "cross")
SUITE = """
name = "small"
version = "1.0"
class_scope = "union"
[recipe]
epochs = 1
batch_size = 4
[[task]]
name = "words"
images = "."
train_table = "words-train.jsonl"
test_table = "words-test.jsonl"
image = "file"
captions = "says"
[[task]]
name = "forms"
images = "."
train_table = "forms-train.jsonl"
test_table = "forms-test.jsonl"
image = "file"
label = "says"
templates = ["a {}.", "the {}."]
[[task]]
name = "later"
images = "."
train_table = "later-train.jsonl"
test_table = "later-test.jsonl"
image = "file"
label = "says"
[[held_out]]
name = "apart"
images = "."
test_table = "apart-test.jsonl"
image = "file"
captions = "says"
"""


def _draw(path: Path, form: str, colour: str, at: int) -> None:
    image = Image.new("RGB", (32, 32), (at, 90, 120))
    pen = ImageDraw.Draw(image)
    box = (6 + at % 5, 6, 24, 24)
    if form == "square":
        pen.rectangle(box, fill=colour)
    elif form == "circle":
        pen.ellipse(box, fill=colour)
    else:
        pen.line((4, 4, 28, 28), fill=colour, width=4)
        if form == "cross":
            pen.line((28, 4, 4, 28), fill=colour, width=4)
    image.save(path)


def small_suite(folder: Path) -> Path:
    """Write it; returns the suite's file. Tables are `<set>-<split>.jsonl` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    place = 0
    tables = ["words-train", "words-test", "forms-train", "forms-test", "later-train", "later-test"]
    for table in [*tables, "apart-test"]:
        rows = []
        for colour in COLOURS[:4]:
            for form in CLASSES:
                place += 1
                name = f"{table}-{colour}-{form}.png"
                _draw(folder / name, form, colour, place)
                labelled = table.startswith(("forms", "later"))
                says = form if labelled else f"a {colour} {form}"
                rows.append({"file": name, "says": says})
        (folder / f"{table}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    file = folder / "small.toml"
    file.write_text(SUITE)
    return file
