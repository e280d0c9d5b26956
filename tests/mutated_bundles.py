"""Ways to spoil a saved bundle, and a process of its own that tries to load what came of it."""

import json
import multiprocessing
import os
import random
import shutil
import time
import zipfile
from hashlib import sha256
from pathlib import Path

MANIFEST = "manifest.json"
SECONDS = 10.0


def names_of(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)


def recompute(folder, **changes):
    """Make the manifest fit the files again, as somebody would who can write the folder."""
    files = {}
    for name in names_of(folder):
        content = (folder / name).read_bytes()
        files[name] = {"bytes": len(content), "sha256": sha256(content).hexdigest()}
    content = {"format": 2, "files": files, **changes}
    (folder / MANIFEST).write_text(json.dumps(content), encoding="utf-8")


def edit(folder, name, change):
    """Change the bytes of a file and recompute the manifest."""
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    recompute(folder)


def edit_manifest(folder, change):
    path = folder / MANIFEST
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def any_file(folder, rng):
    return folder / rng.choice([MANIFEST, *names_of(folder)])


def a_json(folder, rng):
    return rng.choice([name for name in names_of(folder) if name.endswith(".json")])


def a_booster(folder, rng):
    return rng.choice([name for name in names_of(folder) if name.endswith(".txt")])


def flip_bit(folder, rng):
    path = any_file(folder, rng)
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def truncate(folder, rng):
    path = any_file(folder, rng)
    os.truncate(path, rng.randrange(path.stat().st_size))


def append(folder, rng):
    path = any_file(folder, rng)
    path.write_bytes(path.read_bytes() + rng.choice([b"\n", b" ", b"\0", b"{}", b"end of trees"]))


def swap(folder, rng):
    one, other = rng.sample(names_of(folder), 2)
    first, second = (folder / one).read_bytes(), (folder / other).read_bytes()
    (folder / one).write_bytes(second)
    (folder / other).write_bytes(first)


def rename(folder, rng):
    path = any_file(folder, rng)
    path.rename(path.with_name(rng.choice(["x.json", "booster_99.txt", path.name.upper()])))


def delete(folder, rng):
    any_file(folder, rng).unlink()


def empty(folder, rng):
    any_file(folder, rng).write_bytes(b"")


def extra(folder, rng):
    name = rng.choice(["x.pkl", "booster_99.txt", ".hidden", "a\x1b[31m.json", "ünï.json"])
    (folder / name).write_bytes(b"{}")


def many_extra(folder, rng):
    for number in range(3_000):
        (folder / f"x{number}.json").touch()


def link(folder, rng):
    path = any_file(folder, rng)
    real = folder.with_name(f"{folder.name}-{path.name}")
    path.rename(real)
    path.symlink_to(real if rng.random() < 0.7 else path.name)


def hole(folder, rng):
    os.truncate(any_file(folder, rng), rng.choice([2**28 + 1, 2**33, 2**40]))


def pipe(folder, rng):
    path = any_file(folder, rng)
    path.unlink()
    os.mkfifo(path)


def directory(folder, rng):
    path = any_file(folder, rng)
    path.unlink()
    path.mkdir()


def archive(folder, rng):
    """Put an archive of a gigabyte of zeros in place of a file."""
    with zipfile.ZipFile(any_file(folder, rng), "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model.json", b"\0" * 2**22)


def edit_numbers(folder, rng):
    def change(content):
        places = [i for i, byte in enumerate(content) if byte in b"123456789"]
        changed = bytearray(content)
        for place in rng.sample(places, min(len(places), rng.randint(1, 5))):
            changed[place] = rng.choice(b"0123456789")
        if bytes(changed) == content:
            changed[places[0]] = ord("1") + (changed[places[0]] - ord("1") + 1) % 9
        return bytes(changed)

    name = a_json(folder, rng) if rng.random() < 0.5 else a_booster(folder, rng)
    edit(folder, name, change)


