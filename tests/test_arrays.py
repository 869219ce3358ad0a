"""Tasks from arrays: formats, bounds of what files may claim, and partitions by class."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from fl.config import Arrays, Dirichlet, OneTask, Shards
from fl.data.partition import groups_of, partition
from fl.tasks.arrays import ArrayTask, Samples, check_arrays, load_arrays
from wnsim.scenario.__main__ import main
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import plan

RNG = np.random.default_rng(1)
TRAIN, TEST = (
    RNG.integers(256, size=(12, 6, 5), dtype=np.uint8),
    RNG.integers(256, size=(5, 6, 5), dtype=np.uint8),
)
OF_TRAIN, OF_TEST = np.arange(12) % 3, np.arange(5) % 3


def whole(path: object, **settings: Any) -> ArrayTask:
    return load_arrays(Arrays(arrays=str(path), draw="first", **settings), 10_000, 10_000, 1)


def check_same(found: ArrayTask, channels: int = 1) -> None:
    """Check that a task has the arrays above, standardised over the training part."""
    train = TRAIN.astype(np.float64)
    wanted = (train - train.mean()) / train.std(), (TEST - train.mean()) / train.std()
    for part, inputs, labels in zip(
        (found.train, found.test), wanted, (OF_TRAIN, OF_TEST), strict=True
    ):
        assert part.inputs.dtype == np.float32
        for channel in range(channels):
            np.testing.assert_allclose(part.inputs[:, channel], inputs, atol=1e-5)
        np.testing.assert_array_equal(part.labels, labels)
    assert (found.classes, found.input_shape) == (3, (channels, 6, 5))


def write_idx(folder: Path, *, suffix: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    for stem, values in {
        "train-images-idx3": TRAIN, "train-labels-idx1": OF_TRAIN,
        "t10k-images-idx3": TEST, "t10k-labels-idx1": OF_TEST,
    }.items():  # fmt: skip
        head = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
        data = head + values.astype(np.uint8).tobytes()
        name = f"{stem}-ubyte{suffix}"
        (folder / name).write_bytes(gzip.compress(data) if suffix else data)
    return folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files(tmp_path: Path, suffix: str) -> None:
    check_same(whole(write_idx(tmp_path / "mnist", suffix=suffix)))


@pytest.mark.parametrize("names", ["keras", "medmnist"])
def test_numpy_files(tmp_path: Path, names: str) -> None:
    path, values = tmp_path / "some.npz", (TRAIN, OF_TRAIN, TEST, OF_TEST)
    if names == "keras":
        np.savez(path, **dict(zip(("x_train", "y_train", "x_test", "y_test"), values, strict=True)))
    else:
        keys = ("train_images", "train_labels", "test_images", "test_labels")
        shaped = (TRAIN[..., None], OF_TRAIN[:, None], TEST[..., None], OF_TEST[:, None])
        np.savez_compressed(path, val_images=TEST, **dict(zip(keys, shaped, strict=True)))
    found = whole(path)
    check_same(found)
    assert found.name == "some"


def test_features_are_standardised_one_by_one(tmp_path: Path) -> None:
    features = RNG.normal([1.0, -5.0, 7.0], [2.0, 0.1, 0.0], size=(400, 3))
    labels = np.arange(400) % 2
    np.savez(
        tmp_path / "table.npz", x_train=features, y_train=labels, x_test=features, y_test=labels
    )
    found = whole(tmp_path / "table.npz")
    np.testing.assert_allclose(found.train.inputs.mean(0), 0.0, atol=1e-5)
    # A feature without variation is only shifted.
    np.testing.assert_allclose(found.train.inputs.std(0), [1.0, 1.0, 0.0], atol=1e-5)


def write_images(folder: Path) -> Path:
    for part, images, labels in (("train", TRAIN, OF_TRAIN), ("test", TEST, OF_TEST)):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            of_class = folder / part / f"class {label}"
            of_class.mkdir(parents=True, exist_ok=True)
            square = np.zeros((6, 6), dtype=np.uint8)
            square[:, :5] = image
            Image.fromarray(square).save(of_class / f"{number:03}.png")
    return folder


def test_folders_of_images(tmp_path: Path) -> None:
    found = whole(write_images(tmp_path / "shapes"), side_px=6, channels=3)
    square = np.pad(TRAIN.astype(np.float64), ((0, 0), (0, 0), (0, 1)))
    wanted = (square - square.mean()) / square.std()
    # The first of each class, then the second, ...: the order in which they were written.
    for channel in range(3):
        np.testing.assert_allclose(found.train.inputs[:, channel], wanted, atol=1e-5)
    np.testing.assert_array_equal(found.train.labels, OF_TRAIN)
    grey = whole(tmp_path / "shapes", side_px=3, channels=1)
    assert grey.input_shape == (1, 3, 3)


def test_the_binary_version_of_cifar(tmp_path: Path) -> None:
    images = RNG.integers(256, size=(12, 3, 32, 32), dtype=np.uint8)
    labels = (np.arange(12) % 10).astype(np.uint8)
    records = np.concatenate([labels[:, None], images.reshape(12, -1)], axis=1)
    for number in range(1, 6):
        records[2 * (number - 1) : 2 * number].tofile(tmp_path / f"data_batch_{number}.bin")
    records[10:].tofile(tmp_path / "test_batch.bin")
    found = whole(tmp_path)
    np.testing.assert_array_equal(found.train.labels, labels[:10])
    train = images[:10].astype(np.float64)
    for channel in range(3):
        one = train[:, channel]
        wanted = (images[10:, channel] - one.mean()) / one.std()
        np.testing.assert_allclose(found.test.inputs[:, channel], wanted, atol=1e-5)


def test_the_digits_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    source = Arrays(arrays="digits")
    found = load_arrays(source, 10_000, 10_000, 3)
    assert (len(found.train), len(found.test), found.input_shape) == (1438, 359, (1, 8, 8))
    counts = np.bincount(found.test.labels)
    wanted = np.bincount(load_digits().target)
    np.testing.assert_array_equal(counts, np.rint(0.2 * wanted))
    fewer = load_arrays(source, 100, 50, 3)
    np.testing.assert_array_equal(fewer.train.labels, found.train.labels[:100])
    other = load_arrays(source, 100, 50, 4)
    assert not np.array_equal(fewer.train.labels, other.train.labels)
    # Every image once, in one of the parts.
    shown = np.concatenate([found.train.inputs, found.test.inputs]).reshape(1797, -1)
    assert len(np.unique(shown, axis=0)) == len(np.unique(load_digits().data, axis=0))


def test_validation_samples_are_the_training_samples_after_the_first(tmp_path: Path) -> None:
    found = whole(write_idx(tmp_path / "mnist")).validation(9)
    np.testing.assert_array_equal(found.test.labels, OF_TRAIN[9:])
    with pytest.raises(ValueError, match="validation needs training examples after the first 12"):
        whole(tmp_path / "mnist").validation(12)


def refused(path: Path, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        check_arrays(Arrays(arrays=str(path)))


def test_pickles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"cos\nsystem\n")
    refused(tmp_path, "Python version of CIFAR-10, whose pickle files can run code; use the binary")
    path = tmp_path / "objects.npz"
    objects = np.array([{}] * 12, dtype=object)
    np.savez(path, x_train=objects, y_train=OF_TRAIN, x_test=TEST, y_test=OF_TEST)
    refused(path, "x_train: must hold numbers, not objects, whose pickles can run code")


def write_npz(path: Path, x_train: bytes) -> None:
    """Write a NumPy file whose first array consists of given bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", x_train)
        for name, values in (("y_train", OF_TRAIN), ("x_test", TEST), ("y_test", OF_TEST)):
            buffer = io.BytesIO()
            np.save(buffer, values)
            archive.writestr(f"{name}.npy", buffer.getvalue())


