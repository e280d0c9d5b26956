"""Addresses whose secrets stand in environment variables."""

import os
import re
from urllib.parse import quote

from cxpredict.config.sources import VARIABLE
from cxpredict.errors import ConfigError


def fill_variables(url: str, key: str) -> str:
    """Put the values of environment variables into a URL that names them.

    Parameters
    ----------
    url : str
        With ``${NAME}`` where a value belongs. A value is percent-encoded, unless it is the
        whole URL.
    key : str
        The key of the configuration, for messages.

    Returns
    -------
    str
        Holds secrets: for a connection only, never for a message, a file or a log.

    Raises
    ------
    ConfigError
        Names the variables that are not set.

    Examples
    --------
    >>> fill_variables("sqlite://shop.db", "connect")
    'sqlite://shop.db'
    """
    names = VARIABLE.findall(url)
    absent = [name for name in names if not os.environ.get(name)]
    if absent:
        raise ConfigError(f"{key}: the environment variable {', '.join(absent)} is not set")
    if VARIABLE.fullmatch(url):
        return os.environ[names[0]].strip()
    return re.sub(VARIABLE, lambda name: quote(os.environ[name[1]], safe=""), url)
