"""The page of a run: whole, offline, escaped, the same bytes each time."""

import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pytest

from snnsim import LI, LIF, Dense, Events, Input, Network, Population, Projection, Simulation, Trace
from snnsim.analysis import metrics
from snnsim.energy import compare, digital_45nm, energy_report, loihi
from snnsim.errors import ParameterError
from snnsim.monte_carlo import monte_carlo
from snnsim.report import Picture, Preformatted, Report, Table, run_report

DT = 1e-3
_VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags, texts and attributes of a page; fails where a tag is not closed in order."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.text, self.addresses, self.rows = [], [], [], [], []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.addresses += [
            (tag, name, value) for name, value in attributes if name in ("src", "href", "srcset", "data")
        ]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.rows and any(tag in ("td", "th") for tag in self.open):
            self.rows[-1][-1] += data

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture(autouse=True)
def no_figure_stays():
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def net():
    return Network(
        [Population("input", 6, Input()), Population("hidden", 4, LIF(10e-3)), Population("out", 3, LI(10e-3))],
        [Projection("input", "hidden", Dense(0.7)), Projection("hidden", "out", Dense(0.5))],
        dt=DT,
        name="small",
    )


@pytest.fixture(scope="module")
def result(net):
    spikes = np.random.default_rng(0).random((2, 20, 6)) < 0.3
    sim = Simulation(net, "reference")
    return sim.run_samples(Events.from_dense(spikes, dt=DT), record=[Trace("out")], progress=False)


def figure():
    drawn, axes = plt.subplots(figsize=(2, 1.5))
    axes.plot([0, 1], [1, 0])
    return drawn


def whole(net, result):
    energies = [energy_report(result, digital_45nm()), energy_report(result, loihi())]
    return run_report(
        "A run",
        net,
        result,
        labels=[0, 1],
        energy=energies,
        metrics=metrics(net, result),
        chips=monte_carlo(lambda seed: {"accuracy": (seed % 100) / 100}, 5, progress=False),
        chip="3 tiles\n  of cells",
        pictures={"How it went": figure()},
    )


def test_a_report_of_a_run_holds_all_of_it(net, result):
    report = whole(net, result)
    page = Page(report.html())
    assert report.headings == (
        "Result",
        "Over chips",
        "Network",
        "Metrics",
        "Energy: digital logic, 45 nm, 32-bit float",
        "Energy: Loihi, 14 nm",
        "Energy compared",
        "Chip",
        "Pictures",
        "Provenance",
    )
    assert page.count("section") == len(report) == 10
    assert page.count("img") == 1
    text = "".join(page.text)
    accuracy = 100 * result.accuracy([0, 1])
    assert f"{accuracy:.2f} % of 2 recordings" in text
    assert "3 tiles\n  of cells" in text
    energy = energy_report(result, digital_45nm())
    for row in [*energy.energy_rows()[1], *energy.assumption_rows()[1], *net.projection_rows()[1]]:
        assert list(row) in page.rows
    assert ["backend", "reference"] in page.rows
    assert energy.table.note in text


def test_nothing_is_fetched_and_nothing_is_run(net, result):
    source = whole(net, result).html()
    page = Page(source)
    for tag, name, value in page.addresses:
        if tag == "a":  # followed only when clicked
            assert value.startswith(("#section-", "https://doi.org/10.", "https://arxiv.org/abs/"))
        else:
            assert (tag, name) == ("img", "src")
            assert value.startswith("data:image/png;base64,")
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    assert "@import" not in source
    assert "url(" not in source
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    policy = next(attributes for tag, attributes in page.tags if "http-equiv" in attributes)
    assert policy["content"].startswith("default-src 'none'")


def test_links_in_the_contents_lead_to_sections(net, result):
    page = Page(whole(net, result).html())
    ids = {attributes["id"] for tag, attributes in page.tags if tag == "section"}
    links = {value[1:] for _, _, value in page.addresses if value.startswith("#")}
    assert links == ids
    assert len(ids) == 10


def test_publications_are_links_without_the_stop_after_them():
    page = Page(
        Report("x").add("y", "See doi:10.1109/ISSCC.2014.6757323, or (doi:10.1000/a(b)c). arXiv:2304.04640.").html()
    )
    assert [value for tag, _, value in page.addresses if tag == "a"] == [
        "https://doi.org/10.1109/ISSCC.2014.6757323",
        "https://doi.org/10.1000/a(b)c",
        "https://arxiv.org/abs/2304.04640",
    ]


