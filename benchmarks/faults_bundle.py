"""Spoilt bundles are refused, and a served model answers the bits of the native one.

1,000 bundles are spoilt in 29 ways: bits, lengths, names, links, pipes, holes of a terabyte, JSON
with its traps, numbers and texts of the models, each with the manifest left or made to fit. Each is
loaded with the digest of the bundle that was saved; of the ways that change more than values, half
are loaded with a digest that fits the spoilt manifest, and must be refused all the same. A process
of its own loads them: a crash or 10 s without an answer would be seen.
"""

import shutil
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from parts import slow_tests

import cxpredict as cx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from mutated_bundles import SECONDS, Loader, digest_of, mutate  # noqa: E402

N_BUNDLES, N_REGISTERED = 1_000, 40
NAME = "spoilt-churn"
MEMORY_MB = 1_500


def bars(scale):
    """Refusals of spoilt folders and registered versions, then the served model."""
    with TemporaryDirectory() as place:
        home = Path(place)
        bundle = small_bundle()
        digest = bundle.save(home / "bundle")
        n_folders, n_versions = round(N_BUNDLES * scale), round(N_REGISTERED * scale)
        with closing(Loader()) as loader:
            yield from spoilt_folders(home, digest, loader, max(58, n_folders))
        with closing(Loader(seconds=60.0)) as loader:  # the first one starts MLflow
            yield from spoilt_versions(home, bundle, loader, max(6, n_versions))
    if scale < 1:
        print("bundle: the served model is left out of a quick run")
        return
    yield slow_tests("served over HTTP and on Spark", "tests/jobs/registry/test_pyfunc.py")


def small_bundle():
    """Train a small model of churn on the simulated company."""
    from cxpredict.config import Bands
    from cxpredict.drivers.reasons import ReasonBasis
    from cxpredict.jobs.bundle import Bundle

    log = cx.simulate_company(600, seed=3).log
    problem = cx.ChurnProblem(cancelled="cancellation", horizon_days=60)
    dates = pd.date_range(log.span[0] + pd.Timedelta(days=200), periods=4, freq="60D")
    index = problem.population(log, [day.normalize() for day in dates])
    aggregates = tuple(cx.default_aggregates(log, until=dates[-1]))
    X, y = cx.build_features(log, index, aggregates=aggregates), problem.labels(log, index)
    known = y.notna()
    model = cx.ChurnModel(effort="fast", random_state=0).fit(X[known], y[known])
    bands = Bands(medium=0.1, high=0.3)
    basis = ReasonBasis.learn(X)
    return Bundle(NAME, problem, model, aggregates, (), bands, {"rows": len(X)}, basis=basis)


def spoilt_folders(home, digest, loader, n):
    intact = loader.load(home / "bundle", digest=digest)
    yield bar("the bundle as saved is loaded", intact["outcome"], "loaded")
    found = []
    for number in range(n):
        folder = home / f"spoilt-{number}"
        way, fits = mutate(home / "bundle", folder, number)
        result = loader.load(folder, digest=digest_of(folder) if fits else digest)
        found.append({"way": way, "digest fits": fits, **result})
        shutil.rmtree(folder)
    table = pd.DataFrame(found)
    print(table.groupby(["way", "digest fits", "outcome"]).size().unstack(fill_value=0))
    outcomes = Counter(table["outcome"])
    yield bar("spoilt bundles refused", outcomes.pop("refused", 0), n)
    for outcome in ("loaded", "crashed", "hung"):
        yield bar(f"spoilt bundles {outcome}", outcomes.pop(outcome, 0), 0)
    yield bar("spoilt bundles with another error", sum(outcomes.values()), 0)
    fitting = table[table["digest fits"]]
    refused = int((fitting["outcome"] == "refused").sum())
    yield bar("of these with a digest that fits, refused", refused, len(fitting))
    clean = table["message"].map(lambda text: 0 < len(text) < 400 and text.isprintable())
    yield bar("messages short and printable", int(clean.sum()), n)
    yield most("slowest refusal, s", float(table["seconds"].max()), SECONDS)
    yield most("memory of the loading process, MB", float(table["peak_mb"].max()), MEMORY_MB)


def spoilt_versions(home, bundle, loader, n):
    """Change the files of a registered version; its tag is in the registry's database."""
    store = home / "artifacts"
    folder = registered(bundle, home / "bundle", store)
    uri = f"models:/{NAME}@champion"
    intact = loader.load(uri, artifacts=str(store))
    yield bar("the registered version is loaded", intact["outcome"], "loaded")
    aside, refused = home / "aside", 0
    folder.rename(aside)
    for number in range(n):
        mutate(aside, folder, number)
        refused += loader.load(uri, artifacts=str(store))["outcome"] == "refused"
        shutil.rmtree(folder)
    yield bar("registered versions changed on disk, refused", refused, n)


def registered(bundle, saved, folder):
    """Register a saved bundle as champion; return where its files are."""
    import mlflow

    from cxpredict.jobs.registry.logged import pyfunc_arguments
    from cxpredict.jobs.registry.runs import tracked
    from cxpredict.jobs.registry.tracking import Store

    store = Store(folder)
    with tracked(store, "faults", run_name="faults") as run_id:
        arguments = pyfunc_arguments(bundle, saved, digest_of(saved))
        model = mlflow.pyfunc.log_model(name="model", **arguments)
    store.client.create_registered_model(NAME)
    version = store.client.create_model_version(
        NAME, source=model.model_uri, run_id=run_id, tags={"bundle_sha256": digest_of(saved)}
    )
    store.client.set_registered_model_alias(NAME, "champion", version.version)
    (manifest,) = folder.rglob("artifacts/bundle/manifest.json")
    return manifest.parent


def bar(name, value, bound):
    return {"name": name, "value": value, "bound": bound, "holds": bool(value == bound)}


def most(name, value, bound):
    value = float(np.round(value, 3))
    return {"name": name, "value": value, "bound": bound, "holds": bool(value <= bound)}
