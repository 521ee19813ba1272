"""The runtime that MLServer lacks: ONNX Runtime. Runs in MLServer's environment."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from session import Session


class OnnxRuntime(MLModel):
    """Serves the ONNX file that `parameters.uri` names, `parameters.extra["at_once"]` runs at once."""

    async def load(self) -> bool:
        """Open the session."""
        parameters = self.settings.parameters
        self._session = Session(parameters.uri, parameters.extra["at_once"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run one request."""
        inputs = {each.name: np.ascontiguousarray(NumpyCodec.decode_input(each)) for each in payload.inputs}
        values = await self._session.predict(inputs)
        return InferenceResponse(
            model_name=self.name,
            outputs=[NumpyCodec.encode_output(name, value) for name, value in values.items()],
        )
