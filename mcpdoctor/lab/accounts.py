"""The made-up callers of the lab. Their keys open nothing anywhere: they are in this file for everybody to read."""

from __future__ import annotations

from mcpdoctor.lab.sigv4 import Key

ACCOUNT = "123456789012"
"""The account id of AWS's own documentation examples."""

_ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/lab"

DEFAULT = Key(
    access_key_id="AKIALABEXAMPLEDEFLT2",
    secret="made-up/lab/secret/default/EXAMPLEKEY+42",  # noqa: S106 - made up, and public
    arn=f"arn:aws:iam::{ACCOUNT}:user/lab",
)
SESSION = Key(
    access_key_id="ASIALABEXAMPLESESSN2",
    secret="made-up/lab/secret/session/EXAMPLEKEY+42",  # noqa: S106 - made up, and public
    arn=f"{_ROLE}/session",
    token="made-up-lab-session-token/EXAMPLE/valid==",  # noqa: S106 - made up, and public
)
OTHER_SESSION = Key(
    access_key_id="ASIALABEXAMPLESESSN3",
    secret="made-up/lab/secret/session2/EXAMPLEKEY+4",  # noqa: S106 - made up, and public
    arn=f"{_ROLE}/session-2",
    token="made-up-lab-session-token/EXAMPLE/valid-2==",  # noqa: S106 - made up, and public
)
"""The role of `SESSION` under another session name: to AWS another caller."""

EXPIRED = Key(
    access_key_id="ASIALABEXAMPLEEXPRD2",
    secret="made-up/lab/secret/expired/EXAMPLEKEY+42",  # noqa: S106 - made up, and public
    arn=f"{_ROLE}/expired",
    token="made-up-lab-session-token/EXAMPLE/expired==",  # noqa: S106 - made up, and public
    expired=True,
)
DENIED = Key(
    access_key_id="AKIALABEXAMPLEDENYD2",
    secret="made-up/lab/secret/denied/EXAMPLEKEY+427",  # noqa: S106 - made up, and public
    arn=f"{_ROLE}/denied",
    denied=True,
)

IDENTITIES: dict[str, Key] = {
    "default": DEFAULT,
    "session": SESSION,
    "session-2": OTHER_SESSION,
    "expired": EXPIRED,
    "denied": DENIED,
}
KEYS: dict[str, Key] = {key.access_key_id: key for key in IDENTITIES.values()}


def environment(key: Key) -> dict[str, str]:
    """The environment variables that make any AWS client use a key."""
    made = {
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return made | ({"AWS_SESSION_TOKEN": key.token} if key.token else {})
