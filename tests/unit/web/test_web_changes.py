"""Changes that people make: thresholds, choices, processing again, alerts."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from passerelle.core.errors import BadInput
from passerelle.processing.recipe import Recipe, Threshold
from passerelle.web.recipe_form import changes_from, recipe_groups
from tests.web_demo import DemoStatus


def test_thresholds_are_replaced_and_movies_judged_anew(client: TestClient, status: DemoStatus) -> None:
    before = status.session(3)
    limits = {"ctf_resolution_angstrom": {"reject_max": 3.5}}
    assert client.post("/api/sessions/3/thresholds", json={"thresholds": limits}).status_code == 204
    after = status.session(3)
    assert after.thresholds == {"ctf_resolution_angstrom": Threshold(reject_max=3.5)}
    assert after.counters.rejected > before.counters.rejected


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"colour": {"warn_max": 1}}, "is not a metric"),
        ({"defocus_angstrom": {"warn_min": 2, "warn_max": 1}}, "above the upper one"),
        ({"defocus_angstrom": {"maximum": 1}}, "Extra"),
        ({"defocus_angstrom": {"warn_max": "NaN"}}, "is not a number"),
        ({"defocus_angstrom": 3}, "defocus_angstrom"),
        ([], "thresholds"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused_in_words(
    client: TestClient, status: DemoStatus, limits: object, words: str
) -> None:
    before = len(status.calls)
    response = client.post("/api/sessions/1/thresholds", json={"thresholds": limits})
    assert response.status_code in {400, 422}
    assert words in response.json()["error"]["message"]
    assert len(status.calls) == before


def test_a_choice_is_one_of_four_words(client: TestClient) -> None:
    assert client.post("/api/movies/1/choice/accept").status_code == 204
    assert client.post("/api/movies/1/choice/perhaps").status_code == 404
    assert client.post("/api/movies/999999/choice/accept").status_code == 404


def test_the_form_sends_only_what_was_changed(client: TestClient, status: DemoStatus) -> None:
    groups = recipe_groups(Recipe())
    form = {}
    for group in groups:
        for field in group.fields:
            form[field.name] = field.value
            form[f"was:{field.name}"] = field.value
    form |= {"motion.patches_y": "7", "ctf.phase_shift": "True", "gain.orientation": "flip_x", "motion.eer_upsampling": "2"}
    assert client.post("/movies/1/again", data=form).status_code == 204
    assert status.calls[-1] == (
        "process_again",
        1,
        {"motion": {"patches_y": 7, "eer_upsampling": 2}, "ctf": {"phase_shift": True}, "gain": {"orientation": "flip_x"}},
    )


def test_every_parameter_of_the_recipe_has_a_field_with_its_help() -> None:
    names = {field.name for group in recipe_groups(Recipe()) for field in group.fields}
    assert names == {f"{group}.{name}" for group, values in Recipe().model_dump().items() for name in values}
    assert all(field.help for group in recipe_groups(Recipe()) for field in group.fields)


@pytest.mark.parametrize("sent", [{"motion.patches": "3"}, {"nothing.x": "1"}, {"motion": "1"}, {"motion.patches_y": "many"}])
def test_fields_that_are_no_parameters_are_refused(sent: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        changes_from(sent)


def test_a_value_that_the_recipe_refuses_is_said_in_words(client: TestClient) -> None:
    response = client.post("/movies/1/again", data={"motion.patches_y": "1000"}, headers={"hx-request": "true"})
    assert response.status_code == 400
    assert "patches_y" in response.json()["error"]["message"]


def test_a_session_is_processed_again_and_closed(client: TestClient, status: DemoStatus) -> None:
    assert client.post("/sessions/4/again", data={"dose.weighted": "False", "was:dose.weighted": "True"}).status_code == 204
    assert status.calls[-1] == ("process_session_again", 4, {"dose": {"weighted": False}})
    assert client.post("/api/sessions/4/close").status_code == 204
    assert status.session(4).state == "closed"


def test_an_alert_is_closed_once_and_for_all_pages(client: TestClient) -> None:
    assert client.post("/api/alerts/2/close").status_code == 204
    assert [alert["id"] for alert in client.get("/api/alerts").json()] == [1]
    assert [alert["id"] for alert in client.get("/api/alerts?closed=10").json()] == [1, 2]
    assert client.post("/api/alerts/77/mute").status_code == 404
