"""`CallbackList`: calls the hooks of several callbacks in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from jitflow.keras.callbacks.callback import Callback
from jitflow.keras.callbacks.history import History
from jitflow.keras.callbacks.progress import ProgbarLogger
from jitflow.keras.saving.registration import keras_export

_Hook = Callable[..., None]


def as_numbers(logs: Any) -> dict[str, Any]:
    """Metrics of a step as Python floats (arrays where they are not scalars)."""
    if not isinstance(logs, dict):
        return {}
    return {name: _number(value) for name, value in logs.items()}


def _number(value: Any) -> Any:
    if hasattr(value, "shape") and not value.shape:
        return float(value)
    return value.numpy() if hasattr(value, "numpy") else value


@keras_export("keras.callbacks.CallbackList")
class CallbackList:
    """Several callbacks as one.

    Hooks of batches are looked up once, and only those that a callback overrides are
    called; with none a step converts no metric to a Python number.

    Args:
        callbacks: in the order in which their hooks are called.
        add_history: add a `History`, and give it to the model as ``model.history``.
        add_progbar: add a `ProgbarLogger`.
        model: given to all callbacks.
        params: given to all callbacks.
    """

    def __init__(
        self,
        callbacks: Iterable[Callback] | Callback | None = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        given = [callbacks] if isinstance(callbacks, Callback) else callbacks
        self.callbacks: list[Callback] = list(given or [])
        if add_progbar and self._find(ProgbarLogger) is None:
            self.callbacks.append(ProgbarLogger())
        if add_history and self._find(History) is None:
            self.callbacks.append(History())
        self.params: dict[str, Any] = {}
        self._model: Any = None
        self._hooks: dict[str, list[_Hook]] = {}
        self._raw: dict[str, list[_Hook]] = {}
        if model is not None:
            self.set_model(model)
        if params:
            self.set_params(params)

    def _find(self, kind: type) -> Any:
        return next((c for c in self.callbacks if isinstance(c, kind)), None)

    @property
    def model(self) -> Any:
        """The model that the callbacks were given."""
        return self._model

    def append(self, callback: Callback) -> None:
        """Add a callback at the end."""
        self.callbacks.append(callback)
        self._hooks, self._raw = {}, {}

    def set_model(self, model: Any) -> None:
        """Give the model to all callbacks."""
        self._model = model
        history = self._find(History)
        if history is not None:
            model.history = history
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        """Give the parameters to all callbacks."""
        self.params = params
        for callback in self.callbacks:
            callback.set_params(params)

    # --------------------------------------------------------------- hooks of batches

    def _batch_hooks(self, name: str) -> tuple[list[_Hook], list[_Hook]]:
        """Overridden hooks: those that take numbers, and those that take tensors."""
        if name not in self._hooks:
            names = [name]
            if name.startswith("on_train_batch"):
                names.append(name.replace("train_", ""))
            found = [
                (callback, getattr(callback, n))
                for callback in self.callbacks
                for n in names
                if _overrides(callback, n)
            ]
            raw = [hook for c, hook in found if getattr(c, "takes_tensors", False)]
            self._raw[name] = raw
            self._hooks[name] = [
                hook for c, hook in found if not getattr(c, "takes_tensors", False)
            ]
        return self._hooks[name], self._raw[name]

    def _batch(self, name: str, batch: int, logs: Any) -> None:
        hooks, raw = self._batch_hooks(name)
        for hook in raw:
            hook(batch, logs)
        if hooks:
            numbers = as_numbers(logs)
            for hook in hooks:
                hook(batch, numbers)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Call the hook of all callbacks that have it."""
        self._batch("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Call the hook of all callbacks that have it."""
        self._batch("on_train_batch_end", batch, logs)

    on_batch_begin = on_train_batch_begin
    on_batch_end = on_train_batch_end

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Call the hook of all callbacks that have it."""
        self._batch("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Call the hook of all callbacks that have it."""
        self._batch("on_test_batch_end", batch, logs)

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Call the hook of all callbacks that have it."""
        self._batch("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """Call the hook of all callbacks that have it; `logs` has the outputs."""
        hooks, raw = self._batch_hooks("on_predict_batch_end")
        for hook in (*raw, *hooks):
            hook(batch, logs)

    # ---------------------------------------------------------------- all other hooks

    def _all(self, name: str, *args: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, name)(*args)

    def on_train_begin(self, logs: Any = None) -> None:
        """Call the hook of all callbacks."""
        self._all("on_train_begin", logs or {})

    def on_train_end(self, logs: Any = None) -> None:
        """Call the hook of all callbacks."""
        self._all("on_train_end", logs or {})

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Call the hook of all callbacks."""
        self._all("on_epoch_begin", epoch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Call the hook of all callbacks, with one dict that they may add to."""
        self._all("on_epoch_end", epoch, logs if logs is not None else {})

    def on_test_begin(self, logs: Any = None) -> None:
        """Call the hook of all callbacks."""
        self._all("on_test_begin", logs or {})

    def on_test_end(self, logs: Any = None) -> None:
        """Call the hook of all callbacks."""
        self._all("on_test_end", logs or {})

    def on_predict_begin(self, logs: Any = None) -> None:
        """Call the hook of all callbacks."""
        self._all("on_predict_begin", logs or {})

    def on_predict_end(self, logs: Any = None) -> None:
        """Call the hook of all callbacks."""
        self._all("on_predict_end", logs or {})


def _overrides(callback: Callback, name: str) -> bool:
    """Whether a callback has a hook of its own, in its class or as an attribute."""
    own = getattr(callback, name, None)
    return own is not None and getattr(own, "__func__", own) is not getattr(
        Callback, name
    )
