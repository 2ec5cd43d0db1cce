"""The hub over pyevent, which is no more."""

raise ImportError("there is no pyevent hub: choose one of eventlet.hubs.builtin_hub_names")