def npy(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("x_train", "complaint"),
    [
        (npy("(12, 100000, 100000)"), "must have 120000000000 bytes of values, got 0"),
        (npy("(12, 2)") + bytes(24), None),
        (npy("(12, 0)"), "inputs must be"),
        (npy("(11, 2)") + bytes(22), "as many labels as inputs, at least one, got 12 and 11"),
        (b"nonsense", "x_train: its header is malformed"),
        (npy("(__import__('os').getcwd(),)"), "x_train: its header is malformed"),
        (npy("(-2, -12)") + bytes(24), "must have 24 bytes of values, got 24"),
    ],
)
def test_numpy_files_cannot_claim_memory(
    tmp_path: Path, x_train: bytes, complaint: str | None
) -> None:
    path = tmp_path / "claims.npz"
    write_npz(path, x_train)
    if complaint is None:
        check_arrays(Arrays(arrays=str(path)))
    else:
        refused(path, complaint)


def test_other_malformed_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path / "missing", "must be digits, a NumPy file")
    (tmp_path / "bad.npz").write_bytes(b"PK nonsense")
    refused(tmp_path / "bad.npz", "must be a NumPy file, but is malformed")
    np.savez(tmp_path / "lacks.npz", x_train=TRAIN)
    refused(tmp_path / "lacks.npz", "must hold the arrays x_train, y_train, x_test, y_test")
    infinite = np.full((5, 2), np.inf)
    np.savez(tmp_path / "inf.npz", x_train=infinite, y_train=OF_TEST, x_test=TEST, y_test=OF_TEST)
    refused(tmp_path / "inf.npz", "inputs must be finite")
    mnist = write_idx(tmp_path / "mnist")
    labels = mnist / "t10k-labels-idx1-ubyte"
    data = labels.read_bytes()
    labels.write_bytes(data + b"x")
    refused(mnist, "must have 5 bytes of values, got 6")
    labels.write_bytes(b"\x00\x00\x0d\x01")
    refused(mnist, "must be an idx file of unsigned bytes in 1 dimensions, starts with 00000d01")
    labels.unlink()
    refused(mnist, "t10k-labels-idx1-ubyte: file is missing")
    labels.symlink_to(mnist / "train-labels-idx1-ubyte")
    refused(mnist, "is a link, which is not followed")
    labels.unlink()
    labels.write_bytes(data)
    monkeypatch.setattr("fl.tasks.arrays.dataset.MOST_BYTES", 10)
    refused(mnist, "must have at most 10 bytes of values, got")


