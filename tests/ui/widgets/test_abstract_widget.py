from __future__ import annotations

import pytest

from workbench.ui.data.dataset_pane import DatasetPane
from workbench.ui.photo.classifier_choice import ClassifierChoice
from workbench.ui.widgets.table import Table
from workbench.ui.widgets.virtual_list import VirtualList


@pytest.mark.parametrize("base", [VirtualList, DatasetPane, ClassifierChoice])
def test_a_widget_without_its_abstract_methods_is_not_made(base: type) -> None:
    with pytest.raises(TypeError, match="abstract"):
        base()
    assert base.__abstractmethods__ and not Table.__abstractmethods__
