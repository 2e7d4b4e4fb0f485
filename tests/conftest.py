"""What every test may ask for."""

import logging

import structlog

pytest_plugins = ["tests.postgres"]

# A line for every request and activity would be most of the time that a simulation takes.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