def edit_booster(folder, rng):
    def change(content):
        lines = content.split(b"\n")
        place = rng.randrange(len(lines) // 2)
        lines[place] = rng.choice([b"", b"num_leaves=1000000", b"Tree=0", lines[place][::2], b"=="])
        return b"\n".join([*lines, b"changed"])

    edit(folder, a_booster(folder, rng), change)


def without_a_field(folder, rng):
    def change(content):
        told = json.loads(content)
        del told[rng.choice(sorted(told))]
        return json.dumps(told).encode()

    edit(folder, rng.choice(["bundle.json", "model.json", "columns.json"]), change)


def nul(folder, rng):
    edit(folder, a_json(folder, rng), lambda content: content.replace(b'"', b'"\0', 1))


def huge_number(folder, rng):
    number = rng.choice([b"1e999", b"-1e999", b"9" * 5_000])
    edit(folder, a_json(folder, rng), lambda content: b'{"x": ' + number + b", " + content[1:])


def not_a_number(folder, rng):
    number = rng.choice([b"NaN", b"Infinity", b"-Infinity"])
    edit(folder, a_json(folder, rng), lambda content: b'{"x": ' + number + b", " + content[1:])


def nested(folder, rng):
    start, end = rng.choice([(b"[", b"]"), (b'{"a":', b"}")])
    depth = rng.choice([5_000, 500_000])
    deep = start * depth + b"1" + end * depth
    edit(folder, a_json(folder, rng), lambda content: b'{"x": ' + deep + b", " + content[1:])


def key_twice(folder, rng):
    edit(folder, a_json(folder, rng), lambda content: b'{"a": 1, "a": 2, ' + content[1:])


def not_utf8(folder, rng):
    edit(folder, a_json(folder, rng), lambda content: content.replace(b'"', b'"\xff', 1))


def other_type(folder, rng):
    edit(folder, a_json(folder, rng), lambda _: rng.choice([b"[]", b"1", b"null", b'"a"', b""]))


def other_format(folder, rng):
    recompute(folder, format=rng.choice([1, 3, "2", 2.0, None, [2], 10**30]))


def traversal(folder, rng):
    name = rng.choice(["../x.json", "/etc/passwd", "a/b.json", "..", "", "x\0.json", "~/x"])

    def change(content):
        content["files"][name] = {"bytes": 2, "sha256": sha256(b"{}").hexdigest()}

    edit_manifest(folder, change)


def wrong_size(folder, rng):
    def change(content):
        entry = content["files"][rng.choice(sorted(content["files"]))]
        entry["bytes"] = rng.choice([-1, 0, 2**62, 10**30, 1.5, True, "9", None])

    edit_manifest(folder, change)


def wrong_manifest(folder, rng):
    texts = [b"", b"{}", b"[]", b'{"format": 2}', b'{"format": 2, "files": []}', b"[" * 60_000]
    texts += [b'{"format": 2, "files": {}, "x": 1}', b'{"format": 2, "format": 2}']
    texts += [b" " * 70_000 + b"{}"]
    text = rng.choice(texts)
    (folder / MANIFEST).write_bytes(text)


def another_bundle(folder, rng):
    """Replace it by one that is as good as the other, only not the one that was asked for."""
    note = b'{"note": "%d", ' % rng.randrange(10**9)
    edit(folder, "card.json", lambda content: note + content[1:])


BY_DIGEST = (flip_bit, truncate, append, edit_numbers, edit_booster, another_bundle)
"""Only the digest from outside can tell these from a bundle that was saved."""
BY_LAYOUT = (
    swap, rename, delete, empty, extra, many_extra, link, hole, pipe, directory, archive, nul,
    without_a_field, huge_number, not_a_number, nested, key_twice, not_utf8, other_type,
    other_format, traversal, wrong_size, wrong_manifest,
)  # fmt: skip
"""These are refused even by somebody whose digest fits the changed manifest."""


def mutate(bundle, folder, number):
    """Spoil a copy of a saved bundle in the way of this number.

    Returns
    -------
    tuple of (str, bool)
        Name of the way; whether a digest that fits the changed manifest must be refused too.
    """
    rng = random.Random(number)
    way = (*BY_DIGEST, *BY_LAYOUT)[number % len((*BY_DIGEST, *BY_LAYOUT))]
    shutil.copytree(bundle, folder)
    way(folder, rng)
    return way.__name__, way in BY_LAYOUT and rng.random() < 0.5


def digest_of(folder):
    """Digest that fits the folder as it is now; any, where it has no readable manifest."""
    path = folder / MANIFEST
    readable = path.is_file() and path.stat().st_size < 2**20
    return sha256(path.read_bytes() if readable else b"").hexdigest()


class Loader:
    """A process that loads bundles; a crash or a hang costs one process, not the test."""

    def __init__(self, seconds=SECONDS):
        self.seconds = seconds
        self.context = multiprocessing.get_context("spawn")
        self.process = None

    def load(self, folder, **proof):
        """Try to load; return what came of it (refused, loaded, crashed, hung, or an error)."""
        if self.process is None:
            self._start()
        self.pipe.send((str(folder), proof))
        started = time.monotonic()
        if not self.pipe.poll(self.seconds):
            self.close()
            return {"outcome": "hung", "message": "", "seconds": self.seconds}
        try:
            found = self.pipe.recv()
        except EOFError:
            self.close()
            found = {"outcome": "crashed", "message": ""}
        return found | {"seconds": time.monotonic() - started}

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None

    def _start(self):
        self.pipe, other = self.context.Pipe()
        self.process = self.context.Process(target=_serve, args=(other,), daemon=True)
        self.process.start()
        other.close()
        assert self.pipe.recv() == "ready"


def _serve(pipe):
    import resource

    import cxpredict as cx

    cx.load_bundle  # noqa: B018 (imports what loading needs)
    pipe.send("ready")
    while True:
        folder, proof = pipe.recv()
        try:
            cx.load_bundle(Path(folder), **proof)
            found = {"outcome": "loaded", "message": ""}
        except cx.ModelError as error:
            found = {"outcome": "refused", "message": str(error)}
        except BaseException as error:
            found = {"outcome": type(error).__name__, "message": str(error)[:200]}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        pipe.send(found | {"peak_mb": peak})