def test_malformed_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_images(tmp_path / "shapes")
    monkeypatch.setattr("fl.tasks.arrays.images._MOST_PIXELS", 35)
    with pytest.raises(ValueError, match=r"000.png: cannot be read: .* at most 35 pixels, got 6"):
        whole(folder)
    monkeypatch.undo()
    (folder / "train" / "class 0" / "000.png").write_bytes(b"\x89PNG nonsense")
    with pytest.raises(ValueError, match=r"000.png: cannot be read"):
        whole(folder)
    (folder / "test" / "class 9").mkdir()
    refused(folder, "class 9: must be one of the classes of")


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes of which some are changed, inserted or removed."""
    found = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        place, count = int(rng.integers(len(found))), int(rng.integers(1, 9))
        kind = rng.integers(4)
        found[place : place + (count if kind else 0)] = rng.bytes(count if kind < 3 else 0)
    return bytes(found)


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    rng, path, buffer = np.random.default_rng(2), tmp_path / "some.npz", io.BytesIO()
    np.savez_compressed(buffer, x_train=TRAIN, y_train=OF_TRAIN, x_test=TEST, y_test=OF_TEST)
    mnist = write_idx(tmp_path / "mnist", suffix=".gz")
    files = [path, *mnist.iterdir()]
    path.write_bytes(buffer.getvalue())
    refusals = 0
    for number in range(400):
        file = files[number % len(files)]
        before = file.read_bytes()
        file.write_bytes(mutated(before, rng))
        try:
            whole(path if file == path else mnist)
        except ValueError:
            refusals += 1
        file.write_bytes(before)
    assert refusals > 200


def balanced(classes: int, each: int) -> ArrayTask:
    labels = np.tile(np.arange(classes), each)
    samples = Samples(np.zeros((len(labels), 1), dtype=np.float32), labels)
    return ArrayTask("balanced", samples, samples, classes)


def classes_of(config: Any, task: ArrayTask, devices: int, seed: int) -> list[Counter[int]]:
    """Return the number of examples of each class on each device, every example once."""
    shares = partition(config, groups_of(config, task), devices, seed)
    owned = [number for share in shares for number in share.examples]
    assert sorted(owned) == list(range(len(task.train)))
    return [Counter(task.train.labels[list(share.examples)].tolist()) for share in shares]


def test_dirichlet_shares_of_a_class_have_its_marginal_law() -> None:
    # The share of one device is distributed as Beta(alpha, alpha (devices - 1)).
    devices, alpha, each = 4, 2.0, 20_000
    task, config = balanced(3, each), Dirichlet(alpha=alpha, min_examples=1)
    drawn = [
        found[0][label] / each
        for seed in range(60)
        for found in [classes_of(config, task, devices, seed)]
        for label in range(3)
    ]
    # A false alarm in one of a million.
    law = stats.beta(alpha, alpha * (devices - 1))
    assert stats.kstest(drawn, law.cdf).pvalue > 1e-6


@pytest.mark.parametrize(("devices", "shards"), [(10, 2), (7, 3), (30, 1)])
def test_shards_give_a_device_few_classes(devices: int, shards: int) -> None:
    found = classes_of(Shards(per_device=shards), balanced(10, 42), devices, 5)
    assert all(len(each) <= shards for each in found)
    sizes = [each.total() for each in found]
    if devices * shards % 10 == 0:
        # Shards are equal up to one example.
        assert max(sizes) - min(sizes) <= shards
    with pytest.raises(ValueError, match="must have a shard of each of 10 tasks or classes"):
        classes_of(Shards(per_device=1), balanced(10, 42), 9, 5)


def test_one_task_is_an_even_split() -> None:
    found = classes_of(OneTask(), balanced(10, 42), 6, 1)
    assert {each.total() for each in found} == {70}


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("tasks: {arrays: nothing.npz}", "fl.tasks: FOLDER/nothing.npz: must be digits, a NumPy"),
        (
            "tasks: {arrays: digits}, method: {model: full-ft}, partition: {model: shards}",
            "fl: 4 devices with 2 shards each must have a shard of each of 10 tasks or classes",
        ),
        ("tasks: {arrays: digits}, method: {model: lora, rank: 10}", "9 of 0.weight, got 10"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    tmp_path: Path, capsys: Any, more: str, complaint: str
) -> None:
    scenario = tmp_path / "own.yaml"
    start = "name: own\ndevices: {count: 4}\nfl: {model: cnn, topology: {model: full}, "
    scenario.write_text(f"{start}{more}}}\n")
    assert main(["--check", str(scenario)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert complaint.replace("FOLDER", str(tmp_path)) in line


def test_what_is_wrong_is_named_by_its_own_key(tmp_path: Path) -> None:
    text = "name: a\ndevices: {count: 2}\nfl: {model: mlp, tasks: {arrays: digits, channels: 7}}\n"
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ScenarioError, match=r"a\.yaml:3: fl\.tasks\.channels: .*got 7"):
        plan(str(tmp_path / "a.yaml"))
    np.savez(tmp_path / "a.npz", x_train=TRAIN, y_train=OF_TRAIN + 0.5, x_test=TEST, y_test=OF_TEST)
    refused(tmp_path / "a.npz", "a.npz: y_train: labels must be")
