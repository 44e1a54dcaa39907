"""What the tables of the comparison say beside the figures."""

from experiments.paper import tables


def row(title, method, n=8, **figures):
    return {
        "dataset": title.lower(),
        "title": title,
        "mask": "center",
        "method": method,
        "label": method,
        "n": n,
        "failed": 0,
        "psnr": 20.0,
        "first": {"n": n, "psnr": 20.0},
        **figures,
    }


def line_of(text, label):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {label} |")]
    return line


FLOOR = "*one half of the originals to the other*"


def test_a_distance_of_sets_stands_beside_its_floor():
    floor = {"floors": {"swd": 12.34}}
    found = [row("Boats", "tv", swd=30.0, **floor), row("Boats", "mean", swd=40.0)]
    text = tables.to_markdown(found, 4)
    assert line_of(text, FLOOR) == f"| {FLOOR} | 12.3 |"
    assert line_of(text.split("Sliced")[1], "tv") == "| tv | **30.0** |"
    # That of fewer images, or of other pixels, is another one.
    for change in ({"n": 4}, {"differs": True}):
        other = row("Boats", "tv", swd=30.0, **floor, **change)
        text = tables.to_markdown([other, found[1]], 4)
        assert FLOOR not in text
        assert "| mean | **40.0** |" in text


def test_a_distance_of_faces_stands_beside_that_of_two_people():
    others = {"floors": {"identity_distance": 0.7812}}
    found = [row("Boats", "tv", identity_distance=0.5, **others)]
    label = "*the originals of two people*"
    assert line_of(tables.to_markdown(found, 4), label) == f"| {label} | 0.781 |"


def test_of_several_answers_it_is_said_how_they_differ():
    several = row("Boats", "autoencoder_best", diversity=0.0294, calibration=0.333)
    text = tables.to_markdown([row("Boats", "tv"), several], 4)
    apart, agree = text.split("between two answers")[1].split("Rank")
    label = "autoencoder_best"
    # To be far apart is not to be good.
    assert line_of(apart, label) == f"| {label} | 0.029 |"
    assert line_of(agree, label) == f"| {label} | **0.33** |"
    assert "two answers" not in tables.to_markdown([row("Boats", "tv")], 4)


def test_the_papers_table_has_what_can_be_compared_with_it():
    found = [
        row("CelebA", "context_encoder"),
        row("CelebA", "latent"),
        row("Boats", "context_encoder"),
        row("Ships", "tv"),
        row("SVHN", "tv"),
    ]
    header = tables.to_markdown(found, 4).splitlines()[2]
    assert header == "| mask | CelebA | CelebA, paper | Boats | Boats, paper |"


def test_the_paper_has_no_figures_of_other_data():
    text = tables.to_markdown([row("Ships", "tv")], 4)
    assert "Table 1" not in text
