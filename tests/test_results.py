import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "scripts" / "results.py"


def test_the_tables_of_the_page_are_those_of_the_committed_results():
    spec = importlib.util.spec_from_file_location("results", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    results = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(results)
    page = results.tables()
    assert page.count("| protocol |") == page.count(".json -->") >= 1
    assert page.count(".md -->") >= 1
    assert results.PAGE.read_text() == page, "run `python scripts/results.py tables`"
