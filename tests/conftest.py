"""Shared by all tests: the bundled data, the trained network, and the walk's folder."""

import pytest

from mobilelab import datasets, measure, models


@pytest.fixture(scope="session")
def data():
    return datasets.load("digits")


@pytest.fixture
def model():
    return models.load_trained()


@pytest.fixture(scope="session")
def reference(data):
    return measure.scores(models.load_trained(), data.test.images)
