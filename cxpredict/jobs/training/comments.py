"""Comments in a run: learnt before the training cut-off, read the same way at scoring."""

from __future__ import annotations

import pandas as pd

from cxpredict.config import Config
from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, DataError
from cxpredict.features.text.tagger import CommentTagger


def learn_comments(config: Config, log: CustomerLog, train: pd.MultiIndex) -> CommentTagger | None:
    """Learn sentiment and themes from what was known before the last training date.

    Parameters
    ----------
    config : Config
        Its `comments`; without them nothing is learnt.
    log : CustomerLog
        The records.
    train : MultiIndex (customer_id, as_of)
        The training rows.

    Returns
    -------
    CommentTagger or None

    Raises
    ------
    ConfigError
        The file of examples cannot be read.
    DataError
        It lacks a column.
    ModelError
        There are too few comments.
    """
    settings = config.comments
    if settings is None:
        return None
    examples = None if settings.examples is None else _examples(config, settings.examples)
    tagger = CommentTagger(
        codebook=settings.codebook, precision=settings.precision, random_state=config.random_state
    )
    until = train.get_level_values("as_of").max()
    return tagger.fit(log, until=until, examples=examples)


def _examples(config: Config, path: str) -> pd.DataFrame:
    """Read labelled examples; the text of a parser's error may hold a comment."""
    file = config.path(path)
    try:
        frame = pd.read_csv(file, dtype="str", usecols=lambda c: c in ("comment", "theme"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"comments.examples: {file.name} cannot be read: {type(error).__name__}; give a CSV "
            "file in UTF-8 with columns comment and theme"
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError):
        raise DataError(
            f"comments.examples: {file.name} is no table; give a CSV file with columns comment "
            "and theme, commas between, quotes around comments"
        ) from None
    return frame
