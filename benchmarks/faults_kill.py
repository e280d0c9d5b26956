"""Jobs that are killed, disks that are full, many processes with one result.

Every victim is a process of its own, forked from a server that has imported everything, and ended
with SIGKILL at a random moment. After each kill the published folder must hold, byte for byte, a
result that a whole run gave; after the next run nothing else may lie beside it. Disks fail through
a library that is loaded before all others and fails the n-th write, flush or rename to the place
(``faults_kill.c``): DuckDB, Arrow and Python alike. It needs a C compiler and Linux.
"""

import errno
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "jobs" / "scoring")]

PRELOAD = [
    *("cxpredict.jobs.scoring", "cxpredict.report.scores", "cxpredict.jobs.training.train"),
    *("sklearn.ensemble", "lightgbm", "mlflow", "mlflow.pyfunc", "sqlalchemy"),
]
KILLS = {"score": 120, "report": 50, "train": 30}


def bars(scale):
    """Measure what is left after kills and faults: nothing partial, nothing lost, no orphan."""
    with TemporaryDirectory() as place:
        preload_faults(Path(place))
        shop = make_shop(Path(place))
        for job, kills in KILLS.items():
            yield from killed(shop, job, max(3, round(kills * scale)))
        yield from failing_disk(shop, scale)
        yield at_once(shop)


def preload_faults(folder):
    """Compile the library that fails operations; the server of processes starts with it."""
    if shutil.which("gcc") is None:
        print("no C compiler: disks are not made to fail")
        return
    library = folder / "faults.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    os.environ["LD_PRELOAD"] = str(library)


def make_shop(folder):
    """Make a small company, its model, and each job's result when nobody disturbs it."""
    from shop import save_model, write_config, write_sales

    write_sales(folder, n=300)
    model = save_model(folder)
    config = write_config(folder)
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    train = folder / "train"
    train.mkdir()
    write_sales(train, n=600)
    training = write_config(train, split={"test_at": "TEST", "every_days": 60}, effort="fast")
    training.write_text(training.read_text().replace("TEST", "2024-05-15"))
    return {"folder": folder, "config": config, "model": model, "training": training}


def run_score(shop, out, force=True):
    """Score the shop."""
    from cxpredict.jobs.scoring import score

    return score(shop["config"], **shop["model"], out=out, force=force)


def run_report(shop, out, force=True):
    """Write the page of the scores."""
    from cxpredict.report.scores import write_scores_report

    scored = shop["folder"] / "scored" / f"as_of={shop['model']['as_of']}"
    write_scores_report(scored, out=out / "page")


def run_train(shop, out, force=True):
    """Train, register and save the bundle."""
    import cxpredict as cx

    run = cx.train(shop["training"])
    run.models[0].bundle.save(out / "bundle")


JOBS = {"score": run_score, "report": run_report, "train": run_train}


def _child(job, shop, out, faults):
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
    os.environ.update(faults)
    from cxpredict.errors import CxPredictError

    try:
        JOBS[job](shop, out)
    except CxPredictError as error:
        sys.exit(error.exit_code)


def start(job, shop, out, faults=None):
    """Fork a job from the warm server."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=_child, args=(job, shop, out, faults or {}))
    process.start()
    return process


def contents(folder):
    """Digest every file under a folder, hidden ones apart."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in name.split("/")):
            found[name] = sha256(path.read_bytes()).hexdigest()
    return found


def orphans(folder):
    """Name temporary siblings and locks."""
    return [p.name for p in folder.rglob(".*") if p.name.endswith((".new", ".lock", ".previous"))]


def killed(shop, job, kills):
    """Kill a job again and again, and look at what it left."""
    out = shop["folder"] / f"out_{job}"
    out.mkdir()
    if job == "report":
        run_score(shop, shop["folder"] / "scored")
    finish(job, shop, out)  # the first one also fills caches: it is no measure of the others
    started = time.monotonic()
    finish(job, shop, out)
    length = time.monotonic() - started
    whole, random_moments = contents(out), random.Random(7)
    partial = lost = left = other = hit = 0
    for kill in range(kills):
        process = start(job, shop, out)
        process.join(random_moments.uniform(0, length))
        hit += process.is_alive()
        process.kill()
        process.join()
        found = contents(out)
        lost += not found
        partial += bool(found) and found != whole
        if kill % 10 == 9 or kill == kills - 1:
            finish(job, shop, out)
            left += len(orphans(out))
            other += contents(out) != whole
    enough = kills // 2
    yield bar(f"{job}: killed before its end", hit, f">= {enough} of {kills}", hit >= enough)
    yield bar(f"{job}: partial outputs", partial, "0", partial == 0)
    yield bar(f"{job}: previous outputs lost", lost, "0", lost == 0)
    yield bar(f"{job}: orphans after the next run", left, "0", left == 0)
    yield bar(f"{job}: reruns with other bytes", other, "0", other == 0)
    if job == "train":
        yield open_runs(shop)


