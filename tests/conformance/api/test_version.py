"""What the server says of itself."""

from kubernetes import client
from kubernetes.client import ApiClient

from tests.conformance.api.running import RunningServer


def test_the_server_tells_its_version(api_client: ApiClient) -> None:
    """[sig-api-machinery] server version should find the server version [Conformance]"""
    version = client.VersionApi(api_client).get_code()
    assert version.major == "1"
    assert version.minor.rstrip("+").isdigit()
    assert version.git_version.startswith(f"v{version.major}.{version.minor}")


def test_kubectl_understands_it(server: RunningServer) -> None:
    assert "Server Version: v1." in server.kubectl("version").stdout


def test_a_namespace_has_a_default_account_with_controllers(
    controlled: RunningServer, controlled_namespace: str
) -> None:
    path = f"/api/v1/namespaces/{controlled_namespace}/serviceaccounts"
    with controlled.watch(f"{path}?watch=true&resourceVersion=0&fieldSelector=metadata.name=default") as stream:
        assert stream.next()["object"]["metadata"]["name"] == "default"
