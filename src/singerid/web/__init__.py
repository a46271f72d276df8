"""The service: a JSON API, and the page that uses it (`singerid.web.app.create_app`).

A request goes through telemetry (id, log, metrics) → gate (who may, how much, how fast) → routes.
An upload goes through a file of its own → a process that decodes it → frames → batches that
concurrent requests share → what the judge and the registry say.
"""
