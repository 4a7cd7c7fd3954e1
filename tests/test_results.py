import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "scripts" / "results.py"


def test_the_tables_of_the_pages_are_those_of_the_committed_results():
    spec = importlib.util.spec_from_file_location("results", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    results = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(results)
    pages = {path.name: results.tables(path) for path in results.PAGES}
    assert pages["results.md"].count("| protocol |") == pages["results.md"].count(".json -->") >= 1
    assert pages["results.md"].count(".md -->") >= 1
    assert pages["small-data.md"].count("| settings |") == 1
    for path in results.PAGES:
        assert path.read_text() == pages[path.name], "run `python scripts/results.py tables`"
