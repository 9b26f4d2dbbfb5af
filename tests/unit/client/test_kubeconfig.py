import base64
from pathlib import Path

import pytest
import yaml

from tiphys.client.kubeconfig import KubeconfigError, load


def written(folder: Path, **user: str) -> Path:
    document = {
        "current-context": "main",
        "contexts": [
            {"name": "main", "context": {"cluster": "c", "user": "u", "namespace": "n"}},
            {"name": "other", "context": {"cluster": "c"}},
        ],
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": "https://127.0.0.1:6443/",
                    "certificate-authority-data": base64.b64encode(b"CA").decode(),
                },
            }
        ],
        "users": [{"name": "u", "user": user}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_client_certificate_is_read(tmp_path: Path) -> None:
    (tmp_path / "tls.crt").write_bytes(b"CRT")
    path = written(tmp_path, **{"client-certificate": "tls.crt", "client-key-data": base64.b64encode(b"KEY").decode()})
    config = load(path)
    assert config.server == "https://127.0.0.1:6443"
    assert (config.ca_data, config.client_cert_data, config.client_key_data) == (b"CA", b"CRT", b"KEY")
    assert config.namespace == "n"


def test_a_token_file_is_read_at_each_use(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    config = load(written(tmp_path, tokenFile="token"))
    assert config.bearer_token() == "one"
    (tmp_path / "token").write_text("two")
    assert config.bearer_token() == "two"


def test_another_context_may_be_asked_for(tmp_path: Path) -> None:
    config = load(written(tmp_path, token="t"), context="other")
    assert (config.token, config.namespace) == ("", "default")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "not a kubeconfig"),
        ("current-context: gone", "no context named 'gone'"),
        ("{", "while parsing"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad"
    path.write_text(content)
    with pytest.raises(KubeconfigError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_data_that_is_no_base64_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="client-key-data"):
        load(written(tmp_path, **{"client-key-data": "%%%"}))


def test_exec_credentials_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="exec"):
        load(written(tmp_path, exec="aws"))
