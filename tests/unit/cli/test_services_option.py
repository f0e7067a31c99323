"""``--services`` where it says something, and where it doesn't go."""

from auditor.cli.application import run
from tests.unit.cli.test_commands import MANIFESTS
from tests.unit.cli.test_rbac import printed


def test_a_dry_run_says_what_services_would_be_made(tmp_path, capsys):
    path = tmp_path / "cluster.yaml"
    path.write_text(MANIFESTS)
    arguments = ["run", "-A", "--dry-run", "-f", str(path)]
    assert run(arguments) == 0
    assert "would make" not in capsys.readouterr().err
    assert run([*arguments, "--services"]) == 0
    assert "that lead to its own probe pods alone" in capsys.readouterr().err


def test_services_need_probe_pods(capsys):
    assert run(["run", "-n", "prod", "--services", "--in-place"]) == 2
    assert "--services leads to probe pods alone" in capsys.readouterr().err
    assert run(["run", "-n", "prod", "--dns", "--in-place"]) == 2
    assert "--dns asks from probe pods alone" in capsys.readouterr().err
    assert run(["run", "-n", "prod", "--service", "prod/db", "--in-place"]) == 2
    assert "--service connects from probe pods alone" in capsys.readouterr().err
    assert run(["run", "--lab", "demo", "--service", "prod/db"]) == 2
    assert "--service goes with a live cluster" in capsys.readouterr().err


def test_rights_for_services_are_those_of_a_run_and_to_create_services():
    def rights(*options):
        objects = printed("-n", "prod", *options)
        rules = [rule for each in objects if each["kind"] == "ClusterRole" for rule in each["rules"]]
        return {
            (group, resource, verb)
            for rule in rules
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }

    assert rights("--run", "--services") - rights("--run") == {("", "services", "create")}
