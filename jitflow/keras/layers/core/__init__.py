"""The layers that nearly every model uses."""
