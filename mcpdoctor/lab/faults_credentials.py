"""Faults of credentials: they lie on the machine of the client, so the lab can only say how to bring them about."""

from __future__ import annotations

from mcpdoctor.lab.fault import AWS_MCP, Fault


def _on_the_client(name: str, summary: str, setup: str) -> Fault:
    """A fault that no server has."""
    return Fault(stage="auth", name=name, summary=summary, setup=setup, endpoint=AWS_MCP)


CREDENTIAL_FAULTS = (
    _on_the_client(
        "metadata-endpoint",
        "The address of the metadata service is no address.",
        "Set AWS_EC2_METADATA_SERVICE_ENDPOINT to something that is no URL.",
    ),
    _on_the_client(
        "login-session-expired",
        "The login that aws login made has ended, and cannot be renewed.",
        "Use a profile with login_session whose refresh token the sign-in service does not know.",
    ),
    _on_the_client(
        "login-without-region",
        "A login must be renewed, and nothing says in which region.",
        "Use a profile with login_session and no region, whose cached keys are about to end.",
    ),
    _on_the_client(
        "login-without-crt",
        "The login needs a part of botocore that is not installed.",
        "Use a profile with login_session where botocore is installed without awscrt.",
    ),
    _on_the_client(
        "source-profile-missing",
        "The role is to be assumed with a profile that does not exist.",
        "Use a profile whose source_profile names none.",
    ),
    _on_the_client(
        "source-profile-loop",
        "Two profiles are each other's source.",
        "Use a profile whose source_profile leads back to it.",
    ),
    _on_the_client(
        "role-source",
        "The role has no source of keys.",
        "Use a profile with role_arn and a credential_source that gives no keys.",
    ),
    _on_the_client(
        "role-region",
        "A role must be assumed, and nothing says in which region.",
        "Use a profile with role_arn where neither it nor the environment names a region.",
    ),
    _on_the_client(
        "role-refused",
        "STS does not let the caller assume the role.",
        "Use a profile with a role_arn that its source may not assume.",
    ),
    _on_the_client(
        "role-source-refused",
        "STS does not know the keys with which a role is to be assumed.",
        "Use a profile with role_arn whose source_profile holds unknown keys.",
    ),
    _on_the_client(
        "role-mfa",
        "The role wants an MFA code, and nobody can be asked.",
        "Use a profile with role_arn and mfa_serial.",
    ),
    _on_the_client(
        "sso-incomplete",
        "The settings of single sign-on are incomplete.",
        "Use a profile whose sso_session names no section.",
    ),
    _on_the_client(
        "sso-role-refused",
        "Single sign-on works, and the role is not this user's.",
        "Use a profile whose sso_role_name was not given to the user who is logged in.",
    ),
    _on_the_client(
        "process-missing",
        "The program that should give the keys does not exist.",
        "Use a profile whose credential_process names no program.",
    ),
    _on_the_client(
        "process-garbage",
        "The program that should give the keys prints something else.",
        "Use a profile whose credential_process prints no JSON.",
    ),
    _on_the_client(
        "process-hangs",
        "The program that should give the keys never ends.",
        "Use a profile whose credential_process waits for ever.",
    ),
    _on_the_client(
        "container-unreachable",
        "The credentials endpoint of the container does not give keys.",
        "Set AWS_CONTAINER_CREDENTIALS_FULL_URI to the address of the lab's broken one.",
    ),
    _on_the_client(
        "config-broken",
        "A line of the AWS config file is neither a section nor a setting.",
        "Write such a line.",
    ),
    _on_the_client(
        "keys-expired",
        "The keys say of themselves that they have ended.",
        "Set AWS_CREDENTIAL_EXPIRATION to a moment that has passed.",
    ),
    _on_the_client(
        "wrong-partition",
        "Keys of AWS China are sent to a server of AWS.",
        "Use a profile with unknown keys and the region cn-north-1.",
    ),
    _on_the_client(
        "token-missing",
        "A temporary key comes without its session token.",
        "Sign with the lab's temporary key and no token.",
    ),
    _on_the_client(
        "token-stale",
        "A long-term key comes with a session token of another one.",
        "Sign with the lab's default key and any token.",
    ),
    _on_the_client(
        "keys-shadow-profile",
        "Keys that were left over in the environment go before the profile it names.",
        "Set AWS_PROFILE, and AWS_ACCESS_KEY_ID to an unknown key.",
    ),
    _on_the_client(
        "variables-withheld",
        "The client does not pass AWS_PROFILE on, and an instance role stands in.",
        "Start the server from a client that passes few variables on, on a machine with an instance role.",
    ),
)
