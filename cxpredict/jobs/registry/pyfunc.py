"""The MLflow model as code: loads the bundle its digest belongs to, gives `predict_frame`."""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.registry.serving import predict_frame, with_nulls


class CustomerModel(PythonModel):
    """Probability, interval, band, money and reasons for every row of features."""

    def load_context(self, context: Any) -> None:
        """Load the bundle among the artefacts, if it is the one of the configuration's digest."""
        digest = (context.model_config or {}).get("bundle_sha256")
        self.bundle = Bundle.load(context.artifacts["bundle"], digest=digest)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict; see `cxpredict.jobs.registry.serving.predict_frame`."""
        return with_nulls(predict_frame(self.bundle, model_input))


set_model(CustomerModel())
