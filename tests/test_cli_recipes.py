"""`sclgan recipes` and `sclgan describe`."""

import json

from command_line import done
from runs import SCL
from sclgan.recipes import RECIPES, SMALL_DATA
from sclgan.recipes.ablations import ABLATIONS


def test_recipes_prints_every_recipe_in_its_row_and_column():
    main, rest = done("recipes").out.split("\n\nWith the settings for small data\n")
    small, ablations = rest.split("\n\nAblations\n")
    assert ablations.split() == list(ABLATIONS)
    assert sorted(small.split()) == sorted(SMALL_DATA)
    head, *rows = main.splitlines()
    assert head.split() == ["emoji", "scenes", "cub", "coco", "folder"]
    assert sorted(word for row in rows for word in row.split() if word in RECIPES) == sorted(RECIPES)
    assert rows[0].split() == ["AttnGAN", *(f"attngan_{data}" for data in head.split())]
    assert rows[-1].endswith("galip_folder_scl")


def test_describe_shows_the_recipe_with_fields_replaced():
    shown = json.loads(done("describe", SCL, "training.batch_size=64", "gan.nf=16").out)
    assert (shown["name"], shown["training"]["batch_size"], shown["gan"]["nf"]) == (SCL, 64, 16)


def test_describe_says_which_files_are_needed_and_where_they_are():
    ended = done("describe", "attngan_cub", "source.root=birds")
    assert json.loads(ended.out)["source"]["root"] == "birds"
    archive, metadata, weights = ended.err.splitlines()
    assert archive == (
        "needs CUB_200_2011.tgz (1.15 GB, md5 97eceeb196236b17998738112f37df78) from "
        "https://data.caltech.edu/records/65de6-vp158: unpack it to birds/CUB_200_2011"
    )
    assert "drive.google.com" in metadata
    assert weights.startswith("needs inception_v3_google-0cc3c7bd.pth (109 MB, SHA-256 begins with 0cc3c7bd)")
    lines = done("describe", "ssagan_coco_scl", "source.year=2017").err.splitlines()
    assert [line.split()[1] for line in lines][:3] == ["train2017.zip", "val2017.zip", "annotations_trainval2017.zip"]
    assert "put them into mine" in done("describe", "ssagan_folder", "source.root=mine").err
    assert done("describe", "ssagan_scenes_scl").err == ""
