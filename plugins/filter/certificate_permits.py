"""Filter that tells for which names a CA may sign."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters
from cryptography import x509


def certificate_permits(pem: str) -> list[str]:
    """The DNS names and networks for which the CA may sign; empty where it may sign for everything."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except ValueError:
        raise AnsibleFilterError(
            "certificate_permits needs the text of a PEM file with a certificate"
        ) from None
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in constraints.permitted_subtrees or []]


FilterModule = filters(certificate_permits)
