"""What a version of a model must hold before it may become champion."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from cxpredict.config.features import Settings


class GateSettings(Settings):
    """Bounds of the promotion gate; see `cxpredict.promotion_gate`.

    Parameters
    ----------
    max_calibration_error : float in [0, 1], default .05
        Largest expected calibration error beyond what chance alone gives on so many rows.
    min_calibration_slope, max_calibration_slope : float, default .8 and 1.25
        Range that the interval of the calibration slope must touch.
    segments : list of str
        Columns (attributes of customers, or features) whose values are the segments that no
        version may serve much worse; numbers of more than ten values are cut into quarters.
    max_segment_gap : float in [0, 1], default .1
        ROC AUC that a segment may lose: against the champion, or without one against the whole.
    min_segment : int, default 30
        Customers with and without the event that a segment needs to be judged.
    profit_margin : float ≥ 0, optional
        Money per test row that a challenger may bring less than the champion. Without it the
        challenger must be shown to bring no less.

    Examples
    --------
    >>> GateSettings(segments=["plan"], profit_margin=0.5).max_segment_gap
    0.1
    """

    max_calibration_error: Annotated[float, Field(ge=0, le=1)] = 0.05
    min_calibration_slope: float = 0.8
    max_calibration_slope: float = 1.25
    segments: list[str] = Field(default_factory=list)
    max_segment_gap: Annotated[float, Field(ge=0, le=1)] = 0.1
    min_segment: Annotated[int, Field(ge=1)] = 30
    profit_margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min_calibration_slope < self.max_calibration_slope:
            raise ValueError("'min_calibration_slope' must be below 'max_calibration_slope'")
        return self
