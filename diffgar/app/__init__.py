"""The browser app. `engine` answers, `page` shows, `server` serves, `start` brings them together.

Importing it turns the telemetry of Gradio and of the Hugging Face hub off, which is read when they are imported.
"""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
