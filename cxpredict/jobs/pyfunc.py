"""The MLflow model as code: loads the bundle, gives its risk table."""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from cxpredict.jobs.bundle import Bundle


class RiskModel(PythonModel):
    """Probability, interval and band for every row of features."""

    def load_context(self, context: Any) -> None:
        """Load the bundle among the model's artefacts."""
        self.bundle = Bundle.load(Path(context.artifacts["bundle"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict the risk table; see `Bundle.risk`."""
        return self.bundle.risk(model_input)


set_model(RiskModel())
