"""Scores as a database table: readers see the old rows or the new ones, never a mixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from cxpredict.data.addresses import fill_variables
from cxpredict.errors import ConfigError, PublishError
from cxpredict.jobs.scoring.request import Request
from cxpredict.jobs.scoring.table import schema

ROWS = 10_000