def test_everything_is_escaped():
    nasty = "<script>alert(1)</script> & \"quotes\" 'n' </section>"
    report = Report(nasty, nasty)
    report.add(
        nasty,
        nasty,
        Preformatted(nasty),
        {nasty: nasty},
        Table((nasty, "b"), [(nasty, 1)], caption=nasty),
        Picture(figure(), nasty),
    )
    page = Page(report.html())
    assert page.count("script") == 0
    assert page.count("section") == 1
    # Title, heading of the page, line below; heading of the section; five parts: text, lines, name and value, caption,
    # column and cell, caption of the picture.
    assert "".join(page.text).count(nasty) == 3 + 1 + 1 + 1 + 2 + 3 + 1
    assert next(attributes for tag, attributes in page.tags if tag == "img")["alt"] == nasty


def test_names_of_a_network_are_escaped_too():
    net = Network([Population("<b>in", 2, Input()), Population("a&b", 1, LI(10e-3))], [], dt=DT, name="<i>x")
    source = Report("names").add("network", net).html()
    page = Page(source)
    assert page.count("b") == page.count("i") == 0
    assert any("<b>in" in row for row in page.rows)


def test_the_page_is_light_and_dark():
    source = Report("x").add("y", "z").html()
    assert "prefers-color-scheme: dark" in source
    assert "color-scheme: light dark" in source
    # Every colour of the light page has one of the dark page.
    light, dark = (set(re.findall(r"(--\w+): #", part)) for part in source.split("prefers-color-scheme", 1))
    assert light == dark != set()


def test_paragraphs_and_lines():
    page = Page(Report("x").add("y", "one\ntwo\n\n  \nthree", Preformatted("a\n  b")).html())
    assert sum(tag == "p" for tag, _ in page.tags) == 2
    assert page.count("pre") == 1
    assert "a\n  b" in page.text


def test_columns_of_numbers_are_marked():
    page = Page(Report("x").add("y", Table(("name", "n"), [("a", 3), ("b", 12)], right=[1])).html())
    cells = [attributes.get("class") for tag, attributes in page.tags if tag in ("td", "th")]
    assert cells == [None, "number"] * 3


def test_the_same_report_is_the_same_bytes(net, result, tmp_path):
    paths = [whole(net, result).save(tmp_path / name / "run.html") for name in ("a", "b")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].read_text(encoding="utf-8") == whole(net, result).html()


def test_a_figure_is_drawn_when_it_is_added():
    drawn = figure()
    before = Report("x").add("y", drawn)
    drawn.axes[0].plot([0, 1], [0, 1])
    after = Report("x").add("y", drawn.axes[0])
    plt.close(drawn)
    assert before.html() != after.html()


def test_a_report_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "run.html"
    Report("x").add("y", "first").save(path)
    report = Report("x").add("y", "second")
    monkeypatch.setattr(Report, "html", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report.save(path)
    assert "first" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (3.0, "part 2: float cannot stand in a report; allowed are str"),
        (None, "NoneType cannot stand"),
        ("  ", "part 2: the text is empty"),
        (Preformatted(""), "the text is empty"),
        ({}, "the mapping is empty"),
        (Picture("no figure", "caption"), "is no Figure and no Axes"),
        (np.zeros(3), "ndarray cannot stand"),
    ],
)
def test_parts_that_cannot_stand_there_are_refused_and_nothing_is_added(part, message):
    report = Report("x")
    with pytest.raises(ParameterError, match=message):
        report.add("heading", "good", part)
    assert len(report) == 0


def test_refusals_of_the_report_itself(tmp_path):
    for title in ("", " ", "two\nlines", 3):
        with pytest.raises(ParameterError, match="title="):
            Report(title)
    with pytest.raises(ParameterError, match="heading=''"):
        Report("x").add("", "text")
    with pytest.raises(ParameterError, match="holds nothing"):
        Report("x").add("y")
    with pytest.raises(ParameterError, match="has no section"):
        Report("x").save(tmp_path / "x.html")
    with pytest.raises(ParameterError, match=r"ends in \.html"):
        Report("x").add("y", "z").save(tmp_path / "x.pdf")
    with pytest.raises(ParameterError, match="row 1 is"):
        Table(("a", "b"), [(1, 2), (1,)])
    with pytest.raises(ParameterError, match="the figure has no axes"):
        Report("x").add("y", plt.figure())
    with pytest.raises(ParameterError, match="caption=''"):
        Report("x").add("y", Picture(figure(), ""))


def test_comparison_and_stopped_chips_stand_in_a_report(result):
    digital, chip = (energy_report(result, table()) for table in (digital_45nm, loihi))
    page = Page(Report("x").add("y", compare(digital, chip)).html())
    assert list(compare(digital, chip).rows()[1][-2]) in page.rows