def open_runs(shop):
    """Count the runs that are still called running after the next training."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{shop['training'].parent}/artifacts/mlflow.db")
    places = [experiment.experiment_id for experiment in client.search_experiments()]
    running = len(client.search_runs(places, "attributes.status = 'RUNNING'"))
    return bar("train: runs left RUNNING", running, "0", running == 0)


def finish(job, shop, out):
    """Run a job to its end."""
    process = start(job, shop, out)
    process.join()
    assert process.exitcode == 0, f"{job} failed with exit code {process.exitcode}"


def failing_disk(shop, scale):
    """Fail the n-th write, flush and rename to the place, for n = 1, 2, … until none is left."""
    if "LD_PRELOAD" not in os.environ:
        return
    for job in ("score", "report"):
        out = shop["folder"] / f"disk_{job}"
        out.mkdir()
        finish(job, shop, out)
        whole = contents(out)
        for error in ("ENOSPC", "EIO"):
            found = fail_each(shop, job, out, whole, error, scale)
            name = f"{job} under {error}"
            told = f"{found['faults']} faults at {found['places']} operations"
            ends = f"{name}: neither exit code 6 nor done ({told})"
            yield bar(ends, found["other"], "0", not found["other"])
            yield bar(f"{name}: partial or lost", found["harm"], "0", not found["harm"])
            yield bar(f"{name}: orphans after the next run", found["left"], "0", not found["left"])


def fail_each(shop, job, out, whole, error, scale):
    """Run the job once for each operation that can fail."""
    found = {"faults": 0, "places": 0, "other": 0, "harm": 0}
    counted = with_faults(shop, job, out, error, 0)
    found["places"] = counted["operations"]
    step = max(1, round(1 / scale))
    for number in range(1, counted["operations"] + 1, step):
        done = with_faults(shop, job, out, error, number)
        found["faults"] += 1
        fine = done["exit"] == 6 or (done["exit"] == 0 and contents(out) == whole)
        found["other"] += not fine
        found["harm"] += contents(out) != whole
    finish(job, shop, out)
    found["left"] = len(orphans(out))
    return found


def with_faults(shop, job, out, error, number):
    """Run a job in a process whose n-th operation on the place fails."""
    tally = shop["folder"] / "tally"
    tally.unlink(missing_ok=True)
    faults = {"FAULT_PLACE": out, "FAULT_TALLY": tally, "FAULT_NUMBER": number}
    faults["FAULT_ERRNO"] = getattr(errno, error)
    process = start(job, shop, out, {name: str(value) for name, value in faults.items()})
    process.join()
    return {"exit": process.exitcode, "operations": int(tally.read_text())}


def at_once(shop):
    """Start eight jobs with one run key; one scores, the others find it done."""
    out = shop["folder"] / "at_once"
    out.mkdir()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    said = context.Queue()
    processes = [context.Process(target=_tell, args=(shop, out, said)) for _ in range(8)]
    for process in processes:
        process.start()
    states = sorted(said.get(timeout=600) for _ in processes)
    for process in processes:
        process.join()
    holds = states == ["unchanged"] * 7 + ["written"] and not orphans(out)
    value = json.dumps({state: states.count(state) for state in sorted(set(states))})
    return bar("8 processes, one run key", value, "1 written, 7 unchanged, no orphan", holds)


def _tell(shop, out, said):
    try:
        said.put(run_score(shop, out, force=False).state)
    except Exception as error:
        said.put(f"{type(error).__name__}")


def bar(name, value, bound, holds):
    """Make a bar of plain values."""
    return {"name": name, "value": value, "bound": bound, "holds": bool(holds)}
