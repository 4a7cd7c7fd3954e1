from sclgan.experiments import demo
from sclgan.recipe_fields import override
from sclgan.recipes import recipe
from tiny import tiny_assignments


def test_the_demo_trains_grades_and_compares_both_rows_and_continues(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "SMALL", tiny_assignments(recipe("ssagan_emoji")))
    monkeypatch.setattr(demo, "NUM_IMAGES", 60)
    monkeypatch.setattr("sys.argv", ["demo", str(tmp_path), "seed=1"])
    demo.main()
    printed = capsys.readouterr().out
    assert f"Open {(tmp_path / 'index.html').as_uri()}" in printed
    assert "whose background is the one that the caption names: ssagan_emoji " in printed
    assert "(chance 8%)" in printed
    for protocol in ("fd_lite0@60", "kid_lite0@60", "r_precision_damsm@60"):
        assert protocol in printed
    kept = [*tmp_path.rglob("*.safetensors"), *tmp_path.rglob("evaluations.jsonl")]
    written = {path: path.stat().st_mtime_ns for path in kept}
    demo.main()  # everything is there: nothing is trained or graded again
    assert len((tmp_path / "ssagan_emoji" / "evaluations.jsonl").read_text().splitlines()) == 13
    assert {path: path.stat().st_mtime_ns for path in kept} == written


def test_both_rows_see_as_many_images_a_step():
    made = [override(recipe(name), [*demo.SMALL, *sizes]) for name, sizes in demo.ROWS.items()]
    for phase in ("pretraining", "training"):
        settings = [getattr(row, phase) for row in made]
        assert len({one.num_views * one.batch_size * one.steps for one in settings}) == 1
