"""Where a LocalStack for the tests comes from: one that runs already, Docker, or this machine.

Runs in the process of pytest and of ``scripts/localstack_host.py``. Standard library only, except
:mod:`.fixtures`.
"""
