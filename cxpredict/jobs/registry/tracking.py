"""The MLflow store of a configuration: a SQLite database and files under its artifacts folder."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from cxpredict.errors import CxPredictError, PublishError

if TYPE_CHECKING:
    from filelock import BaseFileLock

_QUIET = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Store:
    """Where experiments, models and their files live.

    Attributes
    ----------
    folder : Path
        The artifacts folder of the configuration.

    Notes
    -----
    Processes that create one SQLite store at once leave it broken for good, and so does one that
    is killed meanwhile. So the database is made under a lock and another name, and renamed when it
    is whole: where it exists, it can be used.
    """

    folder: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / "mlflow.db"

    @property
    def uri(self) -> str:
        """Tracking URI of the store."""
        return f"sqlite:///{self.database}"

    @property
    def client(self) -> Any:
        """MLflow's client of the store, which is made if there is none."""
        from mlflow import MlflowClient

        if not self.database.is_file():
            with self.writing():
                self._create()
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, made if there is none."""
        with self.writing():
            found = self.client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            return str(self.client.create_experiment(name, artifact_location=self._files))

    @property
    def salt(self) -> bytes:
        """The secret of the store, drawn once: what its pseudonyms of customers are keyed with."""
        path = self.folder / ".salt"
        if not path.is_file():
            with self.writing():
                if not path.is_file():
                    new = path.with_name(".salt.new")
                    new.unlink(missing_ok=True)
                    new.touch(mode=0o600)
                    new.write_text(secrets.token_hex(32), encoding="ascii")
                    new.rename(path)
        return bytes.fromhex(path.read_text(encoding="ascii"))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock of the store, quietly; may be nested.

        Temporary files go to a folder of the store meanwhile. Only one process holds the lock, so
        what others left in that folder they left when they were killed, and it is removed.

        Raises
        ------
        PublishError
            The store cannot be written.
        """
        with quiet(), self._told():
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._lock as lock:
                if lock.lock_counter > 1:
                    yield
                    return
                with _temporary_files_in(self.folder / ".writing"):
                    yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the disk or MLflow say into an error of this library, without their data."""
        from mlflow.exceptions import MlflowException

        place = f"the MLflow store {self.folder.name}/ cannot be written"
        try:
            yield
        except CxPredictError:
            raise
        except OSError as error:
            raise PublishError(f"{place}: {error.strerror}") from error
        except MlflowException as error:
            hint = "look at the space on the disk and at the rights of its files"
            raise PublishError(f"{place}: {error.error_code}; {hint}") from error

    @property
    def _lock(self) -> BaseFileLock:
        from filelock import FileLock

        return FileLock(self.folder / ".mlflow.lock", is_singleton=True)

    @property
    def _files(self) -> str:
        return (self.folder / "mlflow").resolve().as_uri()

    def _create(self) -> None:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        if self.database.is_file():
            return
        new = self.folder / ".mlflow.new.db"
        for path in self.folder.glob(f"{new.name}*"):
            path.unlink()
        SqlAlchemyStore(f"sqlite:///{new}", self._files).engine.dispose()
        new.rename(self.database)


def local_path(uri: str) -> Path:
    """Give the place of a file URI of the store.

    Examples
    --------
    >>> local_path("file:///srv/a%20b").as_posix()
    '/srv/a b'
    """
    return Path(unquote(urlparse(uri).path))


def every(search: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
    """Give what a search of MLflow's client finds, page by page."""
    token = None
    while True:
        page = search(*arguments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def registered(client: Any, name: str) -> Any:
    """Give the registered model of a name, whatever stands in the name; None if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


@contextmanager
def _temporary_files_in(place: Path) -> Iterator[None]:
    own, before = place / str(os.getpid()), tempfile.tempdir
    for left in place.glob("*"):
        if left != own:
            shutil.rmtree(left, ignore_errors=True)
    own.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(own)
    try:
        yield
    finally:
        tempfile.tempdir = before
        with suppress(OSError):  # another thread may keep a file there
            own.rmdir()
            place.rmdir()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow's own talk, warnings and progress bars off the terminal."""
    before = {key: os.environ.get(key) for key in _QUIET}
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    os.environ.update(_QUIET)
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.update({key: value})
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
