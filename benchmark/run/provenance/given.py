"""What a user's own files hold, as a part of what identifies a run."""

from ...common.digests import digest
from ...common.files import file_sha256, weights_file
from ...data.split import ImageSource, Pairs
from ...errors import BenchError
from ...suites.suite import Suite


def weights_name(pretrained: str) -> str:
    """A tag as it is; a file by name and content, wherever it lies and whatever replaces it."""
    file = weights_file(pretrained)
    if file is None:
        return pretrained
    try:
        return f"{file.name}@{file_sha256(file)[:12]}"
    except BenchError as e:
        got = f"'{file}' ({e.got})"
        raise BenchError("a weights file", got, "correct --pretrained", code=4) from e


def own_content(suite: Suite) -> str | None:
    """Digest of a user's own suite, so that a record of edited data is not taken for this one."""
    if suite.folder is None:
        return None
    parts: list[str] = [suite.class_scope]
    for dataset in (*suite.tasks, *suite.held_out):
        for name in ("train", "test") if dataset in suite.tasks else ("test",):
            split = dataset.load(name)
            if isinstance(split, Pairs):
                texts = repr(split.captions)
            else:
                texts = repr((split.labels.tolist(), split.classnames, split.templates))
            assert isinstance(split.images, ImageSource), "of the user's own files"
            parts += [dataset.name, name, split.images.content, texts]
    return digest(parts)
